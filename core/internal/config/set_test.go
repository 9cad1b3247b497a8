package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// parse reads resources that must be right.
func parse(t testing.TB, text string) []Resource {
	t.Helper()
	list, err := Parse("f.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func newSet(t testing.TB, text string) *Set {
	t.Helper()
	s, err := NewSet(1, parse(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSetNamesWhatDoesNotFit(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"a key of two sources", shop + "---\nkind: source\nid: till\nspec: {keys: [a, shop-key]}\n",
			"f.yaml:5: source/till: spec.keys[1]: is a write key of source shop too; a key belongs to one source"},
		{"no such source", shop + "---\nkind: import\nid: i\nspec: {source: shopp, event: {type: a}}\n",
			`f.yaml:5: import/i: spec.source: there is no source "shopp"; did you mean "shop"?`},
		{"no source at all", "kind: import\nid: i\nspec: {source: shop, event: {type: a}}\n",
			`f.yaml:1: import/i: spec.source: there is no source "shop", nor any other; apply it first, or in the same call`},
		{"no such kind of static ids", "kind: source\nid: crm\nspec: {static_ids: usr}\n",
			`f.yaml:1: source/crm: spec.static_ids: unknown kind of identifier; did you mean "user"?, or apply an identification of that id`},
		{"no such source of the event", shop + "---\nkind: import\nid: i\nspec: {source: shop, event: {type: a, source: web}}\n",
			`f.yaml:5: import/i: spec.event.source: there is no source "web"; want one of shop`},
		{"no such kind of identifier", shop + "---\nkind: import\nid: i\nspec: {source: shop, event: {type: a, ids: {mail: row.m}}}\n",
			`f.yaml:5: import/i: spec.event.ids.mail: unknown kind of identifier; did you mean "email"?, or apply an identification of that id`},
		{"the session", shop + "---\nkind: import\nid: i\nspec: {source: shop, event: {type: a, ids: {session: row.m}}}\n",
			"f.yaml:5: import/i: spec.event.ids.session: unknown kind of identifier; want one of anonymous, email, phone, user, or apply an identification of that id"},
	} {
		if _, err := NewSet(1, parse(t, test.text)); err == nil || err.Error() != test.want {
			t.Errorf("%s\ngot  %v\nwant %s", test.name, err, test.want)
		}
	}
	twice := append(parse(t, shop), parse(t, shop)...)
	if _, err := NewSet(1, twice); err == nil || !strings.Contains(err.Error(), "is there twice") {
		t.Errorf("the same resource twice: %v", err)
	}
	if _, err := NewSet(1, []Resource{{Kind: "source", ID: "x", Spec: json.RawMessage(`{"name":1,"nam":2}`)}}); len(problemsOf(err)) != 2 {
		t.Errorf("a stored spec that is wrong twice: %v", err)
	}
}

// No message shows a write key.
func TestMessagesKeepKeysSecret(t *testing.T) {
	for _, text := range []string{
		shop + "---\nkind: source\nid: b\nspec: {keys: [shop-key]}\n",
		spec("source", "keys: ['shop-key:x']"), spec("source", "keys: ['shop-key x']"), spec("source", "keys: [shop-key, shop-key]"),
		spec("source", "keys: {shop-key: 1}"),
	} {
		list, err := Parse("f.yaml", []byte(text))
		if err == nil {
			_, err = NewSet(1, list)
		}
		if err == nil || strings.Contains(err.Error(), "shop-key") {
			t.Errorf("%s\n%v", text, err)
		}
	}
}

func TestSetFindsSources(t *testing.T) {
	s := newSet(t, shop+"---\nkind: source\nid: till\nspec: {name: Till, keys: [a, b], origins: ['https://Shop.example/'], rate: 1200/m, trusted: true, disabled: true, keyless: true, fingerprint: 15m}\n")
	for key, want := range map[string]string{
		"shop-key": "shop", "shop-key:": "shop", "shop-key:anything:else": "shop", "a": "till", "b:x": "till",
		"": "", ":": "", "shop": "", "shop-ke": "", "c": "", ":shop-key": "",
	} {
		source, ok := s.SourceByKey(key)
		if ok != (want != "") || ok && source.ID != want {
			t.Errorf("key %q: got %+v", key, source)
		}
	}
	till, ok := s.Source("till")
	want := &Source{
		ID: "till", Name: "Till", Keys: []string{"a", "b"}, Origins: []string{"https://shop.example"}, Rate: Rate{1200, time.Minute},
		Trusted: true, Disabled: true, Keyless: true, Bots: BotsAllow, IP: IPKeep, Fingerprint: 15 * time.Minute,
	}
	if !ok || !reflect.DeepEqual(till, want) || till.Rate.PerSecond() != 20 {
		t.Errorf("got  %+v\nwant %+v", till, want)
	}
	if !till.Allows("https://SHOP.example") || till.Allows("https://shop.example.evil") || till.Allows("null") {
		t.Error("wrong origins are allowed, or the right one is not")
	}
	if open, _ := s.Source("shop"); !open.Allows("https://anywhere.example") || open.Rate.PerSecond() != 0 {
		t.Error("a source without origins and rate is limited")
	}
	if _, ok := s.Source("none"); ok {
		t.Error("found a source that is not there")
	}
}

const orders = `
kind: event-type
id: order-completed
spec:
  when: event.source == "shop"
  traits: {total: order_total, cart.size: size}
  copy:
    - {to: traits.last_total, from: event.properties.total}
    - {to: counters.orders, op: increment}
    - {to: counters.returns, op: decrement, by: 0.5}
    - {to: traits.weekly, from: 'count("order-completed", "7d") + count("page-view")'}
    - {to: traits.spent, from: 'sum("order-completed", "total") + sum("order-completed", "total", "30d")', op: set-if-missing}
    - {to: 'data["a.b"].c', op: delete}
  tags: [ecommerce]
`

func TestSetFindsEventTypes(t *testing.T) {
	s := newSet(t, orders)
	e := s.EventType("order-completed")
	if e == nil || s.EventType("none") != nil || strings.Join(s.EventTypes(), " ") != "order-completed" {
		t.Fatalf("got %+v", e)
	}
	if want := []TraitRule{{sdk.Path{"cart", "size"}, sdk.Path{"size"}}, {sdk.Path{"total"}, sdk.Path{"order_total"}}}; !reflect.DeepEqual(e.Traits, want) {
		t.Errorf("traits %v", e.Traits)
	}
	var rules []string
	for _, c := range e.Copy {
		rules = append(rules, fmt.Sprintf("%s %s %v %v", c.Op, c.To, c.From != nil, c.By))
	}
	want := "set traits.last_total true <nil>|increment counters.orders false 1|decrement counters.returns false 0.5|set traits.weekly true <nil>|" +
		`set-if-missing traits.spent true <nil>|delete data["a.b"].c false <nil>`
	if got := strings.Join(rules, "|"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	event := &sdk.Event{Source: "shop"}
	if ok, err := e.When.Bool(&condition.Vars{Event: event}); !ok || err != nil {
		t.Errorf("when: %v, %v", ok, err)
	}
	if !reflect.DeepEqual(e.Tags, []string{"ecommerce"}) {
		t.Errorf("tags %v", e.Tags)
	}
}

// What stored conditions read of the past is known, each once.
func TestSetKnowsAggregates(t *testing.T) {
	again := strings.NewReplacer("order-completed\nspec", "refund\nspec").Replace(orders)
	s := newSet(t, orders+"---"+again)
	want := []condition.Aggregate{
		{Func: condition.Sum, Type: "order-completed", Property: "total"},
		{Func: condition.Count, Type: "order-completed", Window: 7 * 24 * time.Hour},
		{Func: condition.Sum, Type: "order-completed", Property: "total", Window: 30 * 24 * time.Hour},
	}
	if got := s.Aggregates(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestSchemas(t *testing.T) {
	s := newSet(t, `
kind: event-type
id: a
spec:
  schema:
    type: object
    required: [total]
    additionalProperties: false
    properties:
      total: {type: number, minimum: 0}
      count: {$ref: '#/$defs/whole'}
      code: {pattern: '^[A-Z]+$'}
    $defs: {whole: {type: integer}}
---
kind: event-type
id: open
spec: {}
---
kind: event-type
id: closed
spec: {schema: false}
`)
	if len(s.EventType("open").Validators) != 0 || s.EventType("closed").Validators[0].Validate(map[string]any{}) == nil {
		t.Error("a schema that is not there refuses, or false accepts")
	}
	for properties, want := range map[string]bool{
		`{"total": 1}`:                 true,
		`{"total": 1.5, "count": 2.0}`: true,
		`{"total": 123456789012345678901234567890, "count": 123456789012345678901234567890}`: true,
		`{"total": 1, "code": "ÄB"}`: false,
		`{}`:                         false,
		`{"total": "1"}`:             false,
		`{"total": -0.001}`:          false,
		`{"total": 1, "count": 1.5}`: false,
		`{"total": 1, "x": 1}`:       false,
	} {
		value, err := sdk.ParseObject([]byte(properties))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.EventType("a").Validators[0].Validate(value); (err == nil) != want {
			t.Errorf("%s: %v", properties, err)
		}
	}
}

func TestSetOrdersIdentifications(t *testing.T) {
	one := func(id, spec string) string { return "---\nkind: identification\nid: " + id + "\nspec: " + spec + "\n" }
	s := newSet(t, one("loyalty", "{priority: 5, limit: 3, normalise: digits, event: event.traits.card, profile: data.cards.loyalty}")+
		one("b", "{priority: 7}")+one("a", "{priority: 7}")+one("none", "{}")+one("email", "{priority: 0, normalise: trim}"))
	var ids []string
	for _, i := range s.Identifications() {
		ids = append(ids, i.ID)
	}
	if got := strings.Join(ids, " "); got != "email loyalty a b none" {
		t.Errorf("order %s", got)
	}
	loyalty := s.Identifications()[1]
	if loyalty.Profile.String() != "data.cards.loyalty" || loyalty.Limit != 3 || loyalty.Event == nil {
		t.Errorf("got %+v", loyalty)
	}
	event := &sdk.Event{Traits: sdk.NewObject(map[string]any{"card": "12-34"})}
	if v, err := loyalty.Event.Value(&condition.Vars{Event: event}); err != nil || v != "12-34" {
		t.Errorf("value %v, %v", v, err)
	}
	for _, test := range []struct{ kind, value, want string }{
		{"user", " 17850 ", "17850"}, {"anonymous", "Ab", "Ab"}, {"email", " A@B.example ", "A@B.example"},
		{"phone", "+48 600-100-200", "+48600100200"}, {"loyalty", "12-34", "1234"}, {"none", " x ", "x"},
	} {
		kind, ok := s.Kind(test.kind)
		if got := kind.Value(test.value); !ok || got != test.want {
			t.Errorf("%s %q: got %q, want %q", test.kind, test.value, got, test.want)
		}
	}
	if _, ok := s.Kind("session"); ok {
		t.Error("a session can be named as an identifier")
	}
	if user, _ := s.Kind("user"); user.Limit != 1 {
		t.Errorf("a profile may have %d users", user.Limit)
	}
	if email, _ := newSet(t, shop).Kind("email"); email.Value("A@B.example") != "a@b.example" {
		t.Error("an e-mail address is not one in capitals")
	}
}

func TestNormalise(t *testing.T) {
	for _, test := range []struct {
		rule        Normalisation
		value, want string
	}{
		{NormaliseTrim, "\t Aé ", "Aé"}, {NormaliseLower, " ÀB@x ", "àb@x"}, {NormaliseDigits, "0048 x1", "00481"},
		{NormalisePhone, "(+48) 600", "48600"}, {NormalisePhone, "0048 600", "+48600"}, {NormalisePhone, "600 100", "600100"},
		{NormalisePhone, "+", ""}, {NormalisePhone, "n/a", ""}, {NormalisePhone, "+٤٨", ""}, {NormaliseLower, "  ", ""},
	} {
		got := Normalise(test.rule, test.value)
		if got != test.want {
			t.Errorf("%s %q: got %q, want %q", test.rule, test.value, got, test.want)
		}
		if again := Normalise(test.rule, got); again != got && test.rule != NormalisePhone {
			t.Errorf("%s %q: normalised again it is %q", test.rule, got, again)
		}
	}
}

func TestApply(t *testing.T) {
	s := newSet(t, shop+"---\nkind: source\nid: b\nspec: {keys: [b]}\n---\nkind: import\nid: i\nspec: {source: shop, event: {type: a}}\n")
	changes := append(Puts(parse(t, "kind: source\nid: b\nspec: {keys: [c]}\n---\nkind: source\nid: new\nspec: {}\n---\nkind: source\nid: shop\nspec:\n  keys:\n  - 'shop-key'\n")),
		Change{Resource: Resource{Kind: "import", ID: "i"}, Delete: true}, Change{Resource: Resource{Kind: "import", ID: "j"}, Delete: true})
	next, differences, err := s.Apply(changes)
	if err != nil {
		t.Fatal(err)
	}
	want := []Difference{{"source", "b", Changed}, {"source", "new", Created}, {"source", "shop", Unchanged}, {"import", "i", Deleted}, {"import", "j", Unchanged}}
	if !reflect.DeepEqual(differences, want) {
		t.Errorf("got  %v\nwant %v", differences, want)
	}
	var listed []string
	for _, r := range next.Resources() {
		listed = append(listed, fmt.Sprintf("%s/%s@%d", r.Kind, r.ID, r.Revision))
	}
	if got := strings.Join(listed, " "); next.Revision() != 2 || got != "source/b@2 source/new@2 source/shop@1" {
		t.Errorf("revision %d holds %s", next.Revision(), got)
	}
	if _, ok := next.SourceByKey("b"); ok {
		t.Error("an old key still works")
	}
	if _, ok := s.SourceByKey("c"); ok || len(s.Resources()) != 3 {
		t.Error("the set before has changed too")
	}
	if same, _, err := next.Apply(Puts(next.Resources())); err != nil || same != next {
		t.Errorf("applied again, the same is another set: %v", err)
	}
}

func TestApplyIsAllOrNothing(t *testing.T) {
	s := newSet(t, shop+"---\nkind: identification\nid: card\nspec: {priority: 1}\n---\nkind: import\nid: i\nspec: {source: shop, event: {type: a, ids: {card: row.Card}}}\n")
	for _, test := range []struct {
		name    string
		changes []Change
		want    string
	}{
		{"a source in use", []Change{{Resource: Resource{Kind: "source", ID: "shop"}, Delete: true}},
			`source/shop: is still needed by import/i: delete that first`},
		{"a kind of identifier in use", []Change{{Resource: Resource{Kind: "identification", ID: "card"}, Delete: true}},
			`identification/card: is still needed by import/i: delete that first`},
		{"put and deleted", append(Puts(parse(t, shop)), Change{Resource: Resource{Kind: "source", ID: "shop"}, Delete: true}),
			"source/shop: is there twice, first at f.yaml:1; remove one"},
		{"deleted twice", []Change{{Resource: Resource{Kind: "import", ID: "i"}, Delete: true}, {Resource: Resource{Kind: "import", ID: "i"}, Delete: true}},
			"import/i: is there twice; remove one"},
		{"one is wrong", append(Puts(parse(t, "kind: source\nid: new\nspec: {}\n")), Change{Resource: Resource{Kind: "source", ID: "x", Spec: json.RawMessage(`{"keys":1}`)}}),
			"source/x: spec.keys: want a list, got a number"},
		{"a key is taken", Puts(parse(t, "kind: source\nid: z\nspec: {keys: [shop-key]}\n")),
			"f.yaml:1: source/z: spec.keys[0]: is a write key of source shop too; a key belongs to one source"},
		{"no JSON", []Change{{Resource: Resource{Kind: "source", ID: "x", Spec: json.RawMessage(`{`)}}}, "source/x: spec: line 1: not JSON: unexpected EOF"},
	} {
		next, differences, err := s.Apply(test.changes)
		if err == nil || err.Error() != test.want || next != nil || differences != nil {
			t.Errorf("%s\ngot  %v\nwant %s", test.name, err, test.want)
		}
	}
	big := strings.Repeat("x", maxSpec-100)
	var changes []Change
	for i := range maxSet/maxSpec + 2 {
		changes = append(changes, Change{Resource: Resource{Kind: "source", ID: fmt.Sprint("s", i), Spec: json.RawMessage(`{"name":"` + big + `"}`)}})
	}
	if _, _, err := s.Apply(changes); err == nil || !strings.Contains(err.Error(), "all resources together have") {
		t.Errorf("a set that no message can hold: %v", err)
	}
}

func TestDefaultResources(t *testing.T) {
	if list := Defaults(false); len(list) != 0 {
		t.Errorf("open to the network, yet it has %v", list)
	}
	s, err := NewSet(1, Defaults(true))
	if err != nil {
		t.Fatal(err)
	}
	if dev, ok := s.SourceByKey("dev"); !ok || dev.ID != "dev" || !dev.Trusted || dev.Disabled {
		t.Errorf("got %+v", dev)
	}
}

// The retail example means what its README says.
func TestRetailExample(t *testing.T) {
	list, err := LoadPaths([]string{filepath.Join("..", "..", "..", "configs", "examples", "retail")})
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSet(1, list)
	if err != nil {
		t.Fatal(err)
	}
	if source, ok := s.SourceByKey("shop-key"); !ok || source.ID != "shop" || source.Trusted {
		t.Errorf("source %+v", source)
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "configs", "examples", "retail", "online-retail-invoices.csv"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if lines[0] != "InvoiceNo,InvoiceDate,CustomerID,TotalPrice" || len(lines) != 18_533 {
		t.Fatalf("%d lines of %s", len(lines), lines[0])
	}
	mapping, _ := s.Import("orders")
	rules := s.EventType("order-completed")
	customers := map[string]bool{}
	for _, line := range lines[1:] {
		values := strings.Split(line, ",")
		event, err := mapping.Map(map[string]any{"InvoiceNo": values[0], "InvoiceDate": values[1], "CustomerID": values[2], "TotalPrice": values[3]}, time.Now())
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if event.Source != "shop" || event.Type != "order-completed" || event.ID != values[0] || event.Time.Format("2006-01-02") != values[1] {
			t.Fatalf("%s became %+v", line, event)
		}
		if err := rules.Validators[0].Validate(event.Properties); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		customers[event.IDs[0].Kind+":"+event.IDs[0].Value] = true
	}
	if len(customers) != 4338 || !customers["user:17850"] {
		t.Errorf("%d customers", len(customers))
	}
}

// The flows of the examples compute what their descriptions say.
func TestExampleFlows(t *testing.T) {
	load := func(dir string) *Set {
		list, err := LoadPaths([]string{filepath.Join("..", "..", "..", "configs", "examples", dir)})
		if err != nil {
			t.Fatal(err)
		}
		s, err := NewSet(1, list)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	big, ok := load("retail").Flow("big-orders")
	if !ok || !big.Trigger.OfEvent || len(big.Nodes) != 1 || big.Nodes[0].Action != "profile/set" {
		t.Fatalf("got %+v", big)
	}
	for had, want := range map[any]string{
		nil:      `{"set":{"traits.big_order":1000.5,"traits.big_orders":1}}`,
		int64(1): `{"set":{"traits.big_order":1000.5,"traits.big_orders":2}}`,
	} {
		vars := &condition.Vars{
			Event:   &sdk.Event{Properties: sdk.NewObject(map[string]any{"total": 1000.5})},
			Profile: &sdk.Profile{Traits: map[string]any{"big_orders": had}},
		}
		if runs, err := big.Trigger.Condition.Bool(vars); !runs || err != nil {
			t.Errorf("an order of 1000.5 is no big one: %v", err)
		}
		if got, err := big.Nodes[0].Config.AppendJSON(nil, vars); err != nil || string(got) != want {
			t.Errorf("after %v: %s, %v", had, got, err)
		}
	}
	s := load("hello")
	actions := catalogue{"hello/greet": {ID: "hello/greet", Ports: []string{"greeted", "anonymous"}, Config: schemaOf(t, `{"type":"object","properties":{"greeting":{"type":"string"}}}`)}}
	if err := s.CheckActions(actions, created(s)); err != nil {
		t.Error(err)
	}
}

func BenchmarkSourceByKey(b *testing.B) {
	s := newSet(b, shop)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := s.SourceByKey("shop-key:x"); !ok {
			b.Fatal("not found")
		}
	}
}

func BenchmarkApplyOneOf1000(b *testing.B) {
	var text strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&text, "---\nkind: event-type\nid: t%d\nspec: {schema: {type: object}, copy: [{to: traits.a, from: event.properties.a}]}\n", i)
	}
	s := newSet(b, text.String())
	one := parse(b, "kind: event-type\nid: t7\nspec: {}\n")
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := s.Apply(Puts(one)); err != nil {
			b.Fatal(err)
		}
	}
}
