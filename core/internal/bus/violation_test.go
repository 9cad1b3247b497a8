package bus

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

func slogTo(log *logText) *slog.Logger { return slog.New(slog.NewTextHandler(log, nil)) }

func TestViolationLine(t *testing.T) {
	for line, want := range map[string]string{
		`127.0.0.1:5 - cid:7 - "v1:go:x" - "$G/nkey:UX" - Publish Violation - Subject "ingest.0"`:                        `Publish Violation - Subject "ingest.0"`,
		`[::1]:5 - cid:7 - Subscription Violation - Subject "event.>", Queue: "q", SID 1`:                                `Subscription Violation - Subject "event.>", Queue: "q", SID 1`,
		`127.0.0.1:5 - cid:7 - "9 - cid:8 - Publish Violation - Subject \"a\"" - "$G" - Publish Violation - Subject "b"`: `Publish Violation - Subject "b"`,
		`127.0.0.1:5 - cid:7 - authentication error - Nkey "UX"`:                                                         "",
		`127.0.0.1:5 - rid:7 - Publish Violation - Subject "a"`:                                                          "",
		`Publish Violation - Subject "a"`:                                                                                "",
		`JetStream - cid:x - Publish Violation`:                                                                          "",
	} {
		client, text, ok := violation(line)
		if text != want || ok != (want != "") || ok && client != 7 {
			t.Errorf("%s\nis %q of %d, %t", line, text, client, ok)
		}
	}
}

// The log is told once a second and plugin; the counter and whoever listens of
// each.
func TestViolationsAreToldSparingly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, set := &logText{}, metrics.NewSet()
		v := newViolations(slogTo(log), set)
		told := map[string]int{}
		v.tell = func(plugin, _ string) { told[plugin]++ }
		for range 3 {
			for range 100 {
				v.saw("hello", "Publish Violation")
			}
			v.saw("spy", "Publish Violation")
			time.Sleep(time.Second)
		}
		if told["hello"] != 300 || told["spy"] != 3 {
			t.Errorf("told %v", told)
		}
		lines := log.with("plugin=hello")
		if len(lines) != 3 || !strings.Contains(lines[1], "more_before=99") {
			t.Errorf("the log has %q", lines)
		}
		var text bytes.Buffer
		set.WritePrometheus(&text)
		if !strings.Contains(text.String(), `tributary_bus_plugin_violations_total 303`) {
			t.Errorf("the metrics are\n%s", &text)
		}
	})
}
