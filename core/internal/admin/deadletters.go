package admin

import (
	"errors"
	"math"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/client"
)

// How many dead letters a list holds.
const (
	defaultLetters = 100
	maxLetters     = 1000
)

// listDeadLetters returns dead letters in order of arrival, without payloads.
func (a *API) listDeadLetters(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	for name := range query {
		if name != "origin" && name != "after" && name != "limit" {
			return invalid(name, "no such parameter; want origin, after or limit")
		}
	}
	after, err := number(query.Get("after"), "after", math.MaxInt64)
	if err != nil {
		return err
	}
	limit, err := number(query.Get("limit"), "limit", maxLetters)
	if err != nil {
		return err
	}
	if limit == 0 {
		limit = defaultLetters
	}
	letters, err := a.o.Letters.DeadLetters(r.Context(), query.Get("origin"), after, int(limit))
	if err != nil {
		return unreachable(err)
	}
	list := struct {
		Items []client.DeadLetter `json:"items"`
	}{Items: make([]client.DeadLetter, len(letters))}
	for i := range letters {
		list.Items[i] = publicLetter(&letters[i])
		list.Items[i].Payload = nil
	}
	return answer(w, list)
}

// getDeadLetter returns one dead letter with its payload.
func (a *API) getDeadLetter(w http.ResponseWriter, r *http.Request) error {
	seq, err := strconv.ParseUint(r.PathValue("seq"), 10, 64)
	if err != nil {
		return invalid("seq", "is %q; want the number of a dead letter", r.PathValue("seq"))
	}
	letter, err := a.o.Letters.GetDeadLetter(r.Context(), seq)
	if errors.Is(err, bus.ErrNotFound) {
		return notFound("there is no dead letter %d", seq)
	}
	if err != nil {
		return unreachable(err)
	}
	return answer(w, publicLetter(&letter))
}

func publicLetter(l *bus.DeadLetter) client.DeadLetter {
	out := client.DeadLetter{
		Seq: l.Seq, Origin: l.Origin, Reason: l.Reason, Attempts: l.Attempts, Time: client.Time{Time: l.Time},
	}
	if len(l.Details) > 0 {
		out.Details = sdk.AppendValue(nil, l.Details)
	}
	if payload := jsontext.Value(l.Payload); payload.IsValid() {
		out.Payload = payload
	} else if len(payload) > 0 {
		out.Payload = sdk.AppendString(nil, string(payload))
	}
	return out
}
