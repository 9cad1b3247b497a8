package test

import (
	"bytes"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const consentConfiguration = `
kind: consent-type
id: marketing
spec: {name: News by mail, expires: 365d}
---
kind: consent-type
id: tracking
spec: {}
---
kind: compliance
id: orders
spec:
  event: order-completed
  fields:
    - {path: properties.card, action: mask}
    - {path: properties.phone, action: hash, unless: [marketing]}
    - {path: context.ip, action: drop, unless: [tracking]}
---
kind: event-type
id: order-completed
spec:
  copy:
    - {to: traits.card, from: event.properties.card, op: set}
    - {to: traits.phone, from: event.properties.phone, op: set}
---
kind: flow
id: thank-you
spec:
  trigger: {event: order-completed}
  consents: [marketing]
  nodes: {mark: {action: profile/set, config: {set: {traits.thanked: '{{ event.properties.phone }} {{ event.properties.card }}'}}}}
  edges: [start -> mark]
`

// What people agree to decides what is kept of their events and what is done with
// them; what is not to be kept is in no answer, in no store and in no file.
func TestConsentAndCompliance(t *testing.T) {
	t.Parallel()
	p := launch(t)
	file := filepath.Join(t.TempDir(), "consent.yaml")
	if err := os.WriteFile(file, []byte(consentConfiguration), 0o600); err != nil {
		t.Fatal(err)
	}
	p.run("apply", "-f", file)
	const card, phone, ip = "4111-2222-3333-4444", "+351000777888", "203.0.113.77"
	order := func(user string) {
		t.Helper()
		a, err := p.post("/v1/events?wait=flows", `{"type":"order-completed","ids":{"user":"`+user+`"},"properties":{"card":"`+card+`","phone":"`+phone+`"},"context":{"ip":"`+ip+`"}}`)
		if err != nil || a.status != http.StatusOK || bytes.Contains(a.body, []byte(card)) {
			t.Fatalf("%v %d %s", err, a.status, a.body)
		}
	}
	// Before anybody agreed, and after one withdrew, by Segment's clients.
	order("ann")
	order("bob")
	segment := func(preferences string) {
		t.Helper()
		a, err := p.post("/v1/track", `{"userId":"bob","event":"Segment Consent Preference Updated","context":{"consent":{"categoryPreferences":`+preferences+`}}}`)
		if err != nil || a.status != http.StatusOK {
			t.Fatalf("%v %d %s", err, a.status, a.body)
		}
	}
	segment(`{"marketing":true,"tracking":true}`)
	segment(`{"marketing":false,"tracking":false}`)
	eventually(t, 20*time.Second, "bob to withdraw", func() bool { return at(p.profile("user:bob"), "consents", "tracking", "granted") == false })
	order("bob")
	hash, _ := at(p.profile("user:ann"), "traits", "phone").(string)
	for _, user := range []string{"ann", "bob"} {
		profile := p.profile("user:" + user)
		if at(profile, "traits", "card") != "***" || at(profile, "traits", "phone") != hash || len(hash) != 64 || at(profile, "traits", "thanked") != nil {
			t.Errorf("%s: %v", user, profile["traits"])
		}
	}
	p.counts("events", `event.type == "order-completed" && event.properties.card == "***" && event.properties.phone == "`+hash+`" && !has(event.context.ip)`, 3)
	p.counts("profiles", `consented("marketing")`, 0)
	p.stop()
	for path := range filesWith(t, p.dir, card, phone, ip) {
		t.Errorf("%s holds what was taken out", path)
	}

	p.start()
	a, err := p.post("/v1/events?wait=processed", `{"type":"consent-update","ids":{"user":"ann"},"properties":{"consents":{"marketing":true,"profiling":true}}}`)
	if err != nil || len(a.results()) != 1 || a.results()[0]["status"] != "accepted" || a.results()[0]["error"] != nil {
		t.Fatalf("%v %s", err, a.body)
	}
	if n := metric(t, p, "tributary_processor_rule_errors_total"); n != 1 {
		t.Errorf("%v rule errors, want that of the unknown consent", n)
	}
	order("ann")
	ann := p.profile("user:ann")
	if at(ann, "traits", "thanked") != phone+" ***" || at(ann, "traits", "phone") != phone || at(ann, "consents", "profiling") != nil {
		t.Errorf("ann agreed: %v %v", ann["traits"], ann["consents"])
	}
	p.counts("profiles", `consented("marketing") && profile.consents.marketing.source == "dev"`, 1)
	p.counts("events", `event.properties.phone == "`+phone+`" && event.properties.card == "***" && !has(event.context.ip)`, 1)
	if out, err := p.try("delete", "consent-type", "marketing"); err == nil || !strings.Contains(out, "is still needed by compliance/orders") || !strings.Contains(out, "is still needed by flow/thank-you") {
		t.Errorf("a consent type that is needed: %v\n%s", err, out)
	}
	p.stop()
	if len(filesWith(t, p.dir, phone)) == 0 || len(filesWith(t, p.dir, card, ip)) > 0 {
		t.Errorf("%v hold the number that may be kept, %v what may not", filesWith(t, p.dir, phone), filesWith(t, p.dir, card, ip))
	}
}

// filesWith are the files below a directory that hold one of the texts, but for those
// of the log, which has events as they were sent until it is purged.
func filesWith(t *testing.T, dir string, texts ...string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.Contains(path, string(filepath.Separator)+"INGEST"+string(filepath.Separator)) {
			return err
		}
		content, err := os.ReadFile(path)
		for _, text := range texts {
			if bytes.Contains(content, []byte(text)) {
				found[path] = true
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
