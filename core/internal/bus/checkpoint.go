package bus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// Checkpoint makes durable what EVENTS, the profiles, the identities, SEEN,
// FLOWS and INGEST hold, so that older commits are not needed any more. It has
// nothing to do where the server is external or the durability is process.
func (b *Bus) Checkpoint(ctx context.Context) error {
	if b.sync == nil {
		return nil
	}
	floor, err := b.ends(ctx)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	for _, s := range b.sync.effects {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("checkpoint: %w", context.Cause(ctx))
		}
		if err := b.sync.check(s.all()); err != nil {
			return err
		}
	}
	return b.keepFloor(floor)
}

// A durable fsyncs the streams of the embedded server.
type durable struct {
	b        *Bus
	appended *syncer // INGEST
	commits  *shared
	config   *shared
	runs     *shared
	dead     *shared
	jobs     *shared
	events   *shared
	effects  []*syncer          // what a checkpoint covers
	covered  map[string]*syncer // the same, by stream
	syncers  []*syncer
	fatal    sync.Once
}

// openDurable tests that the server's files are laid out as expected, and
// makes durable all that it has.
func (b *Bus) openDurable(ctx context.Context) (*durable, error) {
	if err := b.server.selfTest(ctx, b.js, b.server.streamDir("SELFTEST")); err != nil {
		return nil, err
	}
	d := &durable{b: b, covered: map[string]*syncer{}}
	d.appended = d.syncer(streamIngest)
	d.commits = newShared(d.syncer(streamCommits).tail)
	d.config = newShared(d.syncer(streamConfig).tail)
	d.runs = newShared(d.syncer(streamFlows).tail)
	d.dead = newShared(d.syncer(streamDeadLetters).tail)
	d.jobs = newShared(d.syncer(streamJobState).tail)
	d.events = newShared(d.syncer(streamEvents).tail)
	// Dead letters first: what the others have relies on them.
	for _, name := range []string{streamDeadLetters, streamEvents, streamProfiles, streamIdentities, streamSeen, streamFlows, streamResources, streamJobState, streamIngest} {
		d.covered[name] = d.syncer(name)
		d.effects = append(d.effects, d.covered[name])
	}
	// The directories and the configurations of the streams, and whatever a
	// process that was killed had not made durable.
	if err := syncTree(b.server.store(), d.fsync); err != nil {
		return nil, fmt.Errorf("make the streams durable: %w", err)
	}
	return d, nil
}

func (d *durable) syncer(stream string) *syncer {
	s := newSyncer(d.b.server.streamDir(stream), d.fsync)
	d.syncers = append(d.syncers, s)
	return s
}

func (d *durable) fsync(f *os.File) error {
	start := time.Now()
	err := f.Sync()
	d.b.metrics.fsync(time.Since(start))
	if err == nil && d.b.options.Synced != nil {
		d.b.options.Synced(f.Name())
	}
	return err
}

func (d *durable) ingest() error { return d.check(d.appended.tail()) }

func (d *durable) commit() error { return d.check(d.commits.do()) }

func (d *durable) configure() error { return d.check(d.config.do()) }

func (d *durable) flowRuns() error { return d.check(d.runs.do()) }

func (d *durable) deadLetters() error { return d.check(d.dead.do()) }

func (d *durable) jobState() error { return d.check(d.jobs.do()) }

// check ends the process where a sync failed: what the system has not written
// it may have forgotten, so trying again proves nothing.
func (d *durable) check(err error) error {
	if err == nil {
		return nil
	}
	d.fatal.Do(func() { d.b.options.Fatal(err) })
	return errors.Join(ErrUnavailable, err)
}

func (d *durable) stop() {
	for _, s := range d.syncers {
		s.stop()
	}
}
