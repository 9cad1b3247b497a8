package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const shop = "kind: source\nid: shop\nspec: {keys: [shop-key]}\n"

func spec(kind, text string) string {
	return "kind: " + kind + "\nid: x\nspec:\n  " + strings.ReplaceAll(text, "\n", "\n  ") + "\n"
}

func TestParseNamesWhatIsWrong(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		// The text.
		{"syntax", "kind: source\n id: x\n", "f.yaml:2: not YAML: mapping values are not allowed in this context"},
		{"scalar", "hello", "f.yaml:1: want an object, got a string"},
		{"twice in an object", "kind: source\nid: x\nspec: {}\nid: y\n", `f.yaml:4: field "id" is written twice, first on line 2; remove one of them`},
		{"twice in a nested object", spec("source", "name: a\nname: b"), `f.yaml:5: field "name" is written twice, first on line 4; remove one of them`},
		{"merge key", "a: &a {x: 1}\nb: {<<: *a}\n", "f.yaml:2: merge keys (<<) are not supported; write the fields out"},
		{"binary", spec("source", "name: !!binary aGk="), "f.yaml:4: the YAML type !!binary is not supported; want text, a number, true, false, null, a list or an object"},
		{"own type", spec("source", "name: !secret x"), "f.yaml:4: the YAML type !secret is not supported; want text, a number, true, false, null, a list or an object"},
		{"not a number", spec("source", "rate: .nan"), `f.yaml:4: ".nan" is not a number that JSON can hold`},
		{"complex name", "? [a]\n: b\n", "f.yaml:1: a field's name must be text"},

		// The document.
		{"no kind", "id: x\nspec: {}\n", "f.yaml:1: kind: missing"},
		{"no id", "\nkind: source\nspec: {}\n", "f.yaml:2: id: missing"},
		{"no spec", "kind: source\nid: x\n", "f.yaml:1: source/x: spec: missing"},
		{"spec is a list", "kind: source\nid: x\nspec: []\n", "f.yaml:3: source/x: spec: want an object, got an array"},
		{"unknown field", "kind: source\nid: x\nspecs: {}\nspec: {}\n", `f.yaml:3: source/x: specs: unknown field; did you mean "spec"?`},
		{"unknown kind", "kind: sources\nid: x\nspec: {}\n", `f.yaml:1: kind: unknown kind "sources"; did you mean "source"?`},
		{"strange kind", "kind: potato\nid: x\nspec: {}\n", `f.yaml:1: kind: unknown kind "potato"; want one of compliance, consent-type, event-type, flow, identification, import, merge-rule, redirect, source`},
		{"later kind", "kind: segment\nid: x\nspec: {}\n", "f.yaml:1: kind: kind segment is not available in this version; available: compliance, consent-type, event-type, flow, identification, import, merge-rule, redirect, source"},
		{"id", "kind: source\nid: a b\nspec: {}\n", `f.yaml:1: id: "a b" may hold letters, digits, and after the first character also . _ -`},
		{"numeric id", "kind: source\nid: 7\nspec: {}\n", "f.yaml:2: id: want a string, got a number; put it in quotes"},
		{"long id", "kind: source\nid: " + strings.Repeat("x", 129) + "\nspec: {}\n", "f.yaml:1: id: has 129 characters; want 1 to 128"},
		{"twice", shop + "---\n" + shop, "f.yaml:5: source/shop: is there twice, first at f.yaml:1; remove one"},

		// source
		{"unknown spec field", spec("source", "key: [a]"), `f.yaml:4: source/x: spec.key: unknown field; did you mean "keys"?`},
		{"keys is text", spec("source", "keys: a"), "f.yaml:4: source/x: spec.keys: want a list, got a string"},
		{"a key is a number", spec("source", "keys: [a, 123]"), "f.yaml:4: source/x: spec.keys[1]: want a string, got a number; put it in quotes"},
		{"an empty key", spec("source", "keys: ['']"), "f.yaml:4: source/x: spec.keys[0]: must not be empty"},
		{"a key twice", spec("source", "keys: [a, a]"), "f.yaml:4: source/x: spec.keys[1]: is in the list twice; remove one"},
		{"a key with a colon", spec("source", "keys: ['a:b']"), "f.yaml:4: source/x: spec.keys[0]: a write key must not hold a colon: a sender's text after one is ignored"},
		{"a key with a reference", spec("source", "keys: ['${KEY}']"), "f.yaml:4: source/x: spec.keys[0]: a write key may hold printable ASCII characters, but no space, quote, backslash or brace"},
		{"origin", spec("source", "origins: [shop.example]"), `f.yaml:4: source/x: spec.origins[0]: "shop.example" is not an origin; want scheme and host, such as https://shop.example or https://*.shop.example`},
		{"a * within the host", spec("source", "origins: ['https://shop.*.example']"), `f.yaml:4: source/x: spec.origins[0]: "https://shop.*.example" is not an origin; want scheme and host, such as https://shop.example or https://*.shop.example`},
		{"a * alone", spec("source", "origins: ['*']"), `f.yaml:4: source/x: spec.origins[0]: "*" is not an origin; want scheme and host, such as https://shop.example or https://*.shop.example`},
		{"a * within a type", spec("source", "types: [a, 'order-*-done']"), `f.yaml:4: source/x: spec.types[1]: "order-*-done" has a * in the middle; want a type, or how types begin and a * at the end, such as order-*`},
		{"a long type", spec("source", "types: ["+strings.Repeat("ä", 129)+"]"), "f.yaml:4: source/x: spec.types[0]: has 129 characters; a type has at most 128"},
		{"bots", spec("source", "bots: ban"), `f.yaml:4: source/x: spec.bots: unknown choice "ban"; want one of allow, mark, refuse`},
		{"ip", spec("source", "ip: hash"), `f.yaml:4: source/x: spec.ip: unknown choice "hash"; want one of keep, truncate, drop`},
		{"fingerprint for nothing", spec("source", "fingerprint: 0s"), `f.yaml:4: source/x: spec.fingerprint: 0s is out of range; want 1s to 30d, or leave it out to know nobody by a fingerprint`},
		{"fingerprint for ever", spec("source", "fingerprint: 31d"), `f.yaml:4: source/x: spec.fingerprint: 31d is out of range; want 1s to 30d, or leave it out to know nobody by a fingerprint`},
		{"rate", spec("source", "rate: fast"), `f.yaml:4: source/x: spec.rate: "fast" is not a rate; want events per second, minute or hour, such as 500/s, 1000/m or 10000/h`},
		{"trusted", spec("source", "trusted: 'yes'"), "f.yaml:4: source/x: spec.trusted: want true or false, got a string"},

		// event-type
		{"op", spec("event-type", "copy:\n  - {to: traits.a, from: event.properties.a}\n  - {to: traits.b, from: event.properties.b, op: sett}"),
			`f.yaml:6: event-type/x: spec.copy[1].op: unknown op "sett"; want one of set, set-if-missing, append, remove, increment, decrement, delete`},
		{"target", spec("event-type", "copy: [{to: segments.vip, from: 'true'}]"),
			`f.yaml:4: event-type/x: spec.copy[0].to: an event cannot write to "segments"; want a path that begins with one of traits, data, counters, interests, consents`},
		{"whole section", spec("event-type", "copy: [{to: traits, from: event.properties}]"), "f.yaml:4: event-type/x: spec.copy[0].to: names the whole of traits; want a field in it, such as traits.name"},
		{"bad path", spec("event-type", "copy: [{to: traits..a, from: event.id}]"), `f.yaml:4: event-type/x: spec.copy[0].to: path "traits..a": empty name`},
		{"no target", spec("event-type", "copy: [{from: event.id}]"), "f.yaml:4: event-type/x: spec.copy[0].to: missing"},
		{"append to a counter", spec("event-type", "copy: [{to: counters.a, from: event.id, op: append}]"),
			"f.yaml:4: event-type/x: spec.copy[0].op: append does not work on counters, which are numbers; want one of set, increment, decrement, delete"},
		{"set without from", spec("event-type", "copy: [{to: traits.a}]"), "f.yaml:4: event-type/x: spec.copy[0].from: missing; want an expression (CEL), such as event.properties.total"},
		{"set by", spec("event-type", "copy: [{to: traits.a, by: 1, from: event.id}]"), "f.yaml:4: event-type/x: spec.copy[0].by: only increment and decrement take by; use from"},
		{"by and from", spec("event-type", "copy: [{to: counters.a, op: increment, by: 1, from: event.properties.n}]"), "f.yaml:4: event-type/x: spec.copy[0].by: stands beside from; remove one of them"},
		{"by is text", spec("event-type", "copy: [{to: counters.a, op: increment, by: event.properties.n}]"), "f.yaml:4: event-type/x: spec.copy[0].by: want a number, got a string; a computed value goes into from"},
		{"delete from", spec("event-type", "copy: [{to: traits.a, op: delete, from: event.id}]"), "f.yaml:4: event-type/x: spec.copy[0].from: delete takes no value; remove from"},
		{"unknown copy field", spec("event-type", "copy: [{to: traits.a, form: event.id, from: event.id}]"), `f.yaml:4: event-type/x: spec.copy[0].form: unknown field; did you mean "from"?`},
		{"a list for a list of objects", spec("event-type", "copy: [a]"), "f.yaml:4: event-type/x: spec.copy[0]: want an object, got a string"},
		{"trait", spec("event-type", "traits: {total: 7}"), "f.yaml:4: event-type/x: spec.traits.total: want a string, got a number; put it in quotes"},
		{"trait path", spec("event-type", "traits: {a..b: c}"), `f.yaml:4: event-type/x: spec.traits["a..b"]: path "a..b": empty name; want the path of a property`},
		{"schema", spec("event-type", "schema: {type: objekt}"), `f.yaml:4: event-type/x: spec.schema: not a JSON Schema: type: value must be one of 'array', 'boolean', 'integer', 'null', 'number', 'object', 'string'; type: got string, want array`},
		{"remote schema", spec("event-type", "schema: {$ref: 'https://example.com/a.json'}"), `f.yaml:4: event-type/x: spec.schema: https://example.com/a.json is not loaded; write the definition into the schema, under $defs`},
		{"file schema", spec("event-type", "schema: {$ref: 'file:///etc/passwd'}"), `f.yaml:4: event-type/x: spec.schema: file:///etc/passwd is not loaded; write the definition into the schema, under $defs`},
		{"dangling schema", spec("event-type", "schema: {$ref: '#/$defs/none'}"), `f.yaml:4: event-type/x: spec.schema: json-pointer in "/$defs/none" not found`},
		{"look-behind", spec("event-type", "schema: {properties: {a: {pattern: '(?<!x)y'}}}"), "f.yaml:4: event-type/x: spec.schema: not a JSON Schema: properties.a.pattern: '(?<!x)y' is not valid regex: error parsing regexp: invalid named capture: `(?<!x)y`"},
		{"schema is text", spec("event-type", "schema: total"), "f.yaml:4: event-type/x: spec.schema: want a JSON Schema, an object, got a string"},
		{"control character", "kind: event-type\nid: \"a\\tb\"\nspec: {}\n", `f.yaml:1: id: "a\tb" must not hold control characters`},

		// identification
		{"system", "kind: source\nid: system\nspec: {}\n", `f.yaml:1: id: "system" is reserved: it is the source of the product's own events`},
		{"session", "kind: identification\nid: session\nspec: {}\n", `f.yaml:1: id: "session" is reserved: a session already identifies its profile`},
		{"fingerprint", "kind: identification\nid: fingerprint\nspec: {}\n", `f.yaml:1: id: "fingerprint" is reserved: a source says by its field fingerprint how long one identifies`},
		{"profile", "kind: identification\nid: profile\nspec: {}\n", `f.yaml:1: id: "profile" is reserved: an event names its profile by its field profile`},
		{"rule", spec("identification", "normalise: upper"), `f.yaml:4: identification/x: spec.normalise: unknown rule "upper"; want one of trim, lower, digits, phone`},
		{"place", spec("identification", "profile: counters.x"), `f.yaml:4: identification/x: spec.profile: "counters.x" cannot hold an identifier; want a path such as traits.email or data.contact.email`},
		{"limit", spec("identification", "limit: 0"), "f.yaml:4: identification/x: spec.limit: 0 is out of range; want 1 to 10000"},
		{"priority", spec("identification", "priority: 1.5"), "f.yaml:4: identification/x: spec.priority: want a whole number, got a number"},
		{"two users", "kind: identification\nid: user\nspec:\n  limit: 2\n", "f.yaml:4: identification/user: spec.limit: a profile has at most one user; remove limit"},

		// import
		{"no event", spec("import", "source: shop"), "f.yaml:4: import/x: spec.event: missing"},
		{"no type", spec("import", "source: shop\nevent: {id: row.a}"), "f.yaml:5: import/x: spec.event.type: missing; want the type of the events"},
		{"event is text", spec("import", "source: shop\nevent: row"), "f.yaml:5: import/x: spec.event: want an object, got a string"},
		{"unknown mapping field", spec("import", "source: shop\nevent:\n  type: a\n  times: row.b"), `f.yaml:7: import/x: spec.event.times: unknown field; did you mean "time"?`},
		{"leaf is a list", spec("import", "source: shop\nevent: {type: a, id: [row.a]}"), "f.yaml:5: import/x: spec.event.id: want an expression (CEL) as a string, got an array"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse("f.yaml", []byte(test.text))
			if err == nil {
				t.Fatalf("accepted\n%s", test.text)
			}
			if got := err.Error(); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

// Messages about expressions are those of the condition language, behind the
// place of the expression.
func TestParseNamesTheExpression(t *testing.T) {
	for _, test := range []struct{ text, where string }{
		{spec("event-type", "when: event.nonsense == 1"), "f.yaml:4: event-type/x: spec.when: line 1, column "},
		{spec("event-type", "when: '7'"), "f.yaml:4: event-type/x: spec.when: line 1, column "},
		{spec("event-type", "copy: [{to: traits.a, from: row.x}]"), "f.yaml:4: event-type/x: spec.copy[0].from: line 1, column "},
		{spec("identification", "event: profile.traits.email"), "f.yaml:4: identification/x: spec.event: line 1, column "},
		{spec("identification", `event: 'count("x") > 1'`), "f.yaml:4: identification/x: spec.event: line 1, column "},
		{spec("import", "source: shop\nevent: {type: '{{ event.id }}'}"), "f.yaml:5: import/x: spec.event.type: line 1, column "},
		{spec("import", "source: shop\nevent: {type: a, properties: {b: {c: [event.id]}}}"), "f.yaml:5: import/x: spec.event.properties.b.c[0]: line 1, column "},
	} {
		_, err := Parse("f.yaml", []byte(test.text))
		if err == nil || !strings.HasPrefix(err.Error(), test.where) {
			t.Errorf("%s\ngot  %v\nwant %s…", test.text, err, test.where)
		}
	}
}

func TestParseNamesTheLineOfJSON(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{`{"kind":"source",` + "\n" + `"id":}`, "f.json:2: not JSON: missing value after object name"},
		{`{"kind":"source",` + "\n", "f.json:2: not JSON: unexpected EOF"},
		{"{}\n{}\nx", "f.json:3: not JSON: invalid character 'x' at start of value"},
		{"{\n\"a\": 1,\n\"b\": 2,\n\"a\": 3}", `f.json:4: field "a" is written twice, first on line 2; remove one of them`},
		{"{\n\"kind\": \"source\", \"id\": \"x\", \"spec\": {\n\"name\": \n7}}", "f.json:4: source/x: spec.name: want a string, got a number; put it in quotes"},
	} {
		if _, err := Parse("f.json", []byte(test.text)); err == nil || err.Error() != test.want {
			t.Errorf("%s\ngot  %v\nwant %s", test.text, err, test.want)
		}
	}
}

func TestParseTellsAllAtOnce(t *testing.T) {
	_, err := Parse("f.yaml", []byte("kind: source\nid: a\nspec: {nam: x, trusted: 1}\n---\nkind: sorce\nid: b\nspec: {}\n"))
	want := "f.yaml:3: source/a: spec.trusted: want true or false, got a number\n" +
		"f.yaml:3: source/a: spec.nam: unknown field; did you mean \"name\"?\n" +
		"f.yaml:5: kind: unknown kind \"sorce\"; did you mean \"source\"?"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	var problem *Problem
	if !errors.As(err, &problem) || problem.Path != "spec.trusted" || problem.Origin.Line != 3 {
		t.Errorf("first problem is %+v", problem)
	}
}

func TestParseIsBounded(t *testing.T) {
	laughs := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := '1'; i <= '9'; i++ {
		laughs += "a" + string(i) + ": &a" + string(i) + " [" + strings.Repeat("*a"+string(i-1)+", ", 10) + "]\n"
	}
	for _, test := range []struct{ name, text, want string }{
		{"f.yaml", laughs, "the text unfolds to more than 200000 values; split it"},
		{"f.yaml", "a: &a [*a]\n", "nested more than 64 deep"},
		{"f.yaml", strings.Repeat("[", 100) + strings.Repeat("]", 100), "nested more than 64 deep"},
		{"f.json", strings.Repeat("[", 100) + strings.Repeat("]", 100), "nested more than 64 deep"},
		{"f.yaml", strings.Repeat(" ", maxText+1), "has 4194305 bytes; at most 4194304 are read, split it"},
		{"f.yaml", spec("source", "name: "+strings.Repeat("x", maxSpec)), "at most 524288 are allowed"},
	} {
		_, err := Parse(test.name, []byte(test.text))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.20q…: got %v, want %s", test.text, err, test.want)
		}
	}
}

func TestParseForms(t *testing.T) {
	const want = `{"kind":"source","id":"shop","spec":{"keys":["k"],"name":"é😀"}}`
	for name, text := range map[string]string{
		"a.yaml":  "kind: source\nid: shop\nspec: {name: é😀, keys: [k]}\n",
		"b.yaml":  "---\n---\n- kind: source\n  id: shop\n  spec: {name: &n é😀, keys: [k]}\n---\n",
		"c.json":  `[{"kind":"source","id":"shop","spec":{"name":"é\ud83d\ude00","keys":["k"]}}]`,
		"d.yaml":  `{"kind":"source","id":"shop","spec":{"name":"é\ud83d\ude00","keys":["k"]}}`,
		"e.yaml":  "{kind: source, id: shop, spec: {name: é😀, keys: [k]}}",
		"f.json":  "\ufeff" + `{"kind":"source","id":"shop",` + "\r\n" + `"spec":{"name":"é😀","keys":["k"]}}` + "\n",
		"bom.yml": "\ufeffkind: source\nid: shop\nspec: {name: é😀, keys: [k]}\n",
	} {
		list, err := Parse(name, []byte(text))
		if err != nil || len(list) != 1 {
			t.Errorf("%s: %v, %v", name, list, err)
			continue
		}
		if got := string(list[0].AppendJSON(nil)); got != want {
			t.Errorf("%s: got %s", name, got)
		}
		again, err := Parse("again.json", list[0].AppendJSON(nil))
		if err != nil || !again[0].same(list[0]) {
			t.Errorf("%s: does not survive being exported: %v", name, err)
		}
	}
	list, err := Parse("two.json", []byte(`{"kind":"source","id":"a","spec":{}}`+"\n\n"+`{"kind":"source","id":"b","spec":{}}`))
	if err != nil || len(list) != 2 || list[1].Origin != (Origin{"two.json", 3}) {
		t.Errorf("several JSON values: %v, %v", list, err)
	}
	if list, err := Parse("empty.yaml", []byte("# nothing\n")); err != nil || len(list) != 0 {
		t.Errorf("an empty text: %v, %v", list, err)
	}
}

// Numbers keep every digit, and what YAML takes for a date stays text.
func TestParseScalars(t *testing.T) {
	const text = "kind: event-type\nid: x\nspec:\n  schema: {const: [9007199254740993, 123456789012345678901234567890, 1.10, 0x1f, 1_000, 2024-01-01, yes, ~, 0.1000000000000000055511151231257827]}\n"
	list, err := Parse("f.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"schema":{"const":[9007199254740993,123456789012345678901234567890,1.1,31,1000,"2024-01-01","yes",null,0.1000000000000000055511151231257827]}}`
	if got := string(list[0].Spec); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestLoadPaths(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a := write("a.yaml", shop)
	write("b.yml", "kind: source\nid: b\nspec: {}\n")
	write("c.json", `{"kind":"source","id":"c","spec":{}}`)
	write("notes.txt", "not a resource")
	write("sub/d.yaml", "kind: source\nid: d\nspec: {}\n")
	list, err := LoadPaths([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, r := range list {
		ids = append(ids, r.ID)
	}
	if got := strings.Join(ids, " "); got != "shop b c" {
		t.Errorf("loaded %s", got)
	}
	for _, test := range []struct {
		paths []string
		want  string
	}{
		{[]string{dir, a}, a + ":1: source/shop: is there twice, first at " + a + ":1; remove one"},
		{[]string{filepath.Join(dir, "none")}, "read resources: stat " + filepath.Join(dir, "none") + ": no such file or directory"},
		{[]string{t.TempDir()}, "holds no *.yaml, *.yml or *.json"},
		{[]string{filepath.Join(dir, "notes.txt")}, "notes.txt:1: want an object, got a string"},
	} {
		if _, err := LoadPaths(test.paths); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: got %v, want %s", test.paths, err, test.want)
		}
	}
}

// Every configuration that is shipped must apply.
func TestShippedConfigurations(t *testing.T) {
	root := filepath.Join("..", "..", "..", "configs", "examples")
	directories := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if ext := filepath.Ext(path); err == nil && !entry.IsDir() && (ext == ".yaml" || ext == ".yml" || ext == ".json") {
			directories[filepath.Dir(path)] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !directories[filepath.Join(root, "retail")] {
		t.Error("the retail example is not there")
	}
	for dir := range directories {
		list, err := LoadPaths([]string{dir})
		if err != nil {
			t.Errorf("%s:\n%v", dir, err)
			continue
		}
		if _, err := NewSet(1, list); err != nil {
			t.Errorf("%s:\n%v", dir, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		shop, spec("event-type", "schema: {type: object}\ncopy: [{to: counters.a, op: increment}]\ntraits: {a: b}"),
		spec("identification", "event: event.traits.email\nnormalise: lower"),
		spec("import", "source: shop\nevent: {type: '{{ row.t }}', ids: {user: row.u}, properties: {a: [row.b]}}"),
		`[{"kind":"source","id":"a","spec":{"rate":"5/s"}}]`, "a: &a [*a, *a]", "? {a: b}\n: c", "---\n...\n---\n", "{", "\xff", "!!int x", "- - - -",
	} {
		f.Add("f.yaml", []byte(seed))
		f.Add("f.json", []byte(seed))
	}
	f.Fuzz(func(t *testing.T, name string, text []byte) {
		if len(text) > 1<<16 {
			return
		}
		list, err := Parse(name, text)
		if err != nil {
			if len(problemsOf(err)) == 0 || err.Error() == "" {
				t.Fatalf("an error that says nothing: %#v", err)
			}
			return
		}
		for _, r := range list {
			again, err := New(r.Kind, r.ID, r.Spec)
			if err != nil {
				t.Fatalf("what was accepted is not valid once stored: %v\n%s", err, r.Spec)
			}
			if !again.same(r) {
				t.Fatalf("the stored spec reads as another:\n%s\n%s", r.Spec, again.Spec)
			}
		}
		if _, err := NewSet(1, list); err != nil && len(problemsOf(err)) == 0 {
			t.Fatalf("an error that says nothing: %#v", err)
		}
	})
}
