package bench

import (
	"context"
	"fmt"
	"time"
)

const (
	calm      = 5 * time.Second // between load and rest
	idleWatch = 10 * time.Second
	// manyProfiles is how many a node is ready with in less than a second.
	manyProfiles = 60_000
	starts       = 3
)

// idle measures what the product uses while nobody sends, after some load.
func idle(ctx context.Context, r *run) error {
	r.setting = "fsync"
	return r.withProduct(ctx, r.setting, func(p *product) error {
		if err := p.prepare(ctx, users); err != nil {
			return err
		}
		if err := wait(ctx, calm); err != nil {
			return err
		}
		before, err := cpuOf(p.pid)
		if err != nil {
			return err
		}
		began := time.Now()
		if err := wait(ctx, r.duration(idleWatch)); err != nil {
			return err
		}
		after, err := cpuOf(p.pid)
		if err != nil {
			return err
		}
		share := 100 * float64(after-before) / float64(time.Since(began))
		used, err := memoryOf(p.pid)
		if err != nil {
			return err
		}
		r.figure("CPU at rest", share, "% of a core", atMost(1))
		r.figure("memory at rest", megabytes(used.now), "MB", nil)
		return nil
	})
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// startup measures how soon the product takes events: on fresh directories, on
// one with many profiles, and on that after kill -9.
func startup(ctx context.Context, r *run) error {
	r.setting = "fsync"
	var fresh, filled, stops []float64
	for range starts {
		if err := r.withProduct(ctx, r.setting, func(p *product) error {
			fresh = append(fresh, p.ready.Seconds())
			return nil
		}); err != nil {
			return err
		}
	}
	r.figure("ready, fresh directory", median(fresh), "s", atMost(1))

	return r.withProduct(ctx, r.setting, func(p *product) error {
		if err := p.prepare(ctx, manyProfiles); err != nil {
			return err
		}
		for range starts {
			took, err := p.stop()
			if err != nil {
				return err
			}
			stops = append(stops, took.Seconds())
			if err := p.restart(ctx, r.options.Binary, r.setting); err != nil {
				return err
			}
			filled = append(filled, p.ready.Seconds())
		}
		p.kill()
		if err := p.restart(ctx, r.options.Binary, r.setting); err != nil {
			return err
		}
		r.figure(fmt.Sprintf("ready, %d profiles", manyProfiles), median(filled), "s", atMost(1))
		r.figure("ready, the same after kill -9", p.ready.Seconds(), "s", nil)
		r.figure("stopped by SIGTERM", median(stops), "s", atMost(10))
		return nil
	})
}
