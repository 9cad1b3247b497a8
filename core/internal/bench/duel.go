package bench

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	turns      = 3 // of each side of a duel
	ingestLoad = 5 * time.Second
	// foldedWithin is how long after its turn the product may need until all
	// that it took in can be queried.
	foldedWithin = 60 * time.Second
)

// A duel is the same load on a ceiling and on the product, in turns.
type duel struct {
	durability       string
	perRequest       int    // events
	unit             string // of the rate: requests/s or events/s
	target           *Target
	answer           *Target // of the time in which 99 of 100 are answered; nil: none
	ceiling, product func(server, span) *load
	// single, unless nil, is one event a request over HTTP, on the product after its
	// turn; the target is how many times as many the product's load is to get through.
	single func(server, span) *load
	times  *Target
}

func httpDuel(durability string, l httpLoad, unit string, target *Target) duel {
	bare := l
	bare.accepted, l.accepted = anyBody, allAccepted
	return duel{durability: durability, perRequest: l.events, unit: unit, target: target, ceiling: bare.on, product: l.on}
}

// singles are events of pages in browsers, one a request.
var singles = httpLoad{events: 1, browser: true, accepted: allAccepted}

// A turn is what both sides did, one right after the other.
type turn struct {
	ceiling, product *loadResult
	single           *loadResult   // nil: none
	settled          time.Duration // until all that the product took in was indexed
	cpu              time.Duration // that the product used from its turn's start until then
}

func (t *turn) ratio() float64 { return t.product.perSecond() / t.ceiling.perSecond() }

func (d duel) run(ctx context.Context, r *run) error {
	r.setting = d.durability
	return r.withProduct(ctx, d.durability, func(p *product) error {
		if err := p.prepare(ctx, users); err != nil {
			return err
		}
		c, err := startCeiling(r.options.Binary)
		if err != nil {
			return err
		}
		defer c.stop()
		before, err := p.orders(ctx)
		if err != nil {
			return err
		}
		var all []turn
		for i := range turns {
			t, err := d.turn(ctx, r, c, p)
			if err == nil {
				t.single, err = d.singly(ctx, r, p)
			}
			if err != nil {
				return err
			}
			r.tell("turn %d of %d: %.0f requests/s, the ceiling %.0f, all indexed after %s", i+1, turns,
				t.product.perSecond(), t.ceiling.perSecond(), t.settled.Round(time.Millisecond))
			all = append(all, *t)
		}
		if _, err := checkOrders(ctx, p, before, all); err != nil {
			return err
		}
		return d.report(r, p, all)
	})
}

func (d duel) turn(ctx context.Context, r *run, c *ceilingProcess, p *product) (t *turn, err error) {
	over := r.span(64, ingestLoad)
	t = &turn{}
	if t.ceiling, err = d.ceiling(c.server, over).run(ctx); err != nil {
		return nil, fmt.Errorf("load on the ceiling: %w", err)
	}
	used, err := cpuOf(p.pid)
	if err != nil {
		return nil, err
	}
	if t.product, err = d.product(p.server, over).run(ctx); err != nil {
		return nil, p.blame(fmt.Errorf("load on the product: %w", err))
	}
	if n := t.ceiling.failed + t.product.failed; n > 0 {
		return nil, fmt.Errorf("%d requests were answered wrongly, such as: %s%s", n, t.ceiling.failure, t.product.failure)
	}
	if t.settled, err = p.settle(ctx); err != nil {
		return nil, err
	}
	t.cpu, err = cpuOf(p.pid)
	t.cpu -= used
	return t, err
}

// singly is the product's load of single events over HTTP, which it then folds and
// indexes; nil where it has none.
func (d duel) singly(ctx context.Context, r *run, p *product) (*loadResult, error) {
	if d.single == nil {
		return nil, nil
	}
	result, err := d.single(p.server, r.span(64, ingestLoad)).run(ctx)
	switch {
	case err != nil:
		return nil, p.blame(fmt.Errorf("load over HTTP on the product: %w", err))
	case result.failed > 0:
		return nil, fmt.Errorf("%d requests were answered wrongly, such as: %s", result.failed, result.failure)
	}
	_, err = p.settle(ctx)
	return result, err
}

// checkOrders holds what can be queried against what was answered: an event
// that was refused may be there all the same, any other exactly once. It returns
// how many have come.
func checkOrders(ctx context.Context, p *product, before int64, all []turn) (int64, error) {
	now, err := p.orders(ctx)
	if err != nil {
		return 0, err
	}
	want, refused := before, int64(0)
	for _, t := range all {
		for _, r := range []*loadResult{t.product, t.single} {
			if r != nil {
				want += r.all
				refused += r.refused
			}
		}
	}
	if now < want || refused == 0 && now > want {
		return 0, fmt.Errorf("%d events were accepted, and %d can be queried", want, now)
	}
	return now - before, nil
}

func (d duel) report(r *run, p *product, all []turn) error {
	var sum turn
	sum.ceiling, sum.product = &loadResult{}, &loadResult{}
	var rates, ceilings, ratios, single, times []float64
	var folding, slowest time.Duration
	var refused int64
	for _, t := range all {
		sum.ceiling.merge(t.ceiling)
		sum.product.merge(t.product)
		sum.cpu += t.cpu
		rates, ceilings, ratios = append(rates, t.product.perSecond()), append(ceilings, t.ceiling.perSecond()), append(ratios, t.ratio())
		if t.single != nil {
			refused += t.single.refused
			single, times = append(single, t.single.perSecond()), append(times, t.product.perSecond()/t.single.perSecond())
		}
		folding += t.product.warmUp + t.product.elapsed + t.settled
		slowest = max(slowest, t.settled)
	}
	peak, err := memoryOf(p.pid)
	if err != nil {
		return err
	}
	scale := float64(d.perRequest) // of requests to events, which are the same where there is one in each
	requests, bare := sum.product.requests, sum.ceiling.requests
	r.ratio("accepted", scale*median(rates), d.unit, median(ratios), d.target)
	r.figure("the ceiling", scale*median(ceilings), d.unit, nil)
	if len(times) > 0 {
		r.figure("one event a request over HTTP", median(single), "events/s", nil)
		r.figure("accepted, to that over HTTP", median(times), "times", d.times)
	}
	r.figure("answer, median", milliseconds(sum.product.latency.quantile(0.5)), "ms", nil)
	r.figure("answer, 99 of 100", milliseconds(sum.product.latency.quantile(0.99)), "ms", d.answer)
	r.figure("answered 503", float64(sum.product.refused+refused), "", atMost(0))
	r.figure("all indexed after", slowest.Seconds(), "s", atMost(foldedWithin.Seconds()))
	r.figure("folded and indexed", float64(sum.product.all)/folding.Seconds(), "events/s", nil)
	r.figure("CPU of an answer", microseconds(sum.product.server, requests), "µs", nil)
	r.figure("CPU of a bare answer", microseconds(sum.ceiling.server, bare), "µs", nil)
	r.figure("CPU of the generator, a request", microseconds(sum.product.driver, requests), "µs", nil)
	r.figure("CPU of an event until indexed", microseconds(sum.cpu, sum.product.all), "µs", nil)
	r.figure("peak memory", megabytes(peak.peak), "MB", nil)
	return nil
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// microseconds is what each of n took.
func microseconds(d time.Duration, n int64) float64 {
	return float64(d) / float64(time.Microsecond) / float64(max(n, 1))
}

// megabytes are those of 10⁶ bytes.
func megabytes(bytes int64) float64 { return float64(bytes) / 1e6 }

func ingestSingle(ctx context.Context, r *run) error {
	for _, c := range []struct {
		durability string
		ratio      float64
	}{{"process", 0.45}, {"fsync", 0.30}} {
		d := httpDuel(c.durability, singles, "requests/s", ratioAtLeast(c.ratio))
		d.answer = atMost(10)
		if err := d.run(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

func ingestBatch(ctx context.Context, r *run) error {
	if err := httpDuel("process", httpLoad{events: 100}, "events/s", atLeast(120_000)).run(ctx, r); err != nil {
		return err
	}
	return httpDuel("fsync", httpLoad{events: 100}, "events/s", atLeast(120_000)).run(ctx, r)
}

func overWebSocket(ctx context.Context, r *run) error {
	const inFlight = 16
	return duel{
		durability: "fsync", perRequest: 1, unit: "events/s",
		ceiling: socketLoad{inFlight: inFlight}.on,
		product: socketLoad{inFlight: inFlight, connect: true}.on,
		single:  singles.on, times: atLeast(1.5),
	}.run(ctx, r)
}
