package profile

import (
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// Of two choices about a consent one counts whole: the later one, or at the same time
// the one that gives none, whichever profile becomes part of the other.
func TestUniteKeepsTheLaterChoice(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	doc := func(granted bool, at time.Time, more string) *record.Document {
		d := &record.Document{State: record.StateLive, Profile: sdk.NewProfile("p", noon)}
		entry := map[string]any{"granted": granted, "at": sdk.FormatTime(at)}
		if more != "" {
			entry[more] = sdk.FormatTime(at)
		}
		d.Profile.Consents["marketing"] = entry
		Stamp(d, "consents.marketing", at, "e")
		return d
	}
	for name, c := range map[string]struct {
		a, b func() *record.Document
		want string
	}{
		"later withdrawn": {
			func() *record.Document { return doc(true, noon, "expires") }, func() *record.Document { return doc(false, noon.Add(1e6), "") },
			`{"marketing":{"at":"2026-03-01T12:00:00.001Z","granted":false}}`,
		},
		"later given": {
			func() *record.Document { return doc(false, noon, "x") }, func() *record.Document { return doc(true, noon.Add(1e6), "expires") },
			`{"marketing":{"at":"2026-03-01T12:00:00.001Z","expires":"2026-03-01T12:00:00.001Z","granted":true}}`,
		},
		"at the same time": {
			func() *record.Document { return doc(true, noon, "expires") }, func() *record.Document { return doc(false, noon, "") },
			`{"marketing":{"at":"2026-03-01T12:00:00.000Z","granted":false}}`,
		},
		"of a profile that lost its stamps": {
			func() *record.Document { return doc(true, noon, "") }, func() *record.Document { d := doc(false, noon.Add(1e6), ""); d.Fields = nil; return d },
			`{"marketing":{"at":"2026-03-01T12:00:00.001Z","granted":false}}`,
		},
	} {
		for way, pair := range map[string][2]*record.Document{"a into b": {c.b(), c.a()}, "b into a": {c.a(), c.b()}} {
			Unite(pair[0], pair[1], Strategies{"consents.*": First}, noon)
			if got := string(sdk.AppendValue(nil, pair[0].Profile.Consents)); got != c.want {
				t.Errorf("%s, %s: %s, want %s", name, way, got, c.want)
			}
		}
	}
}
