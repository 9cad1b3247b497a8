package profile

import (
	"slices"
	"strings"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// A Strategy says which value a field has when two profiles become one.
type Strategy string

// The strategies. By time is by when the field was changed last; of two changes at
// the same time the one with the greater id counts, so that no order of arrival does.
const (
	Last  Strategy = "last"  // by time
	First Strategy = "first" // by time
	Min   Strategy = "min"   // of numbers and texts
	Max   Strategy = "max"
	Sum   Strategy = "sum"   // of numbers
	Union Strategy = "union" // a list of what both have
)

// Strategies are those of fields, by path: of one field, or with ".*" at the end of
// all below it. The longest that fits a field counts.
type Strategies map[string]Strategy

// of returns the strategy of a field that both profiles have.
func (s Strategies) of(path sdk.Path, mine, theirs any) Strategy {
	if len(s) > 0 {
		if one, ok := s[path.String()]; ok {
			return one
		}
		for n := len(path) - 1; n > 0; n-- {
			if one, ok := s[path[:n].String()+".*"]; ok {
				return one
			}
		}
	}
	_, a := mine.([]any)
	_, b := theirs.([]any)
	switch {
	case (path[0] == "counters" || path[0] == "interests") && isNumber(mine) && isNumber(theirs):
		return Sum
	case a || b:
		return Union
	}
	return Last
}

// Unite makes the other document part of into, which stays who it is: ids and
// revision are the caller's. It takes the other's values over. Now is when what fell
// out of windows leaves them.
func Unite(into, other *record.Document, strategies Strategies, now time.Time) {
	a, b := into.Profile, other.Profile
	for kind, values := range b.Identities {
		for _, value := range values {
			if !slices.Contains(a.Identities[kind], value) {
				a.Identities[kind] = append(a.Identities[kind], value)
			}
		}
	}
	u := uniting{into: into, other: other, strategies: strategies}
	for _, section := range sections {
		mine, _ := a.Section(section)
		theirs, _ := b.Section(section)
		u.objects(sdk.Path{section}, mine, theirs)
	}
	for path, stamp := range other.Fields {
		if u.younger(path) {
			keep(into, path, stamp)
		}
	}
	for path, stamp := range u.kept {
		keep(into, path, stamp)
	}
	for id, theirs := range b.Segments {
		if mine, both := a.Segments[id]; !both || since(theirs) < since(mine) {
			a.Segments[id] = theirs
		}
	}
	uniteStats(&a.Stats, &b.Stats)
	uniteSessions(into, other)
	into.Cleared = 0 // the other may have been ahead, or behind
	for name, w := range other.Windows {
		if into.Windows == nil {
			into.Windows = map[string]*record.Window{}
		}
		into.Windows[name] = uniteWindows(into.Windows[name], w, now)
	}
	for id, at := range other.Filled {
		if into.Filled[id].Before(at) {
			keepFill(into, id, at)
		}
	}
}

func since(segment any) string {
	m, _ := segment.(map[string]any)
	text, _ := m["since"].(string)
	return text
}

type uniting struct {
	into, other *record.Document
	strategies  Strategies
	// kept are the stamps of fields of which the earlier value stays.
	kept map[string]record.Stamp
}

// younger tells whether the other profile's field was changed later.
func (u *uniting) younger(path string) bool {
	return laterStamp(u.into.Fields[path], u.other.Fields[path])
}

// youngerIn tells so of a field that may have been changed with what contains it.
func (u *uniting) youngerIn(path sdk.Path, text string) bool {
	return laterStamp(changed(u.into, path, text), changed(u.other, path, text))
}

func laterStamp(mine, theirs record.Stamp) bool {
	return theirs.At > mine.At || theirs.At == mine.At && theirs.By > mine.By
}

// objects unites what stands in two objects at the same place.
func (u *uniting) objects(at sdk.Path, mine, theirs map[string]any) {
	for name, b := range theirs {
		path := append(at[:len(at):len(at)], name)
		a, both := mine[name]
		consent := len(at) == 1 && at[0] == "consents" // one thing, of which no part comes from elsewhere
		if both && !consent {
			x, isObject := a.(map[string]any)
			y, too := b.(map[string]any)
			if isObject && too {
				u.objects(path, x, y)
				continue
			}
		}
		text := path.String()
		_, gone := u.into.Fields[text] // it was deleted, where it is not there and was changed
		switch {
		case both && consent:
			mine[name] = u.consent(text, a, b)
		case both:
			mine[name] = u.choose(path, text, a, b)
		case !gone || u.youngerIn(path, text):
			mine[name] = b
		}
	}
	for name := range mine { // what the other has deleted since
		if _, there := theirs[name]; there {
			continue
		}
		path := append(at[:len(at):len(at)], name)
		text := path.String()
		if _, changed := u.other.Fields[text]; changed && u.youngerIn(path, text) {
			delete(mine, name)
		}
	}
}

// choose is the value of a field that both have.
func (u *uniting) choose(path sdk.Path, text string, a, b any) any {
	switch strategy := u.strategies.of(path, a, b); strategy {
	case Union:
		return union(a, b)
	case Sum:
		if isNumber(a) && isNumber(b) {
			if sum, err := add(a, b, false); err == nil {
				return sum
			}
		}
	case Min, Max:
		if less, ok := smaller(b, a); ok {
			if less == (strategy == Min) {
				return b
			}
			return a
		}
	case First:
		if u.kept == nil {
			u.kept = map[string]record.Stamp{}
		}
		if u.youngerIn(path, text) {
			u.kept[text] = u.into.Fields[text]
			return a
		}
		u.kept[text] = u.other.Fields[text]
		return b
	}
	if u.youngerIn(path, text) {
		return b
	}
	return a
}

// consent is the later of two choices. Of two at the same time the one that gives no
// consent counts.
func (u *uniting) consent(text string, a, b any) any {
	x, _ := a.(map[string]any)
	y, _ := b.(map[string]any)
	mine, _ := x["at"].(string)
	theirs, _ := y["at"].(string)
	switch {
	case mine == "" || theirs == "":
		// Written by something else than a choice.
	case mine > theirs, mine == theirs && x["granted"] != true:
		return a
	case theirs > mine, y["granted"] != true:
		return b
	}
	if u.younger(text) {
		return b
	}
	return a
}

// union is a list of the elements of both, each once, mine first.
func union(a, b any) any {
	list := a
	if _, ok := a.([]any); !ok {
		list = []any{a}
	}
	return appendTo(list, b)
}

// smaller compares two numbers or two texts.
func smaller(a, b any) (less, ok bool) {
	if x, isText := a.(string); isText {
		y, too := b.(string)
		return x < y, too
	}
	if !isNumber(a) || !isNumber(b) {
		return false, false
	}
	difference, err := add(a, b, true)
	if err != nil {
		return false, false
	}
	text := string(sdk.AppendValue(nil, difference))
	return strings.HasPrefix(text, "-"), true
}

func uniteStats(a, b *sdk.Stats) {
	a.Visits += b.Visits
	a.Views += b.Views
	if a.FirstSeen.IsZero() || !b.FirstSeen.IsZero() && b.FirstSeen.Before(a.FirstSeen) {
		a.FirstSeen = b.FirstSeen
	}
	if b.LastSeen.After(a.LastSeen) {
		a.LastSeen = b.LastSeen
	}
	for _, name := range sortedKeys(b.Events) {
		theirs := b.Events[name]
		mine, known := a.Events[name]
		if !known && len(a.Events) >= typesKept {
			a.Truncated = true
			continue
		}
		mine.Count += theirs.Count
		if mine.First.IsZero() || theirs.First.Before(mine.First) {
			mine.First = theirs.First
		}
		if theirs.Last.After(mine.Last) {
			mine.Last = theirs.Last
		}
		a.Events[name] = mine
	}
	a.Truncated = a.Truncated || b.Truncated
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Trimmable are the parts of a profile that are left out, one after another, where
// there is no room for all of another one.
var Trimmable = []string{"windows", "data", "traits", "interests", "events", "segments", "fields", "sessions", "identities"}

// Trim takes a part out of a document. Identifiers that it loses still lead to it.
func Trim(doc *record.Document, part string) {
	p := doc.Profile
	switch part {
	case "windows":
		doc.Windows = nil
	case "data", "traits", "interests":
		section, _ := p.Section(part)
		clear(section)
	case "events":
		clear(p.Stats.Events)
		p.Stats.Truncated = true
	case "segments":
		clear(p.Segments)
	case "fields":
		doc.Fields = nil
	case "sessions":
		for _, s := range doc.Sessions {
			s.Context = nil
		}
	case "identities":
		clear(p.Identities)
	}
}
