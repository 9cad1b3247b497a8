package erasure

import (
	"fmt"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/flow"
)

// TestRunsInTheJournalAreErased has entries that no engine works on, as after a kill:
// those about the person go, by each id, and those that only name the person stay.
func TestRunsInTheJournalAreErased(t *testing.T) {
	r := newRig(t, t.TempDir())
	put := func(run, profile, text string) {
		t.Helper()
		entry := fmt.Sprintf(`{"flow":"f","held":true,"progress":{"profile":"no"},"event":{"event":{"id":"e","properties":{"text":%q},"profile":%s}}}`, text, profile)
		if _, err := r.bus.PutRun(t.Context(), run, []byte(entry), 0); err != nil {
			t.Fatal(err)
		}
	}
	put("one", `"p"`, marker)
	put("merged", `"p-old"`, marker)
	put("somebody else", `"q"`, "p")
	put("nobody", `null`, "p")
	targets := []Target{{Profile: "x", IDs: []string{"x"}}, {Profile: "p", IDs: []string{"p", "p-old"}}}
	eraser := Runs(r.bus, flow.New(flow.Options{Bus: r.bus}).EndRuns)
	for again, removed := range []uint64{2, 0} {
		counts, err := eraser.Erase(t.Context(), targets)
		if err != nil || counts[0] != (Count{}) || counts[1] != (Count{Removed: removed}) {
			t.Fatalf("time %d: %v, %v, want %d removed of the second", again, counts, err, removed)
		}
	}
	left := map[string]bool{}
	if err := r.bus.Runs(t.Context(), func(run string, _ []byte, _ uint64) error { left[run] = true; return nil }); err != nil {
		t.Fatal(err)
	}
	if len(left) != 2 || !left["somebody else"] || !left["nobody"] {
		t.Errorf("%v are left", left)
	}
	if files := r.holding(); len(files) > 0 {
		t.Errorf("it is left in %v", files)
	}
}
