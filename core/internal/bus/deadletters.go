package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tributary-bus/tributary/sdk"
)

// A DeadLetter is what could not be processed, and why.
type DeadLetter struct {
	Seq      uint64 // given when it is stored
	Origin   string // which part of the product gave up
	Reason   string
	Attempts int
	Time     time.Time // when it was stored
	Payload  []byte
	Details  map[string]any
}

// headerDeadLetter holds, as JSON, what is said about a dead letter's payload.
const headerDeadLetter = "dead-letter"

// DeadLetter stores a dead letter. It tries until it is acknowledged or the
// context ends, so it may be stored twice. With durability fsync it is durable
// before any later commit, before what SyncRuns or Checkpoint make durable next:
// what relies on it is not there without it.
func (b *Bus) DeadLetter(ctx context.Context, d DeadLetter) error {
	about := sdk.AppendValue(nil, map[string]any{
		"origin": d.Origin, "reason": d.Reason, "attempts": int64(d.Attempts), "details": d.Details,
	})
	header := []field{{headerDeadLetter, string(about)}}
	if _, err := b.store(ctx, b.effects, streamDeadLetters, subjectDeadLetter(d.Origin), header, d.Payload); err != nil {
		return fmt.Errorf("store a dead letter of %s: %w", d.Origin, err)
	}
	b.dead.changes.Add(1)
	return nil
}

// syncDeadLetters makes those durable that were stored before: an fsync for all
// who ask meanwhile, and none where there is nothing new.
func (b *Bus) syncDeadLetters() error {
	if b.sync == nil {
		return nil
	}
	if err := b.dead.sync(b.sync.deadLetters); err != nil {
		return fmt.Errorf("make the dead letters durable: %w", err)
	}
	return nil
}

// DeadLetters returns the dead letters of an origin, or of all where it is
// empty, behind a sequence, at most limit.
func (b *Bus) DeadLetters(ctx context.Context, origin string, after uint64, limit int) ([]DeadLetter, error) {
	filter := ""
	if origin != "" {
		filter = subjectDeadLetter(origin)
	}
	var list []DeadLetter
	err := b.feed(streamDeadLetters, filter, after).rest(ctx, func(m stored) error {
		if len(list) == limit {
			return errEnough
		}
		d, err := deadLetter(m)
		list = append(list, d)
		return err
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, fmt.Errorf("read the dead letters: %w", err)
	}
	return list, nil
}

var errEnough = errors.New("enough read")

// GetDeadLetter returns one dead letter, or ErrNotFound.
func (b *Bus) GetDeadLetter(ctx context.Context, seq uint64) (DeadLetter, error) {
	m, err := b.at(ctx, streamDeadLetters, seq)
	if err != nil {
		return DeadLetter{}, fmt.Errorf("dead letter %d: %w", seq, err)
	}
	return deadLetter(m)
}

func deadLetter(m stored) (DeadLetter, error) {
	about, err := sdk.ParseObject([]byte(m.header.Get(headerDeadLetter)))
	if err != nil {
		return DeadLetter{}, fmt.Errorf("dead letter %d: %w", m.seq, err)
	}
	d := DeadLetter{Seq: m.seq, Time: m.time, Payload: m.data}
	d.Origin, _ = about["origin"].(string)
	d.Reason, _ = about["reason"].(string)
	d.Details, _ = about["details"].(map[string]any)
	attempts, _ := about["attempts"].(int64)
	d.Attempts = int(attempts)
	return d, nil
}

// GetJob returns the state of a background job and its revision, or
// ErrNotFound.
func (b *Bus) GetJob(ctx context.Context, key string) (data []byte, revision uint64, err error) {
	m, err := b.last(ctx, streamJobState, subjectJob(key))
	if err == nil && m.deleted() {
		err = ErrNotFound
	}
	if err != nil {
		return nil, 0, fmt.Errorf("job %s: %w", key, err)
	}
	return m.data, m.seq, nil
}

// PutJob writes the state of a background job that is at the expected revision
// (0: there is none), else returns ErrConflict.
func (b *Bus) PutJob(ctx context.Context, key string, data []byte, expect uint64) (revision uint64, err error) {
	revision, err = b.conditional(ctx, b.effects, streamJobState, subjectJob(key), data, expect)
	if err != nil {
		return 0, fmt.Errorf("job %s: %w", key, err)
	}
	return revision, nil
}

// SyncJobs makes the states of background jobs durable that were written before.
func (b *Bus) SyncJobs() error {
	if b.sync == nil {
		return nil
	}
	if err := b.sync.jobState(); err != nil {
		return fmt.Errorf("make the states of jobs durable: %w", err)
	}
	return nil
}
