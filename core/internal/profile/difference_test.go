package profile

import (
	"testing"
	"time"

	"github.com/tributary-bus/tributary/sdk"
)

func TestDifference(t *testing.T) {
	p := sdk.NewProfile("p", time.Time{})
	p.Traits = map[string]any{"name": "Ann", "gone": true, "same": []any{"x"}, "address": map[string]any{"city": "Rome", "zip": "1"}, "box": map[string]any{"a": int64(1)}}
	p.Segments["loyal"] = map[string]any{"since": "a"}
	p.Identities = map[string][]string{"user": {"ann"}, "email": {"a@b.example"}, "phone": {"1"}}
	before := Remember(p)
	if got := before.Changes(p); len(got) != 0 {
		t.Errorf("nothing was changed: %v", got)
	}
	p.Traits["name"] = "Anna"
	delete(p.Traits, "gone")
	p.Traits["address"].(map[string]any)["city"] = "Oslo"
	p.Traits["a.b"] = map[string]any{"c": int64(1)}
	p.Traits["box"] = map[string]any{}
	p.Counters["orders"] = int64(3)
	p.Segments["new"] = map[string]any{"since": "b"}
	delete(p.Segments, "loyal")
	p.Identities["user"] = append(p.Identities["user"], "ann2")
	delete(p.Identities, "phone")
	want := `{"counters.orders":3,"identities.phone":null,"identities.user":["ann","ann2"],"segments.loyal":null,"segments.new":{"since":"b"},` +
		`"traits.address.city":"Oslo","traits.box":{},"traits.gone":null,"traits.name":"Anna","traits[\"a.b\"]":{"c":1}}`
	if got := string(sdk.AppendValue(nil, before.Changes(p))); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
