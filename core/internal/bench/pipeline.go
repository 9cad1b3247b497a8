package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tributary-bus/tributary/sdk/client"
)

const (
	sustainedFor = 60 * time.Second
	perBatch     = 20
	// surplus is how much more than the target is offered; a lag that grows by less
	// than noise, both as shares of the rate, is no growth.
	surplus = 1.02
	noise   = 0.01
)

// A sample is how the product kept up at one time.
type sample struct {
	at      time.Duration // since the load began to count
	behind  float64       // events taken in that cannot be queried yet, or profiles where those are more
	indexed float64       // that can be queried, since the load began
}

// pipeline is the way of an event to the query store.
func pipeline(ctx context.Context, r *run) error {
	return sustain(ctx, r, 10_000, len(orderTypes), "accepted, folded and indexed", nil, nil)
}

// sustain sends a little more than so many events a second and watches whether the
// product keeps up; the events are of so many types. The resources are applied before; check looks at what came of
// the events, of which so many were sent.
func sustain(ctx context.Context, r *run, target float64, types int, name string, resources []client.Resource, check func(p *product, came int64) error) error {
	r.setting = "fsync"
	return r.withProduct(ctx, r.setting, func(p *product) error {
		if err := p.prepare(ctx, users); err != nil {
			return err
		}
		if len(resources) > 0 {
			if _, err := p.client.Apply(ctx, resources, false); err != nil {
				return fmt.Errorf("apply what the scenario needs: %w", err)
			}
		}
		before, err := p.orders(ctx)
		if err != nil {
			return err
		}
		used, err := cpuOfAll(p.pid)
		if err != nil {
			return err
		}
		rate := target * surplus
		result, samples, err := paced(ctx, r, p, rate, types)
		if err != nil {
			return err
		}
		settled, err := p.settle(ctx)
		if err != nil {
			return err
		}
		after, err := cpuOfAll(p.pid)
		if err != nil {
			return err
		}
		came, err := checkOrders(ctx, p, before, []turn{{product: result}})
		if err != nil {
			return err
		}
		if check != nil {
			if err := check(p, came); err != nil {
				return err
			}
		}
		peak, err := memoryOf(p.pid)
		if err != nil {
			return err
		}
		first, last := samples[0], samples[len(samples)-1]
		sustained := (last.indexed - first.indexed) / (last.at - first.at).Seconds()
		worst := slices.MaxFunc(samples, func(a, b sample) int { return int(a.behind - b.behind) }).behind
		r.figure("offered", rate, "events/s", nil)
		r.figure(name, sustained, "events/s", atLeast(target))
		r.figure("most behind", worst, "events", nil)
		r.figure("most behind, at this rate", worst/rate, "s", nil)
		r.figure("lag grows by", slope(samples[len(samples)/2:]), "events/s", atMost(rate*noise))
		r.figure("all done after", settled.Seconds(), "s", nil)
		r.figure("answer, median", milliseconds(result.latency.quantile(0.5)), "ms", nil)
		r.figure("answer, 99 of 100", milliseconds(result.latency.quantile(0.99)), "ms", nil)
		r.figure("answered 503", float64(result.refused), "", atMost(0))
		r.figure("CPU of an event", microseconds(after-used, result.all), "µs", nil)
		r.figure("peak memory", megabytes(peak.peak), "MB", atMost(250))
		return nil
	})
}

// paced sends at the rate and samples the lag, every second where the load is
// not a short one.
func paced(ctx context.Context, r *run, p *product, rate float64, types int) (result *loadResult, samples []sample, err error) {
	base, _, err := p.indexed(ctx)
	if err != nil {
		return nil, nil, err
	}
	var sent atomic.Int64
	l := httpLoad{events: perBatch, types: types, rate: rate / perBatch, accepted: allAccepted, sent: &sent}.
		on(p.server, r.span(16, sustainedFor))
	group, ctx := errgroup.WithContext(ctx)
	over, end := context.WithCancel(ctx)
	group.Go(func() (err error) {
		defer end()
		result, err = l.run(ctx)
		return err
	})
	group.Go(func() (err error) {
		samples, err = sampleLag(over, l.warmUp, min(time.Second, l.duration/10), func() (sample, error) {
			// Not over: a question that is on its way is answered.
			position, documents, err := p.indexed(ctx)
			indexed := float64(position - base)
			return sample{behind: max(float64(sent.Load())-indexed, float64(documents)), indexed: indexed}, err
		})
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, nil, p.blame(fmt.Errorf("load on the product: %w", err))
	}
	if result.failed > 0 {
		return nil, nil, fmt.Errorf("%d requests were answered wrongly, such as: %s", result.failed, result.failure)
	}
	if len(samples) < 4 {
		return nil, nil, fmt.Errorf("%d samples of the lag are too few; say a longer --duration", len(samples))
	}
	return result, samples, nil
}

// sampleLag looks at intervals, first after the warm-up, until ctx ends. Where
// there is nothing to be seen it goes on without a sample.
func sampleLag(ctx context.Context, warmUp, every time.Duration, look func() (sample, error)) (samples []sample, err error) {
	began := time.Now()
	looks := 0
	timer := time.NewTimer(warmUp)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return samples, nil
		case <-timer.C:
		}
		at := time.Since(began) - warmUp
		s, err := look()
		switch {
		case err == nil:
			s.at = at
			samples = append(samples, s)
		case !errors.Is(err, errNoLag):
			return nil, err
		}
		looks++
		timer.Reset(max(0, time.Duration(looks)*every+warmUp-time.Since(began)))
	}
}

// slope is by how many events a second the lag grew: that of the straight line
// through the samples with the least squares.
func slope(samples []sample) float64 {
	var at, behind float64
	for _, s := range samples {
		at += s.at.Seconds() / float64(len(samples))
		behind += s.behind / float64(len(samples))
	}
	var above, below float64
	for _, s := range samples {
		d := s.at.Seconds() - at
		above += d * (s.behind - behind)
		below += d * d
	}
	if below == 0 {
		return 0
	}
	return above / below
}
