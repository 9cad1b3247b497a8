package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"
)

// ErrRunsFull says that the stream of flow runs has no room for more.
var ErrRunsFull = errors.New("the stream of flow runs is full")

// FlowPosition returns how far the flow engine is with a partition, as it was
// put, and the revision of that; [ErrNotFound] where nothing was put.
func (b *Bus) FlowPosition(ctx context.Context, partition int) (data []byte, revision uint64, err error) {
	return b.GetJob(ctx, flowPosition(partition))
}

// PutFlowPosition replaces the position of the expected revision (0: there is
// none), else returns [ErrConflict]. It is durable with the next checkpoint: after a
// power cut an older one may be found.
func (b *Bus) PutFlowPosition(ctx context.Context, partition int, data []byte, expect uint64) (revision uint64, err error) {
	return b.PutJob(ctx, flowPosition(partition), data, expect)
}

func flowPosition(partition int) string { return "flow-position/" + strconv.Itoa(partition) }

// PutRun keeps the state of a flow's run, in place of the one of the expected
// revision (0: there is none), else returns [ErrConflict]. It returns
// [ErrRunsFull] where the stream is near its bound, at which it would forget the
// oldest runs: a little earlier for new runs than for those under way. Where no
// answer comes it finds out what became of the run, and tries until the context
// ends. What was put survives the end of the process, and with [Bus.SyncRuns] a
// power cut.
func (b *Bus) PutRun(ctx context.Context, run string, data []byte, expect uint64) (revision uint64, err error) {
	subject := subjectRun(run)
	size := int64(len(subject) + len(data) + runCost)
	if err := b.runs.take(ctx, b, size, expect == 0); err != nil {
		return 0, fmt.Errorf("keep run %s: %w", run, err)
	}
	defer b.runs.put(size)
	results, err := b.putAll(ctx, b.effects, streamFlows, []conditionalPut{
		{subject: subject, header: []field{{headerRollup, "sub"}}, data: data, expect: expect},
	})
	switch {
	case err != nil:
		return 0, fmt.Errorf("keep run %s: %w", run, err)
	case results[0].Conflict:
		return 0, fmt.Errorf("keep run %s: %w: it is not at %d", run, ErrConflict, expect)
	}
	return results[0].Revision, nil
}

// DeleteRun forgets a run that has not changed since the revision, else returns
// [ErrConflict]. That it is not there is no error.
func (b *Bus) DeleteRun(ctx context.Context, run string, revision uint64) error {
	subject := subjectRun(run)
	if err := b.purge(ctx, streamFlows, subject, revision+1); err != nil {
		return fmt.Errorf("forget run %s: %w", run, err)
	}
	b.runs.changes.Add(1)
	m, err := b.last(ctx, streamFlows, subject)
	switch {
	case err == nil:
		return fmt.Errorf("forget run %s: %w: it is at %d, not at %d", run, ErrConflict, m.seq, revision)
	case !errors.Is(err, ErrNotFound):
		return fmt.Errorf("forget run %s: %w", run, err)
	}
	return nil
}

// Runs calls each with all runs that are kept. One that changes meanwhile, or
// did so as the server was killed, may be given more than once, its latest
// state last.
func (b *Bus) Runs(ctx context.Context, each func(run string, data []byte, revision uint64) error) error {
	err := b.feed(streamFlows, subjectRuns, 0).rest(ctx, func(m stored) error {
		run, err := runOf(m.subject)
		if err != nil {
			return err
		}
		return each(run, m.data, m.seq)
	})
	if err != nil {
		return fmt.Errorf("read the flow runs: %w", err)
	}
	return nil
}

// SyncRuns makes durable what PutRun and DeleteRun have done before, and before
// that the dead letters that were stored by then: one fsync of each for all who ask
// meanwhile, and none where nothing was done. It has nothing to do where the server
// is external or the durability is process.
func (b *Bus) SyncRuns(ctx context.Context) error {
	if b.sync == nil {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("make the flow runs durable: %w", context.Cause(ctx))
	}
	if err := b.syncDeadLetters(); err != nil {
		return err
	}
	if err := b.runs.sync(b.sync.flowRuns); err != nil {
		return fmt.Errorf("make the flow runs durable: %w", err)
	}
	return nil
}

// A runRoom keeps the stream of runs below its bound, at which it does not
// refuse what is new but drops what is old. It counts what this node puts, and
// looks at the stream once a second and whenever it seems full: what is replaced
// and deleted makes room, and what other nodes put takes it.
type runRoom struct {
	unsynced

	turn        chan struct{} // held by who reads or looks
	looked      time.Time
	held, bound int64 // bytes, when it was looked

	flight, since atomic.Int64 // bytes on their way, and put since it was looked
}

const (
	// Of the bound, in percent, what new runs may take, and what those under way.
	newRunsPercent  = 90
	heldRunsPercent = 97
	// runCost is what a run weighs in the stream beside its subject and data, at
	// most.
	runCost  = 192
	lookRuns = time.Second
)

func newRunRoom() *runRoom { return &runRoom{turn: make(chan struct{}, 1)} }

// take finds room for a run and reserves it until put.
func (r *runRoom) take(ctx context.Context, b *Bus, size int64, fresh bool) error {
	select {
	case r.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-r.turn }()
	percent := int64(heldRunsPercent)
	if fresh {
		percent = newRunsPercent
	}
	fits := func() bool { // a bound below 1 is none
		return r.bound < 1 || r.held+r.since.Load()+r.flight.Load()+size <= r.bound/100*percent
	}
	if time.Since(r.looked) > lookRuns || !fits() {
		counted := r.since.Load()
		info, err := b.info(ctx, streamFlows)
		if err != nil {
			return err
		}
		r.held, r.bound, r.looked = int64(info.State.Bytes), info.Config.MaxBytes, time.Now()
		r.since.Add(-counted)
		if !fits() {
			b.watch.wrote(streamFlows, errNoRoom)
			return fmt.Errorf("%w: it has %d of %d bytes, of which such as this may take %d %%; %s",
				ErrRunsFull, r.held, r.bound, percent, b.watch.remedy())
		}
	}
	r.flight.Add(size)
	return nil
}

// put counts what was put, or may have been.
func (r *runRoom) put(size int64) {
	r.since.Add(size)
	r.flight.Add(-size)
	r.changes.Add(1)
}
