package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/supervisor"
	"github.com/tributary-bus/tributary/sdk/wire"
)

const (
	callLoad = 5 * time.Second
	// inFlight is how many calls are open at a time where they are pipelined.
	inFlight = 256
)

// call measures calls of profile/set, as the flow engine makes them: from the
// process that NATS is embedded in, which here is this one, into that of the
// plugin. The ceiling is a bare responder, in a process of its own too.
func call(ctx context.Context, r *run) (err error) {
	h, err := startHost(ctx, filepath.Join(r.dir, "host"), r.options.Broker)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.stop(ctx)) }()
	bare, err := startCeiling(r.options.Binary)
	if err != nil {
		return err
	}
	defer bare.stop()
	user, err := h.bus.Grant(ctx, bus.PluginGrant{Plugin: "ceiling", Actions: []string{"echo"}, ReplyWithin: patience})
	if err != nil {
		return err
	}
	if err := bare.answer(user.URLs[0], user.Seed, user.Endpoints[0].Subject); err != nil {
		return err
	}
	for _, c := range []struct {
		name      string
		callers   int
		rate, p50 *Target
	}{
		{"one at a time", 1, nil, atMost(150)},
		{fmt.Sprintf("%d at a time", inFlight), inFlight, atLeast(40_000), nil},
	} {
		above, err := h.callFor(ctx, "ceiling", "echo", c.callers, r.duration(callLoad))
		if err != nil {
			return fmt.Errorf("calls of the bare responder: %w", err)
		}
		got, err := h.callFor(ctx, "profile", "set", c.callers, r.duration(callLoad))
		if err != nil {
			return fmt.Errorf("calls of profile/set: %w", err)
		}
		r.figure("the ceiling, "+c.name, above.rate, "calls/s", nil)
		r.ratio(c.name, got.rate, "calls/s", got.rate/above.rate, c.rate)
		r.figure("the ceiling, "+c.name+", median", microseconds(above.latency.quantile(0.5), 1), "µs", nil)
		r.figure(c.name+", median", microseconds(got.latency.quantile(0.5), 1), "µs", c.p50)
		r.figure(c.name+", 99 of 100", microseconds(got.latency.quantile(0.99), 1), "µs", nil)
	}
	return nil
}

// A host is the core as far as calls go: a bus and a plugin's process.
type host struct {
	bus  *bus.Bus
	halt func() error
}

func startHost(ctx context.Context, dir string, broker func(*bus.Bus) supervisor.Broker) (*host, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	log := slog.New(slog.DiscardHandler)
	b, err := bus.Open(ctx, bus.Options{Dir: dir, Log: log})
	if err != nil {
		return nil, err
	}
	s := supervisor.New(supervisor.Options{
		Builtin: []string{"profile"}, Work: filepath.Join(dir, "run"), DrainWithin: time.Second, Broker: broker(b), Log: log,
	})
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(running) }()
	h := &host{bus: b, halt: func() error { stop(); return <-ended }}
	select {
	case <-s.Registered():
		one, err := s.Info("profile")
		if err == nil && one.State != "running" {
			err = fmt.Errorf("the plugin profile is %s: %s", one.State, one.Reason)
		}
		if err != nil {
			return nil, errors.Join(err, h.stop(ctx))
		}
		return h, nil
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), h.stop(ctx))
	}
}

func (h *host) stop(ctx context.Context) error {
	return errors.Join(h.halt(), h.bus.Close(context.WithoutCancel(ctx)))
}

type callResult struct {
	rate    float64
	latency histogram
}

// callFor calls an action from so many callers for a while.
func (h *host) callFor(ctx context.Context, plugin, action string, callers int, d time.Duration) (*callResult, error) {
	var (
		all    callResult
		mu     sync.Mutex
		errs   []error
		number atomic.Uint64
		group  sync.WaitGroup
	)
	ctx, cancel := context.WithTimeout(ctx, d+patience)
	defer cancel()
	began := time.Now()
	for range callers {
		group.Go(func() {
			var own histogram
			var err error
			for err == nil && time.Since(began) < d {
				at := time.Now()
				err = h.callOnce(ctx, plugin, action, "bench/"+strconv.FormatUint(number.Add(1), 10))
				own.record(time.Since(at))
			}
			mu.Lock()
			defer mu.Unlock()
			all.latency.add(&own)
			errs = append(errs, err)
		})
	}
	group.Wait()
	all.rate = float64(all.latency.total) / time.Since(began).Seconds()
	return &all, errors.Join(errs...)
}

// callOnce makes one call with an event and a profile of the usual size.
func (h *host) callOnce(ctx context.Context, plugin, action, id string) error {
	c := wire.Call{
		ID: id, Attempt: 1, Timeout: patience, Flow: "bench", Node: "mark", Run: "bench",
		Config: []byte(`{"set":{"traits.last_large":139.12}}`), Event: []byte(callEvent), Profile: []byte(callProfile),
	}
	answer, err := h.bus.Call(ctx, plugin, action, c.AppendJSON(nil))
	if err != nil || plugin == "ceiling" {
		return err
	}
	reply, err := wire.ParseReply(answer)
	if err != nil {
		return err
	}
	if reply.ID != id || reply.Error != nil || len(reply.Patches) != 1 {
		return fmt.Errorf("answered %.300s", answer)
	}
	return nil
}

const (
	callEvent = `{"id":"e","type":"order-completed","source":"dev","profile":"p","time":"2026-01-01T00:00:00.000Z","received":"2026-01-01T00:00:00.000Z",` +
		`"properties":{"total":139.12,"currency":"GBP","country":"United Kingdom","items":[` +
		`{"sku":"85123A","name":"Heart t-light holder","quantity":6,"price":2.55},` +
		`{"sku":"71053","name":"Metal lantern","quantity":6,"price":3.39}]},"valid":true}`
	callProfile = `{"id":"p","ids":["p"],"identities":{"email":["u@mail.example"],"user":["u"]},"created":"2026-01-01T00:00:00.000Z",` +
		`"updated":"2026-01-01T00:00:00.000Z","revision":7,"traits":{"last_total":139.12},"data":{},"segments":{},"consents":{},"interests":{},` +
		`"counters":{"orders":7,"revenue":973.84},"stats":{"visits":0,"views":0,"first_seen":"2026-01-01T00:00:00.000Z",` +
		`"last_seen":"2026-01-01T00:00:00.000Z","events":{"order-completed":{"count":7,"first":"2026-01-01T00:00:00.000Z","last":"2026-01-01T00:00:00.000Z"}}}}`
)
