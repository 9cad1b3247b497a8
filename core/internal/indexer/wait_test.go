package indexer

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
)

func TestWaitIndexed(t *testing.T) {
	r := newRig(t)
	wait := func(ctx context.Context, c uint64, n int, profile string, revision uint64) error {
		return r.x.WaitIndexed(ctx, record.Outcome{Partition: 2, C: c, N: n, Profile: profile, Revision: revision})
	}
	r.run(0)
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := wait(short, 1, 1, "", 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("before there is anything: %v", err)
	}
	if err := r.x.WaitIndexed(t.Context(), record.Outcome{Partition: partitions}); err == nil {
		t.Error("there is no such partition")
	}
	send := func(i int, c uint64, n int) {
		t.Helper()
		if err := r.bus.PublishEvents(t.Context(), []bus.EventMessage{{Partition: 2, C: c, N: n, Type: "t", Data: processed(i, nil)}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name           string
		c              uint64
		n              int
		profile        string
		revision       uint64
		bring          func()
		notYet, enough bool
	}{
		{name: "nobody's event", c: 1, n: 0, bring: func() { send(1, 1, 0) }},
		{name: "once more", c: 1, n: 0, bring: func() {}},
		{name: "second of a commit", c: 1, n: 1, bring: func() { send(2, 1, 1) }},
		{name: "of a later commit", c: 2, n: 5, bring: func() { send(3, 3, 0) }},
		{name: "event first", c: 4, n: 0, profile: "a", revision: 2, bring: func() {
			send(4, 4, 0)
			r.document("a", document("a", record.StateLive, 2))
		}},
		{name: "profile first", c: 5, n: 0, profile: "a", revision: 3, bring: func() {
			r.document("a", document("a", record.StateLive, 4))
			send(5, 5, 0)
		}},
		{name: "profile merged away", c: 5, n: 0, profile: "a", revision: 5, bring: func() {
			r.document("a", document("a", record.StateRedirect, 5))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			done := make(chan error, 1)
			go func() { done <- wait(t.Context(), c.c, c.n, c.profile, c.revision) }()
			c.bring()
			select {
			case err := <-done:
				if err != nil {
					t.Fatal(err)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("still waiting")
			}
			if c.profile == "" || c.name == "profile merged away" {
				return
			}
			if d, err := r.store.Get(t.Context(), store.Profiles, c.profile); err != nil || d.Version < c.revision {
				t.Errorf("profile is at %d, %v, want %d", d.Version, err, c.revision)
			}
		})
	}
	// Neither half alone is enough.
	short, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := wait(short, 5, 0, "b", 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without the profile: %v", err)
	}
	r.document("b", document("b", record.StateLive, 1))
	short, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := wait(short, 6, 0, "b", 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without the event: %v", err)
	}
	if len(r.x.waiters.set) != 0 {
		t.Errorf("%d waiters are left", len(r.x.waiters.set))
	}
}
