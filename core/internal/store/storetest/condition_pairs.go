package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// ConditionPairs asks each comparison with each value of every document that
// holds one: what conditions draws rarely is met here for certain.
func ConditionPairs(t *testing.T, s store.Store) {
	values := slices.Concat(numberPool, []string{"null", "true", "false", "[]", "{}"})
	var words []string
	for _, list := range append([]vocabulary{{words: wordPool}}, themes...) {
		values = append(values, list.numbers...)
		words = append(words, list.words...)
	}
	slices.Sort(words)
	words = slices.Compact(words)
	for _, word := range words {
		values = append(values, quoted(word))
		if _, err := sdk.ParseValue([]byte(word)); err == nil {
			values = append(values, word)
		}
	}
	slices.Sort(values)
	values = slices.Compact(values)

	documents := []drawn{eventWith(t, 0, "{}")}
	for i, value := range values {
		documents = append(documents,
			eventWith(t, 3*i+1, `{"v": `+value+`}`), eventWith(t, 3*i+2, `{"v": [`+value+`]}`), eventWith(t, 3*i+3, `{"v": {"k": `+value+`}}`))
	}
	batch := store.Batch{}
	for _, d := range documents {
		batch.Put = append(batch.Put, d.stored)
	}
	if left, err := s.Apply(t.Context(), batch); err != nil || len(left) > 0 {
		t.Fatalf("apply: %v, refused %v", err, left)
	}
	refresh(t, s)
	var sources []string
	ask := func(forms []string, literal string) {
		for _, form := range forms {
			sources = append(sources, fmt.Sprintf(form, literal))
		}
	}
	for _, word := range words {
		ask([]string{
			`event.properties.v == %s`, `event.properties.v < %s`, `%s in event.properties.v`, `%s in list(event.properties.v)`,
			`event.properties.v in [%s, "nowhere"]`, `fold(event.properties.v) == fold(%s)`, `lower(event.properties.v) > %s`,
			`event.properties.v.startsWith(%s)`, `event.properties.v.endsWith(%s)`, `event.properties.v.contains(%s)`, `event.properties.v == {"k": %s}`,
		}, quoted(word))
		if _, err := sdk.ParseTime(word); err == nil {
			ask([]string{`event.properties.v == timestamp(%s)`, `event.properties.v < timestamp(%s)`, `event.time <= %s`}, quoted(word))
		}
	}
	for _, number := range slices.Compact(slices.Sorted(slices.Values(numbersOf(values)))) {
		ask([]string{
			`event.properties.v == %s`, `event.properties.v < %s`, `event.properties.v >= %s`, `%s in event.properties.v`, `event.properties.v in [%s, "nowhere"]`,
		}, celNumber(number))
	}
	for _, source := range sources {
		program, err := condition.CompileCondition(source, condition.EventScope)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		var want []string
		for _, d := range documents {
			if is, _ := program.Bool(variables(store.Events, d.document, nil)); is {
				want = append(want, d.stored.ID)
			}
		}
		slices.Sort(want)
		page, err := s.Query(t.Context(), store.Query{Kind: store.Events, Filter: program, Limit: store.MaxLimit})
		if errors.Is(err, store.ErrUnsearchable) {
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		got := idsOf(page)
		if slices.Equal(got, want) {
			continue
		}
		for _, d := range documents {
			found := slices.Contains(got, d.stored.ID)
			if found != slices.Contains(want, d.stored.ID) {
				t.Errorf("%s: found is %v for %s", source, found, d.stored.Body)
			}
		}
	}
	t.Logf("%d conditions of %d documents", len(sources), len(documents))
}

func eventWith(t *testing.T, i int, properties string) drawn {
	e := &sdk.Event{
		ID: fmt.Sprintf("e-%d", i), Type: "a", Source: "shop", Time: Now, Received: Now, Valid: true, Properties: sdk.RawObject([]byte(properties)),
	}
	return drawn{document: e}.of(t, store.Events, e.AppendJSON(nil))
}

// numbersOf are those of the values that are numbers.
func numbersOf(values []string) (numbers []string) {
	for _, v := range values {
		if c := v[0]; c == '-' || c >= '0' && c <= '9' {
			numbers = append(numbers, v)
		}
	}
	return numbers
}
