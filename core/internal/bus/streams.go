package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// A budget is what the streams may take of the disk.
type budget struct {
	disk   uint64 // what the shares are shares of
	ingest int64
}

// share is a part of the disk, in permille, within bounds.
func (b budget) share(permille uint64) int64 {
	return max(int64(b.disk/1000*permille), minShare)
}

const (
	minShare = 64 << 20
	// storeSlack is how far the store's limit lies above the sum of the
	// streams' bounds: at the store's limit every stream would refuse.
	storeSlack = 1 << 30
	// deadLetterAge and historyAge bound what is kept for people to look at.
	deadLetterAge = 30 * 24 * time.Hour
	historyAge    = 30 * 24 * time.Hour
	// seenAge is longer than the 24 hours within which a repetition is known.
	seenAge = 25 * time.Hour
)

// definitions returns every stream and bucket of the bus. Their bounds sum up
// to less than the disk.
func definitions(b budget, replicas int, eventsMaxAge time.Duration) []jetstream.StreamConfig {
	stream := func(name, subject string, maxBytes int64) jetstream.StreamConfig {
		return jetstream.StreamConfig{
			Name: name, Subjects: []string{subject}, MaxBytes: maxBytes, Storage: jetstream.FileStorage,
			Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld, Replicas: replicas,
			Duplicates: 100 * time.Millisecond, // the least there is: message ids are not used
			// A replica may answer a direct get with an older value, so with
			// several of them the leader is asked.
			AllowDirect: replicas == 1,
		}
	}
	bucket := func(name, prefix string, history, maxBytes int64) jetstream.StreamConfig {
		c := stream(name, prefix+">", maxBytes)
		c.MaxMsgsPerSubject, c.Discard, c.AllowRollup, c.DenyDelete = history, jetstream.DiscardNew, true, true
		return c
	}

	ingest := stream(streamIngest, "ingest.*", b.ingest)
	ingest.Discard = jetstream.DiscardNew

	// Commits wait for the next checkpoint to be purged, and none of them may
	// be lost before.
	commits := stream(streamCommits, "commit.*", max(2*b.ingest, b.share(50)))
	commits.Discard = jetstream.DiscardNew

	events := stream(streamEvents, prefixEvents+">", b.share(350))
	events.MaxAge = eventsMaxAge
	events.AllowDirect = true // MarksAt needs it

	identities := bucket(streamIdentities, prefixIdentities, 1, b.share(50))
	identities.AllowMsgTTL = true

	seen := stream(streamSeen, "seen.*", b.share(50))
	seen.MaxAge = seenAge

	// A stream with schedules cannot refuse what is new (10052): whoever
	// publishes to one watches its size.
	flows := stream(streamFlows, "flow.run.*", b.share(100))
	flows.Subjects = append(flows.Subjects, "flow.due.*")
	flows.AllowMsgTTL, flows.AllowMsgSchedules, flows.AllowRollup = true, true, true

	history := stream(streamFlowHistory, "flow.history.*", b.share(50))
	history.MaxAge = historyAge

	jobs := stream(streamJobs, "job.>", b.share(10))
	jobs.AllowMsgSchedules, jobs.AllowRollup = true, true

	dead := stream(streamDeadLetters, "deadletter.*", b.share(50))
	dead.MaxAge = deadLetterAge

	config := stream(streamConfig, subjectConfig, b.share(10))
	config.Discard = jetstream.DiscardNew

	return []jetstream.StreamConfig{
		ingest, commits, events, identities, seen, flows, history, jobs, dead, config,
		bucket(streamProfiles, prefixProfiles, 1, b.share(150)),
		bucket(streamResources, prefixResources, 10, b.share(10)),
		bucket(streamJobState, prefixJobState, 1, b.share(10)),
	}
}

// storeLimit is the bound of the whole store.
func storeLimit(list []jetstream.StreamConfig) int64 {
	sum := int64(storeSlack)
	for _, c := range list {
		sum += c.MaxBytes
	}
	return sum
}

// settle creates the streams that are missing and changes those that differ.
// Where keepBounds is set, what stands keeps its bounds, but for INGEST's.
func settleStreams(ctx context.Context, js jetstream.JetStream, want []jetstream.StreamConfig, keepBounds bool) (map[string]jetstream.Stream, error) {
	have := map[string]jetstream.StreamConfig{}
	infos := js.ListStreams(ctx)
	for info := range infos.Info() {
		have[info.Config.Name] = info.Config
	}
	if err := infos.Err(); err != nil {
		return nil, fmt.Errorf("list the streams: %w", err)
	}
	streams := make([]jetstream.Stream, len(want))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, c := range want {
		group.Go(func() (err error) {
			old, exists := have[c.Name]
			if exists && keepBounds && c.Name != streamIngest {
				c.MaxBytes = old.MaxBytes
			}
			switch {
			case !exists:
				if streams[i], err = js.CreateStream(ctx, c); err != nil {
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

// differ compares what definitions sets.
func differ(a, b jetstream.StreamConfig) bool {
	if len(a.Subjects) != len(b.Subjects) {
		return true
	}
	for i := range a.Subjects {
		if a.Subjects[i] != b.Subjects[i] {
			return true
		}
	}
	perSubject := func(c jetstream.StreamConfig) int64 { return max(c.MaxMsgsPerSubject, 0) }
	return a.MaxBytes != b.MaxBytes || a.MaxAge != b.MaxAge || perSubject(a) != perSubject(b) ||
		a.Discard != b.Discard || a.Replicas != b.Replicas || a.AllowDirect != b.AllowDirect ||
		a.AllowRollup != b.AllowRollup || a.DenyDelete != b.DenyDelete || a.AllowMsgTTL != b.AllowMsgTTL ||
		a.AllowMsgSchedules != b.AllowMsgSchedules || a.Duplicates != b.Duplicates
}

// settleExternal fits the streams into what an external server allows, of
// which only its refusal is known: a fresh stream's bounds are halved until
// they are accepted.
func settleExternal(ctx context.Context, js jetstream.JetStream, o Options) (map[string]jetstream.Stream, int64, error) {
	ingest := o.IngestMaxBytes
	if ingest == 0 {
		ingest = maxIngest
	}
	disk := uint64(externalDisk)
	if info, err := js.AccountInfo(ctx); err == nil && info.Limits.MaxStore > 0 {
		disk = uint64(info.Limits.MaxStore) / uint64(o.Replicas)
		if o.IngestMaxBytes == 0 {
			ingest = min(ingest, int64(disk/10))
		}
	}
	for {
		b := budget{disk: disk, ingest: ingest}
		streams, err := settleStreams(ctx, js, definitions(b, o.Replicas, o.EventsMaxAge), true)
		if !insufficient(err) || disk < externalDisk>>8 {
			return streams, b.ingest, err
		}
		disk /= 2
		if o.IngestMaxBytes == 0 {
			ingest = max(ingest/2, minShare)
		}
	}
}

const (
	maxIngest    = 2 << 30
	externalDisk = 64 << 30
	// codeNoStorage refuses a stream whose bound exceeds what is left.
	codeNoStorage = 10047
)

func insufficient(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == codeNoStorage || api.ErrorCode == codeNoResources)
}
