package sdk

import (
	"context"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

type testConfig struct {
	Greeting string         `json:"greeting" doc:"Word to greet with" default:"Hello"`
	Times    int            `json:"times" default:"1" min:"1" max:"9"`
	Ratio    float64        `json:"ratio"`
	Loud     bool           `json:"loud" default:"true"`
	Mode     string         `json:"mode" enum:"fast,slow" default:"fast"`
	Wait     time.Duration  `json:"wait" default:"90s"`
	Since    time.Time      `json:"since"`
	Host     netip.Addr     `json:"host"`
	Names    []string       `json:"names" max:"2"`
	Extra    map[string]any `json:"extra"`
	Limits   testLimits     `json:"limits"`
	Steps    []testLimits   `json:"steps"`
	Maybe    *int           `json:"maybe"`
	Any      any            `json:"any"`
	URL      string         `json:"url" required:"true" min:"1"`
	hidden   int            //nolint:unused // that it cannot be configured is tested
	Skipped  func()         `json:"-"`
	testEmbedded
}

type testLimits struct {
	Max  uint8  `json:"max" default:"7"`
	Unit string `json:"unit"`
}

type testEmbedded struct {
	Tag string `json:"tag" default:"t"`
}

func typeOf[C any](t *testing.T) *configType {
	t.Helper()
	typ, err := newConfigType(reflect.TypeFor[C]())
	if err != nil {
		t.Fatal(err)
	}
	return typ
}

func TestConfigIsDecodedWithDefaults(t *testing.T) {
	configs := configCache[testConfig]{typ: typeOf[testConfig](t)}
	got, err := configs.get([]byte(`{"url":"u","times":3.0,"ratio":2,"wait":"1d","since":"2026-01-31","host":"10.0.0.1","names":["a"],
		"extra":{"a":null,"b":9007199254740993},"steps":[{"unit":"s"},{"max":8}],"maybe":4,"any":[1],"mode":null}`))
	if err != nil {
		t.Fatal(err)
	}
	four := 4
	want := testConfig{
		Greeting: "Hello", Times: 3, Ratio: 2, Loud: true, Mode: "fast", Wait: 24 * time.Hour, Since: time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC),
		Host: netip.MustParseAddr("10.0.0.1"), Names: []string{"a"}, Extra: map[string]any{"a": nil, "b": int64(9007199254740993)},
		Limits: testLimits{Max: 7}, Steps: []testLimits{{Max: 7, Unit: "s"}, {Max: 8}}, Maybe: &four, Any: []any{int64(1)}, URL: "u",
		testEmbedded: testEmbedded{Tag: "t"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	// Equal texts are decoded once.
	again, err := configs.get([]byte(`{"url":"u"}`))
	if err != nil || again.Limits.Max != 7 || len(configs.now) != 2 {
		t.Errorf("%+v, %v, %d kept", again, err, len(configs.now))
	}
	if _, err := configs.get([]byte(`{"url":"u"}`)); err != nil || len(configs.now) != 2 {
		t.Errorf("%v, %d kept", err, len(configs.now))
	}
}

func TestConfigErrorsNameTheField(t *testing.T) {
	configs := configCache[testConfig]{typ: typeOf[testConfig](t)}
	for text, want := range map[string]string{
		``:                                    "config: url: it is missing",
		`{"url":null}`:                        "config: url: it is missing",
		`{"url":""}`:                          "config: url: want at least 1 characters",
		`[]`:                                  "config: want a JSON object, got an array",
		`{"url":"u","greetings":"x"}`:         `config: greetings: there is no such field; want "greeting", "times"`,
		`{"url":"u","greeting":1}`:            "config: greeting: want a string, not a number",
		`{"url":"u","times":"3"}`:             "config: times: want a number, not a string",
		`{"url":"u","times":1.5}`:             "config: times: want a whole number that fits an int, not 1.5",
		`{"url":"u","times":10}`:              "config: times: want at most 9",
		`{"url":"u","ratio":1e999}`:           "config: ratio: 1e999 is beyond a float64",
		`{"url":"u","loud":"yes"}`:            "config: loud: want true or false, not a string",
		`{"url":"u","mode":"medium"}`:         `config: mode: "medium" is not one of ["fast","slow"]`,
		`{"url":"u","wait":"soon"}`:           `config: wait: "soon" is not a duration`,
		`{"url":"u","since":"soon"}`:          `config: since: "soon" is not a time`,
		`{"url":"u","host":"x"}`:              "config: host: ",
		`{"url":"u","names":["a","b","c"]}`:   "config: names: want at most 2 elements",
		`{"url":"u","names":["a",1]}`:         "config: names[1]: want a string, not a number",
		`{"url":"u","names":"a"}`:             "config: names: want a list, not a string",
		`{"url":"u","limits":{"max":256}}`:    "config: limits.max: want a whole number from 0 on that fits a uint8, not 256",
		`{"url":"u","steps":[{},{"max":-1}]}`: "config: steps[1].max: want a whole number from 0 on",
		`{"url":"u","steps":[{"min":1}]}`:     `config: steps[0].min: there is no such field; want "max" or "unit"`,
		`{"url":"u","hidden":1}`:              "config: hidden: there is no such field",
		`{"url":"u","url":"v"}`:               "duplicate",
	} {
		if _, err := configs.get([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestConfigCacheIsBounded(t *testing.T) {
	configs := configCache[map[string]any]{typ: typeOf[map[string]any](t)}
	for i := range 5 * cachedConfigs {
		if _, err := configs.get(AppendValue(nil, map[string]any{"n": i})); err != nil {
			t.Fatal(err)
		}
	}
	long := map[string]any{"text": strings.Repeat("x", cachedConfigLen)}
	if got, err := configs.get(AppendValue(nil, long)); err != nil || !reflect.DeepEqual(got, long) {
		t.Errorf("a long config: %v, %v", got, err)
	}
	if n := len(configs.now) + len(configs.old); n > 2*cachedConfigs {
		t.Errorf("%d configs are kept", n)
	}
	for text := range configs.now {
		if len(text) > cachedConfigLen {
			t.Error("a long config is kept")
		}
	}
}

func TestSchemaOfAConfig(t *testing.T) {
	got := string(typeOf[testConfig](t).schema())
	want := `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{` +
		`"greeting":{"type":"string","description":"Word to greet with","default":"Hello"},` +
		`"times":{"type":"integer","default":1,"minimum":1,"maximum":9},` +
		`"ratio":{"type":"number"},"loud":{"type":"boolean","default":true},` +
		`"mode":{"type":"string","default":"fast","enum":["fast","slow"]},` +
		`"wait":{"type":"string","pattern":"^[-+]?(0|([0-9.]+(ns|us|µs|ms|s|m|h|d|w))+)$","default":"90s"},` +
		`"since":{"type":"string"},"host":{"type":"string"},"names":{"type":"array","items":{"type":"string"},"maxItems":2},` +
		`"extra":{"type":"object"},` +
		`"limits":{"type":"object","properties":{"max":{"type":"integer","minimum":0,"default":7},"unit":{"type":"string"}},"additionalProperties":false},` +
		`"steps":{"type":"array","items":{"type":"object","properties":{"max":{"type":"integer","minimum":0,"default":7},"unit":{"type":"string"}},"additionalProperties":false}},` +
		`"maybe":{"type":"integer"},"any":{},"url":{"type":"string","minLength":1},"tag":{"type":"string","default":"t"}},` +
		`"required":["url"],"additionalProperties":false}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

type recursive struct {
	Next *recursive `json:"next"`
}

func TestConfigTypesThatAreRefused(t *testing.T) {
	check := func(a Action, want string) {
		t.Helper()
		if a.err == nil || !strings.Contains(a.err.Error(), want) {
			t.Errorf("%v, want %q", a.err, want)
		}
	}
	check(NewAction("a", "", noAction[string]), "the config is a string; it must be a struct or a map")
	check(NewAction("a", "", noAction[recursive]), "field next: a sdk.recursive contains itself")
	check(NewAction("a", "", noAction[map[int]string]), "the keys of a map[int]string are no strings")
	check(NewAction("a", "", noAction[struct{ F func() }]), "field F: a func() cannot be configured")
	check(NewAction("a", "", noAction[struct {
		A int `json:"B"`
		B int
	}]), "two fields are called B")
	check(NewAction("a", "", noAction[struct {
		A int `default:"x"`
	}]), `field A: default: "x" is no JSON`)
	check(NewAction("a", "", noAction[struct {
		A int `default:"9" max:"8"`
	}]), "field A: default: want at most 8")
	check(NewAction("a", "", noAction[struct {
		A int `default:"9" required:"true"`
	}]), "field A: it is required and has a default")
	check(NewAction("a", "", noAction[struct {
		A bool `min:"1"`
	}]), "field A: min: a bool has none")
	check(NewAction("a", "", noAction[struct {
		A string `default:"c" enum:"a,b"`
	}]), `field A: default: "c" is not one of ["a","b"]`)
	check(NewAction[struct{}]("a", "", nil), "it has no function")
}

func noAction[C any](context.Context, Input[C]) (Output, error) { return Output{}, nil }

func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"url":"u","steps":[{"max":1}],"any":{"a":[1.5]},"since":"2026-01-31","wait":"1d"}`))
	typ, err := newConfigType(reflect.TypeFor[testConfig]())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var config testConfig
		if err := typ.decode(text, reflect.ValueOf(&config).Elem()); err == nil && config.URL == "" {
			t.Errorf("%s was taken without what is required", text)
		}
	})
}
