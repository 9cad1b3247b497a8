package throttle

import (
	"fmt"
	"testing"
	"time"
)

// Each subject is spoken of once in the time, with how often it was not; no more are
// remembered than may be.
func TestSay(t *testing.T) {
	throttle := New(time.Minute, 100)
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	got := ""
	for _, step := range []struct {
		subject string
		after   time.Duration
	}{{"a", 0}, {"a", 0}, {"b", time.Second}, {"a", time.Second}, {"a", 58 * time.Second}, {"a", 0}, {"b", time.Second}} {
		now = now.Add(step.after)
		unsaid, loud := throttle.Say(step.subject, now)
		got += fmt.Sprint(step.subject, unsaid, loud, " ")
	}
	if want := "a0 true a0 false b0 true a0 false a2 true a0 false b0 true "; got != want {
		t.Errorf("said %s, want %s", got, want)
	}
	for i := range 1000 {
		throttle.Say(fmt.Sprint("made up ", i), now)
	}
	if len(throttle.told) > 100 {
		t.Errorf("%d subjects are remembered", len(throttle.told))
	}
}
