package processor

import (
	"io"

	"github.com/VictoriaMetrics/metrics"
)

// counters is what the processor counts.
type counters struct {
	set       *metrics.Set
	commits   *metrics.Counter
	commands  *metrics.Counter
	duplicate *metrics.Counter
	forwarded *metrics.Counter
	patches   *metrics.Counter
	nobody    *metrics.Counter // patches of profiles that nobody has
	invalid   *metrics.Counter
	dead      *metrics.Counter
	problems  *metrics.Counter
	refused   *metrics.Counter
}

func newCounters() *counters {
	set := metrics.NewSet()
	return &counters{
		set:       set,
		commits:   set.NewCounter("tributary_processor_commits_total"),
		commands:  set.NewCounter("tributary_processor_commands_total"),
		duplicate: set.NewCounter("tributary_processor_duplicates_total"),
		forwarded: set.NewCounter("tributary_processor_forwarded_total"),
		patches:   set.NewCounter("tributary_processor_patches_total"),
		nobody:    set.NewCounter("tributary_processor_patches_of_nobody_total"),
		invalid:   set.NewCounter("tributary_processor_invalid_total"),
		dead:      set.NewCounter("tributary_processor_dead_letters_total"),
		problems:  set.NewCounter("tributary_processor_rule_errors_total"),
		refused:   set.NewCounter("tributary_processor_commits_refused_total"),
	}
}

// Metrics writes the processor's metrics in Prometheus' text format.
func (n *Processor) Metrics(w io.Writer) { n.metrics.set.WritePrometheus(w) }
