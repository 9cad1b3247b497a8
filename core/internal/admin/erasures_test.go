package admin_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk/client"
)

// erasures notes what it is asked for.
type erasures struct {
	reports map[string]client.Erasure
	asked   []string
	err     error
}

var asOf = client.Time{Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}

func (e *erasures) Request(_ context.Context, profile string, ids []string, by string) (client.Erasure, error) {
	e.asked = append(e.asked, fmt.Sprint(profile, ids, by))
	if e.err != nil && profile == "p2" {
		return client.Erasure{}, e.err
	}
	return client.Erasure{Profile: profile, IDs: ids, State: client.Erasing, By: by, Requested: asOf, Parts: []client.ErasurePart{}}, e.err
}

func (e *erasures) Report(_ context.Context, profile string) (client.Erasure, error) {
	if r, ok := e.reports[profile]; ok {
		return r, nil
	}
	return client.Erasure{}, bus.ErrNotFound
}

func (e *erasures) Reports(context.Context) (list []client.Erasure, err error) {
	for _, r := range e.reports {
		list = append(list, r)
	}
	return list, nil
}

// put writes a document as it is.
func (r *rig) put(id string, doc *record.Document) {
	r.t.Helper()
	puts := []bus.DocumentPut{{Profile: id, Data: doc.AppendJSON(nil)}}
	if results, err := r.bus.PutDocuments(r.t.Context(), puts); err != nil || results[0].Conflict {
		r.t.Fatal(results, err)
	}
}

func TestProfilesAreFoundByIDsThatTheyHad(t *testing.T) {
	r := newRig(t)
	r.profile("p1", "17850")
	r.put("old", &record.Document{State: record.StateRedirect, C: 1, To: "older"})
	r.put("older", &record.Document{State: record.StateRedirect, C: 1, To: "p1"})
	r.put("dead-end", &record.Document{State: record.StateRedirect, C: 1, To: "nobody"})
	r.put("gone", &record.Document{State: record.StateErased, C: 1, ErasedAt: asOf.Time, IDs: []string{"gone", "gone-too"}})
	r.put("gone-too", &record.Document{State: record.StateRedirect, C: 1, To: "gone"})
	_, _, want := r.call("GET", "/api/v1/profiles/p1", "")
	r.expect("GET", "/api/v1/profiles/old", "", 200, want)
	r.expect("GET", "/api/v1/profiles/old/events", "", 200, `{"items":[]}`)
	r.refuses("GET", "/api/v1/profiles/dead-end", "", 404, "not_found", `there is no profile \"dead-end\"`)
	for _, path := range []string{"gone", "gone/events"} {
		r.refuses("GET", "/api/v1/profiles/"+path, "", 404, "not_found", `there is no profile \"gone\"; it was erased at 2026-03-01T12:00:00.000Z`)
	}
	r.refuses("GET", "/api/v1/profiles/gone-too", "", 404, "not_found", `there is no profile \"gone-too\"; it was erased at 2026-03-01T12:00:00.000Z`)
}

func TestErasures(t *testing.T) {
	r := newRig(t)
	r.profile("p1", "17850")
	r.profile("p2", "2")
	r.put("old", &record.Document{State: record.StateRedirect, C: 1, To: "p1"})
	r.put("gone", &record.Document{State: record.StateErased, C: 1, ErasedAt: asOf.Time, IDs: []string{"gone"}})
	const report = `{"profile":"p1","ids":["p1"],"state":"erasing","requested":"2026-03-01T12:00:00.000Z","by":"admin","parts":[]}`
	for _, id := range []string{"p1", "old", "user:17850"} {
		r.expect("DELETE", "/api/v1/profiles/"+id, "", 200, report)
	}
	if got := strings.Join(r.erasures.asked, " "); got != "p1[p1]admin p1[p1]admin p1[p1]admin" {
		t.Errorf("asked: %s", got)
	}
	r.refuses("DELETE", "/api/v1/profiles/nobody", "", 404, "not_found", `there is no profile \"nobody\"`)
	r.refuses("DELETE", "/api/v1/profiles/user:1", "", 404, "not_found", `there is no profile with user \"1\"`)
	r.refuses("DELETE", "/api/v1/profiles/gone", "", 404, "not_found", "it was erased at 2026")
	if len(r.erasures.asked) != 3 {
		t.Errorf("asked: %v", r.erasures.asked)
	}
	// What has begun goes on by itself; what has not is told.
	r.erasures.err = errors.New("no answer")
	r.expect("DELETE", "/api/v1/profiles/p1", "", 200, report)
	r.refuses("DELETE", "/api/v1/profiles/p2", "", 503, "unavailable", "no answer")

	r.expect("GET", "/api/v1/erasures", "", 200, `{"items":[]}`)
	r.refuses("GET", "/api/v1/erasures/gone", "", 404, "not_found", `no profile \"gone\" was erased`)
	r.erasures.reports = map[string]client.Erasure{"gone": {
		Profile: "gone", IDs: []string{"gone"}, State: client.Erased, By: "admin", Requested: asOf, Erased: asOf,
		Parts: []client.ErasurePart{{Name: "profile", Removed: 1, At: asOf}}, Kept: []string{"Backups."},
	}}
	const done = `{"profile":"gone","ids":["gone"],"state":"erased","requested":"2026-03-01T12:00:00.000Z","erased":"2026-03-01T12:00:00.000Z","by":"admin",` +
		`"parts":[{"name":"profile","removed":1,"remaining":0,"at":"2026-03-01T12:00:00.000Z"}],"kept":["Backups."]}`
	r.expect("GET", "/api/v1/erasures/gone", "", 200, done)
	r.expect("DELETE", "/api/v1/profiles/gone", "", 200, done)
	r.expect("GET", "/api/v1/erasures", "", 200, `{"items":[`+done+`]}`)
	r.erasures.reports["more"] = r.erasures.reports["gone"]
	r.expect("GET", "/api/v1/erasures?limit=1", "", 200, `{"items":[`+done+`]}`)
	r.refuses("GET", "/api/v1/erasures?limit=0", "", 400, "invalid", "want a whole number from 1 to 10000")
	r.refuses("GET", "/api/v1/erasures?max=1", "", 400, "invalid", "max: no such parameter; want limit")
}
