package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	idleListeners = 5000
	// pingedWithin is when the server has asked each listener for a sign of life.
	pingedWithin = 30 * time.Second
	busListeners = 1000
	lanes        = 5 // each event is for the listeners of one of them
	liveRate     = 100
	liveFor      = 20 * time.Second
	// drained is how long the last pushes may take.
	drained = 3 * time.Second
)

// liveStream measures the stream back: what a connection costs that only waits,
// and how soon an event is pushed to those of many listeners whose filter it
// meets, also where one of the others never reads.
func liveStream(ctx context.Context, r *run) error {
	r.setting = fmt.Sprintf("%d listeners at rest", idleListeners)
	if err := r.withProduct(ctx, "fsync", func(p *product) error { return idleConnections(ctx, r, p) }); err != nil {
		return err
	}
	for _, stuck := range []bool{false, true} {
		r.setting = fmt.Sprintf("%d listeners", busListeners)
		if stuck {
			r.setting += " and one that never reads"
		}
		if err := r.withProduct(ctx, "fsync", func(p *product) error { return pushes(ctx, r, p, stuck) }); err != nil {
			return err
		}
	}
	return nil
}

// idleConnections measures the memory of subscribed connections.
func idleConnections(ctx context.Context, r *run, p *product) error {
	l := &listeners{p: p}
	defer l.close()
	// What the first connections bring into being is no cost of each.
	if err := l.dial(ctx, 100, 4<<10, idleFilter); err != nil {
		return err
	}
	if err := wait(ctx, calm); err != nil {
		return err
	}
	before, err := memoryOf(p.pid)
	if err != nil {
		return err
	}
	if err := l.dial(ctx, idleListeners, 4<<10, idleFilter); err != nil {
		return err
	}
	if err := wait(ctx, r.duration(pingedWithin)); err != nil {
		return err
	}
	after, err := memoryOf(p.pid)
	if err != nil {
		return err
	}
	if err := l.failure(); err != nil {
		return err
	}
	r.figure("memory of a connection", float64(after.now-before.now)/idleListeners/1024, "KiB", atMost(16))
	r.figure("pinged", float64(l.pings.Load()), "", nil)
	return nil
}

func idleFilter(int) string { return `event.type == "never"` }

// pushes measures how long it takes from the sending of an event until it was
// pushed.
func pushes(ctx context.Context, r *run, p *product, stuck bool) error {
	l := &listeners{p: p}
	defer l.close()
	if stuck {
		one, err := l.open(ctx, 4<<10, "true")
		if err != nil {
			return err
		}
		defer one.conn.Close()
	}
	// Each filter is another one, so that none is evaluated for two.
	filter := func(i int) string {
		return fmt.Sprintf(`event.properties.lane == %d && event.properties.n >= %d`, i%lanes, -i)
	}
	if err := l.dial(ctx, busListeners, 80<<10, filter); err != nil {
		return err
	}
	conn, err := dialHTTP(ctx, p.address)
	if err != nil {
		return err
	}
	defer conn.conn.Close()
	before, err := cpuOf(p.pid)
	if err != nil {
		return err
	}
	began := time.Now()
	pace := newSchedule(liveRate, 0, 1, began)
	sent := 0
	for ; time.Since(began) < r.duration(liveFor) && ctx.Err() == nil; sent++ {
		time.Sleep(time.Until(pace.next()))
		l.sent(sent)
		body := fmt.Sprintf(`{"type":"tick","ids":{"user":"u%d"},"properties":{"lane":%d,"n":%d,"note":"%0200d"}}`, sent%100, sent%lanes, sent, 0)
		if err := conn.conn.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		a, err := conn.exchange([]byte(requestText(p.address, "/v1/events", writeKey, "", body)))
		if err != nil {
			return err
		}
		if a.status != http.StatusOK || !allAccepted(a.body, 1) {
			return fmt.Errorf("the product answers %d %.300s", a.status, a.body)
		}
	}
	after, err := cpuOf(p.pid)
	if err != nil {
		return err
	}
	elapsed := time.Since(began)
	wanted := sent * busListeners / lanes
	for late := time.Now().Add(drained); l.got() < wanted && time.Now().Before(late); {
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	if err := l.failure(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r.figure("sent until pushed, median", milliseconds(l.latency.quantile(0.5)), "ms", nil)
	r.figure("sent until pushed, 99 of 100", milliseconds(l.latency.quantile(0.99)), "ms", atMost(50))
	r.figure("pushes that did not come", float64(wanted-int(l.latency.total)), "", atMost(0))
	r.figure("CPU of the product", 100*float64(after-before)/float64(elapsed), "% of a core", nil)
	return nil
}

// listeners are subscribed connections.
type listeners struct {
	p       *product
	sockets []*socket
	group   sync.WaitGroup
	pings   atomic.Int64

	mu      sync.Mutex
	times   []time.Time // when events were sent, by number
	latency histogram
	err     error
	closed  bool
}

// dial opens so many connections, each with its filter, and reads them.
func (l *listeners) dial(ctx context.Context, n, buffer int, filter func(int) string) error {
	opened := make([]*socket, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(32)
	for i := range n {
		g.Go(func() (err error) {
			opened[i], err = l.open(ctx, buffer, filter(i))
			return err
		})
	}
	err := g.Wait()
	for _, s := range opened {
		if s != nil {
			l.sockets = append(l.sockets, s)
			l.group.Go(func() { l.read(s) })
		}
	}
	return err
}

// open opens one connection and subscribes it to all events that meet a filter.
func (l *listeners) open(ctx context.Context, buffer int, filter string) (*socket, error) {
	s, err := dialSocketWith(ctx, l.p.address, "", buffer)
	if err != nil {
		return nil, err
	}
	messages := clientFrame(`{"id":1,"connect":{"token":"`+l.p.token+`"}}`) +
		clientFrame(`{"id":2,"subscribe":{"channel":"events","filter":`+strconv.Quote(filter)+`}}`)
	if _, err := s.conn.Write([]byte(messages)); err != nil {
		s.conn.Close()
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	for {
		text, size, err := parseFrame(s.buf[:s.read])
		switch {
		case err == nil && size == 0:
			err = s.fill()
		case err == nil:
			done := bytes.Contains(text, []byte(`"subscribed"`))
			if bytes.Contains(text, errorText) {
				err = fmt.Errorf("the server answers %.300q", text)
			}
			s.drop(size)
			if done && err == nil {
				return s, s.conn.SetDeadline(time.Time{})
			}
		}
		if err != nil {
			s.conn.Close()
			return nil, fmt.Errorf("subscribe: %w", err)
		}
	}
}

// read takes pushes and answers pings until the connection is closed.
func (l *listeners) read(s *socket) {
	for {
		used := 0
		for {
			text, size, err := parseFrame(s.buf[used:s.read])
			if err != nil {
				l.failed(err)
				return
			}
			if size == 0 {
				break
			}
			used += size
			for line := range bytes.Lines(text) {
				if !bytes.HasPrefix(line, pingText) {
					l.pushed(line)
					continue
				}
				l.pings.Add(1)
				if _, err := s.conn.Write([]byte(pongMessage)); err != nil {
					l.failed(err)
					return
				}
			}
		}
		s.drop(used)
		if err := s.fill(); err != nil {
			l.failed(err)
			return
		}
	}
}

var numberText = []byte(`"n":`)

// pushed notes how long an event was on its way.
func (l *listeners) pushed(line []byte) {
	now := time.Now()
	_, rest, found := bytes.Cut(line, numberText)
	digits := rest[:max(bytes.IndexAny(rest, ",}"), 0)]
	n, err := strconv.Atoi(string(digits))
	l.mu.Lock()
	defer l.mu.Unlock()
	if !found || err != nil || n < 0 || n >= len(l.times) {
		l.err = errors.Join(l.err, fmt.Errorf("the server says %.200q unasked", line))
		return
	}
	l.latency.record(now.Sub(l.times[n]))
}

func (l *listeners) sent(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.times = append(l.times[:n], time.Now())
}

func (l *listeners) got() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int(l.latency.total)
}

func (l *listeners) failed(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed && l.err == nil {
		l.err = fmt.Errorf("listen: %w", err)
	}
}

func (l *listeners) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *listeners) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	for _, s := range l.sockets {
		s.conn.Close()
	}
	l.group.Wait()
}
