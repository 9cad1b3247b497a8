package config

import (
	"strings"
	"testing"
	"time"
)

const clicks = `---
kind: redirect
id: mail
spec:
  source: shop
  url: 'https://shop.example/{{ payload.params.page }}/x?from={{ payload.params.from }}&n={{ payload.body.n }}#{{ payload.params.part }}'
  event: {type: link-clicked, ids: {email: payload.params.e}, session: payload.session, properties: payload.params}
`

func TestRedirect(t *testing.T) {
	s := newSet(t, shop+clicks)
	r, ok := s.Redirect("mail")
	if !ok || r.Source != "shop" {
		t.Fatalf("%+v", r)
	}
	click := &Click{Params: map[string]any{"e": "a@b.example", "page": "sale"}, Session: "s-1"}
	m, err := r.Map(click, time.Now())
	if err != nil || m.Type != "link-clicked" || m.Session != "s-1" || len(m.IDs) != 1 || m.IDs[0].Value != "a@b.example" || m.Properties["page"] != "sale" {
		t.Errorf("%+v, %v", m, err)
	}
}

// Whoever makes a link chooses values, never where it leads.
func TestRedirectTargets(t *testing.T) {
	s := newSet(t, shop+clicks)
	r, _ := s.Redirect("mail")
	for _, test := range []struct {
		params, body map[string]any
		want         string
	}{
		{map[string]any{"page": "sale", "from": "m 1", "part": "a b"}, map[string]any{"n": int64(7)}, "https://shop.example/sale/x?from=m+1&n=7#a%20b"},
		{nil, nil, "https://shop.example//x?from=&n=#"},
		{map[string]any{"page": "../../evil", "from": "&n=9#x", "part": "\r\nSet-Cookie: a=b"}, nil, "https://shop.example/..%2F..%2Fevil/x?from=%26n%3D9%23x&n=#%0D%0ASet-Cookie:%20a=b"},
		{map[string]any{"page": "..", "from": "https://evil.example/"}, nil, "https://shop.example//x?from=https%3A%2F%2Fevil.example%2F&n=#"},
		{map[string]any{"page": "@evil.example", "from": []any{"a"}}, nil, "https://shop.example/@evil.example/x?from=%5B%22a%22%5D&n=#"},
		{map[string]any{"page": `\\evil` + "\xff"}, nil, "https://shop.example/%5C%5Cevil/x?from=&n=#"},
	} {
		if got := r.Target(&Click{Params: test.params, Body: test.body}, time.Now()); got != test.want {
			t.Errorf("%v: %s, want %s", test.params, got, test.want)
		}
	}
}

func TestRedirectsThatAreRefused(t *testing.T) {
	for target, want := range map[string]string{
		"{{ payload.params.to }}":                       "want scheme and host before",
		"https://{{ payload.params.to }}/":              "want scheme and host before",
		"https://shop.example{{ payload.params.to }}":   "want scheme and host before",
		"https://shop.example@{{ payload.params.to }}/": "want scheme and host before",
		"https://a:b@shop.example/":                     "want scheme and host before",
		"//shop.example/":                               "want scheme and host before",
		"/sale":                                         "want scheme and host before",
		"javascript:alert(1)":                           "want scheme and host before",
		`https://shop.example/a b`:                      "no control characters",
		`https://shop.example/\\a`:                      "no control characters",
		"https://shop.example/{{ event.type }}":         "event",
		"":                                              "must not be empty",
	} {
		_, err := Parse("f.yaml", []byte("kind: redirect\nid: x\nspec: {source: shop, event: {type: a}, url: '"+target+"'}\n"))
		if err == nil || !strings.Contains(err.Error(), "spec.url: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", target, err, want)
		}
	}
	for _, target := range []string{"https://shop.example", "http://shop.example:8080/a?b=c", "https://shop.example?x={{ payload.params.x }}"} {
		newSet(t, shop+"---\nkind: redirect\nid: x\nspec: {source: shop, event: {type: a}, url: '"+target+"'}\n")
	}
	for spec, want := range map[string]string{
		"{source: web, event: {type: a}, url: 'https://a.example/'}":                       `there is no source "web"`,
		"{source: shop, event: {type: a, source: shop}, url: 'https://a.example/'}":        "spec.event.source: a redirect's events are of its own source",
		"{source: shop, event: {type: a, ids: {fax: '\"1\"'}}, url: 'https://a.example/'}": "spec.event.ids.fax: unknown kind",
	} {
		if _, err := NewSet(1, parse(t, shop+"---\nkind: redirect\nid: x\nspec: "+spec+"\n")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", spec, err, want)
		}
	}
}
