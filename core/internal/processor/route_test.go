package processor

import (
	"reflect"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

func TestRoute(t *testing.T) {
	live := func(users ...string) *record.Document {
		p := sdk.NewProfile("X", noon)
		p.Identities[record.KindUser] = users
		return &record.Document{State: record.StateLive, Profile: p}
	}
	id := func(kind, value, holder string) claim {
		return claim{Identifier: record.Identifier{Kind: kind, Value: value}, holder: holder}
	}
	const user, mail, anon, session = record.KindUser, record.KindEmail, record.KindAnonymous, record.KindSessionID
	for name, c := range map[string]struct {
		doc     *record.Document
		claims  []claim
		settled bool
		named   bool
		static  bool
		want    decision
	}{
		"nobody, no identifier":                  {want: decision{}},
		"nobody, new identifiers":                {claims: []claim{id(user, "u", ""), id(anon, "a", "")}, want: decision{take: []int{0, 1}}},
		"nobody, holds its own":                  {claims: []claim{id(user, "u", "X"), id(anon, "a", "")}, want: decision{take: []int{1}}},
		"nobody, another holds the user":         {claims: []claim{id(user, "u", "Y"), id(anon, "a", "X")}, want: decision{forward: "Y"}},
		"nobody, another holds the weaker":       {claims: []claim{id(user, "u", ""), id(anon, "a", "Y")}, want: decision{forward: "Y"}},
		"live, its user":                         {doc: live("u"), claims: []claim{id(user, "u", "X"), id(anon, "a", "")}, want: decision{take: []int{1}}},
		"live, becomes a user's":                 {doc: live(), claims: []claim{id(user, "u", ""), id(anon, "a", "X")}, want: decision{take: []int{0}}},
		"live, another user, known":              {doc: live("u"), claims: []claim{id(user, "v", "Y"), id(anon, "a", "X")}, want: decision{forward: "Y", settled: true}},
		"live, another user, new":                {doc: live("u"), claims: []claim{id(user, "v", ""), id(anon, "a", "X")}, want: decision{forward: "derived v", settled: true}},
		"settled, nobody yet":                    {claims: []claim{id(user, "v", ""), id(anon, "a", "X0"), id(session, "s", "X0")}, settled: true, want: decision{take: []int{0, 1, 2}}},
		"settled, the anonymous id follows":      {doc: live("v"), claims: []claim{id(user, "v", "X"), id(anon, "a", "Y"), id(mail, "m", "Y")}, settled: true, want: decision{take: []int{1}}},
		"live, nobody's, another holds the user": {doc: live(), claims: []claim{id(user, "u", "Y"), id(anon, "a", "X")}, want: decision{forward: "Y", settled: true}},
		"live, named, another holds the user":    {doc: live(), claims: []claim{id(user, "u", "Y")}, named: true, want: decision{}},
		"live, another user's anonymous id":      {doc: live("u"), claims: []claim{id(user, "u", "X"), {Identifier: record.Identifier{Kind: anon, Value: "a"}, holder: "Y", foreign: true}}, want: decision{take: []int{1}}},
		"live, another's anonymous id":           {doc: live("u"), claims: []claim{id(user, "u", "X"), id(anon, "a", "Y")}, want: decision{}},
		"live, a session moves":                  {doc: live("u"), claims: []claim{id(user, "u", "X"), id(session, "s", "Y")}, want: decision{take: []int{1}}},
		"static, nobody yet":                     {claims: []claim{id("crm", "c", ""), id(user, "u", "Y"), id(session, "s", "Y")}, static: true, want: decision{forward: "derived c"}},
		"static, somebody's":                     {doc: live("u"), claims: []claim{id("crm", "c", "Y"), id(user, "u", "X")}, static: true, want: decision{forward: "Y"}},
		"static, its own":                        {doc: live("v"), claims: []claim{id("crm", "c", "X"), id(user, "u", "Y"), id(mail, "m", "Y"), id(anon, "a", "Y"), id(session, "s", "Y")}, static: true, want: decision{take: []int{3, 4}}},
		"static, another holds a weaker":         {claims: []claim{id("crm", "c", "X"), id(mail, "m", "Y")}, static: true, want: decision{}},
		"static, settled for a profile before":   {doc: live(), claims: []claim{id("crm", "c", "Y")}, settled: true, static: true, want: decision{forward: "Y"}},
	} {
		got := route("X", c.doc, c.claims, c.named, c.settled, c.static, func(c claim) string { return "derived " + c.Value })
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
