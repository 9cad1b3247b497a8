package resources

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/config"
)

// offers is a catalogue of actions that take anything and have one port.
type offers []string

func (o offers) Action(id string) (config.ActionSpec, bool) {
	for _, known := range o {
		if known == id {
			return config.ActionSpec{ID: id}, true
		}
	}
	return config.ActionSpec{}, false
}

func (o offers) ActionIDs() []string { return o }

func flow(id, action string) config.Change {
	return config.Change{Resource: config.Resource{Kind: config.KindFlow, ID: id,
		Spec: []byte(`{"trigger":{"event":"a"},"nodes":{"hi":{"action":"` + action + `"}},"edges":["start -> hi"]}`)}}
}

// An apply takes a flow only if the plugins offer what it asks for. What is
// applied already stays, also where its plugin is away: at a start, when another
// node has applied it, and when something else is applied.
func TestApplyChecksChangedFlows(t *testing.T) {
	dir := t.TempDir()
	b, stop := openBus(t, dir)
	actions := config.Actions(offers{"my/do"})
	with := WithActions(func() config.Actions { return actions })
	r, err := Open(t.Context(), b, config.Defaults(true), slog.New(slog.DiscardHandler), with)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, r, flow("good", "my/do"))
	refused := func(r *Registry, o ApplyOptions, changes ...config.Change) {
		t.Helper()
		_, err := r.Apply(t.Context(), changes, o)
		var problems config.Problems
		if !errors.As(err, &problems) || !strings.Contains(err.Error(), "there is no action") {
			t.Fatalf("got %v", err)
		}
		if r.Current().Revision() != 2 {
			t.Fatalf("a refused apply makes revision %d", r.Current().Revision())
		}
	}
	refused(r, ApplyOptions{}, source("s", "S"), flow("bad", "my/dont"))
	refused(r, ApplyOptions{DryRun: true}, flow("bad", "my/dont"))
	refused(r, ApplyOptions{}, flow("good", "my/dont"))

	// The plugin goes away.
	actions = offers{"his/do"}
	refused(r, ApplyOptions{}, flow("another", "my/do"))
	apply(t, r, flow("good", "my/do"), source("s", "S"))
	want(t, r, b, 3, "good", "dev", "s")

	// Another node, which knows of no plugin yet, takes what is applied.
	second, err := Open(t.Context(), b, config.Defaults(true), slog.New(slog.DiscardHandler), WithActions(func() config.Actions { return offers{} }))
	if err != nil {
		t.Fatal(err)
	}
	actions = offers{"my/do"}
	apply(t, r, flow("another", "my/do"))
	if set, err := second.At(t.Context(), 4); err != nil || len(set.Flows()) != 2 {
		t.Errorf("the other node has %v, %v", set, err)
	}

	// A start, without any plugin; as long as nothing is known, all is taken.
	stop()
	again, _ := openBus(t, dir)
	r, err = Open(t.Context(), again, config.Defaults(true), slog.New(slog.DiscardHandler), WithActions(func() config.Actions { return nil }))
	if err != nil {
		t.Fatal(err)
	}
	apply(t, r, flow("third", "any/thing"))
	want(t, r, again, 5, "another", "good", "third", "dev", "s")
}
