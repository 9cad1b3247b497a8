package storetest

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// conditionsEach is how many conditions are asked of each set of documents.
const conditionsEach = 60

// Conditions holds a store to the language: what it finds is what the condition
// finds in memory, for every document and every condition; and what it cannot
// find it refuses. Flags of rapid draw more: -rapid.checks=1000.
func Conditions(t *testing.T, s store.Store) {
	var asked, some, refused, unsupported int
	searched := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom(store.Queried).Draw(t, "kind")
		words := drawVocabulary(t)
		documents := make([]drawn, rapid.IntRange(4, 14).Draw(t, "documents"))
		batch := store.Batch{Put: make([]store.Document, len(documents))}
		for i := range documents {
			documents[i] = words.draw(t, kind, i)
			batch.Put[i] = documents[i].stored
		}
		if err := s.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left, err := s.Apply(t.Context(), batch); err != nil || len(left) > 0 {
			t.Fatalf("apply: %v, refused %v", err, left)
		}
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		g := newGrammar(kind, words, documents)
		for range conditionsEach {
			program, err := condition.CompileCondition(g.draw(t, "condition", 4), scopes[kind])
			if err != nil {
				continue
			}
			want := matching(t, kind, program, documents)
			_, lowered := program.Predicate(Now)
			page, err := s.Query(t.Context(), store.Query{Kind: kind, Filter: program, Sort: "id"})
			switch {
			case errors.Is(err, store.ErrUnsearchable):
				if lowered == nil {
					unsupported++
				} else if !strings.Contains(err.Error(), lowered.Error()) {
					t.Fatalf("%s is refused: %v; want the reason %v", program.Source(), err, lowered)
				}
				refused++
				continue
			case err != nil:
				t.Fatalf("%s: %v", program.Source(), err)
			case lowered != nil:
				t.Fatalf("%s is answered, though %v", program.Source(), lowered)
			}
			if got := idsOf(page); !slices.Equal(got, want) {
				t.Fatalf("%s %s finds %q, want %q of\n%s", kind, program.Source(), got, want, bodies(documents))
			}
			for _, said := range language {
				if said.In(program.Source()) {
					searched[said.Name]++
				}
			}
			if asked++; len(want) > 0 && len(want) < len(documents) {
				some++
			}
		}
	})
	t.Logf("%d conditions asked, of which %d found some and not all; %d refused, %d of them by this store alone", asked, some, refused, unsupported)
	t.Logf("asked with each: %v", searched)
	want := 2000
	if testing.Short() {
		want = 400 // rapid draws a fifth then
	}
	if !t.Failed() && (asked < want || some < asked/10) {
		t.Errorf("only %d conditions, of which %d found some and not all: too few to tell", asked, some)
	}
}

// matching gives the ids that a condition finds in memory, in order. It must
// say the same of a document as it is in memory, as text, and decoded.
func matching(t *rapid.T, kind store.Kind, program *condition.Program, documents []drawn) []string {
	want := []string{}
	for _, d := range documents {
		is, err := program.Bool(variables(kind, d.document, d.history))
		for form, document := range map[string]any{"text": sdk.RawView(d.stored.Body), "decoded": d.decoded} {
			other, otherErr := program.Bool(variables(kind, document, d.history))
			if is != other || (err == nil) != (otherErr == nil) {
				t.Fatalf("%s is %v (%v) in memory and %v (%v) of the document as %s, which is %s", program.Source(), is, err, other, otherErr, form, d.stored.Body)
			}
		}
		if is {
			want = append(want, d.stored.ID)
		}
	}
	slices.Sort(want)
	return want
}

// variables are those of one document.
func variables(kind store.Kind, document any, history condition.History) *condition.Vars {
	v := &condition.Vars{Now: Now, History: history}
	switch kind {
	case store.Events:
		v.Event = document
	case store.Profiles:
		v.Profile = document
	case store.Sessions:
		v.Session = document
	}
	return v
}

func idsOf(page store.Page) []string {
	ids := []string{}
	for _, d := range page.Documents {
		ids = append(ids, d.ID)
	}
	slices.Sort(ids)
	return ids
}

func bodies(documents []drawn) string {
	var b strings.Builder
	for _, d := range documents {
		fmt.Fprintf(&b, "%q: %s\n", d.stored.ID, d.stored.Body)
	}
	return b.String()
}

// A saying is an operator, function, method or macro, and how it looks.
type saying struct {
	Name  string
	looks *regexp.Regexp
}

// In tells whether it occurs in a condition; one that occurs in a text only may
// pass for it.
func (s saying) In(source string) bool { return s.looks.MatchString(source) }

// language is all that conditions can say.
var language = func() (all []saying) {
	add := func(name, looks string) { all = append(all, saying{name, regexp.MustCompile(looks)}) }
	for _, name := range condition.Operators() {
		switch name {
		case "!":
			add(name, `!\(`)
		case "[]":
			add(name, `\)\[`)
		case "-":
			add(name, `\) - \(|-\(`)
		default:
			add(name, `[^=!<>&|] `+regexp.QuoteMeta(name)+` `)
		}
	}
	for _, name := range condition.Functions() {
		add(name, `(^|[^.\w])`+name+`\(`)
	}
	for _, name := range condition.Methods() {
		add("x."+name, `\.`+name+`\(`)
	}
	for _, name := range condition.Macros() {
		add("list."+name, `\.`+name+`\(x, `)
	}
	return all
}()
