package fold

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
)

const recognising = "kind: source\nid: shop\nspec: {fingerprint: 15m}\n---\nkind: source\nid: shy\nspec: {}"

// visits is an event of a source at profile X with claims "kind:value holder", a
// holder being nobody where there is none.
func visits(source, passed string, claims ...string) (*record.Command, []Claim) {
	e := &record.Event{ID: "e1", Type: "t", Source: source, Passed: passed, Time: noon}
	var list []Claim
	for _, text := range claims {
		id, holder, _ := strings.Cut(text, " ")
		kind, value, _ := strings.Cut(id, ":")
		claim := Claim{Identifier: record.Identifier{Kind: kind, Value: value}, Holder: holder}
		switch kind {
		case record.KindSessionID:
			e.Session = value
		case record.KindFingerprint:
			e.Fingerprint = value
			claim.Identifier = e.FingerprintIdentifier()
		default:
			e.IDs = append(e.IDs, claim.Identifier)
		}
		list = append(list, claim)
	}
	return &record.Command{Kind: record.KindEvent, ID: record.EventID(source, "e1"), Profile: "X", Received: noon.Add(time.Hour), Event: e}, list
}

// TestRouteByFingerprint tells what a fingerprint decides: whom an event is about that
// would make somebody new, and nothing else. It goes to whom its event is about.
func TestRouteByFingerprint(t *testing.T) {
	r := compile(t, recognising)
	tomb := &record.Document{State: record.StateErased, ErasedAt: noon, IDs: []string{"X"}}
	for name, c := range map[string]struct {
		doc    *record.Document
		source string
		passed string
		claims []string
		want   Decision
	}{
		"somebody new is whom it knows":        {nil, "shop", "", []string{"session:s", "fingerprint:f Y"}, Decision{Forward: "Y"}},
		"so with an anonymous id that is new":  {nil, "shop", "", []string{"anonymous:a", "fingerprint:f Y"}, Decision{Forward: "Y"}},
		"so with nothing else":                 {nil, "shop", "", []string{"fingerprint:f Y"}, Decision{Forward: "Y"}},
		"a session that is known":              {nil, "shop", "", []string{"session:s Z", "fingerprint:f Y"}, Decision{Forward: "Z"}},
		"an anonymous id that is known":        {nil, "shop", "", []string{"anonymous:a Z", "fingerprint:f Y"}, Decision{Forward: "Z"}},
		"a user that is new":                   {nil, "shop", "", []string{"user:u", "session:s", "fingerprint:f Y"}, Decision{Take: []int{0, 1, 2}}},
		"an address that is new":               {nil, "shop", "", []string{"email:m", "fingerprint:f Y"}, Decision{Take: []int{0, 1}}},
		"whom a link names":                    {nil, "shop", "P", []string{"session:s", "fingerprint:f Y"}, Decision{Take: []int{0, 1}}},
		"a source that goes by none":           {nil, "shy", "", []string{"session:s", "fingerprint:f Y"}, Decision{Take: []int{0}}},
		"somebody there, who becomes known":    {personOf("X", 0), "shop", "", []string{"session:s X", "fingerprint:f"}, Decision{Take: []int{1}}},
		"somebody there, who has it from then": {personOf("X", 0), "shop", "", []string{"session:s X", "fingerprint:f Y"}, Decision{Take: []int{1}}},
		"somebody there, who has it":           {personOf("X", 0), "shop", "", []string{"session:s X", "fingerprint:f X"}, Decision{}},
		"another user":                         {personOf("X", 0, "user:u"), "shop", "", []string{"user:v", "session:s X", "fingerprint:f X"}, Decision{Forward: "derived v 0", Settled: true}},
		"an erased one's":                      {tomb, "shop", "", []string{"session:s", "fingerprint:f X"}, Decision{Forward: "derived s 0", Free: []int{1}}},
		"an erased one's and nothing else":     {tomb, "shop", "", []string{"fingerprint:f X"}, Decision{Forward: "derived shop/e1 1", Free: []int{0}}},
		"an erased one's session":              {tomb, "shop", "", []string{"session:s X", "fingerprint:f Y"}, Decision{Forward: "Y", Free: []int{0}}},
		"an erased one's session, of a user":   {tomb, "shop", "", []string{"user:u", "session:s X", "fingerprint:f Y"}, Decision{Forward: "derived u 0", Free: []int{1}}},
		"an erased one's session, by a link":   {tomb, "shop", "P", []string{"session:s X", "fingerprint:f Y"}, Decision{Forward: "P", Free: []int{0}}},
		"a link to the erased one":             {tomb, "shop", "X", []string{"session:s"}, Decision{Forward: "derived s 0"}},
	} {
		command, claims := visits(c.source, c.passed, c.claims...)
		var f Fold
		f.Begin(Input{Rules: r, Command: command, Doc: c.doc, Claims: claims, Derive: func(c Claim) string { return fmt.Sprint("derived ", c.Value, " ", c.Gen) }})
		wanted := f.Wants()
		for i := range claims {
			if i >= len(wanted) || wanted[i] != claims[i].Identifier {
				t.Fatalf("%s: identifiers %v, claims %v", name, wanted, claims)
			}
		}
		if got := f.Route(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// A fingerprint that comes to its event's profile is on no profile, and makes nobody one
// person with who had it.
func TestAFingerprintIsOnNobodysProfile(t *testing.T) {
	r := compile(t, recognising)
	command, claims := visits("shop", "", "anonymous:a X", "fingerprint:f X")
	claims[1].From = "Y"
	result := once(r, personOf("X", 0), command, claims...)
	if got := fmt.Sprint(result.Doc.Profile.Identities); got != "map[anonymous:[a]]" || len(result.Commands) > 0 {
		t.Errorf("identities %s, %d commands", got, len(result.Commands))
	}
}

// TestALinkUnites tells to whom an event at X proposes that they are one person, and by
// which identifiers.
func TestALinkUnites(t *testing.T) {
	r := compile(t, recognising)
	merged := personOf("X", 0)
	merged.Profile.IDs = append(merged.Profile.IDs, "P")
	for name, c := range map[string]struct {
		passed string
		change func(*record.Command)
		claims []string
		want   string
	}{
		"whom it names":                      {"P", nil, []string{"session:s X"}, "P by []"},
		"a user, whose profile it is":        {"P", nil, []string{"user:u X", "session:s X"}, "P by []"},
		"beside others":                      {"P", nil, []string{"email:m Y", "session:s X"}, "Y by [{email m}], P by []"},
		"whom an identifier names as well":   {"P", nil, []string{"email:m P", "session:s X"}, "P by [{email m}]"},
		"first of all it is the user's":      {"P", func(c *record.Command) { c.Event.Profile = "X" }, []string{"user:u Y", "session:s X"}, "Y by [{user u}]"},
		"the profile itself":                 {"X", nil, []string{"session:s X"}, ""},
		"nobody":                             {"", nil, []string{"session:s X"}, ""},
		"of a source that names its profile": {"P", func(c *record.Command) { c.Event.Static = true }, []string{"email:m X"}, ""},
		"an event that leaves it as it is":   {"P", func(c *record.Command) { c.Event.TransientProfile = true }, []string{"session:s X"}, ""},
	} {
		command, claims := visits("shop", c.passed, c.claims...)
		if c.change != nil {
			c.change(command)
		}
		if got := proposals(t, once(r, personOf("X", 0), command, claims...)); got != c.want {
			t.Errorf("%s: proposes to %s, want %s", name, got, c.want)
		}
	}
	command, claims := visits("shop", "P", "session:s X")
	if got := proposals(t, once(r, merged, command, claims...)); got != "" {
		t.Errorf("it proposes to %s, which is part of it", got)
	}
}

func proposals(t *testing.T, r *Result) string {
	t.Helper()
	var list []string
	for i := range r.Commands {
		m, err := record.ParseMerge(r.Commands[i].Body)
		if err != nil || r.Commands[i].Kind != record.KindMerge {
			t.Fatalf("command of kind %d: %v", r.Commands[i].Kind, err)
		}
		list = append(list, fmt.Sprint(r.Commands[i].Profile, " by ", m.Shared))
	}
	if len(r.Moves) > 0 {
		t.Errorf("moves %v", r.Moves)
	}
	return strings.Join(list, ", ")
}

// TestALinkIsAnswered tells what becomes of B where a link of a visitor A names it: they
// share no identifier, so no key moves.
func TestALinkIsAnswered(t *testing.T) {
	r := compile(t, recognising)
	for name, c := range map[string]struct {
		a, b *record.Document
		want string
	}{
		"the younger":             {personOf("A", 0), personOf("B", 9), "redirect, 5 to A"},
		"the older":               {personOf("A", 9), personOf("B", 0), "live, 4 to A"},
		"two users":               {personOf("A", 0, "user:u"), personOf("B", 9, "user:v", "anonymous:a"), "live"},
		"somebody who was merged": {personOf("A", 0), &record.Document{State: record.StateRedirect, To: "C"}, "redirect, 4 to C"},
		"somebody who was erased": {personOf("A", 0), &record.Document{State: record.StateErased, ErasedAt: noon, IDs: []string{"B"}}, "erased"},
		"somebody who never was":  {personOf("A", 0), nil, "nobody"},
	} {
		result := once(r, c.b, proposal(c.a, "B"))
		got := "nobody"
		if result.Doc != nil {
			got = result.Doc.State
		}
		for i := range result.Commands {
			got += fmt.Sprintf(", %d to %s", result.Commands[i].Kind, result.Commands[i].Profile)
		}
		if got != c.want || len(result.Moves) > 0 || result.Dead != "" {
			t.Errorf("%s: %s, moves %v (%s); want %s", name, got, result.Moves, result.Dead, c.want)
		}
	}
}
