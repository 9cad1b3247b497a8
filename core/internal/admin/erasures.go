package admin

import (
	"errors"
	"net/http"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/sdk/client"
)

// requester is who asks, as an erasure's report names him: there is one token.
const requester = "admin"

// eraseProfile erases a profile and returns the report. Of one that is erased
// already, or that is being erased, it returns the report as it stands.
func (a *API) eraseProfile(w http.ResponseWriter, r *http.Request) error {
	profile, err := a.findProfile(r.Context(), r.PathValue("id"))
	var gone *erasedError
	if errors.As(err, &gone) {
		report, err := a.o.Erasures.Report(r.Context(), gone.profile)
		if errors.Is(err, bus.ErrNotFound) {
			return gone.problem()
		}
		if err != nil {
			return unreachable(err)
		}
		return answer(w, report)
	}
	if err != nil {
		return err
	}
	report, err := a.o.Erasures.Request(r.Context(), profile.ID, profile.IDs, requester)
	if err != nil && report.Profile == "" {
		return unreachable(err)
	}
	if err != nil {
		a.o.Log.Warn("a profile is not erased yet; it goes on by itself", "profile", profile.ID, "error", err)
	}
	return answer(w, report)
}

// How many reports a list holds.
const (
	defaultErasures = 100
	maxErasures     = 10_000
)

// listErasures returns the reports of erasures, the latest first.
func (a *API) listErasures(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	for name := range query {
		if name != "limit" {
			return invalid(name, "no such parameter; want limit")
		}
	}
	limit, err := number(query.Get("limit"), "limit", maxErasures)
	if err != nil {
		return err
	}
	if limit == 0 {
		limit = defaultErasures
	}
	reports, err := a.o.Erasures.Reports(r.Context())
	if err != nil {
		return unreachable(err)
	}
	return answer(w, struct {
		Items []client.Erasure `json:"items"`
	}{reports[:min(len(reports), int(limit))]})
}

// getErasure returns the report of one erasure.
func (a *API) getErasure(w http.ResponseWriter, r *http.Request) error {
	report, err := a.o.Erasures.Report(r.Context(), r.PathValue("profile"))
	if errors.Is(err, bus.ErrNotFound) {
		return notFound("no profile %q was erased", r.PathValue("profile"))
	}
	if err != nil {
		return unreachable(err)
	}
	return answer(w, report)
}
