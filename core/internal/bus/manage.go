package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// state returns what a stream holds.
func (b *Bus) state(ctx context.Context, stream string) (jetstream.StreamState, error) {
	info, err := b.info(ctx, stream)
	return info.State, err
}

// info returns how a stream is configured and what it holds.
func (b *Bus) info(ctx context.Context, stream string) (jetstream.StreamInfo, error) {
	var reply struct {
		Error *refusedError `json:"error"`
		jetstream.StreamInfo
	}
	if err := b.manage(ctx, "$JS.API.STREAM.INFO."+stream, nil, &reply); err != nil {
		return reply.StreamInfo, fmt.Errorf("state of %s: %w", stream, err)
	}
	if reply.Error != nil {
		return reply.StreamInfo, fmt.Errorf("state of %s: %w", stream, reply.Error)
	}
	return reply.StreamInfo, nil
}

// purge removes the messages of a stream, or of one subject of it, below a
// sequence.
func (b *Bus) purge(ctx context.Context, stream, subject string, below uint64) error {
	request := map[string]any{"seq": below}
	if subject != "" {
		request["filter"] = subject
	}
	var reply struct {
		Error *refusedError `json:"error"`
	}
	if err := b.manage(ctx, "$JS.API.STREAM.PURGE."+stream, request, &reply); err != nil {
		return fmt.Errorf("purge %s: %w", stream, err)
	}
	if reply.Error != nil {
		return fmt.Errorf("purge %s: %w", stream, reply.Error)
	}
	return nil
}

// manage asks the server's API, again where no answer comes: what it asks for
// can be done twice.
func (b *Bus) manage(ctx context.Context, subject string, request, reply any) error {
	var data []byte
	if request != nil {
		var err error
		if data, err = json.Marshal(request); err != nil {
			return err
		}
	}
	var answer []byte
	err := retry(ctx, func() error {
		m, err := b.ask.one(ctx, manageTimeout, &exchange{subject: subject, data: data})
		if err == nil {
			answer = m.Data
		}
		return err
	})
	if err != nil {
		return err
	}
	return json.Unmarshal(answer, reply)
}

// manageTimeout bounds one attempt to manage a stream.
const manageTimeout = 10 * time.Second
