package gateway

import (
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

const consentResources = testResources + `
---
kind: consent-type
id: marketing
spec: {expires: 365d}
---
kind: consent-type
id: analytics
spec: {}
---
kind: consent-type
id: old
spec: {disabled: true}
---
kind: source
id: crm
spec: {keys: [crm-key], static_ids: user}
`

// visitor makes a person with a session known, and returns the profile's id.
func (f *fixture) visitor(t *testing.T, key, session, profile string) string {
	t.Helper()
	a := f.send(t, "POST", "/track", `{"source":{"id":"`+key+`"},"session":{"id":"`+session+`"},"profile":{"id":"`+profile+`"},"events":[{"type":"identify","traits":{"name":"`+session+`"}}],"options":{"async":true}}`)
	if a.status != 200 {
		t.Fatalf("%d %s", a.status, a.text)
	}
	return f.person(t, "session", session, session).ID
}

// consents are a profile's.
func (f *fixture) consents(t *testing.T, profile string) map[string]any {
	t.Helper()
	data, _, err := f.bus.GetDocument(t.Context(), profile)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := record.ParseDocument(data)
	if err != nil {
		t.Fatal(err)
	}
	return doc.Profile.Consents
}

// Tracardi's shortcut gives and withdraws consents of the profile whose session the
// sender knows, and of nobody else.
func TestCustomerConsent(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Resources = fixedResources{setOf(t, consentResources)} })
	f.process(t)
	ann, bob := f.visitor(t, "shop-key", "s-ann", ""), f.visitor(t, "shop-key", "s-bob", "")
	static := f.visitor(t, "crm-key", "s-crm", "u7")
	for _, c := range []struct {
		name, query, body string
		status            int
		answer            string
		of, want          string // whose consents, and which are given
	}{
		{"some", "", `{"source":{"id":"shop-key"},"session":{"id":"s-ann"},"profile":{"id":"` + ann + `"},"consents":{"marketing":true,"analytics":false,"none":true}}`,
			200, `"profile":{"id":"` + ann + `"},"session":{"id":"s-ann"},"errors":[]`, ann, "marketing"},
		{"all", "?all=true", `{"source":{"id":"shop-key"},"session":{"id":"s-ann"},"profile":{"id":"` + ann + `"},"consents":{}}`, 200, ann, ann, "analytics marketing"},
		{"withdrawn", "?all=false", `{"source":{"id":"shop-key"},"session":{"id":"s-ann"},"profile":{"id":"` + ann + `"},"consents":{"marketing":false}}`, 200, ann, ann, "analytics"},
		{"a static id", "", `{"source":{"id":"crm-key"},"session":{"id":"s-crm"},"profile":{"id":"u7"},"consents":{"marketing":true}}`, 200, static, static, "marketing"},
		{"of a static source by an id of ours", "", `{"source":{"id":"crm-key"},"session":{"id":"s-crm"},"profile":{"id":"` + static + `"},"consents":{"marketing":false}}`, 403, codeForbidden, static, "marketing"},
		{"somebody else's profile", "", `{"source":{"id":"shop-key"},"session":{"id":"s-ann"},"profile":{"id":"` + bob + `"},"consents":{"marketing":true}}`, 403, codeForbidden, bob, ""},
		{"somebody else's session", "", `{"source":{"id":"shop-key"},"session":{"id":"s-bob"},"profile":{"id":"` + ann + `"},"consents":{"marketing":true}}`, 403, codeForbidden, bob, ""},
		{"an unknown session", "", `{"source":{"id":"shop-key"},"session":{"id":"s-x"},"profile":{"id":"` + bob + `"},"consents":{"marketing":true}}`, 403, codeForbidden, bob, ""},
		{"an unknown profile", "", `{"source":{"id":"shop-key"},"session":{"id":"s-bob"},"profile":{"id":"p-x"},"consents":{"marketing":true}}`, 403, codeForbidden, bob, ""},
		{"no session", "", `{"source":{"id":"shop-key"},"profile":{"id":"` + bob + `"},"consents":{"marketing":true}}`, 403, codeForbidden, bob, ""},
		{"no profile", "", `{"source":{"id":"shop-key"},"session":{"id":"s-bob"},"consents":{"marketing":true}}`, 403, codeForbidden, bob, ""},
		{"no source", "", `{"session":{"id":"s-bob"},"profile":{"id":"` + bob + `"},"consents":{"marketing":true}}`, 401, codeUnauthorized, bob, ""},
		{"no consents", "", `{"source":{"id":"shop-key"},"session":{"id":"s-bob"},"profile":{"id":"` + bob + `"}}`, 422, `consents: want an object such as`, bob, ""},
		{"a list", "", `{"source":{"id":"shop-key"},"session":{"id":"s-bob"},"profile":{"id":"` + bob + `"},"consents":["marketing"]}`, 422, `consents: want`, bob, ""},
		{"too deep", "", `{"source":{"id":"shop-key"},"session":{"id":"s-bob"},"profile":{"id":"` + bob + `"},"consents":` + strings.Repeat(`{"a":`, 63) + `1` + strings.Repeat(`}`, 63) + `}`,
			226, "nested deeper than the 64 levels", bob, ""},
		{"no JSON", "", `{`, 422, codeMalformed, bob, ""},
		{"too much", "", `{"source":{"id":"shop-key"},"session":{"id":"s-bob"},"profile":{"id":"` + bob + `"},"consents":{"a":"` + strings.Repeat("a", 40<<10) + `"}}`, 413, codeTooLarge, bob, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := f.send(t, "POST", "/customer/consent"+c.query, c.body)
			if a.status != c.status || !strings.Contains(a.text, c.answer) {
				t.Fatalf("%d %s, want %d %s", a.status, a.text, c.status, c.answer)
			}
			var given []string
			for _, id := range []string{"analytics", "marketing", "none", "old"} {
				if sdk.Granted(f.consents(t, c.of)[id], f.now()) {
					given = append(given, id)
				}
			}
			if got := strings.Join(given, " "); got != c.want {
				t.Errorf("given are %q, want %q", got, c.want)
			}
		})
	}
}
