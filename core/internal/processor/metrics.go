package processor

import (
	"io"

	"github.com/VictoriaMetrics/metrics"

	"github.com/tributary-bus/tributary/core/internal/fold"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// counters is what the processor counts.
type counters struct {
	set       *metrics.Set
	commits   *metrics.Counter
	commands  *metrics.Counter
	duplicate *metrics.Counter
	forwarded *metrics.Counter
	patches   *metrics.Counter
	merged    *metrics.Counter // profiles that became part of another
	erased    *metrics.Counter
	due       *metrics.Counter // commands that did what was due
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
		merged:    set.NewCounter("tributary_processor_merged_total"),
		erased:    set.NewCounter("tributary_processor_erased_total"),
		due:       set.NewCounter("tributary_processor_due_total"),
		nobody:    set.NewCounter("tributary_processor_patches_of_nobody_total"),
		invalid:   set.NewCounter("tributary_processor_invalid_total"),
		dead:      set.NewCounter("tributary_processor_dead_letters_total"),
		problems:  set.NewCounter("tributary_processor_rule_errors_total"),
		refused:   set.NewCounter("tributary_processor_commits_refused_total"),
	}
}

// folded counts what a command did.
func (c *counters) folded(r *fold.Result, kind record.Kind) {
	switch {
	case r.Forwarded:
		c.forwarded.Inc()
	case r.Nobody:
		c.nobody.Inc()
	case r.Invalid:
		c.invalid.Inc()
	case kind == record.KindDue && r.Changed:
		c.due.Inc()
	case !r.Applied:
	case kind == record.KindPatch:
		c.patches.Inc()
	case kind == record.KindAbsorb && r.Changed:
		c.merged.Inc()
	case kind == record.KindErase && r.Changed:
		c.erased.Inc()
	}
}

// Metrics writes the processor's metrics in Prometheus' text format.
func (n *Processor) Metrics(w io.Writer) { n.metrics.set.WritePrometheus(w) }
