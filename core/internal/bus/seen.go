package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
)

// idsPerMessage bounds a message of SEEN.
const idsPerMessage = 4096

// PublishSeen notes ids that a partition has applied. It tries until all is
// acknowledged or the context ends, so an id may be stored more than once.
func (b *Bus) PublishSeen(ctx context.Context, partition int, ids []record.ID) error {
	const size = len(record.ID{})
	data := make([]byte, 0, len(ids)*size)
	for i := range ids {
		data = append(data, ids[i][:]...)
	}
	messages := (len(ids) + idsPerMessage - 1) / idsPerMessage
	err := b.inOrder(ctx, ordered{
		stream: streamSeen, n: messages,
		partition: func(int) int { return partition },
		message: func(i int) *exchange {
			end := min((i+1)*idsPerMessage*size, len(data))
			return &exchange{subject: subjectSeen(partition), data: data[i*idsPerMessage*size : end]}
		},
	})
	if err != nil {
		return fmt.Errorf("note ids seen in partition %d: %w", partition, err)
	}
	return nil
}

// ReadSeen calls each with the ids of all messages of SEEN behind a sequence,
// of all partitions, up to what is there at the time of the call.
func (b *Bus) ReadSeen(ctx context.Context, after uint64, each func(seq uint64, at time.Time, ids []record.ID) error) error {
	err := b.feed(streamSeen, "", after).rest(ctx, func(m stored) error {
		const size = len(record.ID{})
		if len(m.data)%size != 0 {
			return fmt.Errorf("%w: %d bytes of ids at %d", record.ErrMalformed, len(m.data), m.seq)
		}
		ids := make([]record.ID, len(m.data)/size)
		for i := range ids {
			ids[i] = record.ID(m.data[i*size:])
		}
		return each(m.seq, m.time, ids)
	})
	if err != nil {
		return fmt.Errorf("read the ids seen: %w", err)
	}
	return nil
}
