package bus

import (
	"log/slog"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/tributary-bus/tributary/core/internal/throttle"
)

// OnViolation says who is told when a plugin tries on the embedded server what
// it was not granted; text is the server's own, such as
//
//	Publish Violation - Subject "ingest.0"
//
// The function is called for each try, by whatever serves that plugin's
// connection, and must not block. An external server tells only the plugin.
func (b *Bus) OnViolation(tell func(plugin, text string)) {
	b.violations.mu.Lock()
	defer b.violations.mu.Unlock()
	b.violations.tell = tell
}

// violations counts what plugins try, and tells of it: the log once a second
// and plugin at most.
type violations struct {
	log   *slog.Logger
	count *metrics.Counter
	now   func() time.Time
	told  *throttle.Throttle // by plugin

	mu   sync.Mutex
	tell func(plugin, text string)
}

const (
	violationsEvery = time.Second
	// mostPlugins is how many plugins are told apart.
	mostPlugins = 1000
)

func newViolations(log *slog.Logger, set *metrics.Set) *violations {
	count := set.NewCounter("tributary_bus_plugin_violations_total")
	return &violations{log: log, count: count, now: time.Now, told: throttle.New(violationsEvery, mostPlugins)}
}

func (v *violations) saw(plugin, text string) {
	v.count.Inc()
	v.mu.Lock()
	tell := v.tell
	v.mu.Unlock()
	if unsaid, loud := v.told.Say(plugin, v.now()); loud {
		v.log.Warn("NATS refused a plugin what it was not granted", "plugin", plugin, "message", text, "more_before", unsaid)
	}
	if tell != nil {
		tell(plugin, text)
	}
}

// A line of the server's log about a client begins with the client's address
// and number, which are the server's; what follows up to the violation is the
// client's own words, quoted.
var violationLine = regexp.MustCompile(`^\S+ - cid:(\d+) - .*\b((?:Publish|Subscription) Violation .*)$`)

// violation reads which connection was refused what from a line of the
// server's log.
func violation(line string) (client uint64, text string, ok bool) {
	m := violationLine.FindStringSubmatch(line)
	if m == nil {
		return 0, "", false
	}
	client, err := strconv.ParseUint(m[1], 10, 64)
	return client, m[2], err == nil
}
