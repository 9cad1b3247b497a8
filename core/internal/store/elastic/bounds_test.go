package elastic

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/core/internal/store/storetest"
	"github.com/tributary-bus/tributary/sdk"
)

// Bounds hold what they promise, of any condition and any document: by the terms alone,
// without a server. What is sure holds, what holds is possible.
func TestBoundsOfAnyCondition(t *testing.T) {
	s := &indexed{t: t}
	storetest.Conditions(t, s)
	t.Logf("%d queries, %d of them exact; of %d documents, %d were in doubt", s.asked, s.exact, s.decided, s.doubted)
	if s.exact < s.asked/4 {
		t.Errorf("only %d of %d conditions were translated exactly", s.exact, s.asked)
	}
}

// The same of every comparison of special texts and numbers with each other.
func TestBoundsOfSpecialValues(t *testing.T) {
	storetest.ConditionPairs(t, &indexed{t: t})
}

// Indexed keeps documents as their terms and columns, and answers queries about them by
// the meaning of the query language. It is what a server does with the product's queries,
// put down to see the rules alone; the server itself is held to the same suite.
type indexed struct {
	store.Store
	t                              testing.TB
	documents                      []held
	asked, exact, decided, doubted int
}

type held struct {
	store.Document
	fields map[string][]string
}

func (s *indexed) Reset(context.Context) error   { s.documents = nil; return nil }
func (s *indexed) Refresh(context.Context) error { return nil }

func (s *indexed) Apply(_ context.Context, batch store.Batch) ([]store.Refused, error) {
	for _, d := range batch.Put {
		text, err := documentTerms(nil, d.Kind, d.Body)
		if err != nil {
			return nil, err
		}
		h := held{d, map[string][]string{}}
		var terms []string
		if err := json.Unmarshal(text, &terms); err != nil {
			return nil, fmt.Errorf("terms %s: %w", text, err)
		}
		h.fields[fieldTerms] = terms
		for i, column := range d.Kind.Columns() {
			if v := d.Column(i); v != "" || hasText(d.Body, column) {
				h.fields[column] = []string{v}
			}
		}
		s.documents = append(s.documents, h)
	}
	return nil, nil
}

func hasText(body []byte, name string) bool {
	document, _ := sdk.ParseObject(body)
	_, is := document[name].(string)
	return is
}

func (s *indexed) Query(_ context.Context, q store.Query) (page store.Page, err error) {
	p, err := q.Filter.Predicate(storetest.Now)
	if err != nil {
		return page, fmt.Errorf("%w: %w", store.ErrUnsearchable, err)
	}
	b, err := translate(p, q.Kind)
	if err != nil {
		return page, err
	}
	s.asked++
	if b.exact {
		s.exact++
	}
	decider := newDecider(p)
	for _, h := range s.documents {
		holds, err := decider.holds(h.Body)
		if err != nil {
			return page, err
		}
		sure, possible := h.matches(b.sure), h.matches(b.possible)
		s.decided++
		if sure != possible {
			s.doubted++
		}
		if sure && !holds || holds && !possible || b.exact && sure != possible || h.matches(b.doubt) != (possible && !sure) {
			return page, fmt.Errorf("%s: sure %t, possible %t, exact %t, but it is %t for %s\nsure %v\npossible %v\nterms %q", q.Filter.Source(), sure, possible, b.exact, holds, h.Body, b.sure, b.possible, h.fields[fieldTerms])
		}
		if holds {
			page.Documents = append(page.Documents, h.Document)
		}
	}
	slices.SortFunc(page.Documents, func(a, b store.Document) int { return strings.Compare(a.ID, b.ID) })
	return page, nil
}

// matches is the meaning of a query.
func (h *held) matches(q query) bool {
	for kind, body := range q {
		switch kind {
		case "match_all":
			return true
		case "match_none":
			return false
		case "exists":
			return len(h.fields[body.(query)["field"].(string)]) > 0
		case "bool":
			return h.joined(body.(query))
		}
		for field, of := range body.(query) {
			return slices.ContainsFunc(h.fields[field], func(v string) bool { return matchesValue(kind, v, of) })
		}
	}
	panic(fmt.Sprintf("query %v", q))
}

func (h *held) joined(q query) bool {
	for occurrence, list := range q {
		matches := func(q query) bool { return h.matches(q) }
		fails := func(q query) bool { return !h.matches(q) }
		switch occurrence {
		case "filter":
			return !slices.ContainsFunc(list.([]query), fails)
		case "should":
			return slices.ContainsFunc(list.([]query), matches)
		case "must_not":
			return !slices.ContainsFunc(list.([]query), matches)
		}
	}
	panic(fmt.Sprintf("bool %v", q))
}

func matchesValue(kind, v string, of any) bool {
	switch kind {
	case "term":
		return v == of
	case "terms":
		return slices.Contains(of.([]string), v)
	case "prefix":
		return strings.HasPrefix(v, of.(string))
	case "wildcard":
		return matchesPattern(of.(string), v)
	case "range":
		for bound, to := range of.(query) {
			c := strings.Compare(v, to.(string))
			if !map[string]bool{"lt": c < 0, "lte": c <= 0, "gt": c > 0, "gte": c >= 0}[bound] {
				return false
			}
		}
		return true
	}
	panic(kind)
}

// matchesPattern is the meaning of a wildcard, in which a star may stand for anything.
func matchesPattern(pattern, v string) bool {
	var parts []string
	var part strings.Builder
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; c {
		case '\\':
			i++
			part.WriteByte(pattern[i])
		case '*':
			parts = append(parts, part.String())
			part.Reset()
		case '?':
			panic(pattern)
		default:
			part.WriteByte(c)
		}
	}
	last := part.String()
	if !strings.HasPrefix(v, parts[0]) {
		return false
	}
	v = v[len(parts[0]):]
	for _, p := range parts[1:] {
		at := strings.Index(v, p)
		if at < 0 {
			return false
		}
		v = v[at+len(p):]
	}
	return strings.HasSuffix(v, last)
}

// A place is one text whatever its names hold: no two paths have the same.
func TestPlacesAreApart(t *testing.T) {
	seen := map[string]sdk.Path{}
	names := []string{"a", "a.b", `a\`, `a\.b`, "a:n", ":", ".", "", "a=b", `\#`, strings.Repeat("long", 100), "b", "\x00", "é"}
	var paths []sdk.Path
	for _, a := range names {
		paths = append(paths, sdk.Path{a})
		for _, b := range names {
			paths = append(paths, sdk.Path{a, b})
		}
	}
	for _, p := range paths {
		place := placeOf(p)
		if other, taken := seen[place]; taken {
			t.Errorf("%q and %q both are %s", p, other, place)
		}
		seen[place] = p
		document := map[string]any{}
		if err := p.Set(document, "v"); err != nil {
			t.Fatal(err)
		}
		object := sdk.AppendValue(nil, document)
		text, err := documentTerms(nil, store.Profiles, object)
		if err != nil || len(place) <= mostPlace && !strings.Contains(string(text), string(sdk.AppendString(nil, valueTerm(place, kindText, "v")))) {
			t.Errorf("%s has the terms %s, %v; want %s", object, text, err, place)
		}
	}
}

// What is too long to be a term, or a number without a text, is in doubt and not left
// out, nor found by its beginning.
func TestBoundsOfWhatIsNoTerm(t *testing.T) {
	long := strings.Repeat("Long ", 200)
	digits := strings.Repeat("7", 500)
	place := strings.Repeat("p", 300)
	bodies := []string{
		`{"v":"` + long + `"}`, `{"v":"` + long + `!"}`, `{"v":["` + long + `"]}`, `{"v":"short"}`, `{"v":"` + long[:mostText] + `"}`,
		`{"v":` + digits + `}`, `{"v":-` + digits + `}`, `{"v":[` + digits + `]}`, `{"v":7}`, `{"v":1e2000000000}`, `{}`,
		`{"` + place + `":"v"}`, `{"` + place + `q":"v"}`,
	}
	s := &indexed{t: t}
	var batch store.Batch
	for i, body := range bodies {
		batch.Put = append(batch.Put, storetest.Event(t, i, func(e *sdk.Event) {
			if err := e.Properties.UnmarshalJSON([]byte(body)); err != nil {
				t.Fatal(err)
			}
		}))
	}
	if _, err := s.Apply(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	v := "event.properties.v"
	for source, want := range map[string]string{
		v + ` == "` + long + `"`:                              "[0]",
		v + ` > "` + long + `"`:                               "[1 3]",
		v + ` >= "` + long[:mostText] + `"`:                   "[0 1 3 4]",
		v + `.startsWith("Long Long")`:                        "[0 1 4]",
		v + `.endsWith("!")`:                                  "[1]",
		`!(` + v + `.contains("!"))`:                          "[0 3 4 10 11 12]",
		`lower(` + v + `) == "` + strings.ToLower(long) + `"`: "[0]",
		`"` + long + `" in ` + v:                              "[2]",
		v + ` in ["` + long + `", "short"]`:                   "[0 3]",
		v + ` > 7`:                                            "[5 9]",
		v + ` < 7`:                                            "[6]",
		v + ` == 7`:                                           "[8]",
		`has(event.properties["` + place + `"])`:              "[11]",
		`event.properties["` + place + `"] == "v"`:            "[11]",
		`event.properties["` + place + `q"] > "a"`:            "[12]",
	} {
		page, err := s.Query(t.Context(), store.Query{Kind: store.Events, Filter: storetest.Filter(t, store.Events, source)})
		if err != nil {
			t.Errorf("%.60s: %.1000s", source, err)
			continue
		}
		found := []int{}
		for _, d := range page.Documents {
			found = append(found, slices.IndexFunc(s.documents, func(h held) bool { return h.ID == d.ID }))
		}
		if fmt.Sprint(found) != want {
			t.Errorf("%.60s finds %v, want %s", source, found, want)
		}
	}
}
