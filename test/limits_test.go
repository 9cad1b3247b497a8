package test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// Names and values that mean something to subjects, paths, SQL and JSON are taken in as
// what they are, or refused with the reason.
func TestStrangeNamesAndValues(t *testing.T) {
	t.Parallel()
	p := launch(t)
	strange := []string{"a.b", "ünï¢ødé 漢字 🙂", "$ref", `q"uote`, "it's", "*", ">", "a b", `back\slash`, "'; DROP TABLE profiles; --", "%27", "x\ty", "__proto__", "new\nline", "a/b", "{{x}}"}
	for i, text := range strange {
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		event := fmt.Sprintf(`{"id":%[1]s,"type":"identify","ids":{"user":%[1]s},"session":%[1]s,"traits":{%[1]s:{%[1]s:%[2]d}},"properties":{%[1]s:%[1]s}}`, quoted, i)
		a, err := p.post("/v1/events?wait=indexed", event)
		if err != nil || a.status != 200 || len(a.results()) != 1 || a.results()[0]["status"] != "accepted" || a.results()[0]["valid"] == false {
			t.Errorf("%q: %d %s %v", text, a.status, a.body, err)
			continue
		}
		id := fmt.Sprint(a.results()[0]["profile"])
		if got := p.profile("user:" + url.PathEscape(text)); got == nil || got["id"] != id || at(got, "traits", text, text) != float64(i) {
			t.Errorf("%q: %v", text, got)
		}
		for documents, filter := range map[string]string{
			"profiles": fmt.Sprintf("profile.traits[%[1]s][%[1]s] == %[2]d", quoted, i),
			"events":   fmt.Sprintf("event.properties[%[1]s] == %[1]s && event.id == %[1]s", quoted),
			"sessions": fmt.Sprintf("session.id == %s", quoted),
		} {
			if n := p.count(documents, filter); n != 1 {
				t.Errorf("%q: %d %s with %s", text, n, documents, filter)
			}
		}
	}
	for name, c := range map[string]struct{ event, says string }{
		"a name with NUL":     {`{"type":"identify","ids":{"user":"n"},"traits":{"x\u0000y":1}}`, "NUL"},
		"a type with NUL":     {`{"type":"x\u0000y","ids":{"user":"n"}}`, "control"},
		"an id that is large": {fmt.Sprintf(`{"type":"a","ids":{"user":"%s"}}`, strings.Repeat("u", 2000)), "256"},
		"nested too deep":     {fmt.Sprintf(`{"type":"a","ids":{"user":"n"},"properties":{"x":%s1%s}}`, strings.Repeat("[", 70), strings.Repeat("]", 70)), "64"},
		"a large event":       {fmt.Sprintf(`{"type":"a","ids":{"user":"n"},"properties":{"x":"%s"}}`, strings.Repeat("x", 40<<10)), "32"},
	} {
		a, err := p.post("/v1/events?wait=processed", c.event)
		text := string(a.body)
		if err != nil || !strings.Contains(text, "invalid") && !strings.Contains(text, "error") || !strings.Contains(text, c.says) {
			t.Errorf("%s: %d %s %v, want …%s…", name, a.status, text, err, c.says)
		}
	}
	// A value may hold NUL.
	if a, err := p.post("/v1/events?wait=indexed", `{"id":"nul","type":"identify","ids":{"user":"nul"},"traits":{"x":"a\u0000b"}}`); err != nil || a.results()[0]["status"] != "accepted" {
		t.Errorf("%s %v", a.body, err)
	}
	if got := at(p.profile("user:nul"), "traits", "x"); got != "a\x00b" {
		t.Errorf("%q", got)
	}
}

// A profile of 1 MB takes no more, and says which limit that is; what it has stays, and
// it goes on counting.
func TestAProfileAtItsLimit(t *testing.T) {
	t.Parallel()
	p := launch(t)
	refused := 0
	for i := range 45 {
		event := fmt.Sprintf(`{"id":"%d","type":"identify","ids":{"user":"big"},"traits":{"t%d":"%s"}}`, i, i, strings.Repeat("x", 28<<10))
		a, err := p.post("/v1/events?wait=processed", event)
		if err != nil || a.status != 200 {
			t.Fatalf("%d %s %v", a.status, a.body, err)
		}
		if a.results()[0]["valid"] == false {
			refused++
			if !strings.Contains(string(a.body), "over the limit of 1048576") {
				t.Fatalf("%s", a.body)
			}
		}
	}
	traits, _ := at(p.profile("user:big"), "traits").(map[string]any)
	if refused == 0 || len(traits)+refused != 45 || len(traits) < 30 {
		t.Errorf("%d traits kept, %d events refused", len(traits), refused)
	}
	if a, err := p.post("/v1/events?wait=processed", `{"id":"small","type":"page-view","ids":{"user":"big"}}`); err != nil || a.results()[0]["valid"] == false {
		t.Errorf("%s %v", a.body, err)
	}
}
