package admin_test

import (
	"context"
	"sync"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/backfill"
)

// A filling is back-filling that is as far as a test says.
type filling struct {
	mu       sync.Mutex
	progress backfill.Progress
}

func (f *filling) Progress(context.Context) (backfill.Progress, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.progress, nil
}

func (f *filling) is(p backfill.Progress) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.progress = p
}

// While windows that a resource reads are being filled, its answers say so and how far
// that is, and filters on them are refused with that reason.
func TestWhatIsBeingFilledIsTold(t *testing.T) {
	r := newRig(t)
	r.backfill.is(backfill.Progress{Complete: 1})
	const check, document = "/api/v1/event-type/check", `{"kind":"event-type","id":"check","spec":{"copy":[{"from":"count(\"order\", \"7d\")","to":"traits.lately"}]},"revision":2`
	spec := `{"spec":{"copy":[{"to":"traits.lately","from":"count(\"order\", \"7d\")"}]}}`
	dry := `{"resources":[{"kind":"event-type","id":"check",` + spec[1:] + `]}`
	r.expect("POST", "/api/v1/apply?dry-run=true", dry, 200, `{"revision":1,"differences":[{"kind":"event-type","id":"check","action":"created","backfilling":true}]}`)
	r.expect("PUT", check, spec, 200, `{"revision":2,"differences":[{"kind":"event-type","id":"check","action":"created","backfilling":true}]}`)
	r.expect("PUT", "/api/v1/event-type/other", `{"spec":{}}`, 200, `{"revision":3,"differences":[{"kind":"event-type","id":"other","action":"created"}]}`)
	r.expect("GET", check, "", 200, document+`,"backfilling":true,"backfill":{"read":0,"total":0}}`)
	r.backfill.is(backfill.Progress{Complete: 1, Since: 2, Read: 5, Total: 9})
	r.expect("GET", check, "", 200, document+`,"backfilling":true,"backfill":{"read":5,"total":9}}`)
	r.expect("GET", "/api/v1/event-type", "", 200,
		`{"items":[`+document+`,"backfilling":true,"backfill":{"read":5,"total":9}},{"kind":"event-type","id":"other","spec":{},"revision":3}]}`)
	refused := func(filter, reason string) {
		t.Helper()
		r.refuses("POST", "/api/v1/profiles/query", `{"filter":"`+filter+`"}`, 422, "unsearchable", reason)
	}
	refused(`count(\"order\", \"7d\") > 3`, `count(\"order\", \"7d\") is backfilling: 5 of about 9 stored events have been read`)
	refused(`count(\"order\", \"8d\") > 3`, `nobody keeps count(\"order\", \"8d\")`)
	refused(`sum(\"order\", \"total\") > 3`, `nobody keeps sum(\"order\", \"total\")`)
	r.expect("POST", "/api/v1/profiles/count", `{"filter":"count(\"order\") > 3"}`, 200, `{"count":0}`)

	r.backfill.is(backfill.Progress{Complete: 2})
	r.expect("GET", check, "", 200, document+"}")
	r.expect("PUT", check, spec, 200, `{"revision":3,"differences":[{"kind":"event-type","id":"check","action":"unchanged"}]}`)
	r.expect("POST", "/api/v1/apply?dry-run=true", dry, 200, `{"revision":3,"differences":[{"kind":"event-type","id":"check","action":"unchanged"}]}`)
	refused(`count(\"order\", \"7d\") > 3`, "moves with time, also where profiles keep it")
}
