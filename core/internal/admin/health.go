package admin

import (
	"net/http"

	"github.com/tributary-bus/tributary/sdk/client"
)

// The states of a part, and of the whole.
const (
	stateOK          = "ok"
	stateDegraded    = "degraded"
	stateUnavailable = "unavailable"
)

// healthz says that the process answers.
func (a *API) healthz(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, []byte(`{"status":"ok"}`))
	return nil
}

// readyz is 200 while events can be accepted; its body lists the parts that do
// not work as they should.
func (a *API) readyz(w http.ResponseWriter, r *http.Request) error {
	ready := struct {
		Status string        `json:"status"`
		Reason string        `json:"reason,omitzero"`
		Parts  []client.Part `json:"parts"`
	}{Status: stateOK, Parts: []client.Part{}}
	for _, part := range a.o.Parts(r.Context()) {
		if part.State != stateOK {
			ready.Status = stateDegraded
			ready.Parts = append(ready.Parts, part)
		}
	}
	err := a.o.Accepting()
	if err == nil {
		return answer(w, ready)
	}
	ready.Status, ready.Reason = stateUnavailable, err.Error()
	w.Header().Set("Retry-After", retryAfter)
	return answerStatus(w, http.StatusServiceUnavailable, ready)
}

// metrics joins what the parts report.
func (a *API) metrics(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	for _, write := range a.o.Metrics {
		write(w)
	}
	return nil
}

// status tells how the server stands, in detail.
func (a *API) status(w http.ResponseWriter, r *http.Request) error {
	return answer(w, a.o.Status(r.Context()))
}
