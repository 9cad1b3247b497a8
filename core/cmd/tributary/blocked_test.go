package main

import (
	"strings"
	"testing"
)

// A value that is blocked later identifies nobody from then on, and undoes nothing.
func TestAValueThatIsBlockedLater(t *testing.T) {
	dir := t.TempDir()
	run(t, dir)
	identification := func(blocked string) string {
		return file(t, "email.yaml", "kind: identification\nid: email\nspec: {event: event.traits.email, normalise: lower, blocked: ["+blocked+"]}\n")
	}
	send := func(anonymous string) {
		t.Helper()
		must(t, dir, "send", "view", "--anonymous", anonymous, "--email", "info@shop.example", "--wait", "indexed")
	}
	who := func(anonymous string) string {
		t.Helper()
		out := must(t, dir, "profiles", "get", "anonymous:"+anonymous, "-o", "json")
		_, rest, _ := strings.Cut(out, `"id": "`)
		id, _, _ := strings.Cut(rest, `"`)
		return id
	}
	must(t, dir, "apply", "-f", identification(""))
	send("a1")
	send("a2")
	both := who("a1")
	if who("a2") != both {
		t.Fatal("two who have an address are two")
	}
	must(t, dir, "apply", "-f", identification("info@shop.example"))
	send("a3")
	fails(t, dir, exitFailed, `there is no profile with email "info@shop.example"`, "profiles", "get", "email:info@shop.example")
	if who("a3") == both || who("a1") != both || who("a2") != both {
		t.Errorf("a1 is %s, a2 %s, a3 %s; it was %s", who("a1"), who("a2"), who("a3"), both)
	}
	if out := must(t, dir, "profiles", "query", `"info@shop.example" in profile.identities.email`, "-o", "json"); strings.Count(out, both) == 0 || strings.Contains(out, who("a3")) {
		t.Errorf("found are\n%s", out)
	}
	must(t, dir, "apply", "-f", identification(""))
	if out := must(t, dir, "profiles", "get", "email:info@shop.example", "-o", "json"); !strings.Contains(out, both) {
		t.Errorf("when it is not blocked any more it is\n%s", out)
	}
}
