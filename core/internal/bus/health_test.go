package bus

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestDiskReserveHasHysteresis(t *testing.T) {
	b := open(t, Options{})
	w := b.watch
	w.stop()
	w.stopc = make(chan struct{})
	var free atomic.Uint64
	w.statDisk = func(string) (diskSpace, error) { return diskSpace{total: 1 << 40, free: free.Load()}, nil }
	w.reserve = 1000
	for _, step := range []struct {
		free uint64
		want error
	}{{5000, nil}, {1000, nil}, {999, ErrReserve}, {1050, ErrReserve}, {1100, nil}, {1000, nil}} {
		free.Store(step.free)
		w.tick(t.Context())
		if err := b.Accepting(); !errors.Is(err, step.want) {
			t.Errorf("with %d bytes free: %v, want %v", step.free, err, step.want)
		}
		if h := b.Health(); h.DiskFree != step.free || (h.State == HealthDown) != (step.want != nil) {
			t.Errorf("with %d bytes free: %+v", step.free, h)
		}
	}
}

func TestDiskReserveDefault(t *testing.T) {
	for total, want := range map[uint64]uint64{100e9: 5e9, 10e9: 1e9, 0: 1e9} {
		if w := newWatch(&Bus{}, diskSpace{total: total}); w.reserve != want {
			t.Errorf("of a disk of %d bytes %d are reserved, want %d", total, w.reserve, want)
		}
	}
	if w := newWatch(&Bus{options: Options{DiskReserve: 7}}, diskSpace{total: 100e9}); w.reserve != 7 {
		t.Errorf("a reserve of 7 bytes became %d", w.reserve)
	}
}

func TestServerIsRestartedWhenWritesFail(t *testing.T) {
	b := open(t, Options{})
	w := b.watch
	w.stop()
	w.stopc = make(chan struct{})
	now := time.Now()
	w.now = func() time.Time { return now }
	w.patience = 50 * time.Millisecond
	b.server.stop()
	second := func() {
		now = now.Add(time.Second)
		w.tick(t.Context())
	}
	for range 5 {
		second()
	}
	if n := b.Health().Restarts; n != 0 {
		t.Fatalf("%d restarts within 5 s of a failure", n)
	}
	second()
	second()
	if n := b.Health().Restarts; n != 1 {
		t.Fatalf("%d restarts after 7 s of failures, want 1", n)
	}
	w.tick(t.Context())
	if err := b.Accepting(); err != nil {
		t.Fatalf("after the restart: %v", err)
	}
	if err := b.Append(t.Context(), []Entry{{0, line1("a")}}); err != nil {
		t.Fatal(err)
	}
	b.server.stop()
	for range 50 {
		second()
	}
	if n := b.Health().Restarts; n != 1 {
		t.Errorf("%d restarts within a minute", n)
	}
	for range 20 {
		second()
	}
	if n := b.Health().Restarts; n != 2 {
		t.Errorf("%d restarts after a minute, want 2", n)
	}
}

// What other streams refuse degrades, and brings the restart, while it is tried.
func TestOtherStreamsThatFail(t *testing.T) {
	b := open(t, Options{})
	w := b.watch
	w.stop()
	w.stopc = make(chan struct{})
	now := time.Now()
	w.now = func() time.Time { return now }
	w.wrote(streamEvents, ErrNoAck)
	if h := b.Health(); h.State != HealthDegraded || !strings.Contains(h.Reason, streamEvents) || b.Accepting() != nil {
		t.Errorf("health %+v", h)
	}
	now = now.Add(6 * time.Second)
	if w.restartDue() {
		t.Error("one failure restarts the server")
	}
	w.wrote(streamEvents, ErrNoAck)
	if !w.restartDue() {
		t.Error("failures over 6 s do not restart the server")
	}
	w.wrote(streamEvents, nil)
	if h := b.Health(); h.State != HealthOK || h.Reason != "" {
		t.Errorf("health %+v", h)
	}
	w.wrote(streamEvents, errors.New("of another kind"))
	if h := b.Health(); h.State != HealthOK {
		t.Errorf("health %+v", h)
	}
	w.restarted = time.Time{}
	w.wrote(streamSeen, ErrNoAck)
	now = now.Add(time.Minute)
	w.giveUp()
	if w.restartDue() || b.Health().State != HealthOK {
		t.Error("what was given up long ago still counts")
	}
}

func TestPressure(t *testing.T) {
	half := true
	var p pressure
	p.init(func() bool { return half })
	idle := 1.0
	p.callers.Store(64)
	p.share = func() (float64, bool) { return idle, true }
	scarce := func(slow uint64) {
		// As if since the last sample so many goroutines had waited long.
		p.before = nil
		p.scarce()
		for i, low := range p.samples[0].Value.Float64Histogram().Buckets {
			if low >= 2*scarceLatency.Seconds() {
				p.before[i] -= slow
				return
			}
		}
		t.Fatal("no such bucket")
	}
	step := func(appends, slow uint64) bool {
		p.appends.Store(appends)
		scarce(slow)
		p.sample()
		return p.isBusy.Load()
	}
	if step(10, 0) {
		t.Error("busy with CPU to spare")
	}
	if step(0, 1e9) {
		t.Error("busy without appends")
	}
	if !step(10, 1e9) {
		t.Error("not busy where goroutines wait long")
	}
	for idle = 1; step(10, 0); {
		// Until what was scarce has passed.
	}
	idle = 0.02
	for range 12 {
		step(10, 0)
	}
	if !p.isBusy.Load() {
		t.Error("not busy where the machine has no time left")
	}
	idle = 0.2
	for range 2 {
		if !step(10, 0) {
			t.Error("not busy any more where little more is idle than what gave way")
		}
	}
	closed := func() bool {
		select {
		case <-p.opening():
			return false
		default:
			return true
		}
	}
	// Held back when it has had its share, until that has grown again.
	p.spend(5 * sampleEvery)
	held := 0
	for closed() {
		step(10, 1e9)
		held++
	}
	if held < 30 || held > 60 {
		t.Errorf("held back for %d samples after the work of 5, want about 50", held)
	}
	p.spend(time.Hour)
	opened := p.opening()
	half = false
	if step(10, 1e9) || !p.isScarce.Load() {
		t.Error("busy with INGEST more than half full")
	}
	select {
	case <-opened:
	default:
		t.Error("who is held back is not told that it is over")
	}
	half = true
	p.callers.Store(1)
	for range 12 {
		step(10, 1e9)
	}
	if p.isBusy.Load() {
		t.Error("busy though nobody queues up")
	}
}

func TestBackgroundIsHeldBack(t *testing.T) {
	b := open(t, Options{})
	p := &b.watch.pressure
	did := make(chan struct{}, 2)
	work := func() error { did <- struct{}{}; return nil }
	if err := b.Background(t.Context(), work); err != nil || len(did) != 1 {
		t.Errorf("work was held back though nothing is busy: %v", err)
	}
	p.mu.Lock()
	p.let(false)
	p.mu.Unlock()
	ended := make(chan error, 1)
	go func() { ended <- b.Background(t.Context(), work) }()
	select {
	case <-ended:
		t.Error("work went ahead while the gateway was busy")
	case <-time.After(20 * time.Millisecond):
	}
	p.mu.Lock()
	p.let(true)
	p.mu.Unlock()
	if err := <-ended; err != nil || len(did) != 2 {
		t.Errorf("work was not done: %v", err)
	}
	// A stop does not wait.
	p.mu.Lock()
	p.let(false)
	p.mu.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	<-did
	if err := b.Background(ctx, work); err != nil || len(did) != 2 {
		t.Errorf("work was held back by a stop: %v", err)
	}
}

func TestSamplingFollowsAppends(t *testing.T) {
	b := open(t, Options{})
	p := &b.watch.pressure
	if err := b.Append(t.Context(), []Entry{{0, line1("a")}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 2*time.Second, "sampling", func() bool { return p.sampling.Load() })
	eventually(t, 2*time.Second, "an end of sampling", func() bool { return !p.sampling.Load() })
}

func TestMetrics(t *testing.T) {
	b := open(t, Options{})
	if err := b.Append(t.Context(), []Entry{{0, line1("a")}}); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	b.Metrics(&text)
	for _, want := range []string{
		"tributary_bus_append_group_seconds_count 1\n", "tributary_bus_accepting 1\n",
		`tributary_bus_stream_messages{stream="INGEST"} 1`, `tributary_bus_stream_bytes{stream="KV_profiles"} 0`, "tributary_bus_fsync_seconds_count",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %s in\n%s", want, &text)
		}
	}
}
