package record

import (
	"errors"
	"reflect"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/sdk/wire"
)

func patch() *Patch {
	return &Patch{
		By: "flow/thank-you",
		Patches: []wire.Patch{
			{Op: wire.OpSet, Path: `traits["a.b"]`, Value: jsontext.Value(`{"n":22.200000000000000003}`)},
			{Op: wire.OpEnter, Path: "segments.vip"},
		},
		Events: []Event{
			{
				ID: "run-1-0", Type: "thanked", Source: "flow", Session: "s1", Time: at,
				Properties: []byte(`{"words":"ta"}`), Traits: []byte(`{"x":null}`), Context: []byte(`{"run":"1"}`),
			},
			{ID: "run-1-1", Type: "thanked", Source: "flow"},
		},
	}
}

// What stands in a log is read by later versions: its form never changes.
const goldenPatch = `{"by":"flow/thank-you",` +
	`"patches":[{"op":"set","path":"traits[\"a.b\"]","value":{"n":22.200000000000000003}},{"op":"enter","path":"segments.vip"}],` +
	`"events":[{"id":"run-1-0","type":"thanked","source":"flow","session":"s1","time":"2026-03-01T10:00:00.005Z",` +
	`"properties":{"words":"ta"},"traits":{"x":null},"context":{"run":"1"}},` +
	`{"id":"run-1-1","type":"thanked","source":"flow"}]}`

func TestPatchHasItsForm(t *testing.T) {
	if got := string(AppendPatch(nil, patch())); got != goldenPatch {
		t.Errorf("got  %s\nwant %s", got, goldenPatch)
	}
	got, err := ParsePatch([]byte(goldenPatch))
	if err != nil {
		t.Fatal(err)
	}
	if want := patch(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := string(AppendPatch(nil, &Patch{})); got != `{"by":""}` {
		t.Errorf("an empty patch is %s", got)
	}
}

func TestParsePatchRefuses(t *testing.T) {
	for _, text := range []string{
		"", "null", "[]", `{"by":1}`, `{"to":"x"}`, `{"by":"a"}{}`, `{"by":"a","by":"b"}`, `{"patches":{}}`,
		`{"patches":[{"op":"set","path":"traits.a","value":}]}`, `{"patches":[{"op":"set","from":"traits.a"}]}`, `{"patches":[1]}`,
		`{"patches":[{"op":"set","path":"traits.a","value":{"a":1,"a":2}}]}`,
		`{"events":[{"properties":[]}]}`, `{"events":[{"properties":{"a":1,"a":2}}]}`, `{"events":[{"time":"noon"}]}`,
		`{"events":[{"tags":["a"]}]}`, goldenPatch[:len(goldenPatch)-1],
	} {
		if p, err := ParsePatch([]byte(text)); !errors.Is(err, ErrMalformed) || p != nil {
			t.Errorf("%s: %+v, %v", text, p, err)
		}
	}
}

func TestPatchIDs(t *testing.T) {
	ids := map[ID]string{EventID("run", "\x00\x00\x00\x00\x00\x00\x00\x01"): "an event's"}
	for _, run := range []string{"run", "run2", ""} {
		for step := range 3 {
			id := PatchID(run, step)
			if of, taken := ids[id]; taken {
				t.Errorf("run %q, step %d has the id of %s", run, step, of)
			}
			ids[id] = run
			if PatchID(run, step) != id {
				t.Error("a step's id changes")
			}
		}
	}
}

func FuzzParsePatch(f *testing.F) {
	f.Add([]byte(goldenPatch))
	f.Add([]byte(`{"patches":[{}],"events":[{}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParsePatch(text)
		if err != nil {
			return
		}
		back, err := ParsePatch(AppendPatch(nil, p))
		if err != nil || !reflect.DeepEqual(back, p) {
			t.Fatalf("%+v became %+v, %v", p, back, err)
		}
	})
}
