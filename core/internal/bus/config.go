package bus

import (
	"context"
	"fmt"
	"time"
)

// AppendConfig stores a change of the configuration, provided that the last one
// has the given sequence (0: there is none), else returns ErrConflict. It is
// durable when AppendConfig returns.
func (b *Bus) AppendConfig(ctx context.Context, data []byte, expect uint64) (seq uint64, err error) {
	seq, err = b.conditional(ctx, b.effects, streamConfig, subjectConfig, data, expect)
	if err != nil {
		return 0, fmt.Errorf("append a change of the configuration: %w", err)
	}
	if b.sync != nil {
		if err := b.sync.configure(); err != nil {
			return 0, fmt.Errorf("append a change of the configuration: %w", err)
		}
	}
	return seq, nil
}

// Configs calls each with the changes behind a sequence that are kept, up to
// the last one at the time of the call.
func (b *Bus) Configs(ctx context.Context, after uint64, each func(StoredConfig) error) error {
	err := b.feed(streamConfig, "", after).rest(ctx, func(m stored) error {
		return each(StoredConfig{Seq: m.seq, Data: m.data, Time: m.time})
	})
	if err != nil {
		return fmt.Errorf("read the configuration's changes: %w", err)
	}
	return nil
}

// PurgeConfig removes changes below a sequence, but never the last one.
func (b *Bus) PurgeConfig(ctx context.Context, below uint64) error {
	state, err := b.state(ctx, streamConfig)
	if err != nil {
		return err
	}
	if below = min(below, state.LastSeq); below <= state.FirstSeq {
		return nil
	}
	return b.purge(ctx, streamConfig, "", below)
}

// FollowConfig reads the changes behind a sequence, and those to come.
func (b *Bus) FollowConfig(_ context.Context, after uint64) (*ConfigReader, error) {
	return &ConfigReader{feed: b.feed(streamConfig, "", after)}, nil
}

// A StoredConfig is a change of the configuration.
type StoredConfig struct {
	Seq  uint64
	Data []byte
	Time time.Time
}

// A ConfigReader reads the changes of the configuration in order. One goroutine
// uses it at a time.
type ConfigReader struct{ feed *feed }

// Next blocks for a change.
func (r *ConfigReader) Next(ctx context.Context) (StoredConfig, error) {
	list, err := r.feed.fetch(ctx, 1, pullBytes, 0)
	if err != nil {
		return StoredConfig{}, err
	}
	return StoredConfig{Seq: list[0].seq, Data: list[0].data, Time: list[0].time}, nil
}

// Close lets go of the reader.
func (r *ConfigReader) Close() { r.feed.close() }
