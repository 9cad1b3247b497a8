package storetest

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// Every operator, function, method and macro that the language has occurs among
// the conditions that stores are held to: a new one cannot be forgotten.
func TestGrammarSaysAll(t *testing.T) {
	said := map[string]int{}
	compiled := 0
	draw := rapid.Custom(func(t *rapid.T) string {
		return grammar{kind: store.Profiles, words: drawVocabulary(t)}.draw(t, "condition", 4)
	})
	const drawnOnes = 8000
	for i := range drawnOnes {
		source := draw.Example(i)
		if _, err := condition.CompileCondition(source, condition.ProfileScope); err != nil {
			continue
		}
		compiled++
		for _, s := range language {
			if s.In(source) {
				said[s.Name]++
			}
		}
	}
	t.Logf("%d of %d compile: %v", compiled, drawnOnes, said)
	if compiled < drawnOnes/3 {
		t.Errorf("only %d of %d conditions compile", compiled, drawnOnes)
	}
	for _, s := range language {
		if said[s.Name] == 0 {
			t.Errorf("no condition says %s", s.Name)
		}
	}
}
