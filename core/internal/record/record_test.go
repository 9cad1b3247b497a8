package record

import (
	"reflect"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/sdk"
)

var at = time.Date(2026, 3, 1, 10, 0, 0, 5e6, time.UTC)

func commands() []Command {
	return []Command{
		{
			Kind: KindEvent, ID: EventID("shop", "1"), Profile: "p1", Reply: "_INBOX.x.1", Hops: 3, Settled: true, Received: at,
			Event: &Event{
				Static: true, ID: "1", Type: "order-completed", Source: "shop", Session: "s1", Profile: "old", Passed: "there", Fingerprint: "f", Time: at.Add(-time.Hour),
				IDs:        []Identifier{{KindUser, "17850"}, {KindAnonymous, ""}},
				Properties: []byte(`{"total":1.5}`), Traits: []byte{}, Context: []byte(`{}`), Tags: []string{"a", ""},
			},
		},
		{Kind: KindEvent, ID: EventID("shop", "2"), Received: at, Event: &Event{ID: "2", Type: "x", Source: "shop", ProfileLess: true, Transient: true, TransientSession: true, TransientProfile: true, Ephemeral: true, Time: at, Properties: []byte{}, Traits: []byte{}, Context: []byte{}}},
		{Kind: KindConfig, Received: at, Revision: 1 << 40},
		{Kind: KindPatch, ID: DerivedID(3, 9, 1), Profile: "p1", Received: at, Body: []byte(`{"set":{}}`)},
		{Kind: KindDue, ID: DueID("p1", at), Profile: "p1", Received: at, Body: []byte{}},
	}
}

func TestCommandsSurviveARoundTrip(t *testing.T) {
	want := commands()
	var text []byte
	for i := range want {
		text = AppendCommand(text, &want[i])
	}
	got, err := ParseCommands(text)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for n := range text {
		if cut, err := ParseCommands(text[:n]); err == nil && len(cut) == len(want) {
			t.Errorf("a text cut at %d of %d bytes parses whole", n, len(text))
		}
	}
}

func TestAwaited(t *testing.T) {
	var text []byte
	all := commands()
	for i := len(all) - 1; i > 0; i-- { // the one with a reply comes last
		text = AppendCommand(text, &all[i])
	}
	if Awaited(text) {
		t.Error("nobody waits, yet somebody was found")
	}
	whole := AppendCommand(text, &all[0])
	if !Awaited(whole) {
		t.Error("who waits was not found")
	}
	for n := range whole {
		Awaited(whole[:n]) // must not panic
	}
	patient := all[0]
	patient.Patient = true
	if Awaited(AppendCommand(nil, &patient)) {
		t.Error("who is patient was found to wait")
	}
}

func TestCommitSurvivesARoundTrip(t *testing.T) {
	want := &Commit{
		Partition: 15, C: 1 << 33, From: Position{7, 2}, To: Position{9, AllDone}, Revision: 4, At: at,
		Holders: []Holder{
			{Key: "user.abc", Identity: Identity{Profile: "p1", Gen: 2, TTL: 15 * time.Minute}},
			{Key: "email.abc", Identity: Identity{Gen: 3, ErasedAt: at}, From: CommitID{3, 9}, Revision: 1 << 40},
		},
		Seen:      []ID{EventID("shop", "1"), EventID("shop", "2")},
		Documents: []Change{{Profile: "p1", Document: []byte(`{"state":"live"}`)}},
		Events:    []Processed{{Type: "order-completed", Data: []byte(`{}`)}},
		Commands:  []Routed{{Partition: 3, Command: []byte{1, 2}}},
		Replies:   []Reply{{Subject: "_INBOX.x", Data: []byte(`{}`)}},
	}
	got, err := ParseCommit(AppendCommit(nil, want))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestDueOfIsThatOfTheDocument(t *testing.T) {
	for _, due := range []int64{0, 1, 1e12, -5} {
		for _, c := range []uint64{0, 7, 1 << 60} {
			d := &Document{State: StateLive, C: c, Due: due, Profile: sdk.NewProfile("p1", at)}
			if got := DueOf(d.AppendJSON(nil)); got != due {
				t.Errorf("of commit %d: %d, want %d", c, got, due)
			}
		}
	}
	for _, text := range []string{
		"", `{"state":"erased","c":1,"erased":"2026-03-01T12:00:00.000Z","ids":[]}`, `{"state":"redirect","c":1,"to":"p","created":"2026-03-01T12:00:00.000Z"}`,
		`{"state":"live","c":1,"due":`, `{"state":"live","c":1,"due":x}`, `{"state":"live","c":1,"profile":{"traits":{"due":5}}}`,
	} {
		if got := DueOf([]byte(text)); got != 0 {
			t.Errorf("of %s: %d", text, got)
		}
	}
}

func TestIDsDiffer(t *testing.T) {
	if EventID("a", "bc") == EventID("ab", "c") {
		t.Error("source and id run into one another")
	}
	if DueID("a", at) == DueID("b", at) || DueID("a", at) == DueID("a", at.Add(time.Millisecond)) {
		t.Error("what is due at one profile has the id of what is due at another, or later")
	}
	if DerivedID(1, 2, 3) == DerivedID(1, 3, 2) {
		t.Error("derived ids do not depend on the order of their parts")
	}
}

func TestDocumentSurvivesARoundTrip(t *testing.T) {
	d := &Document{
		State: StateLive, C: 12, Profile: sdk.NewProfile("p1", at),
		Due: 1e12,
		Sessions: []*Session{
			{Session: sdk.Session{ID: "s", Profile: "p1", Started: at, Updated: at, Status: sdk.SessionActive, Revision: 1}, Visits: 1, Visit: at},
			{
				Session: sdk.Session{ID: "t", Profile: "p1", Started: at, Updated: at.Add(time.Hour), Ended: at.Add(2 * time.Hour), Status: sdk.SessionEnded, Events: 5, Revision: 1},
				Visits:  2, Visit: at.Add(time.Hour), Earlier: 4, Transient: true,
			},
		},
		Windows: map[string]*Window{
			"b": {Span: 1000, Times: []int64{-1, 2}, Values: []any{nil, 1.5}, Slots: map[int64]Slot{-2: {Count: 3, Sum: int64(4)}, 7: {Count: 1}}},
			"a": {Span: 5, Times: []int64{}},
		},
	}
	text := d.AppendJSON(nil)
	back, err := ParseDocument(text)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(back.AppendJSON(nil)); got != string(text) {
		t.Errorf("got  %s\nwant %s", got, text)
	}
	if !reflect.DeepEqual(back.Sessions, d.Sessions) {
		t.Errorf("got  %+v\nwant %+v", back.Sessions, d.Sessions)
	}
	for _, bad := range []string{"", "{}", `{"state":"live"}`, `{"state":"live","profile":{"created":"x"}}`} {
		if _, err := ParseDocument([]byte(bad)); err == nil {
			t.Errorf("%q was taken for a document", bad)
		}
	}
}

func TestOutcomeSurvivesARoundTrip(t *testing.T) {
	want := Outcome{Status: StatusAccepted, Profile: "p", Session: "s\x00", Errors: []sdk.FieldError{{Path: "a", Message: "b"}}, Partition: 3, C: 9, N: 2, Revision: 7}
	got, err := ParseOutcome(want.AppendJSON(nil))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func FuzzParseCommands(f *testing.F) {
	all := commands()
	for i := range all {
		f.Add(AppendCommand(nil, &all[i]))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		awaited := Awaited(text)
		got, err := ParseCommands(text)
		if err != nil {
			return
		}
		for i := range got {
			if got[i].Reply != "" && !got[i].Patient && !awaited {
				t.Fatalf("who waits for %+v was not found", got[i])
			}
		}
		var again []byte
		for i := range got {
			again = AppendCommand(again, &got[i])
		}
		back, err := ParseCommands(again)
		if err != nil || !reflect.DeepEqual(back, got) {
			t.Fatalf("%+v became %+v, %v", got, back, err)
		}
	})
}

func FuzzParseCommit(f *testing.F) {
	f.Add(AppendCommit(nil, &Commit{Partition: 1, C: 2, At: at, Seen: []ID{{1}}}))
	f.Fuzz(func(t *testing.T, text []byte) {
		if c, err := ParseCommit(text); err == nil && c == nil {
			t.Fatal("neither a commit nor an error")
		}
	})
}

func BenchmarkParseCommands(b *testing.B) {
	all := commands()
	text := AppendCommand(nil, &all[0])
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseCommands(text); err != nil {
			b.Fatal(err)
		}
	}
}
