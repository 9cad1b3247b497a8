package wire

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

func raw(s string) jsontext.Value { return jsontext.Value(s) }

var calls = []Call{
	{ID: "r:n", Attempt: 1, Timeout: 10 * time.Second, Flow: "thank-you", Node: "vip", Run: "r"},
	{
		ID: "\"\\\n", Attempt: 3, Timeout: time.Millisecond, Flow: "ä", Node: "n", Run: "r", Config: raw(`{"set":{"traits.vip":true}}`),
		Payload: raw(`[1,"x"]`), Event: raw(`{"id":"1"}`), Profile: raw(`{"id":"p","traits":{"a":{"b":1.10}}}`), Session: raw(`{}`),
	},
}

var replies = []Reply{
	{ID: "1", Port: "done"},
	{ID: "1", Error: &Error{Message: "no", Temporary: true}},
	{
		ID: "1", Port: "greeted", Payload: raw(`{"text":"Hello"}`),
		Patches: []Patch{
			{Op: OpSet, Path: "traits.vip", Value: raw("null")}, {Op: OpIncrement, Path: "counters.x", Value: raw("0.10")},
			{Op: OpDelete, Path: `traits["a.b"]`}, {Op: OpEnter, Path: "segments.loyal"},
		},
		Events: []Event{
			{Type: "greeted", Properties: raw(`{"n":1}`), Traits: raw(`{"t":1}`), Context: raw(`{"c":1}`)}, {Type: "again"},
		},
	},
}

func TestACallIsReadAsItWasWritten(t *testing.T) {
	for _, want := range calls {
		got, err := ParseCall(want.AppendJSON(nil))
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("got %+v, %v\nwant %+v", got, err, want)
		}
	}
}

func TestAReplyIsReadAsItWasWritten(t *testing.T) {
	for _, want := range replies {
		got, err := ParseReply(want.AppendJSON(nil))
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("got %+v, %v\nwant %+v", got, err, want)
		}
	}
}

// A program of the next version says more; the one of this version goes on.
func TestUnknownNamesAreSkipped(t *testing.T) {
	call, err := ParseCall([]byte(` {"id":"1","deadline":{"a":[1]},"attempt":2,"payload":null,"trace":"x"} `))
	if err != nil || call.ID != "1" || call.Attempt != 2 || call.Payload != nil {
		t.Errorf("%+v, %v", call, err)
	}
	reply, err := ParseReply([]byte(`{"cost":1,"id":"1","port":"done","error":null,
		"patches":[{"why":"x","op":"enter","path":"segments.a","value":null}],"events":[{"type":"a","at":1}]}`))
	if err != nil || reply.Port != "done" || len(reply.Patches) != 1 || len(reply.Events) != 1 || reply.Error != nil {
		t.Errorf("%+v, %v", reply, err)
	}
}

func TestParseCallSaysWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		``:                                       "it is empty",
		`[]`:                                     "want an object, got an array",
		`{"id":"1"`:                              "unexpected EOF",
		`{"id":"1"} {}`:                          "something follows it, at byte 12",
		`{}`:                                     "it has no id",
		`{"id":1}`:                               "id must be a string, not a number",
		`{"id":"1","attempt":1.5}`:               "attempt must be a whole number from 0 to 2147483647, not 1.5",
		`{"id":"1","timeout":-1}`:                "timeout must be a whole number from 0 to 86400000, not -1",
		`{"id":"1","timeout":99999999999999999}`: "timeout must be a whole number",
		`{"id":"1","config":"x"}`:                "config must be an object, not a string",
		`{"id":"1","payload":{"a":}}`:            "invalid character '}'",
		"{\"id\":\"\xff\"}":                      "invalid UTF-8",
	} {
		if _, err := ParseCall([]byte(text)); err == nil || !strings.Contains(err.Error(), "malformed call: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseCall(%s) = %v, want %q", text, err, want)
		}
	}
}

func TestParseReplySaysWhatIsWrong(t *testing.T) {
	patch := func(p string) string { return `{"id":"1","port":"done","patches":[` + p + `]}` }
	event := func(e string) string { return `{"id":"1","port":"done","events":[` + e + `]}` }
	for text, want := range map[string]string{
		`null`:      "want an object, got null",
		`{"id":1}`:  "id must be a string",
		`{"id":""}`: "it has neither a port nor an error",
		`{"id":"1","port":"done","error":{"message":"x"}}`:                                              "it has an error, and a port, patches or events beside it",
		`{"id":"1","port":"done","payload":{"a":1,"a":2}}`:                                              "duplicate",
		`{"id":"1","port":"done","patches":{}}`:                                                         "want an array at /patches, got an object",
		`{"id":"1","port":"done","patches":[1]}`:                                                        "want an object at /patches, got a number",
		patch(`{"op":"grow","path":"traits.a"}`):                                                        `patch 0: there is no op "grow"`,
		patch(`{"op":"set","path":"traits.a","value":{"a":1,"a":2}}`):                                   "duplicate",
		patch(`{"op":"set","path":"traits.a"}`):                                                         "patch 0: set needs a value",
		patch(`{"op":"set","value":1}`):                                                                 "patch 0: set needs a path",
		patch(`{"op":"increment","path":"x","value":"1"}`):                                              "increment needs a number",
		patch(`{"op":"delete","path":"x","value":1}`):                                                   "delete takes no value",
		patch(`{"op":"enter","path":"traits.x"}`):                                                       `enter needs a path such as segments.loyal, not "traits.x"`,
		patch(`{"op":"leave","path":"segments"}`):                                                       "leave needs a path such as segments.loyal",
		event(`{"properties":{}}`):                                                                      "event 0: it has no type",
		event(`{"type":"` + strings.Repeat("é", 129) + `"}`):                                            "event 0: its type has more than 128 characters",
		event(`{"type":"a\n"}`):                                                                         "event 0: its type has a control character",
		event(`{"type":"a","properties":[]}`):                                                           "properties must be an object, not an array",
		`{"id":"1","error":{"message":"x","temporary":"yes"}}`:                                          "error.temporary must be true or false, not a string",
		patch(strings.Repeat(`{"op":"delete","path":"x"},`, MaxPatches) + `{"op":"delete","path":"x"}`): "it has more than 1000 patches",
		event(strings.Repeat(`{"type":"x"},`, MaxEvents) + `{"type":"x"}`):                              "it has more than 100 events",
		`{"id":"1","port":"done","payload":"` + strings.Repeat("x", MaxReply) + `"}`:                    "more than 1048576",
	} {
		if _, err := ParseReply([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseReply(%.200s) = %v, want %q", text, err, want)
		}
	}
	if _, err := ParseReply([]byte(event(`{"type":"` + strings.Repeat("é", 128) + `"}`))); err != nil {
		t.Error(err)
	}
	if reply, err := ParseReply([]byte(`{"id":"1","error":{}}`)); err != nil || reply.Error.Message == "" {
		t.Errorf("an error that says nothing: %+v, %v", reply, err)
	}
}

func FuzzParseCall(f *testing.F) {
	for _, c := range calls {
		f.Add(c.AppendJSON(nil))
	}
	f.Add([]byte(`{"id":"1","config":{"a":1,"a":2}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		call, err := ParseCall(text)
		if err != nil {
			return
		}
		again, err := ParseCall(call.AppendJSON(nil))
		if err != nil || !reflect.DeepEqual(call, again) {
			t.Fatalf("%+v was read again as %+v, %v", call, again, err)
		}
	})
}

func FuzzParseReply(f *testing.F) {
	for _, r := range replies {
		f.Add(r.AppendJSON(nil))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		reply, err := ParseReply(text)
		if err != nil {
			return
		}
		written := reply.AppendJSON(nil)
		if len(written) > MaxReply {
			return
		}
		again, err := ParseReply(written)
		if err != nil || again.Port != reply.Port || len(again.Patches) != len(reply.Patches) || len(again.Events) != len(reply.Events) {
			t.Fatalf("%s was written as %s and read as %+v, %v", text, written, again, err)
		}
	})
}

func BenchmarkParseCall(b *testing.B) {
	text := calls[1].AppendJSON(nil)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseCall(text); err != nil {
			b.Fatal(err)
		}
	}
}
