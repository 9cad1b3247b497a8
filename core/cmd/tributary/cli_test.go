package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

const retail = "../../../configs/examples/retail"

func TestUsage(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct {
		args, message string
	}{
		{"nonsense", "unknown command \"nonsense\""},
		{"appyl", "unknown command \"appyl\"; did you mean `tributary apply`?"},
		{"profiles cuont", "unknown command \"profiles cuont\"; did you mean `tributary profiles count`?"},
		{"help foo", "unknown command \"foo\"; see"},
		{"help profiles gett", "unknown command \"profiles gett\"; did you mean `tributary profiles get`?"},
		{"profile", "did you mean `tributary profiles`?"},
		{"profiles gett", "unknown command \"profiles gett\""},
		{"get", "missing KIND; usage: tributary get KIND [ID]"},
		{"get a b c", "unexpected argument \"c\""},
		{"get source --output xml", "--output xml: want table or json or yaml"},
		{"send", "missing TYPE"},
		{"send x --nonsense", "unknown flag: --nonsense; see `tributary send --help`"},
		{"send x --prop nonsense", "--prop nonsense: want name=value"},
		{"send x --ids nonsense", "--ids nonsense: want kind=value"},
		{"send x --time yesterday", "--time: \"yesterday\" is not a time"},
		{"send x --wait soon", "--wait soon: want processed or flows or indexed"},
		{"apply", "missing -f PATH"},
		{"deadletters show x", "\"x\" is no number of a dead letter"},
		{"profiles query --limit 0", "--limit 0: want at least 1"},
		{"profiles changes", "missing ID"},
		{"profiles changes x --limit 0", "--limit 0: want at least 1"},
		{"profiles changes x --from yesterday", "--from: \"yesterday\" is not a time"},
		{"import f.csv --delimiter ab", "--delimiter \"ab\": want one character"},
		{"run --set nonsense=1", "nonsense: unknown setting"},
		{"run --set http.addr=8080", "tributary: --set http.addr: \"8080\" is not an address"},
		{"run --http 8080", "tributary: --http: \"8080\" is not an address"},
		{"run --set durability=maybe", "unknown value \"maybe\"; want one of fsync, process"},
		{"run --plugin-dir /nope", "there is no directory /nope, which plugins.dir or --plugin-dir names"},
		{"run extra", "unexpected argument \"extra\""},
	} {
		fails(t, dir, exitUsage, test.message, strings.Fields(test.args)...)
	}
}

func TestHelp(t *testing.T) {
	dir := t.TempDir()
	for args, want := range map[string]string{"help": "Start with:", "help profiles": "Read profiles, and erase them", "help profiles get": "--events"} {
		contains(t, args, must(t, dir, strings.Fields(args)...), want)
	}
}

func TestHelpHasExamples(t *testing.T) {
	root := newRoot()
	for _, c := range root.Commands() {
		if c.Example == "" && !c.Hidden {
			t.Errorf("tributary %s has no example", c.Name())
		}
		for _, sub := range c.Commands() {
			if sub.Example == "" {
				t.Errorf("tributary %s %s has no example", c.Name(), sub.Name())
			}
		}
	}
}

func TestWithoutAServer(t *testing.T) {
	dir := t.TempDir()
	fails(t, dir, exitFailed, "no server runs on "+dir+"; start it with `tributary run`", "get", "source")
	fails(t, dir, exitFailed, "no server answers at 127.0.0.1:1", "get", "source", "--server", "127.0.0.1:1")
	if err := writeRunning(dir, &running{URL: "http://127.0.0.1:1", Admin: "http://127.0.0.1:1", PID: 4711}); err != nil {
		t.Fatal(err)
	}
	fails(t, dir, exitFailed, "the server (pid 4711) does not answer at http://127.0.0.1:1; `tributary run` starts it", "get", "source")
	contains(t, "version", must(t, dir, "version", "-o", "json"), `"version"`, `"go1.`)
}

func TestResourceCommands(t *testing.T) {
	dir := t.TempDir()
	run(t, dir)
	shop := file(t, "shop.yaml", "kind: source\nid: shop\nspec: {name: Web shop, keys: [shop-key]}\n---\nkind: event-type\nid: order\nspec: {tags: [shop]}\n")

	contains(t, "validate", must(t, dir, "validate", "-f", shop), "2 resources are valid")
	contains(t, "dry run", must(t, dir, "apply", "-f", shop, "--dry-run"), "created    source/shop", "dry run, nothing was changed: 2 created")
	fails(t, dir, exitFailed, `there is no source "shop"`, "get", "source", "shop")
	contains(t, "apply", must(t, dir, "apply", "-f", shop), "created    source/shop\ncreated    event-type/order\nrevision 2: 2 created")
	contains(t, "apply again", must(t, dir, "apply", "-f", shop), "revision 2: 2 unchanged")

	if got, want := must(t, dir, "get", "source"), "KIND    ID    REVISION\nsource  dev   1\nsource  shop  2\n"; got != want {
		t.Errorf("get source prints\n%swant\n%s", got, want)
	}
	yaml := must(t, dir, "get", "source", "shop")
	if want := "kind: source\nid: shop\nspec:\n  keys:\n    - shop-key\n  name: Web shop\n"; yaml != want {
		t.Errorf("get source shop prints\n%swant\n%s", yaml, want)
	}
	contains(t, "what get prints, applied", must(t, dir, "apply", "-f", file(t, "again.yaml", yaml)), "unchanged  source/shop")
	contains(t, "json", must(t, dir, "get", "source", "-o", "json"), `"id": "dev"`, `"id": "shop"`)

	// What is built in is marked, and printed to be applied only where that is asked for.
	contains(t, "get event-type", must(t, dir, "get", "event-type"), "\nevent-type  order  ", "\nevent-type  basket-viewed  ", "  built in\n")
	if got, want := must(t, dir, "get", "event-type", "-o", "yaml"), "kind: event-type\nid: order\nspec:\n  tags:\n    - shop\n"; got != want {
		t.Errorf("get event-type -o yaml prints\n%swant\n%s", got, want)
	}
	contains(t, "with --built-in", must(t, dir, "get", "event-type", "-o", "yaml", "--built-in"), "id: order\n", "id: basket-viewed\n")
	basket := must(t, dir, "get", "event-type", "basket-viewed")
	contains(t, "a built-in type", basket, "kind: event-type\nid: basket-viewed\nspec:\n", "  sample:\n")
	fails(t, dir, exitFailed, `event-type "basket-viewed" is built in and cannot be deleted; a resource of that id replaces it`, "delete", "event-type", "basket-viewed")
	contains(t, "a built-in type, applied", must(t, dir, "apply", "-f", file(t, "basket.yaml", basket)), "created    event-type/basket-viewed")
	contains(t, "deleted", must(t, dir, "delete", "event-type", "basket-viewed"), "deleted    event-type/basket-viewed")
	if got := must(t, dir, "get", "event-type", "basket-viewed"); got != basket {
		t.Errorf("the built-in type is back as\n%s", got)
	}

	// What is wrong is told with file, line and field; nothing is applied.
	wrong := file(t, "wrong.yaml", "kind: source\nid: a\nspec: {keys: [a]}\n---\nkind: source\nid: b\nspec: {kys: [b]}\n")
	fails(t, dir, exitFailed, "wrong.yaml:7: source/b: spec.kys", "validate", "-f", wrong)
	fails(t, dir, exitFailed, "wrong.yaml:7: source/b: spec.kys", "apply", "-f", wrong)
	taken := file(t, "taken.yaml", "kind: source\nid: z\nspec: {keys: [shop-key]}\n")
	fails(t, dir, exitFailed, "taken.yaml:3: source/z: spec.keys[0]: is a write key of source shop too", "apply", "-f", taken)
	fails(t, dir, exitFailed, `there is no source "z"`, "get", "source", "z")
	fails(t, dir, exitFailed, "no such file", "apply", "-f", dir+"/none.yaml")
	for _, text := range []string{"", "# nothing yet\n", "---\n"} {
		empty := file(t, "empty.yaml", text)
		fails(t, dir, exitFailed, "empty.yaml: holds no resource", "apply", "-f", empty)
		fails(t, dir, exitFailed, "empty.yaml: holds no resource", "validate", "-f", empty, "-f", shop)
	}

	// A flow is a resource like the others. Without a server the actions of
	// plugins are left to apply.
	flow := file(t, "flow.yaml", "kind: flow\nid: f\nspec:\n  trigger: {event: a}\n  nodes: {hi: {action: my/do}, end: {action: core/join}}\n  edges:\n  - start -> hi\n  - hi -> end\n")
	code, stdout, stderr := cli(t, dir, "validate", "-f", flow)
	if code != exitDone || stdout != "1 resource is valid\n" || stderr != "note: what the action my/do takes is checked by apply; its plugin is not known here\n" {
		t.Errorf("validate of a flow ends with %d\n%s%s", code, stdout, stderr)
	}
	circle := file(t, "circle.yaml", "kind: flow\nid: f\nspec:\n  trigger: {event: a}\n  nodes: {hi: {action: core/join}}\n  edges:\n  - start -> hi\n  - hi -> hi\n")
	fails(t, dir, exitFailed, "circle.yaml:8: flow/f: spec.edges[1]: closes the circle hi -> hi", "validate", "-f", circle)
	fails(t, dir, exitFailed, "circle.yaml:8: flow/f: spec.edges[1]: closes the circle hi -> hi", "apply", "-f", circle)
	ends := file(t, "ends.yaml", "kind: flow\nid: f\nspec:\n  trigger: {event: a}\n  nodes: {end: {action: core/join}}\n  edges: [start -> end]\n")
	contains(t, "apply a flow", must(t, dir, "apply", "-f", ends), "created    flow/f")
	contains(t, "get a flow", must(t, dir, "get", "flow"), "flow  f   5\n")
	contains(t, "the flow, applied again", must(t, dir, "apply", "-f", file(t, "flow-again.yaml", must(t, dir, "get", "flow", "f"))), "unchanged  flow/f")
	contains(t, "delete a flow", must(t, dir, "delete", "flow", "f"), "deleted    flow/f")

	needs := file(t, "needs.yaml", "kind: import\nid: orders\nspec: {source: shop, event: {type: order}}\n")
	must(t, dir, "apply", "-f", needs)
	fails(t, dir, exitFailed, "source/shop: is still needed by import/orders: delete that first", "delete", "source", "shop")
	must(t, dir, "delete", "import", "orders")
	contains(t, "delete", must(t, dir, "delete", "source", "shop"), "deleted    source/shop")
	fails(t, dir, exitFailed, `there is no source "shop"`, "delete", "source", "shop")
	fails(t, dir, exitFailed, `there is no kind of resource "sauce"; kinds: `, "get", "sauce")
	fails(t, dir, exitFailed, "want the admin token", "get", "source", "--token", "wrong")
}

func TestSendAndProfiles(t *testing.T) {
	dir := t.TempDir()
	run(t, dir)
	must(t, dir, "apply", "-f", retail+"/retail.yaml")
	order := []string{"send", "order-completed", "--key", "shop-key", "--user", "17850", "--id", "1", "--prop", "total=139.12", "--wait", "indexed"}
	contains(t, "send", must(t, dir, order...), "accepted  event 1\nprofile   ")
	contains(t, "send again", must(t, dir, order...), "duplicate  event 1\n")
	contains(t, "the profile", must(t, dir, "profiles", "get", "user:17850", "--events", "5"),
		"orders: 1\n", "revenue: 139.12\n", "last_total: 139.12\n", `{"total":139.12}`)
	contains(t, "the profile as JSON", must(t, dir, "profiles", "get", "user:17850", "-o", "json"), `"orders": 1`)
	fails(t, dir, exitFailed, `there is no profile with user "1"`, "profiles", "get", "user:1")
	fails(t, dir, exitFailed, `there is no profile "ann"; an identifier is written with its kind, such as user:ann`, "profiles", "get", "ann")

	contains(t, "an event that breaks the schema",
		must(t, dir, "send", "order-completed", "--key", "shop-key", "--user", "17850", "--prop", "total=much", "--wait", "processed"),
		"not valid: it is kept, and changes nothing", "properties.total: ")
	fails(t, dir, exitFailed, "unknown write key", "send", "x", "--key", "nobody")
	fails(t, dir, exitFailed, "the event is invalid: ids.card", "send", "x", "--ids", "card=1")
	must(t, dir, "send", "order-completed", "--key", "shop-key", "--user", "2", "--prop", "total=5", "--wait", "indexed")

	contains(t, "query", must(t, dir, "profiles", "query", "profile.counters.revenue > 100"), "user:17850", "orders=1 revenue=139.12")
	contains(t, "sorted", must(t, dir, "profiles", "query", "--sort=counters.revenue", "--limit", "1"), "user:2")
	fails(t, dir, exitFailed, `sort: profiles have no field "foo"; want one of consents, counters`, "profiles", "query", "--sort", "foo")
	if got := must(t, dir, "profiles", "count", "profile.counters.orders == 1"); got != "2\n" {
		t.Errorf("count prints %q, want 2", got)
	}
	fails(t, dir, exitFailed, "filter: line 1, column", "profiles", "query", "profile.counters.orders >")
	fails(t, dir, exitFailed, `tributary: nobody keeps count("order-completed", "7d"): windows and sums are kept where a stored condition reads them`, "profiles", "count", `count("order-completed", "7d") > 1`)
}

func TestSendWaitsForFlows(t *testing.T) {
	dir := t.TempDir()
	run(t, dir)
	must(t, dir, "apply", "-f", file(t, "flows.yaml", `
kind: flow
id: thank-you
spec:
  trigger: {event: order-completed}
  nodes:
    vip:   {action: profile/set, config: {set: {traits.vip: true}}}
    reply: {action: core/result, config: {value: {order: '{{ event.properties.total }}', vip: '{{ profile.traits.vip }}'}}}
  edges: [start -> vip, vip -> reply]
---
kind: flow
id: hail
spec:
  trigger: {event: order-completed}
  nodes: {reply: {action: core/result, config: {value: Hello}}}
  edges: [start -> reply]
---
kind: flow
id: breaks
spec:
  trigger: {event: order-completed}
  nodes: {no: {action: core/fail, config: {message: no}}}
  edges: [start -> no]
`))
	order := []string{"send", "order-completed", "--user", "17850", "--id", "1", "--prop", "total=139.10", "--wait", "flows"}
	out := must(t, dir, order...)
	contains(t, "send", out, "accepted  event 1\nprofile   ",
		"\nflow      hail answered \"Hello\"\nflow      thank-you answered {\"order\":139.1,\"vip\":true}\n")
	if strings.Contains(out, "breaks") {
		t.Errorf("a flow that fails has an answer:\n%s", out)
	}
	contains(t, "the profile", must(t, dir, "profiles", "get", "user:17850"), "vip: true\n")
	contains(t, "the flow that failed", must(t, dir, "deadletters", "list", "--origin", "flow"), "flow    breaks/no: no\n")
	if out := must(t, dir, order...); !strings.HasPrefix(out, "duplicate  event 1\n") || strings.Contains(out, "flow") {
		t.Errorf("flows are told of for a duplicate:\n%s", out)
	}

	order[5] = "2"
	var reply struct {
		Accepted int
		Response struct{ Hail string }
		Results  []struct {
			ID, Profile string
			Response    map[string]any
		}
	}
	if err := json.Unmarshal([]byte(must(t, dir, append(order, "--json")...)), &reply, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatal(err)
	}
	if reply.Accepted != 1 || reply.Response.Hail != "Hello" || len(reply.Results) != 1 || reply.Results[0].ID != "2" || reply.Results[0].Profile == "" ||
		fmt.Sprint(reply.Results[0].Response) != "map[hail:Hello thank-you:map[order:139.1 vip:true]]" {
		t.Errorf("as JSON: %+v", reply)
	}

	contains(t, "an event that no flow waits for", must(t, dir, "send", "view", "--user", "17850", "--wait", "flows"), "flows     none answered (a flow that failed is in: tributary deadletters list)\n")
	if out := must(t, dir, "send", "view", "--user", "17850", "--wait", "processed"); strings.Contains(out, "flow") {
		t.Errorf("flows are told of where nobody waits for them:\n%s", out)
	}
}

func TestTail(t *testing.T) {
	dir := t.TempDir()
	run(t, dir)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := command(ctx, dir, "tail", "--type", "order", "--filter", "event.properties.total > 100", "-n", "1")
	var out bytes.Buffer
	c.Stdout = &out
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	heard := make([]byte, 4096)
	if n, err := stderr.Read(heard); err != nil || !strings.HasPrefix(string(heard[:n]), "listening") {
		t.Fatalf("tail says %q (%v)", heard[:n], err)
	}
	for _, send := range []string{"view --prop total=500", "order --prop total=50", "order --prop total=500", "order --prop total=600"} {
		must(t, dir, append([]string{"send", "--user", "7", "--wait", "processed"}, strings.Fields(send)...)...)
	}
	if err := c.Wait(); err != nil {
		t.Fatalf("tail: %v", err)
	}
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `order                 dev         `) || !strings.Contains(got, `{"total":500}`) {
		t.Errorf("tail prints\n%s", got)
	}
	fails(t, dir, exitFailed, "line 1, column", "tail", "--filter", "event.")
	fails(t, dir, exitFailed, "token", "tail", "--token", "wrong")
}

func TestStoreRebuild(t *testing.T) {
	dir := t.TempDir()
	run(t, dir)
	for i := range 5 {
		must(t, dir, "send", "view", "--user", fmt.Sprint(i), "--wait", "indexed")
	}
	contains(t, "rebuild", must(t, dir, "store", "rebuild"), "rebuilt the query store in ")
	if got := must(t, dir, "profiles", "count"); got != "5\n" {
		t.Errorf("%s profiles after the rebuild, want 5", got)
	}
}
