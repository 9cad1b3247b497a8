package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The states of the bus's health.
const (
	HealthOK       = "ok"
	HealthDegraded = "degraded" // events are accepted, something else fails
	HealthDown     = "down"     // no events are accepted
)

// Health is how the bus is.
type Health struct {
	State          string
	Reason         string // empty where all is well
	DiskFree       uint64
	DiskReserve    uint64
	IngestMessages uint64
	IngestBytes    uint64
	IngestMaxBytes uint64
	Restarts       uint64 // of the embedded server, within this process
}

// Health tells how the bus is, as of the last second.
func (b *Bus) Health() Health { return b.watch.health() }

const (
	watchEvery = time.Second
	// probeEvery is how often a write is tried while all is well; while
	// something failed it is every watchEvery.
	probeEvery = 5 * time.Second
	// restartAfter is how long writes have to fail before the embedded server
	// is restarted, restartEvery how often that happens at most.
	restartAfter = 5 * time.Second
	restartEvery = time.Minute
	// failureLasts is how long a write is tried again at the latest: what
	// failed longer ago was given up.
	failureLasts = publishTimeout + 2*retryMost
	// restartSpace is the free disk without which a restart would not help.
	restartSpace = 32 << 20
	// reserveReturn is how far above the reserve the free space has to be, in
	// percent of it, for appends to be accepted again.
	reserveReturn = 110
	// acceptPercent of INGEST is what gateways may fill.
	acceptPercent = 80
	leastReserve  = 1e9
)

// A watch keeps an eye on disk, server and INGEST. It costs a statfs and a
// question to the server a second.
type watch struct {
	b           *Bus
	reserve     uint64
	acceptBelow uint64
	statDisk    func(dir string) (diskSpace, error)
	now         func() time.Time
	patience    time.Duration // with a question to the server
	pressure    pressure
	drain       drain
	looked      time.Time // when INGEST's state was read

	unavailable  atomic.Pointer[error]
	belowReserve atomic.Bool
	diskFree     atomic.Uint64
	messages     atomic.Uint64
	bytes        atomic.Uint64
	fresh        atomic.Int64 // bytes appended since bytes was read
	first, last  atomic.Uint64
	restarts     atomic.Uint64

	troubled atomic.Bool // a stream may be failing or full: what succeeds matters

	mu        sync.Mutex
	failing   map[string]failure     // by stream
	full      map[string]*fullStream // never INGEST, whose room is looked at every second
	probed    time.Time
	restarted time.Time

	wake  chan struct{}
	stopc chan struct{}
	ended sync.WaitGroup
}

// A failure is since when a stream's writes fail, when the last one did, and
// how.
type failure struct {
	since, last time.Time
	err         error
}

func newWatch(b *Bus, space diskSpace) *watch {
	w := &watch{
		b: b, statDisk: statDisk, now: time.Now, patience: askTimeout,
		failing: map[string]failure{}, full: map[string]*fullStream{},
		reserve: b.options.DiskReserve, acceptBelow: uint64(b.ingestMax) / 100 * acceptPercent,
		wake: make(chan struct{}, 1), stopc: make(chan struct{}),
	}
	if w.reserve == 0 {
		w.reserve = max(space.total/20, leastReserve)
	}
	return w
}

func (w *watch) start(ctx context.Context) error {
	w.pressure.init(func() bool {
		bytes := w.ingestBytes()
		return bytes < uint64(w.b.ingestMax)/2 && w.drain.allows(bytes)
	})
	if err := w.look(ctx); err != nil {
		return err
	}
	w.ended.Go(w.run)
	w.ended.Go(w.samplePressure)
	return nil
}

func (w *watch) stop() {
	close(w.stopc)
	w.ended.Wait()
	w.pressure.end()
}

func (w *watch) run() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w.ended.Go(func() {
		select {
		case <-w.stopc:
			cancel()
		case <-ctx.Done():
		}
	})
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		w.tick(ctx)
	}
}

// tick is what happens once a second.
func (w *watch) tick(ctx context.Context) {
	if err := w.look(ctx); err != nil && ctx.Err() == nil {
		w.wrote(streamIngest, err)
	}
	w.lookAtFull(ctx)
	w.giveUp()
	if w.probeDue() {
		w.probe(ctx)
	}
	if ctx.Err() == nil && w.restartDue() {
		w.restart()
	}
}

// look reads the disk's free space and INGEST's state.
func (w *watch) look(ctx context.Context) error {
	space, err := w.statDisk(w.b.options.Dir)
	if err != nil {
		return err
	}
	w.diskFree.Store(space.free)
	below := w.belowReserve.Load()
	switch {
	case !below && space.free < w.reserve:
		w.b.log.Warn("nothing is accepted: the disk is down to its reserve", "free", space.free, "reserve", w.reserve)
		w.belowReserve.Store(true)
	case below && space.free >= w.reserve/100*reserveReturn:
		w.b.log.Info("the disk has space again", "free", space.free, "reserve", w.reserve)
		w.belowReserve.Store(false)
	}
	counted := w.fresh.Load()
	ctx, cancel := context.WithTimeout(ctx, w.patience)
	defer cancel()
	state, err := w.b.state(ctx, streamIngest)
	if err != nil {
		return err
	}
	now := w.now()
	if !w.looked.IsZero() {
		w.drain.saw(int64(w.bytes.Load())+counted-int64(state.Bytes), now.Sub(w.looked), state.Bytes > behindBytes && !w.pressure.isBusy.Load())
	}
	w.looked = now
	w.fresh.Add(-counted)
	w.sawIngest(state)
	return nil
}

func (w *watch) sawIngest(state jetstream.StreamState) {
	w.messages.Store(state.Msgs)
	w.bytes.Store(state.Bytes)
	w.first.Store(state.FirstSeq)
	w.last.Store(state.LastSeq)
}

func (w *watch) ingestBytes() uint64 {
	return w.bytes.Load() + uint64(max(w.fresh.Load(), 0))
}

// nearlyFull is true where gateways are refused.
func (w *watch) nearlyFull() bool { return w.ingestBytes() >= w.acceptBelow }

func (w *watch) backlog() (messages, bytes uint64) { return w.messages.Load(), w.ingestBytes() }

func (w *watch) ingestRange() (first, last uint64) { return w.first.Load(), w.last.Load() }

func (w *watch) purgedIngest(below uint64) { w.first.Store(max(w.first.Load(), below)) }

// added counts what was appended since INGEST's state was read.
func (w *watch) added(bytes int) { w.fresh.Add(int64(bytes)) }

// appending tells that an append has arrived.
func (w *watch) appending() {
	if w.pressure.appends.Add(1) == 1 && !w.pressure.sampling.Load() {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

func (w *watch) samplePressure() {
	for {
		select {
		case <-w.wake:
		case <-w.stopc:
			return
		}
		w.pressure.sampling.Store(true)
		ticker := time.NewTicker(sampleEvery)
		for more := true; more; {
			select {
			case <-ticker.C:
				more = w.pressure.sample()
			case <-w.stopc:
				more = false
			}
		}
		ticker.Stop()
		w.pressure.sampling.Store(false)
		if w.pressure.appends.Load() > 0 { // arrived as the sampling ended
			select {
			case w.wake <- struct{}{}:
			default:
			}
		}
	}
}

// wrote notes what became of a write. A stream that fails is probed every
// second, and makes the embedded server restart if that goes on; one that is
// full does neither, since a restart makes no room.
func (w *watch) wrote(stream string, err error) {
	if err == nil && !w.troubled.Load() && w.unavailable.Load() == nil {
		return
	}
	var r *refusedError
	noRoom := errors.As(err, &r) && full(r)
	if noRoom {
		err = nil // the server works
	}
	bad := transport(err) || refusedWith(err, codeStoreFailed) || refusedWith(err, codeNoResources)
	if err != nil && (!bad || errors.Is(err, errClosed)) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() { w.troubled.Store(len(w.failing)+len(w.full) > 0) }()
	if !bad && stream != streamIngest {
		w.sawRoom(stream, !noRoom)
	}
	f, failed := w.failing[stream]
	switch {
	case !bad && failed:
		delete(w.failing, stream)
		w.b.log.Info("writes are answered again", "stream", stream)
	case bad && !failed:
		f.since = w.now()
		w.b.log.Warn("writes fail", "stream", stream, "error", err)
	}
	if bad {
		f.last, f.err = w.now(), err
		w.failing[stream] = f
	}
	if stream == streamIngest {
		switch {
		case bad:
			why := fmt.Errorf("%w (%w)", errIngestSilent, err)
			w.unavailable.Store(&why)
		default:
			w.unavailable.Store(nil)
		}
	}
}

func (w *watch) probeDue() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.failing) > 0 || w.now().Sub(w.probed) >= probeEvery
}

// probe writes to INGEST, beside the partitions.
func (w *watch) probe(ctx context.Context) {
	x := exchange{subject: subjectProbe}
	w.b.appends.do(ctx, appendTimeout, []*exchange{&x})
	_, err := x.acknowledged()
	w.wrote(streamIngest, err)
	w.mu.Lock()
	w.probed = w.now()
	w.mu.Unlock()
}

// restartDue is true where writes to some stream have failed for long, and a
// restart may help.
func (w *watch) restartDue() bool {
	if w.b.server == nil || w.diskFree.Load() < restartSpace {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	if !w.restarted.IsZero() && now.Sub(w.restarted) < restartEvery {
		return false
	}
	for _, f := range w.failing {
		if now.Sub(f.since) >= restartAfter && f.last.Sub(f.since) > 0 {
			w.restarted = now
			return true
		}
	}
	return false
}

// giveUp forgets failures that nobody tries to mend any more.
func (w *watch) giveUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for stream, f := range w.failing {
		if w.now().Sub(f.last) > failureLasts {
			delete(w.failing, stream)
		}
	}
}

func (w *watch) restart() {
	w.restarts.Add(1)
	start := w.now()
	err := w.b.server.restart()
	if err != nil {
		w.b.log.Error("the embedded NATS server does not restart", "error", err)
		w.mu.Lock()
		w.restarted = start.Add(restartAfter - restartEvery) // try again sooner
		w.mu.Unlock()
		return
	}
	w.b.log.Warn("the embedded NATS server was restarted, since writes failed", "took", w.now().Sub(start))
}

func (w *watch) health() Health {
	messages, bytes := w.backlog()
	h := Health{
		State: HealthOK, DiskFree: w.diskFree.Load(), DiskReserve: w.reserve,
		IngestMessages: messages, IngestBytes: bytes, IngestMaxBytes: uint64(w.b.ingestMax),
		Restarts: w.restarts.Load(),
	}
	down := w.accepting()
	w.mu.Lock()
	defer w.mu.Unlock()
	var reasons []string
	for stream, f := range w.full { // told with what it leads to: a full INGEST
		held := ""
		if f.told {
			held = fmt.Sprintf(", with %d of %d bytes", f.bytes, f.maxBytes)
		}
		reasons = append(reasons, fmt.Sprintf("%s is full since %s%s, and what is to be written to it waits; %s",
			stream, f.since.UTC().Format(time.RFC3339), held, w.remedy()))
	}
	if down == nil {
		for stream, f := range w.failing {
			reasons = append(reasons, fmt.Sprintf("writes to %s fail since %s: %v", stream, f.since.UTC().Format(time.RFC3339), f.err))
		}
	}
	slices.Sort(reasons)
	switch {
	case down != nil:
		h.State, reasons = HealthDown, slices.Insert(reasons, 0, down.Error())
	case len(reasons) > 0:
		h.State = HealthDegraded
	}
	h.Reason = strings.Join(reasons, "; ")
	return h
}
