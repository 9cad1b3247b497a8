package faults

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// Each failure is counted; the log says of each place so once a minute, without
// what the document holds.
func TestSaw(t *testing.T) {
	var text strings.Builder
	set := metrics.NewSet()
	f := New(set, "failed_total", slog.New(slog.NewTextHandler(&text, nil)))
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	f.now = func() time.Time { return now }
	secret := errors.New(`"ann@example.com" is not a number`)
	for range 3 {
		f.Saw("flow a: trigger", secret)
	}
	f.Saw("flow b: trigger", secret)
	now = now.Add(time.Minute)
	f.Saw("flow a: trigger", secret)
	if got := strings.Count(text.String(), "\n"); got != 3 || !strings.Contains(text.String(), "more_before=2") || strings.Contains(text.String(), "ann@") {
		t.Errorf("the log says %s", text.String())
	}
	var counted strings.Builder
	set.WritePrometheus(&counted)
	if want := fmt.Sprintf("failed_total %d", 5); !strings.Contains(counted.String(), want) {
		t.Errorf("%s, want %s", counted.String(), want)
	}
}
