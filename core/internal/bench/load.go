package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// A server is a process that listens.
type server struct {
	address string // host:port
	pid     int
}

// A span is how wide and how long a load is.
type span struct {
	connections int
	warmUp      time.Duration // sent before anything counts
	duration    time.Duration
}

// A load is what many connections send to a server for a while.
type load struct {
	server
	span
	// connect opens connection i; its sending begins at start.
	connect func(ctx context.Context, i int, start time.Time) (sender, error)
}

// A sender is one connection that sends until the window ends.
type sender interface {
	send(w *window, r *loadResult) error
	net() net.Conn
}

// A loadResult is what a load did while it counted.
type loadResult struct {
	requests int64
	all      int64         // events taken in, those of the warm-up included
	latency  histogram     // of a paced request from the time when it was due
	refused  int64         // requests to be sent again later, such as after a 503; those of the warm-up included
	failed   int64         // requests that were answered with anything else; the same
	failure  string        // the first such answer
	warmUp   time.Duration // before it counted
	elapsed  time.Duration // while it counted
	server   time.Duration // CPU time that the server used meanwhile
	driver   time.Duration // CPU time that this process used
}

// patience is how long an answer may take.
const patience = 30 * time.Second

// blocks numbers the connections of this process, so that no two of them send
// the same event.
var blocks atomic.Uint64

func (l *load) run(ctx context.Context) (*loadResult, error) {
	// One thread: beside the server there is no processor to spare, and what
	// two threads do in waking each other counts for the server's figures.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))

	senders, err := l.open(ctx)
	closeAll := func() {
		for _, s := range senders {
			s.net().Close()
		}
	}
	defer closeAll()
	if err != nil {
		return nil, err
	}
	// Reads and writes know no context: closing ends them.
	stop := context.AfterFunc(ctx, closeAll)
	defer stop()

	start := time.Now()
	w := &window{from: start.Add(l.warmUp), server: l.pid}
	w.to = w.from.Add(l.duration)
	results := make([]loadResult, len(senders))
	var group errgroup.Group
	for i, s := range senders {
		group.Go(func() error {
			if err := s.net().SetDeadline(w.to.Add(patience)); err != nil {
				return err
			}
			return s.send(w, &results[i])
		})
	}
	if err := group.Wait(); err != nil {
		return nil, errors.Join(ctx.Err(), err)
	}
	total := &loadResult{warmUp: l.warmUp, elapsed: time.Since(w.from)}
	if total.server, total.driver, err = w.used(); err != nil {
		return nil, err
	}
	for i := range results {
		total.add(&results[i])
	}
	if total.requests == 0 {
		return nil, errors.New("no request was answered")
	}
	return total, nil
}

func (l *load) open(ctx context.Context) (senders []sender, err error) {
	start := time.Now()
	for i := range l.connections {
		s, err := l.connect(ctx, i, start)
		if err != nil {
			return senders, fmt.Errorf("connect to %s: %w", l.address, err)
		}
		senders = append(senders, s)
	}
	return senders, nil
}

// fault keeps what an answer said that is not a success.
func (r *loadResult) fault(temporary bool, text []byte) {
	if temporary {
		r.refused++
	} else {
		r.failed++
	}
	if r.failure == "" {
		r.failure = fmt.Sprintf("%.300s", text)
	}
}

// add takes in what another connection of the same load did.
func (r *loadResult) add(o *loadResult) {
	r.requests += o.requests
	r.all += o.all
	r.refused += o.refused
	r.failed += o.failed
	if r.failure == "" {
		r.failure = o.failure
	}
	r.latency.add(&o.latency)
}

// merge adds another load.
func (r *loadResult) merge(o *loadResult) {
	r.add(o)
	r.elapsed += o.elapsed
	r.server += o.server
	r.driver += o.driver
}

// perSecond is the rate of requests that were answered.
func (r *loadResult) perSecond() float64 { return float64(r.requests) / r.elapsed.Seconds() }

// A window is the time in which requests count.
type window struct {
	from, to time.Time
	server   int // process id

	begin            sync.Once
	atServer, atSelf time.Duration
	err              error
}

// counts tells whether a request that is sent at the time counts.
func (w *window) counts(now time.Time) bool {
	if now.Before(w.from) {
		return false
	}
	w.begin.Do(w.look)
	return true
}

// over tells whether nothing more is sent.
func (w *window) over(now time.Time) bool { return !now.Before(w.to) }

func (w *window) look() {
	if w.atServer, w.err = cpuOf(w.server); w.err == nil {
		w.atSelf, w.err = cpuOf(os.Getpid())
	}
}

// used is the CPU time since the first request that counted.
func (w *window) used() (server, self time.Duration, err error) {
	server, self = w.atServer, w.atSelf
	if w.err == nil {
		w.look()
	}
	return w.atServer - server, w.atSelf - self, w.err
}
