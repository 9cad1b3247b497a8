package fold

import (
	"reflect"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

func TestRoute(t *testing.T) {
	live := func(users ...string) *record.Document {
		p := sdk.NewProfile("X", noon)
		p.IDs = append(p.IDs, "old")
		p.Identities[record.KindUser] = users
		return &record.Document{State: record.StateLive, Profile: p}
	}
	full := live()
	full.Profile.Identities[record.KindEmail] = []string{"m1", "m2"}
	id := func(kind, value, holder string) Claim {
		return Claim{Identifier: record.Identifier{Kind: kind, Value: value}, Holder: holder}
	}
	r := compile(t, "kind: identification\nid: email\nspec: {limit: 2}\n---\nkind: identification\nid: crm\nspec: {}")
	const user, mail, anon, session = record.KindUser, record.KindEmail, record.KindAnonymous, record.KindSessionID
	for name, c := range map[string]struct {
		doc     *record.Document
		claims  []Claim
		settled bool
		named   bool
		static  bool
		want    Decision
	}{
		"nobody, no identifier":                  {want: Decision{}},
		"nobody, new identifiers":                {claims: []Claim{id(user, "u", ""), id(anon, "a", "")}, want: Decision{Take: []int{0, 1}}},
		"nobody, holds its own":                  {claims: []Claim{id(user, "u", "X"), id(anon, "a", "")}, want: Decision{Take: []int{1}}},
		"nobody, another holds the user":         {claims: []Claim{id(user, "u", "Y"), id(anon, "a", "X")}, want: Decision{Forward: "Y"}},
		"nobody, another holds the weaker":       {claims: []Claim{id(user, "u", ""), id(anon, "a", "Y")}, want: Decision{Forward: "Y"}},
		"live, its user":                         {doc: live("u"), claims: []Claim{id(user, "u", "X"), id(anon, "a", "")}, want: Decision{Take: []int{1}}},
		"live, becomes a user's":                 {doc: live(), claims: []Claim{id(user, "u", ""), id(anon, "a", "X")}, want: Decision{Take: []int{0}}},
		"live, another user, known":              {doc: live("u"), claims: []Claim{id(user, "v", "Y"), id(anon, "a", "X")}, want: Decision{Forward: "Y", Settled: true}},
		"live, another user, new":                {doc: live("u"), claims: []Claim{id(user, "v", ""), id(anon, "a", "X")}, want: Decision{Forward: "derived v", Settled: true}},
		"settled, nobody yet":                    {claims: []Claim{id(user, "v", ""), id(anon, "a", "X0"), id(session, "s", "X0")}, settled: true, want: Decision{Take: []int{0, 2}}},
		"settled, nobody yet, another user's":    {claims: []Claim{id(user, "v", ""), {Identifier: record.Identifier{Kind: anon, Value: "a"}, Holder: "X0", Foreign: true}}, settled: true, want: Decision{Take: []int{0, 1}}},
		"an old id of its own holds a key":       {doc: live("u"), claims: []Claim{id(user, "u", "old"), id(mail, "m", "old")}, want: Decision{Take: []int{0, 1}}},
		"as many as its kind may have":           {doc: full, claims: []Claim{id(mail, "m3", ""), id(user, "u", "")}, want: Decision{Take: []int{1}}},
		"one of as many as its kind may have":    {doc: full, claims: []Claim{id(mail, "m2", "")}, want: Decision{Take: []int{0}}},
		"live, nobody's, another holds the user": {doc: live(), claims: []Claim{id(user, "u", "Y"), id(anon, "a", "X")}, want: Decision{Forward: "Y", Settled: true}},
		"live, named, another holds the user":    {doc: live(), claims: []Claim{id(user, "u", "Y")}, named: true, want: Decision{}},
		"live, another user's anonymous id":      {doc: live("u"), claims: []Claim{id(user, "u", "X"), {Identifier: record.Identifier{Kind: anon, Value: "a"}, Holder: "Y", Foreign: true}}, want: Decision{Take: []int{1}}},
		"live, another's anonymous id":           {doc: live("u"), claims: []Claim{id(user, "u", "X"), id(anon, "a", "Y")}, want: Decision{}},
		"live, a session moves":                  {doc: live("u"), claims: []Claim{id(user, "u", "X"), id(session, "s", "Y")}, want: Decision{Take: []int{1}}},
		"static, nobody yet":                     {claims: []Claim{id("crm", "c", ""), id(user, "u", "Y"), id(session, "s", "Y")}, static: true, want: Decision{Forward: "derived c"}},
		"static, somebody's":                     {doc: live("u"), claims: []Claim{id("crm", "c", "Y"), id(user, "u", "X")}, static: true, want: Decision{Forward: "Y"}},
		"static, its own":                        {doc: live("v"), claims: []Claim{id("crm", "c", "X"), id(user, "u", "Y"), id(mail, "m", "Y"), id(anon, "a", "Y"), id(session, "s", "Y")}, static: true, want: Decision{Take: []int{3, 4}}},
		"static, another holds a weaker":         {claims: []Claim{id("crm", "c", "X"), id(mail, "m", "Y")}, static: true, want: Decision{}},
		"static, settled for a profile before":   {doc: live(), claims: []Claim{id("crm", "c", "Y")}, settled: true, static: true, want: Decision{Forward: "Y"}},
	} {
		var f Fold
		command := &record.Command{Kind: record.KindEvent, Profile: "X", Settled: c.settled, Event: &record.Event{Type: "t", Source: "shop", Static: c.static}}
		for _, claim := range c.claims {
			if claim.Kind != session {
				command.Event.IDs = append(command.Event.IDs, claim.Identifier)
			}
		}
		if c.named {
			command.Event.Profile = "old"
		}
		f.Begin(Input{Rules: r, Command: command, Doc: c.doc, Claims: c.claims, Derive: func(c Claim) string { return "derived " + c.Value }})
		if got := f.Route(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
