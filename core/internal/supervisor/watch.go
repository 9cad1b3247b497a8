package supervisor

import (
	"context"
	"fmt"
	"time"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/sdk/control"
)

// watch looks after a running process until it has ended, and ends it where it
// is hung or has more memory than it may. It goes on when ctx has ended: the
// process has yet to drain.
func (r *process) watch(ctx context.Context, limit int64) {
	r.mu.Lock()
	r.reported = time.Now()
	r.mu.Unlock()
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r.watching.Go(func() {
		defer cancel()
		r.look(limit)
	})
	r.watching.Go(func() { r.listen(ctx) })
}

// listen takes the reports. A stream that fails is not opened again: a process
// that does not report is a hung one.
func (r *process) listen(ctx context.Context) {
	stream, err := r.api.Health(ctx, &control.HealthRequest{IntervalMs: uint32(r.pace.health.Milliseconds())})
	for err == nil {
		var report *control.HealthReport
		if report, err = stream.Recv(); err == nil {
			r.mu.Lock()
			r.report, r.reported = report, time.Now()
			r.mu.Unlock()
		}
	}
}

func (r *process) look(limit int64) {
	tick := time.NewTicker(r.pace.look)
	defer tick.Stop()
	for {
		select {
		case <-r.child.exited:
			r.journal.tell(time.Now())
			return
		case now := <-tick.C:
			r.journal.tell(now)
			if reason := r.fault(now, limit); reason != "" {
				r.child.kill(reason)
			}
		}
	}
}

// fault says what is wrong with the process; empty: nothing.
func (r *process) fault(now time.Time, limit int64) string {
	memory := resident(r.child.pid())
	r.mu.Lock()
	r.memory = memory
	silent := now.Sub(r.reported)
	r.mu.Unlock()
	switch {
	case silent > r.pace.silence:
		return fmt.Sprintf("killed: it has not reported how it is for %v", silent.Round(time.Millisecond))
	case limit > 0 && memory > limit:
		return fmt.Sprintf("killed: it has %s of memory, and may have %s (plugins.memory)",
			config.Size(memory>>20<<20), config.Size(limit))
	}
	return ""
}

// health is what the process said last, and how much memory it has.
func (r *process) health() (*control.HealthReport, int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.report, r.memory
}

// renewal fires when another process should take this one's place, unless that
// is never; stop ends it.
func (r *process) renewal() (fires <-chan time.Time, stop func()) {
	if r.renew.IsZero() {
		return nil, func() {}
	}
	timer := time.NewTimer(time.Until(r.renew))
	return timer.C, func() { timer.Stop() }
}
