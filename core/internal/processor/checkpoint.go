package processor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
)

const (
	// checkpointEvery is how far apart the checkpoints are.
	checkpointEvery = 5 * time.Second
	// purgeEvery is how often the log is cut behind its readers.
	purgeEvery = time.Second
)

// errLost is an fsync that failed: what the system has not written it may have
// forgotten, so nothing can be promised any more.
var errLost = errors.New("nothing can be made durable any more")

// checkpoints makes them until ctx ends. A failure is tried again at the next
// turn: until then the logs only grow. After errLost there is no next turn.
func (n *Processor) checkpoints(ctx context.Context) error {
	purge, checkpoint := time.NewTicker(purgeEvery), time.NewTicker(checkpointEvery)
	defer purge.Stop()
	defer checkpoint.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-purge.C:
			err = n.purgeIngest(ctx)
		case <-checkpoint.C:
			err = n.checkpoint(ctx)
			if err == nil && !n.sole {
				err = n.catchUpSeen(ctx)
			}
		}
		if errors.Is(err, errLost) {
			return err
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			n.log.Warn("checkpoint failed; it is tried again", "error", err)
		}
	}
}

// checkpoint makes the effects of all complete commits durable and then drops
// those commits, but for each partition's last.
func (n *Processor) checkpoint(ctx context.Context) error {
	n.mu.Lock()
	due := make([]uint64, len(n.standing))
	moved := false
	for i, s := range n.standing {
		if s.owned && s.commitSeq > s.kept {
			due[i], moved = s.commitSeq, true
		}
	}
	n.mu.Unlock()
	if !moved {
		return nil
	}
	if err := n.bus.Checkpoint(ctx); err != nil {
		return fmt.Errorf("make effects durable: %w", err)
	}
	if err := n.seen.Sync(); err != nil {
		return fmt.Errorf("%w: make the ids seen durable: %w", errLost, err)
	}
	for number, seq := range due {
		if seq == 0 {
			continue
		}
		if err := n.bus.PurgeCommits(ctx, number, seq); err != nil {
			return fmt.Errorf("purge commits of partition %d: %w", number, err)
		}
		n.mu.Lock()
		if s := &n.standing[number]; s.owned {
			s.kept = seq
		}
		n.mu.Unlock()
	}
	return nil
}

// Processed is up to where the log has been processed by every partition, and
// where it ends. What this node's partitions did is stored by then, events and
// profiles too; of another node's, what they have committed counts.
func (n *Processor) Processed(ctx context.Context) (done, end uint64, err error) {
	if done, end, err = n.committedBy(ctx); err != nil {
		return 0, 0, err
	}
	for number := range n.standing {
		// The effects of the last commit may be under way, whether the log still
		// has its commands or not.
		if s := n.at(number); s.owned && s.completed != s.committed {
			done = min(done, upTo(s.completed))
		}
	}
	return done, end, nil
}

// committedBy is up to where every partition has committed the log, and where
// the log ends.
func (n *Processor) committedBy(ctx context.Context) (done, end uint64, err error) {
	if end, err = n.bus.IngestLast(ctx); err != nil {
		return 0, 0, fmt.Errorf("read the end of the log: %w", err)
	}
	done = end
	for number := range n.standing {
		position, err := n.committed(ctx, number)
		if err != nil {
			return 0, 0, err
		}
		last, err := n.bus.IngestLastOf(ctx, number)
		if err != nil {
			return 0, 0, fmt.Errorf("read the end of partition %d: %w", number, err)
		}
		// A partition with nothing unread stands at the log's end.
		if last > position.Seq || last == position.Seq && last > 0 && position.Done != record.AllDone {
			done = min(done, upTo(position))
		}
	}
	return done, end, nil
}

// upTo is the last message that is done with at a position.
func upTo(at record.Position) uint64 {
	if at.Seq > 0 && at.Done != record.AllDone {
		return at.Seq - 1
	}
	return at.Seq
}

// purgeIngest cuts the log below the first message that some partition has not
// committed. Where room is short, what the others have done goes too: the
// partition that is behind may itself need room, for what it sends on.
func (n *Processor) purgeIngest(ctx context.Context) error {
	if err := n.purgeDone(ctx); err != nil || !n.bus.IngestCrowded() {
		return err
	}
	n.mu.Lock()
	purged := n.purged
	n.mu.Unlock()
	for number := range n.standing {
		position, err := n.committed(ctx, number)
		if err != nil {
			return err
		}
		below := position.Seq
		if position.Done == record.AllDone {
			below++
		}
		if below <= purged+1 {
			continue
		}
		if err := n.bus.PurgeIngestOf(ctx, number, below); err != nil {
			return fmt.Errorf("purge partition %d of the log: %w", number, err)
		}
	}
	return nil
}

func (n *Processor) purgeDone(ctx context.Context) error {
	n.mu.Lock()
	purged := n.purged
	n.mu.Unlock()
	end, err := n.bus.IngestLast(ctx)
	if err != nil {
		return fmt.Errorf("read the end of the log: %w", err)
	}
	if end == purged {
		return nil
	}
	done, _, err := n.committedBy(ctx)
	if err != nil || done <= purged {
		return err
	}
	if err := n.bus.PurgeIngest(ctx, done+1); err != nil {
		return fmt.Errorf("purge the log: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.purged = done
	return nil
}

// committed is how far a partition has come, whoever owns it.
func (n *Processor) committed(ctx context.Context, number int) (record.Position, error) {
	if s := n.at(number); s.owned {
		return s.committed, nil
	}
	data, _, err := n.bus.LastCommit(ctx, number)
	if err != nil || data == nil {
		return record.Position{}, err
	}
	c, err := record.ParseCommit(data)
	if err != nil {
		return record.Position{}, fmt.Errorf("last commit of partition %d: %w", number, err)
	}
	return c.To, nil
}
