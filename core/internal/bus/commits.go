package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

// LastCommit returns a partition's last commit and its sequence, 0 where there
// is none.
func (b *Bus) LastCommit(ctx context.Context, partition int) (data []byte, seq uint64, err error) {
	m, err := b.last(ctx, streamCommits, subjectCommit(partition))
	if errors.Is(err, ErrNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("last commit of partition %d: %w", partition, err)
	}
	b.lastCommit[partition].Store(m.seq)
	return m.data, m.seq, nil
}

// Commits calls each with all commits that are kept of a partition, ascending.
func (b *Bus) Commits(ctx context.Context, partition int, each func(data []byte, seq uint64) error) error {
	f := b.feed(streamCommits, subjectCommit(partition), 0)
	if err := f.rest(ctx, func(m stored) error { return each(m.data, m.seq) }); err != nil {
		return fmt.Errorf("commits of partition %d: %w", partition, err)
	}
	return nil
}

// Commit stores a partition's next commit, provided that its previous one has
// the given sequence (0: there is none), else returns ErrNotOwner; ErrTooLarge
// where the server takes no message of that size. With
// durability fsync it returns after an fsync that began later, one for all
// partitions that commit meanwhile; the dead letters that were stored before are
// durable before the commit is. Where no answer comes it finds out what
// became of the commit, and tries until the context ends; then it may be stored
// or not.
func (b *Bus) Commit(ctx context.Context, partition int, data []byte, previous uint64) (seq uint64, err error) {
	if err := b.syncDeadLetters(); err != nil {
		return 0, fmt.Errorf("commit of partition %d: %w", partition, err)
	}
	seq, err = b.conditional(ctx, b.commits, streamCommits, subjectCommit(partition), data, previous)
	switch {
	case errors.Is(err, ErrConflict):
		err = fmt.Errorf("%w: %w", ErrNotOwner, err)
	case errors.Is(err, nats.ErrMaxPayload): // nothing was sent
		err = fmt.Errorf("%w: %d bytes: %w", ErrTooLarge, len(data), err)
	}
	if err != nil {
		return 0, fmt.Errorf("commit of partition %d: %w", partition, err)
	}
	if b.sync != nil {
		if err := b.sync.commit(); err != nil {
			return 0, fmt.Errorf("commit of partition %d: %w", partition, err)
		}
	}
	b.lastCommit[partition].Store(seq)
	return seq, nil
}

// PurgeCommits removes a partition's commits below a sequence, but never the
// last one.
func (b *Bus) PurgeCommits(ctx context.Context, partition int, below uint64) error {
	last := b.lastCommit[partition].Load()
	if below > last {
		var err error
		if _, last, err = b.LastCommit(ctx, partition); err != nil {
			return err
		}
	}
	if below = min(below, last); below == 0 {
		return nil
	}
	return b.purge(ctx, streamCommits, subjectCommit(partition), below)
}

// conditional publishes to a subject whose last message has to have a sequence,
// else returns ErrConflict. It tries until the context ends.
func (b *Bus) conditional(ctx context.Context, l *line, stream, subject string, data []byte, previous uint64) (seq uint64, err error) {
	results, err := b.putAll(ctx, l, stream, []conditionalPut{{subject: subject, data: data, expect: previous}})
	if err != nil {
		return 0, err
	}
	if results[0].Conflict {
		return 0, fmt.Errorf("%w: %s is not at %d", ErrConflict, stream, previous)
	}
	return results[0].Revision, nil
}
