package flow

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/sdk/wire"
)

// graph makes a flow of edges as they are written: "a:port -> b". Nodes that
// begin with all or any are joins.
func graph(t *testing.T, edges ...string) *config.Flow {
	t.Helper()
	f := &config.Flow{ID: "test"}
	index := func(id string) int {
		if id == "start" {
			return -1
		}
		i := slices.IndexFunc(f.Nodes, func(n config.FlowNode) bool { return n.ID == id })
		if i < 0 {
			i = len(f.Nodes)
			n := config.FlowNode{ID: id, Action: "test/" + id}
			for _, mode := range []config.JoinMode{config.JoinAll, config.JoinAny} {
				if strings.HasPrefix(id, string(mode)) {
					n.Action, n.Join = actionJoin, mode
				}
			}
			f.Nodes = append(f.Nodes, n)
		}
		return i
	}
	for _, text := range edges {
		from, to, _ := strings.Cut(text, " -> ")
		from, port, _ := strings.Cut(from, ":")
		e := config.FlowEdge{From: index(from), Port: port, To: index(to)}
		f.Nodes[e.To].In = append(f.Nodes[e.To].In, e)
		if e.From < 0 {
			f.Start = append(f.Start, e.To)
		} else {
			f.Nodes[e.From].Out = append(f.Nodes[e.From].Out, e)
		}
	}
	return f
}

func TestPlan(t *testing.T) {
	diamond := []string{"start -> a", "a -> b", "a -> c", "b -> all", "c -> all", "all -> z"}
	for name, c := range map[string]struct {
		edges []string
		// results are node:port, or node!message for one that failed, in the order
		// in which they come.
		results []string
		// want are the nodes that each step begins, the first before any result.
		want []string
		// skipped are those that never run.
		skipped string
		failed  string
	}{
		"a line": {
			edges: []string{"start -> a", "a -> b"}, results: []string{"a:done", "b:done"}, want: []string{"a", "b", ""},
		},
		"one of two branches": {
			edges:   []string{"start -> if", "if:true -> a", "if:false -> b", "b -> c"},
			results: []string{"if:true", "a:done"}, want: []string{"if", "a", ""}, skipped: "b c",
		},
		"branches in parallel": {
			edges: diamond, results: []string{"a:done", "c:done", "b:done", "all:done", "z:done"},
			want: []string{"a", "b c", "", "all", "z", ""},
		},
		"branches that meet again without a join": {
			edges:   []string{"start -> if", "if:true -> a", "if:false -> b", "a -> z", "b -> z"},
			results: []string{"if:false", "b:done", "z:done"}, want: []string{"if", "b", "z", ""}, skipped: "a",
		},
		"a join for all of which one branch is not taken": {
			edges:   []string{"start -> if", "start -> a", "if:true -> b", "b -> all", "a -> all", "all -> z"},
			results: []string{"a:done", "if:false"}, want: []string{"if a", "", ""}, skipped: "b all z",
		},
		"a join for any goes on at the first, once": {
			edges:   []string{"start -> a", "start -> b", "a -> any", "b -> any", "any -> z"},
			results: []string{"b:done", "any:done", "z:done", "a:done"}, want: []string{"a b", "any", "z", "", ""},
		},
		"a join for any of nothing": {
			edges:   []string{"start -> if", "if:true -> a", "a -> any", "any -> z"},
			results: []string{"if:false"}, want: []string{"if", ""}, skipped: "a any z",
		},
		"two starts": {
			edges: []string{"start -> a", "start -> b"}, results: []string{"a:done", "b:done"}, want: []string{"a b", "", ""},
		},
		"an error with a way on": {
			edges:   []string{"start -> a", "a -> b", "a:error -> c"},
			results: []string{"a!no", "c:done"}, want: []string{"a", "c", ""}, skipped: "b",
		},
		"an edge without a port is not for errors": {
			edges: []string{"start -> a", "a -> b"}, results: []string{"a!no"}, want: []string{"a", ""}, failed: "a: no",
		},
		"the first failure counts, and nothing is begun after it": {
			edges:   []string{"start -> a", "start -> b", "b -> c"},
			results: []string{"a!no", "b:done"}, want: []string{"a b", "", ""}, failed: "a: no",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProgress(graph(t, c.edges...))
			names := func(list []int) string {
				var ids []string
				for _, i := range list {
					ids = append(ids, p.flow.Nodes[i].ID)
				}
				return strings.Join(ids, " ")
			}
			got := []string{names(plan(p))}
			for _, text := range c.results {
				node, port, _ := strings.Cut(text, ":")
				r := result{port: port}
				if id, message, failed := strings.Cut(text, "!"); failed {
					node, r.err = id, errors.New(message)
				}
				r.node = slices.IndexFunc(p.flow.Nodes, func(n config.FlowNode) bool { return n.ID == node })
				if p.steps[r.node].state != running {
					t.Fatalf("%s has a result and is not running", node)
				}
				got = append(got, names(plan(p, r)))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("began %q, want %q", got, c.want)
			}
			var skips []string
			for i := range p.steps {
				if p.steps[i].state == skipped {
					skips = append(skips, p.flow.Nodes[i].ID)
				}
			}
			if strings.Join(skips, " ") != c.skipped {
				t.Errorf("skipped %q, want %q", skips, c.skipped)
			}
			failed := ""
			if p.failure != nil {
				failed = p.failure.Node + ": " + p.failure.Message
			}
			if failed != c.failed {
				t.Errorf("failed %q, want %q", failed, c.failed)
			}
		})
	}
}

func TestAFailedNodeIsNotStoredAsDone(t *testing.T) {
	p := newProgress(graph(t, "start -> a", "start -> b", "a -> c"))
	plan(p)
	plan(p, result{node: 0, err: errors.New("no")})
	stored := p.store()
	if len(stored.Steps) != 0 {
		t.Errorf("stored %v", stored.Steps)
	}
}

func TestPlanGathersWhatNodesWant(t *testing.T) {
	p := newProgress(graph(t, "start -> a", "start -> b", "a -> all", "b -> all", "all -> z"))
	plan(p)
	patch := func(path string) []wire.Patch { return []wire.Patch{{Op: wire.OpSet, Path: path}} }
	plan(p, result{node: 1, port: "done", payload: decoded("b's"), patches: patch("traits.b")})
	next := plan(p, result{node: 0, port: "done", payload: decoded("a's"), patches: patch("traits.a")})
	if len(p.patches) != 2 || p.patches[0].Path != "traits.b" || p.patches[1].Path != "traits.a" {
		t.Errorf("patches %v", p.patches)
	}
	all, _ := p.payload(next[0]).decode().(map[string]any)
	if all["a"] != "a's" || all["b"] != "b's" || len(all) != 2 {
		t.Errorf("the join gets %v", all)
	}
}

func TestProgressIsStoredAndRestored(t *testing.T) {
	p := newProgress(graph(t, "start -> a", "a -> b", "a -> c"))
	plan(p)
	plan(p, result{node: 0, port: "done", payload: decoded(map[string]any{"x": int64(1)}), patches: []wire.Patch{{Op: wire.OpSet, Path: "traits.a", Value: []byte(`true`)}}, response: decoded("hi"), answered: true})
	text, err := json.Marshal(p.store())
	if err != nil {
		t.Fatal(err)
	}
	var stored storedProgress
	if err := json.Unmarshal(text, &stored); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	again, err := stored.restore(p.flow)
	if err != nil {
		t.Fatal(err)
	}
	// What was running is begun again.
	if next := plan(again); len(next) != 2 {
		t.Errorf("goes on with %v, want both that were running", next)
	}
	if got := string(again.payload(1).raw()); got != `{"x":1}` {
		t.Errorf("payload %s", got)
	}
	if len(again.patches) != 1 || string(again.patches[0].Value) != "true" || again.response.decode() != "hi" || !again.answered {
		t.Errorf("%+v", again)
	}
	if _, err := stored.restore(graph(t, "start -> other")); err == nil {
		t.Error("restored into a flow without the node")
	}
}
