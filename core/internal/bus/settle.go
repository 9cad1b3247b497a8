package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"golang.org/x/sync/errgroup"
)

// existing returns the configurations of the streams that there are.
func existing(ctx context.Context, js jetstream.JetStream) (map[string]jetstream.StreamConfig, error) {
	have := map[string]jetstream.StreamConfig{}
	infos := js.ListStreams(ctx)
	for info := range infos.Info() {
		have[info.Config.Name] = info.Config
	}
	if err := infos.Err(); err != nil {
		return nil, fmt.Errorf("list the streams: %w", err)
	}
	return have, nil
}

// settleStreams creates the streams that are missing, changes those that
// differ, and returns all.
func settleStreams(ctx context.Context, js jetstream.JetStream, have map[string]jetstream.StreamConfig, want []jetstream.StreamConfig) (map[string]jetstream.Stream, error) {
	streams := make([]jetstream.Stream, len(want))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, c := range want {
		group.Go(func() (err error) {
			old, exists := have[c.Name]
			switch {
			case !exists:
				streams[i], err = createStream(ctx, js, c)
				if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another node was faster
					streams[i], err = js.Stream(ctx, c.Name)
				}
				if err != nil {
					return fmt.Errorf("create stream %s: %w", c.Name, err)
				}
			case differ(old, c):
				c.Metadata = old.Metadata
				if streams[i], err = js.UpdateStream(ctx, c); err != nil {
					return fmt.Errorf("change stream %s to how this version uses it: %w", c.Name, err)
				}
			default:
				if streams[i], err = js.Stream(ctx, c.Name); err != nil {
					return fmt.Errorf("open stream %s: %w", c.Name, err)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	byName := map[string]jetstream.Stream{}
	for i, c := range want {
		byName[c.Name] = streams[i]
	}
	return byName, nil
}

// createStream tries again where the server could not make the stream's directory:
// it removes an account's that has become empty, such as after [fits], a moment
// later and may take one with it that a new stream was about to be made in.
func createStream(ctx context.Context, js jetstream.JetStream, c jetstream.StreamConfig) (jetstream.Stream, error) {
	for end := time.Now().Add(createWithin); ; {
		stream, err := js.CreateStream(ctx, c)
		var api *jetstream.APIError
		if !errors.As(err, &api) || api.ErrorCode != codeStreamCreate || time.Now().After(end) || !sleep(ctx, createAgain) {
			return stream, err
		}
	}
}

const (
	createWithin = 3 * time.Second
	createAgain  = 50 * time.Millisecond
	// codeStreamCreate says that a stream's store could not be made.
	codeStreamCreate = 10049
)

// differ compares what definitions sets.
func differ(a, b jetstream.StreamConfig) bool {
	perSubject := func(c jetstream.StreamConfig) int64 { return max(c.MaxMsgsPerSubject, 0) }
	return !slices.Equal(a.Subjects, b.Subjects) ||
		a.MaxBytes != b.MaxBytes || a.MaxAge != b.MaxAge || perSubject(a) != perSubject(b) ||
		a.Discard != b.Discard || a.Replicas != b.Replicas || a.AllowDirect != b.AllowDirect ||
		a.AllowRollup != b.AllowRollup || a.DenyDelete != b.DenyDelete || a.AllowMsgTTL != b.AllowMsgTTL ||
		a.AllowMsgSchedules != b.AllowMsgSchedules || a.Duplicates != b.Duplicates
}

// settleExternal settles the streams on a server whose disk is not known. What
// is there keeps its bounds; new ones get bounds that the server has room for.
func settleExternal(ctx context.Context, js jetstream.JetStream, o Options) (map[string]jetstream.Stream, error) {
	have, err := existing(ctx, js)
	if err != nil {
		return nil, err
	}
	bounds := func(disk uint64) []jetstream.StreamConfig {
		b := budget{disk: disk, ingest: o.IngestMaxBytes}
		if b.ingest == 0 {
			b.ingest = max(minShare, min(maxIngest, int64(disk/10)))
		}
		want := definitions(b, o.Replicas, o.EventsMaxAge)
		for i, c := range want {
			if old, ok := have[c.Name]; ok && (c.Name != streamIngest || o.IngestMaxBytes == 0) {
				want[i].MaxBytes = old.MaxBytes
			}
		}
		return want
	}
	disk := uint64(externalDisk)
	for ; disk > externalLeast; disk /= 2 {
		var missing int64
		for _, c := range bounds(disk) {
			if _, ok := have[c.Name]; !ok {
				missing += c.MaxBytes
			}
		}
		fits, err := fits(ctx, js, missing, o.Replicas)
		if err != nil {
			return nil, err
		}
		if fits {
			break
		}
	}
	return settleStreams(ctx, js, have, bounds(disk))
}

const (
	maxIngest = 2 << 30
	// externalDisk is what an external server is asked to reserve at most for
	// all streams, externalLeast what it is asked for at least.
	externalDisk  = 64 << 30
	externalLeast = 256 << 20
	// codeNoStorage refuses a stream whose bound exceeds what is left.
	codeNoStorage = 10047
)

// fits finds out whether the server would reserve so many bytes, with a stream
// that it removes again.
func fits(ctx context.Context, js jetstream.JetStream, bytes int64, replicas int) (bool, error) {
	if bytes == 0 {
		return true, nil
	}
	name := "ROOM-" + nuid.Next()
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name: name, Subjects: []string{"room." + name}, MaxBytes: bytes, Storage: jetstream.FileStorage, Replicas: replicas,
	})
	var api *jetstream.APIError
	if errors.As(err, &api) && (api.ErrorCode == codeNoStorage || api.ErrorCode == codeNoResources) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask the server for room: %w", err)
	}
	if err := js.DeleteStream(ctx, name); err != nil {
		return false, fmt.Errorf("ask the server for room: %w", err)
	}
	return true, nil
}
