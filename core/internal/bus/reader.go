package bus

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// IngestLast is the sequence of INGEST's last message, also of one that is no
// longer kept; 0 where there was none.
func (b *Bus) IngestLast(ctx context.Context) (uint64, error) {
	state, err := b.state(ctx, streamIngest)
	return state.LastSeq, err
}

// IngestLastOf is the sequence of a partition's last message in INGEST, 0 where
// none is kept.
func (b *Bus) IngestLastOf(ctx context.Context, partition int) (uint64, error) {
	m, err := b.last(ctx, streamIngest, subjectIngest(partition))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return 0, err
	}
	return m.seq, nil
}

// IngestBacklog is what INGEST keeps, as of the last second.
func (b *Bus) IngestBacklog() (messages, bytes uint64) { return b.watch.backlog() }

// PurgeIngest removes what INGEST keeps below a sequence, but never its last
// message: that would be slow, and the sequence would hang on one file.
func (b *Bus) PurgeIngest(ctx context.Context, below uint64) error {
	first, last := b.watch.ingestRange()
	if below > last {
		state, err := b.state(ctx, streamIngest)
		if err != nil {
			return fmt.Errorf("purge %s: %w", streamIngest, err)
		}
		first, last = state.FirstSeq, state.LastSeq
		b.watch.sawIngest(state)
	}
	below = min(below, last)
	if below <= first {
		return nil
	}
	if err := b.purge(ctx, streamIngest, "", below); err != nil {
		return err
	}
	b.watch.purgedIngest(below)
	return nil
}

// PurgeIngestOf removes a partition's messages below a sequence. It costs more
// than PurgeIngest.
func (b *Bus) PurgeIngestOf(ctx context.Context, partition int, below uint64) error {
	if below <= 1 {
		return nil
	}
	return b.purge(ctx, streamIngest, subjectIngest(partition), below)
}

// IngestCrowded is true where INGEST has room left for the core's own commands
// only.
func (b *Bus) IngestCrowded() bool { return b.watch.nearlyFull() }

// AdvanceIngest gives the next message a sequence above past, by messages that
// no partition reads. What INGEST keeps stays, at its sequences.
func (b *Bus) AdvanceIngest(ctx context.Context, past uint64) error {
	const portion = 1000
	for {
		state, err := b.state(ctx, streamIngest)
		if err != nil {
			return fmt.Errorf("advance %s: %w", streamIngest, err)
		}
		if state.LastSeq >= past {
			break
		}
		fillers := make([]*exchange, min(past-state.LastSeq, portion))
		for i := range fillers {
			fillers[i] = &exchange{subject: subjectProbe}
		}
		b.appends.do(ctx, askTimeout, fillers)
		for _, x := range fillers {
			if _, err := x.acknowledged(); err != nil {
				return fmt.Errorf("advance %s: %w", streamIngest, err)
			}
		}
	}
	if b.sync != nil {
		return b.sync.ingest()
	}
	return nil
}

// ReadIngest reads a partition's commands from the first message after a
// sequence.
func (b *Bus) ReadIngest(_ context.Context, partition int, after uint64) (*IngestReader, error) {
	if partition < 0 || partition >= b.partitions {
		return nil, fmt.Errorf("read partition %d of %d", partition, b.partitions)
	}
	feed := b.feed(streamIngest, subjectIngest(partition), after)
	feed.most = ingestBytes
	return &IngestReader{feed: feed}, nil
}

// An IngestReader reads the commands of a partition in order, without gap or
// repeat, also when the connection or the server was away. One goroutine uses
// it at a time.
type IngestReader struct{ feed *feed }

// An IngestMessage is one or more commands of a partition, encoded.
type IngestMessage struct {
	Seq  uint64
	Data []byte
}

// Next blocks for one message, then takes what is there at once, until maxBytes
// are reached.
func (r *IngestReader) Next(ctx context.Context, maxBytes int) ([]IngestMessage, error) {
	return r.read(ctx, nil, maxBytes, 0)
}

// More adds what follows the messages in the partition's log, until they have
// maxBytes together. It does not wait for what is not written yet.
func (r *IngestReader) More(ctx context.Context, messages []IngestMessage, maxBytes int) ([]IngestMessage, error) {
	size := 0
	for _, m := range messages {
		size += len(m.Data)
	}
	for size < maxBytes && r.feed.pending > 0 {
		before := len(messages)
		var err error
		if messages, err = r.read(ctx, messages, maxBytes-size, moreWait); err != nil || len(messages) == before {
			return messages, err
		}
		for _, m := range messages[before:] {
			size += len(m.Data)
		}
	}
	return messages, nil
}

// moreWait is how long More waits for what is there: the server has been asked
// for it.
const moreWait = 100 * time.Millisecond

func (r *IngestReader) read(ctx context.Context, messages []IngestMessage, maxBytes int, wait time.Duration) ([]IngestMessage, error) {
	list, err := r.feed.fetch(ctx, pullMessages, maxBytes, wait)
	if err != nil {
		return messages, err
	}
	for _, m := range list {
		messages = append(messages, IngestMessage{Seq: m.seq, Data: m.data})
	}
	return messages, nil
}

// Close lets go of the reader.
func (r *IngestReader) Close() { r.feed.close() }
