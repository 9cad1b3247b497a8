package bus

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
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
	flows := stream(streamFlows, subjectRuns, b.share(100))
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
