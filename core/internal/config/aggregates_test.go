package config

import (
	"fmt"
	"strings"
	"testing"
)

// reads is an event type that reads aggregates.
func reads(id string, expressions ...string) Change {
	var rules []string
	for i, e := range expressions {
		rules = append(rules, fmt.Sprintf(`{"to":"traits.t%d","from":%q}`, i, e))
	}
	return Change{Resource: Resource{Kind: KindEventType, ID: id, Spec: []byte(`{"copy":[` + strings.Join(rules, ",") + `]}`)}}
}

func since(s *Set) string {
	var parts []string
	for _, a := range s.Kept().List() {
		parts = append(parts, fmt.Sprintf("%s %d", a, a.Since))
	}
	return strings.Join(parts, "; ")
}

// An aggregate is kept from the revision on that brought it, as long as some condition
// reads it, and anew where it comes again. A set that is made again from its resources
// knows the same.
func TestASetKnowsSinceWhenAnAggregateIsKept(t *testing.T) {
	s, err := NewSet(1, nil)
	if err != nil {
		t.Fatal(err)
	}
	week, month := `count("order", "7d")`, `sum("order", "total", "30d")`
	for i, step := range []struct {
		change Change
		want   string
	}{
		{reads("a", week, `count("order")`, `first("order")`), `count("order", "7d") 2`},
		{reads("b", week, month), `count("order", "7d") 2; sum("order", "total", "30d") 3`},
		{Change{Resource: Resource{Kind: KindEventType, ID: "a"}, Delete: true}, `count("order", "7d") 2; sum("order", "total", "30d") 3`},
		{reads("b", month), `sum("order", "total", "30d") 3`},
		{reads("b", month, week), `count("order", "7d") 6; sum("order", "total", "30d") 3`},
		{reads("c", `sum("order", "total")`), `sum("order", "total") 7; count("order", "7d") 6; sum("order", "total", "30d") 3`},
	} {
		if s, _, err = s.Apply([]Change{step.change}); err != nil {
			t.Fatal(err)
		}
		if got := since(s); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
		again, err := Restore(s.Revision(), s.Resources(), s.Kept().List())
		if err != nil {
			t.Fatal(err)
		}
		if got := since(again); got != step.want {
			t.Errorf("step %d, made again: %s, want %s", i, got, step.want)
		}
	}
	list := s.KeptFor(KindEventType, "b")
	if len(list) != 2 || list[0].String() != `sum("order", "total", "30d")` || list[0].Since != 3 || list[1].Since != 6 {
		t.Errorf("of b: %+v", list)
	}
	if s.KeptFor(KindEventType, "none") != nil {
		t.Error("what is not there reads something")
	}
}
