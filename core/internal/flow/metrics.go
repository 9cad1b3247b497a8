package flow

import (
	"log/slog"

	"github.com/VictoriaMetrics/metrics"

	"github.com/tributary-bus/tributary/core/internal/faults"
)

// counters is what the engine counts.
type counters struct {
	set          *metrics.Set
	runs         *metrics.Counter
	ended        *metrics.Counter
	failed       *metrics.Counter
	noConsent    *metrics.Counter // runs that were not begun
	stopped      *metrics.Counter
	calls        *metrics.Counter
	callsFailed  *metrics.Counter
	retries      *metrics.Counter
	journalled   *metrics.Counter
	fallenBehind *metrics.Counter
	unreadable   *metrics.Counter
	duration     *metrics.Histogram
	failing      *faults.Faults // conditions
}

func newCounters(log *slog.Logger) *counters {
	set := metrics.NewSet()
	return &counters{
		set:          set,
		runs:         set.NewCounter("tributary_flow_runs_total"),
		ended:        set.NewCounter("tributary_flow_runs_ended_total"),
		failed:       set.NewCounter("tributary_flow_runs_failed_total"),
		noConsent:    set.NewCounter("tributary_flow_runs_without_consent_total"),
		stopped:      set.NewCounter("tributary_flow_runs_stopped_total"),
		calls:        set.NewCounter("tributary_flow_calls_total"),
		callsFailed:  set.NewCounter("tributary_flow_calls_failed_total"),
		retries:      set.NewCounter("tributary_flow_calls_retried_total"),
		journalled:   set.NewCounter("tributary_flow_runs_journalled_total"),
		fallenBehind: set.NewCounter("tributary_flow_fallen_behind_total"),
		unreadable:   set.NewCounter("tributary_flow_events_unreadable_total"),
		duration:     set.NewHistogram("tributary_flow_call_seconds"),
		failing:      faults.New(set, "tributary_flow_condition_errors_total", log),
	}
}
