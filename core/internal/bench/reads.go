package bench

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/client"
)

const (
	readsPerSecond   = 5000
	readConnections  = 16
	readsBesideSpans = 30 * time.Second
)

// reads is what a profile's read costs while events come in: as many as half of what
// the pipeline is held to, and as many as that.
func reads(ctx context.Context, r *run) error {
	for _, events := range []float64{5000, 10_000} {
		if err := readsBeside(ctx, r, events); err != nil {
			return err
		}
	}
	return nil
}

func readsBeside(ctx context.Context, r *run, events float64) error {
	r.setting = fmt.Sprintf("beside %.0f events/s", events)
	return r.withProduct(ctx, "fsync", func(p *product) error {
		if err := p.prepare(ctx, users); err != nil {
			return err
		}
		page, err := p.client.Query(ctx, client.Profiles, client.Query{Limit: users})
		if err != nil {
			return fmt.Errorf("list the profiles: %w", err)
		}
		requests := make([][]byte, len(page.Items))
		for i := range page.Items {
			id, ok := sdk.RawView(page.Items[i]).String("id")
			if !ok {
				return fmt.Errorf("a profile has no id: %s", page.Items[i])
			}
			requests[i] = []byte("GET /api/v1/profiles/" + id + " HTTP/1.1\r\nHost: " + p.address + "\r\nAuthorization: Bearer " + p.token + "\r\n\r\n")
		}
		over := r.span(readConnections, readsBesideSpans)
		load := &load{server: p.server, span: over, connect: func(ctx context.Context, i int, start time.Time) (sender, error) {
			c, err := dialHTTP(ctx, p.address)
			if err != nil {
				return nil, err
			}
			return &readSender{conn: c, requests: requests, next: i * 617, schedule: newSchedule(readsPerSecond, i, over.connections, start)}, nil
		}}
		var read, sent *loadResult
		group, inner := errgroup.WithContext(ctx)
		group.Go(func() (err error) {
			read, err = load.run(inner)
			return err
		})
		group.Go(func() (err error) {
			l := httpLoad{events: perBatch, types: len(orderTypes), rate: events / perBatch, accepted: allAccepted}.on(p.server, over)
			sent, err = l.run(inner)
			return err
		})
		if err := group.Wait(); err != nil {
			return p.blame(fmt.Errorf("load on the product: %w", err))
		}
		for _, one := range []*loadResult{read, sent} {
			if one.failed > 0 {
				return fmt.Errorf("%d requests were answered wrongly, such as: %s", one.failed, one.failure)
			}
		}
		seconds := over.duration.Seconds()
		r.figure("profiles read", float64(read.requests)/seconds, "a second", atLeast(readsPerSecond*0.99))
		r.figure("events taken in", float64(sent.requests*perBatch)/seconds, "a second", nil)
		r.figure("read, median", milliseconds(read.latency.quantile(0.5)), "ms", nil)
		r.figure("read, 99 of 100", milliseconds(read.latency.quantile(0.99)), "ms", atMost(2))
		return nil
	})
}

type readSender struct {
	conn     *httpConn
	requests [][]byte
	next     int
	schedule *schedule
}

func (s *readSender) net() net.Conn { return s.conn.conn }

func (s *readSender) send(w *window, r *loadResult) error {
	for {
		due := s.schedule.next()
		now := s.schedule.now()
		if w.over(now) && r.requests > 0 {
			return nil
		}
		counts := w.counts(now)
		s.next = (s.next + userStride) % len(s.requests)
		a, err := s.conn.exchange(s.requests[s.next])
		if err != nil {
			return err
		}
		if a.status != http.StatusOK {
			r.fault(false, a.body)
			continue
		}
		if counts {
			r.requests++
			r.latency.record(time.Since(due))
		}
	}
}
