package storetest

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// consents finds by consented whom it finds in memory, whatever stands there.
func consents(t *testing.T, s store.Store) {
	past, future := sdk.FormatTime(Now), sdk.FormatTime(Now.Add(time.Millisecond))
	entries := []string{`true`, `[true]`, `null`, `"yes"`, `{}`, `{"revoke":null}`}
	for _, granted := range []string{`true`, `false`, `null`, `1`, `"true"`, `{}`} {
		for _, expires := range []string{``, `,"expires":null`, `,"expires":"` + past + `"`, `,"expires":"` + future + `"`, `,"expires":"2999-01-01"`, `,"expires":"soon"`, `,"expires":5`, `,"expires":[]`} {
			entries = append(entries, `{"granted":`+granted+expires+`}`)
		}
	}
	profiles := []*sdk.Profile{}
	for i, text := range entries {
		put(t, s, Profile(t, fmt.Sprint("p", i), 1, func(p *sdk.Profile) {
			var entry any
			if err := json.Unmarshal([]byte(text), &entry); err != nil {
				t.Fatal(err)
			}
			p.Consents["news.a-b"] = entry
			profiles = append(profiles, p)
		}))
	}
	put(t, s, Profile(t, "nothing", 1, nil))
	for _, source := range []string{`consented("news.a-b")`, `!consented("news.a-b")`, `consented("news.a-b") || has(profile.traits.x)`, `consented("news.a-b") ? false : true`} {
		filter := Filter(t, store.Profiles, source)
		want := uint64(0)
		for _, p := range append(profiles, sdk.NewProfile("nothing", Start)) {
			if holds, err := filter.Bool(&condition.Vars{Profile: p, Now: Now}); err != nil {
				t.Fatal(err)
			} else if holds {
				want++
			}
		}
		if got := count(t, s, store.Profiles, filter); got != want || want == 0 {
			t.Errorf("%d profiles with %s, %d in memory", got, source, want)
		}
	}
}
