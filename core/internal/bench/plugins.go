package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tributary-bus/tributary/sdk/wire"
)

// plugins measures the processes of the built-in plugins.
func plugins(ctx context.Context, r *run) error {
	r.setting = "fsync"
	var took []float64
	var anonymous int64
	for range starts {
		err := r.withProduct(ctx, r.setting, func(p *product) error {
			after, list, err := p.pluginsUp(ctx)
			if err != nil {
				return err
			}
			took = append(took, after.Seconds())
			if err := wait(ctx, min(calm, 20*r.duration(calm))); err != nil {
				return err
			}
			for _, pid := range list {
				used, err := anonymousOf(pid)
				if err != nil {
					return err
				}
				anonymous = max(anonymous, used)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	r.figure("all running, from the start of the core", median(took), "s", atMost(1))
	r.figure("anonymous memory of the largest", megabytes(anonymous), "MB", atMost(12))
	return nil
}

// pluginsUp waits until all built-in plugins run; it tells when, since the product
// was started, and their processes.
func (p *product) pluginsUp(ctx context.Context) (time.Duration, []int, error) {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		list, err := p.client.Plugins(ctx)
		if err != nil {
			return 0, nil, fmt.Errorf("ask for the plugins: %w", err)
		}
		var pids []int
		for _, one := range list {
			if one.State == "running" {
				pids = append(pids, one.PID)
			}
		}
		if len(pids) == len(list) && len(list) > 0 {
			return time.Since(p.began), pids, nil
		}
		if err := wait(ctx, 2*time.Millisecond); err != nil {
			return 0, nil, fmt.Errorf("only %d of %d plugins run: %w", len(pids), len(list), err)
		}
	}
}

const (
	callLoad = 5 * time.Second
	// inFlight is how many calls are open at a time where they are pipelined.
	inFlight = 64
)

// call measures calls of profile/set, as the flow engine makes them.
func call(ctx context.Context, r *run) error {
	r.setting = "fsync"
	return r.withProduct(ctx, r.setting, func(p *product) error {
		if _, _, err := p.pluginsUp(ctx); err != nil {
			return err
		}
		conn, err := p.dialNATS()
		if err != nil {
			return err
		}
		defer conn.Close()
		bare, err := p.dialNATS()
		if err != nil {
			return err
		}
		defer bare.Close()
		const ceiling = "bench.ceiling"
		if _, err := bare.QueueSubscribe(ceiling, "bench", func(m *nats.Msg) {
			// Nobody to tell; the call then fails.
			_ = m.Respond(m.Data)
		}); err != nil {
			return err
		}
		if err := bare.Flush(); err != nil {
			return err
		}
		for _, c := range []struct {
			name      string
			callers   int
			rate, p50 *Target
		}{{"one at a time", 1, nil, atMost(150)}, {fmt.Sprintf("%d at a time", inFlight), inFlight, atLeast(40_000), nil}} {
			above, err := callFor(ctx, conn, ceiling, c.callers, r.duration(callLoad))
			if err != nil {
				return fmt.Errorf("the bare responder: %w", err)
			}
			got, err := callFor(ctx, conn, "action.profile.set", c.callers, r.duration(callLoad))
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
	})
}

type callResult struct {
	rate    float64
	latency histogram
}

// callFor calls a subject from so many callers for a while.
func callFor(ctx context.Context, conn *nats.Conn, subject string, callers int, d time.Duration) (*callResult, error) {
	var (
		all    callResult
		mu     sync.Mutex
		errs   []error
		number atomic.Uint64
		group  sync.WaitGroup
	)
	began := time.Now()
	for range callers {
		group.Go(func() {
			var own histogram
			err := func() error {
				for time.Since(began) < d {
					at := time.Now()
					id := "bench/" + strconv.FormatUint(number.Add(1), 10)
					if err := callOnce(ctx, conn, subject, id); err != nil {
						return err
					}
					own.record(time.Since(at))
				}
				return nil
			}()
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
func callOnce(ctx context.Context, conn *nats.Conn, subject, id string) error {
	c := wire.Call{
		ID: id, Attempt: 1, Timeout: patience, Flow: "bench", Node: "mark", Run: "bench",
		Config:  []byte(`{"set":{"traits.last_large":139.12}}`),
		Event:   []byte(`{"id":"e","type":"order-completed","source":"dev","profile":"p","time":"2026-01-01T00:00:00.000Z","received":"2026-01-01T00:00:00.000Z","properties":{"total":139.12,"currency":"GBP","country":"United Kingdom","items":[{"sku":"85123A","name":"Heart t-light holder","quantity":6,"price":2.55},{"sku":"71053","name":"Metal lantern","quantity":6,"price":3.39}]},"valid":true}`),
		Profile: []byte(`{"id":"p","ids":["p"],"identities":{"email":["u@mail.example"],"user":["u"]},"created":"2026-01-01T00:00:00.000Z","updated":"2026-01-01T00:00:00.000Z","revision":7,"traits":{"last_total":139.12},"data":{},"segments":{},"consents":{},"interests":{},"counters":{"orders":7,"revenue":973.84},"stats":{"visits":0,"views":0,"first_seen":"2026-01-01T00:00:00.000Z","last_seen":"2026-01-01T00:00:00.000Z","events":{"order-completed":{"count":7,"first":"2026-01-01T00:00:00.000Z","last":"2026-01-01T00:00:00.000Z"}}}}`),
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	m, err := conn.RequestWithContext(ctx, subject, c.AppendJSON(nil))
	if err != nil {
		return err
	}
	if strings.HasPrefix(subject, "bench.") {
		return nil
	}
	reply, err := wire.ParseReply(m.Data)
	if err != nil {
		return err
	}
	if reply.ID != id || reply.Error != nil || len(reply.Patches) != 1 {
		return fmt.Errorf("answered %.300s", m.Data)
	}
	return nil
}

// dialNATS connects to the product's own NATS as the nats CLI does.
func (p *product) dialNATS() (*nats.Conn, error) {
	text, err := os.ReadFile(filepath.Join(p.dir, "nats.url"))
	if err != nil {
		return nil, fmt.Errorf("read where NATS listens: %w", err)
	}
	login, err := nats.NkeyOptionFromSeed(filepath.Join(p.dir, "nats.nk"))
	if err != nil {
		return nil, fmt.Errorf("log in to NATS: %w", err)
	}
	return nats.Connect(strings.TrimSpace(string(text)), login)
}

// metric reads one of the product's metrics.
func (p *product) metric(ctx context.Context, name string) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+p.token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("read the metrics: %w", err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, errors.Join(fmt.Errorf("no metric %s", name), lines.Err())
}
