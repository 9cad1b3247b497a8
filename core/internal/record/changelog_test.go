package record

import (
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/sdk"
)

func TestChangeEntryHasItsForm(t *testing.T) {
	p := sdk.NewProfile("p1", time.Time{})
	p.Revision = 7
	at := time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.UTC)
	e := Entry(p, at, AuthorOfEvent("o-1", "order-completed", "shop"), map[string]any{
		"traits.vip": true, `traits["a.b"]`: nil, "identities.user": []string{"ann"}, `data["say \"hi"]`: "x",
	})
	want := `{"id":"2026-03-01T12:00:00.005Z-7-o-1","profile":"p1","revision":7,"time":"2026-03-01T12:00:00.005Z","received":"2026-03-01T12:00:00.005Z",` +
		`"by":{"kind":"event","id":"o-1","name":"order-completed","source":"shop"},` +
		`"changes":{"data[\"say \\\"hi\"]":"x","identities.user":["ann"],"traits.vip":true,"traits[\"a.b\"]":null}}`
	if got := string(e.AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAuthors(t *testing.T) {
	for by, want := range map[string]Author{
		"flow/thanks":    {Kind: ByFlow, ID: "run", Name: "thanks"},
		"plugin/scoring": {Kind: ByPlugin, ID: "run", Name: "scoring"},
		"scoring":        {Kind: ByPlugin, ID: "run", Name: "scoring"},
		"":               {Kind: ByPlugin, ID: "run"},
	} {
		if got := (&Patch{By: by, ID: "run"}).Author(); got != want {
			t.Errorf("%q is %+v, want %+v", by, got, want)
		}
	}
	if got := AuthorOfEvent("1", TypeSegmentEntered, SourceSystem); got.Kind != BySystem {
		t.Errorf("a system event is %+v", got)
	}
}

// A long value is cut to the beginning of its text, and what there is no room for is
// counted; it makes no difference whether the changes are encoded already.
func TestChangesAreBounded(t *testing.T) {
	long := strings.Repeat("é", MaxChangeValue)
	many := map[string]any{}
	for i := range 500 {
		many["data."+strings.Repeat("x", 90)+string(rune('a'+i%26))+strings.Repeat("y", i/26)] = strings.Repeat("v", 100)
	}
	for name, c := range map[string]struct {
		changes map[string]any
		want    string
	}{
		"nothing":           {map[string]any{}, `{"changes":{}}`},
		"as long as may be": {map[string]any{"a": long[:MaxChangeValue-2]}, `{"changes":{"a":"` + long[:MaxChangeValue-2] + `"}}`},
		"a long text":       {map[string]any{"a": "1" + long, "b": int64(1)}, `{"changes":{"a":"1` + long[:MaxChangeValue-2] + `","b":1},"cut":["a"]}`},
		"a long list": {
			map[string]any{"a": []any{strings.Repeat("v", 2*MaxChangeValue)}},
			`{"changes":{"a":"[\"` + strings.Repeat("v", MaxChangeValue-2) + `"},"cut":["a"]}`,
		},
		"a long path": {map[string]any{"a": int64(1), strings.Repeat("b", MaxChanges): int64(2)}, `{"changes":{"a":1},"omitted":1}`},
		"many":        {many, ""},
	} {
		got := string(AppendChanges(nil, c.changes))
		if c.want != "" && got != c.want {
			t.Errorf("%s: %.200s…%s", name, got, got[max(0, len(got)-40):])
		}
		if again := string(CutChanges(nil, sdk.AppendValue(nil, c.changes))); again != got {
			t.Errorf("%s: encoded before it is %.200s", name, again)
		}
		if len(got) > MaxChanges+64 || name == "many" && !strings.Contains(got, `"omitted":`) {
			t.Errorf("%s: %d bytes: …%s", name, len(got), got[max(0, len(got)-40):])
		}
		if _, err := sdk.ParseObject([]byte(got)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
