package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// tenTimes sends the same events ten times at once and returns the answers.
func (p *product) tenTimes(path, body string) []answer {
	p.t.Helper()
	answers := make([]answer, 10)
	var group sync.WaitGroup
	for i := range answers {
		group.Go(func() {
			a, err := p.post(path, body)
			if err != nil || a.status != http.StatusOK {
				p.t.Errorf("%d %s, %v", a.status, a.body, err)
			}
			answers[i] = a
		})
	}
	group.Wait()
	return answers
}

// statuses counts, for each event of a batch, how often the answers have a status.
func statuses(answers []answer, event int, status string) (n int) {
	for _, a := range answers {
		if r := a.results(); event < len(r) && r[event]["status"] == status {
			n++
		}
	}
	return n
}

// The same batch sent ten times at once, and again after a restart: each event
// once, and said so.
func TestTheSameBatchTenTimes(t *testing.T) {
	t.Parallel()
	p := launch(t)
	p.apply(counting)
	const events = 20
	batch := func(name string) string {
		var list []string
		for i := range events {
			list = append(list, fmt.Sprintf(`{"id":"%s-%d","type":"add","ids":{"user":"%s"},"properties":{"n":1}}`, name, i, name))
		}
		return "[" + strings.Join(list, ",") + "]"
	}

	// Whoever waits is told: accepted once, duplicate nine times.
	waited := p.tenTimes("/v1/events?wait=processed", batch("waited"))
	for i := range events {
		if a, d := statuses(waited, i, "accepted"), statuses(waited, i, "duplicate"); a != 1 || d != 9 {
			t.Errorf("event %d: accepted %d times, duplicate %d times", i, a, d)
		}
	}
	// Whoever does not may be told accepted more than once, for the same event.
	p.tenTimes("/v1/events", batch("hasty"))
	sums := func() {
		t.Helper()
		for _, user := range []string{"waited", "hasty"} {
			p.counts("profiles", `"`+user+`" in profile.identities.user && profile.counters.sum == 20 && profile.revision == 20`, 1)
		}
		p.counts("events", `event.type == "add"`, 2*events)
	}
	sums()

	p.stop()
	p.start()
	for _, name := range []string{"waited", "hasty"} {
		for _, path := range []string{"/v1/events", "/v1/events?wait=processed"} {
			for i, a := range p.tenTimes(path, batch(name)) {
				if n := statuses([]answer{a}, i, "duplicate"); n != 1 {
					t.Errorf("%s after the restart, answer %d: %s", name, i, a.body)
				}
			}
		}
	}
	sums()
	p.kill()
	p.start()
	for i := range events {
		if n := statuses(p.tenTimes("/v1/events", batch("hasty")), i, "duplicate"); n != 10 {
			t.Errorf("event %d after the kill: duplicate %d times", i, n)
			break
		}
	}
	sums()
}
