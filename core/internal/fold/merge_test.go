package fold

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// personOf is a live profile that came to be so many minutes after noon, with
// identifiers "kind:value".
func personOf(id string, minute int, identifiers ...string) *record.Document {
	p := sdk.NewProfile(id, noon.Add(time.Duration(minute)*time.Minute))
	for _, one := range identifiers {
		kind, value, _ := strings.Cut(one, ":")
		p.Identities[kind] = append(p.Identities[kind], value)
	}
	return &record.Document{State: record.StateLive, Profile: p}
}

func proposal(from *record.Document, to string, shared ...string) *record.Command {
	m := &record.Merge{Peer: rankOf(from.Profile), Identities: from.Profile.Identities}
	for _, one := range shared {
		kind, value, _ := strings.Cut(one, ":")
		m.Shared = append(m.Shared, record.Identifier{Kind: kind, Value: value})
	}
	return &record.Command{Kind: record.KindMerge, Profile: to, Received: noon, Body: record.AppendMerge(nil, m)}
}

// TestProposals tells what becomes of a profile B that is told by A that both have an
// identifier, which B holds.
func TestProposals(t *testing.T) {
	r := compile(t, "kind: identification\nid: email\nspec: {limit: 2}")
	erased := &record.Document{State: record.StateErased, ErasedAt: noon, IDs: []string{"B"}}
	redirect := &record.Document{State: record.StateRedirect, To: "C", Rank: record.Rank{Created: noon, ID: "C"}}
	known := personOf("B", 0)
	known.Profile.IDs = append(known.Profile.IDs, "A")
	for name, c := range map[string]struct {
		a, b   *record.Document // b nil: nobody has the id
		shared string
		state  string // of B afterwards, with where it leads or its user
		sent   string
		moves  int
	}{
		"the older gives nothing up":            {personOf("A", 9), personOf("B", 0), "email:m", "live", "merge to A", 0},
		"the younger becomes a redirect":        {personOf("A", 0), personOf("B", 9), "email:m", "redirect A", "absorb to A", 0},
		"as old: the smaller id is the older":   {personOf("A", 0), personOf("B", 0), "email:m", "redirect A", "absorb to A", 0},
		"the older takes the user in advance":   {personOf("A", 9, "user:u"), personOf("B", 0), "anonymous:a", "live u", "merge to A", 0},
		"the younger has its user agreed first": {personOf("A", 0), personOf("B", 9, "user:u"), "anonymous:a", "live u", "merge to A", 0},
		"the younger, of the same user":         {personOf("A", 0, "user:u"), personOf("B", 9, "user:u"), "anonymous:a", "redirect A", "absorb to A", 0},
		"two users: an anonymous id goes":       {personOf("A", 0, "user:u"), personOf("B", 9, "user:v", "anonymous:a"), "anonymous:a", "live v", "", 1},
		"two users: an address stays":           {personOf("A", 0, "user:u"), personOf("B", 9, "user:v", "email:m"), "email:m", "live v", "", 0},
		"more addresses than a person may have": {personOf("A", 0, "email:1", "email:2"), personOf("B", 9, "email:3"), "anonymous:a", "live", "", 0},
		"as many addresses as it may have":      {personOf("A", 0, "email:1", "email:2"), personOf("B", 9, "email:2"), "anonymous:a", "redirect A", "absorb to A", 0},
		"one that is part of it already":        {personOf("A", 9), known, "email:m", "live", "", 0},
		"nobody":                                {personOf("A", 0), nil, "email:m", "redirect A", "absorb to A", 0},
		"somebody who was merged":               {personOf("A", 0), redirect, "email:m", "redirect C", "merge to C", 0},
		"somebody who was erased":               {personOf("A", 0), erased, "email:m", "erased", "", 1},
	} {
		kind, value, _ := strings.Cut(c.shared, ":")
		result := once(r, c.b, proposal(c.a, "B", c.shared), Claim{Identifier: record.Identifier{Kind: kind, Value: value}, Holder: "B"})
		state := ""
		if d := result.Doc; d != nil {
			state = d.State
			if d.State == record.StateRedirect {
				state += " " + d.To
			}
			if d.Profile != nil {
				state = strings.TrimSpace(state + " " + strings.Join(d.Profile.Identities["user"], " "))
			}
		}
		var sent []string
		for i := range result.Commands {
			name := map[record.Kind]string{record.KindMerge: "merge", record.KindAbsorb: "absorb"}[result.Commands[i].Kind]
			sent = append(sent, name+" to "+result.Commands[i].Profile)
		}
		if state != c.state || strings.Join(sent, ", ") != c.sent || len(result.Moves) != c.moves || result.Dead != "" {
			t.Errorf("%s: %s, sent %v, moves %v (%s); want %s, %s, %d moves", name, state, sent, result.Moves, result.Dead, c.state, c.sent, c.moves)
		}
		if c.moves == 1 && result.Moves[0].To != "A" {
			t.Errorf("%s: the key goes to %q", name, result.Moves[0].To)
		}
	}
}

// absorbed is the command by which a profile comes to another.
func absorbed(from *record.Document, to string) *record.Command {
	return &record.Command{
		Kind: record.KindAbsorb, ID: record.EventID("absorb", from.Profile.ID), Profile: to, Received: noon,
		Body: record.AppendAbsorb(nil, &record.Absorb{From: from.Profile.ID, Document: from.AppendJSON(nil)}),
	}
}

func TestAbsorbingTakesOverIdsKeysAndRedirects(t *testing.T) {
	r := compile(t, shop)
	b := personOf("B", 9, "email:m", "anonymous:a")
	b.Profile.IDs = append(b.Profile.IDs, "B1", "B2")
	var f Fold
	f.Begin(Input{Rules: r, Command: absorbed(b, "A"), Doc: personOf("A", 0, "user:u")})
	var claims []Claim
	for i, id := range f.Wants() {
		claims = append(claims, Claim{Identifier: id, Holder: []string{"B", "B2", "X"}[i%3]})
	}
	f.Resolve(claims)
	result := f.Apply(f.Route())
	p := result.Doc.Profile
	if got := fmt.Sprint(p.IDs, p.Identities); got != "[A B B1 B2] map[anonymous:[a] email:[m] user:[u]]" {
		t.Error(got)
	}
	if len(result.Moves) != 2 || result.Moves[0].To != "A" || result.Moves[1].To != "A" {
		t.Errorf("moves %+v", result.Moves)
	}
	var shortened []string
	for i := range result.Commands {
		if result.Commands[i].Kind == record.KindRedirect {
			shortened = append(shortened, result.Commands[i].Profile)
		}
	}
	if !slices.Equal(shortened, []string{"B1", "B2"}) {
		t.Errorf("redirects of %v are shortened", shortened)
	}
	if len(result.Events) != 1 || result.Events[0].Type != record.TypeProfileMerged || !strings.Contains(string(result.Events[0].Data), `"properties":{"from":"B"}`) {
		t.Errorf("events %s", result.Events[0].Data)
	}
	revision := p.Revision
	if again := once(r, result.Doc, absorbed(b, "A")); again.Changed || again.Doc.Profile.Revision != revision {
		t.Error("what is absorbed already is absorbed again")
	}
}

// What there is no room for is left out, part by part, and named; the numbers and the
// ids of both are always there.
func TestAbsorbingIntoAFullProfile(t *testing.T) {
	r := compile(t, shop)
	large := func(id string, minute int) *record.Document {
		doc := personOf(id, minute, "email:"+id)
		doc.Profile.Traits[id] = strings.Repeat("x", MaxDocument/3)
		doc.Profile.Data[id] = strings.Repeat("y", MaxDocument/3)
		doc.Profile.Counters["n"] = int64(7)
		return doc
	}
	a := large("A", 0)
	result := once(r, a, absorbed(large("B", 9), "A"))
	p := result.Doc.Profile
	if size := len(result.Doc.AppendJSON(nil)); size > MaxDocument || p.Counters["n"] != int64(14) || len(p.IDs) != 2 || p.Data["A"] == nil || p.Traits["A"] == nil || len(p.Identities["email"]) != 2 {
		t.Errorf("%d bytes, counters %v, ids %v", size, p.Counters, p.IDs)
	}
	if len(result.Events) != 1 || !strings.Contains(string(result.Events[0].Data), `"trimmed":["windows","data"`) {
		t.Errorf("%.300s", result.Events[0].Data)
	}
}

// TestErasing tells what an erased profile leaves, and what becomes of events that
// reach it.
func TestErasing(t *testing.T) {
	r := compile(t, shop)
	erase := &record.Command{Kind: record.KindErase, Profile: "p1", Received: noon, Body: record.AppendErase(nil, &record.Erase{By: "ann"})}
	doc := personOf("p1", -9, "email:m", "user:u")
	doc.Profile.IDs = append(doc.Profile.IDs, "old")
	doc.Profile.Traits["secret"] = "geheim"
	var f Fold
	f.Begin(Input{Rules: r, Command: erase, Doc: doc, Derive: func(c Claim) string { return fmt.Sprint("derived ", c.Value, c.Gen) }})
	var claims []Claim
	for i, id := range f.Wants() {
		claims = append(claims, Claim{Identifier: id, Holder: []string{"old", "other"}[i]})
	}
	f.Resolve(claims)
	result := f.Apply(f.Route())
	tomb := result.Doc
	if text := string(tomb.AppendJSON(nil)); text != `{"state":"erased","c":0,"erased":"2026-03-01T12:00:00.000Z","ids":["p1","old"]}` {
		t.Error(text)
	}
	if len(result.Moves) != 1 || result.Moves[0] != (Move{Claim: 0, Erased: noon}) {
		t.Errorf("moves %+v", result.Moves)
	}
	if text := string(result.Events[0].Data); !strings.Contains(text, `"profile":null`) && strings.Contains(text, `"profile":"p1","time"`) || !strings.Contains(text, `"properties":{"profile":"p1","by":"ann"}`) {
		t.Error(text)
	}
	for name, c := range map[string]struct {
		after   time.Duration
		claims  []Claim
		forward string
		free    int
	}{
		"received before":                       {0, []Claim{{Identifier: record.Identifier{Kind: "email", Value: "m"}, Holder: "p1"}}, "", 0},
		"received after, by a key it held":      {1, []Claim{{Identifier: record.Identifier{Kind: "email", Value: "m"}, Holder: "p1"}}, "derived m1", 1},
		"received after, by a key that is free": {1, []Claim{{Identifier: record.Identifier{Kind: "email", Value: "m"}, Gen: 1}}, "derived m1", 0},
		"received after, of somebody else too":  {1, []Claim{{Identifier: record.Identifier{Kind: "email", Value: "m"}, Holder: "old"}, {Identifier: record.Identifier{Kind: "anonymous", Value: "a"}, Holder: "Y"}}, "Y", 1},
		"received after, by the id alone":       {1, nil, "derived shop/11", 0},
	} {
		e := command("page-view", `{}`)
		e.Received = noon.Add(c.after)
		for _, claim := range c.claims {
			e.Event.IDs = append(e.Event.IDs, claim.Identifier)
		}
		var f Fold
		f.Begin(Input{Rules: r, Command: e, Doc: tomb, Claims: c.claims, Derive: func(c Claim) string { return fmt.Sprint("derived ", c.Value, c.Gen) }})
		d := f.Route()
		if d.Forward != c.forward || len(d.Free) != c.free {
			t.Errorf("%s: %+v, want %q", name, d, c.forward)
		}
		if out := f.Apply(d); c.forward == "" && (!out.Applied || out.Changed || len(out.Events) > 0) {
			t.Errorf("%s: %+v", name, out)
		}
	}
}

// A profile does not take a user over in advance who would not come: with the other's
// addresses it would have more than it may.
func TestAUserWhoDoesNotComeIsNotTakenOver(t *testing.T) {
	r := compile(t, "kind: identification\nid: email\nspec: {limit: 2}")
	result := once(r, personOf("B", 0, "email:1", "email:2"), proposal(personOf("A", 9, "user:u", "email:3"), "B", "anonymous:a"), Claim{Identifier: record.Identifier{Kind: "anonymous", Value: "a"}, Holder: "B"})
	if len(result.Doc.Profile.Identities["user"]) > 0 || len(result.Commands) > 0 || len(result.Problems) != 1 {
		t.Errorf("%v, %d commands, %v", result.Doc.Profile.Identities, len(result.Commands), result.Problems)
	}
}

// An identifier beyond its kind's limit is not taken, now or with the next event; and a
// static event brings no second user.
func TestLimitsHold(t *testing.T) {
	r := compile(t, "kind: identification\nid: email\nspec: {limit: 2}")
	doc := personOf("p1", 0, "email:1", "email:2")
	for range 2 {
		c := command("page-view", `{}`)
		id := record.Identifier{Kind: "email", Value: "3"}
		c.Event.IDs = []record.Identifier{id}
		doc = once(r, doc, c, Claim{Identifier: id}).Doc
		if got := fmt.Sprint(doc.Profile.Identities); got != "map[email:[1 2]]" {
			t.Error(got)
		}
	}
	c := command("page-view", `{}`)
	c.Event.Static, c.Event.IDs = true, []record.Identifier{{Kind: "anonymous", Value: "a"}, {Kind: "user", Value: "Y"}}
	result := once(r, personOf("p1", 0, "user:X", "anonymous:a"), c, Claim{Identifier: c.Event.IDs[0], Holder: "p1"}, Claim{Identifier: c.Event.IDs[1]})
	if got := fmt.Sprint(result.Doc.Profile.Identities); got != "map[anonymous:[a] user:[X]]" {
		t.Error(got)
	}
}
