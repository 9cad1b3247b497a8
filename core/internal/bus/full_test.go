package bus

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/tributary-bus/tributary/core/internal/record"
)

// A logText keeps what is logged.
type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// with returns the lines that have a text.
func (l *logText) with(text string) (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, text) {
			lines = append(lines, line)
		}
	}
	return lines
}

// leaveRoom bounds a stream to so many bytes above what it holds, from where
// on it refuses, and returns its bound and how to take that back.
func leaveRoom(t *testing.T, b *Bus, stream string, bytes uint64) (bound int64, undo func()) {
	t.Helper()
	state := must(b.state(t.Context(), stream))
	before := must(b.js.Stream(t.Context(), stream)).CachedInfo().Config
	set := func(c jetstream.StreamConfig) { must(b.js.UpdateStream(t.Context(), c)) }
	c := before
	c.MaxBytes, c.Discard = int64(state.Bytes+bytes), jetstream.DiscardNew
	set(c)
	return c.MaxBytes, func() { set(before) }
}

// byHand lets the test make the watch tick, by a clock that it advances.
func byHand(b *Bus) (second func()) {
	b.watch.stop()
	b.watch.stopc = make(chan struct{})
	var now atomic.Int64
	now.Store(time.Now().UnixNano())
	b.watch.now = func() time.Time { return time.Unix(0, now.Load()) }
	return func() { now.Add(int64(time.Second)) }
}

// A stream that is full stops whoever writes to it, so health tells of it until
// it has room again; a restart of the server would not help.
func TestFullStreams(t *testing.T) {
	large := bytes.Repeat([]byte("x"), 20<<10)
	for stream, write := range map[string]func(ctx context.Context, b *Bus, n int, data []byte) error{
		streamProfiles: func(ctx context.Context, b *Bus, n int, data []byte) error {
			_, err := b.PutDocuments(ctx, []DocumentPut{{Profile: strconv.Itoa(n), Data: data}})
			return err
		},
		streamIdentities: func(ctx context.Context, b *Bus, n int, data []byte) error {
			_, err := b.CreateIdentity(ctx, b.IdentityKey("user", strconv.Itoa(n)), record.Identity{Profile: string(data)})
			return err
		},
		streamCommits: func(ctx context.Context, b *Bus, n int, data []byte) error {
			_, err := b.Commit(ctx, n, data, 0)
			return err
		},
		streamEvents: func(ctx context.Context, b *Bus, n int, data []byte) error {
			return b.PublishEvents(ctx, []EventMessage{{Partition: n, C: 1, N: 1, Type: "x", Data: data}})
		},
	} {
		t.Run(stream, func(t *testing.T) {
			t.Parallel()
			log := &logText{}
			b := open(t, Options{Log: slog.New(slog.NewTextHandler(log, nil)), Durability: DurabilityProcess})
			w, second := b.watch, byHand(b)
			bound, undo := leaveRoom(t, b, stream, 10<<10)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			wrote := make(chan error, 1)
			go func() { wrote <- write(ctx, b, 0, large) }()
			refusedNow := func() bool {
				w.mu.Lock()
				defer w.mu.Unlock()
				f := w.full[stream]
				return f != nil && f.last.Equal(w.now())
			}
			degraded := func(text string) {
				t.Helper()
				h := b.Health()
				if h.State != HealthDegraded || !strings.Contains(h.Reason, stream+" is full") || !strings.Contains(h.Reason, text) {
					t.Errorf("health %+v, want it degraded with %s full and %q", h, stream, text)
				}
				if err := b.Accepting(); err != nil {
					t.Errorf("gateways are refused: %v", err)
				}
			}
			eventually(t, 15*time.Second, "a refusal", func() bool { return strings.Contains(b.Health().Reason, "is full") })
			degraded("restart on a larger disk, or let its retention free space")
			for n := range 4 {
				second()
				second()
				eventually(t, 15*time.Second, "another refusal", refusedNow)
				// Others have what is left of the room, which changes nothing.
				if err := write(t.Context(), b, n+1, []byte("y")); err != nil {
					t.Fatal(err)
				}
				w.tick(t.Context())
				degraded(" of " + strconv.FormatInt(bound, 10) + " bytes")
			}
			if n := b.Health().Restarts; n != 0 {
				t.Errorf("the server was restarted %d times, for a stream that is full", n)
			}
			undo()
			if err := <-wrote; err != nil {
				t.Fatal(err)
			}
			for range 4 {
				second()
				w.tick(t.Context())
			}
			if h := b.Health(); h.State != HealthOK || h.Reason != "" {
				t.Errorf("with room again: health %+v", h)
			}
			if lines := log.with("is full"); len(lines) != 1 || !strings.Contains(lines[0], "max_bytes="+strconv.FormatInt(bound, 10)) {
				t.Errorf("the log says %d times that the stream is full: %q", len(lines), lines)
			}
			if lines := log.with("room again"); len(lines) != 1 {
				t.Errorf("the log says %d times that there is room again: %q", len(lines), lines)
			}
		})
	}
}

// Who gives up is not waited for; and where INGEST is full in the end, the
// stream that led to it is named.
func TestFullStreamGivenUp(t *testing.T) {
	b := open(t, Options{Durability: DurabilityProcess})
	w, second := b.watch, byHand(b)
	_, undo := leaveRoom(t, b, streamProfiles, 100)
	defer undo()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	put := make(chan error, 1)
	go func() {
		_, err := b.PutDocuments(ctx, []DocumentPut{{Profile: "p", Data: make([]byte, 1000)}})
		put <- err
	}()
	eventually(t, 15*time.Second, "a refusal", func() bool { return strings.Contains(b.Health().Reason, "is full") })
	cancel()
	if err := <-put; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	w.bytes.Store(uint64(b.ingestMax))
	if h := b.Health(); h.State != HealthDown || !strings.HasPrefix(h.Reason, ErrFull.Error()) || !strings.Contains(h.Reason, streamProfiles+" is full") {
		t.Errorf("health %+v", h)
	}
	for range failureLasts/time.Second + 1 {
		if second(); b.Health().State == HealthOK {
			t.Error("given up too early")
		}
		w.tick(t.Context())
	}
	if h := b.Health(); h.State != HealthOK || h.Reason != "" {
		t.Errorf("health %+v", h)
	}
}

// INGEST that is full answers, so it is not unavailable.
func TestFullIngestIsAvailable(t *testing.T) {
	b := open(t, Options{Durability: DurabilityProcess})
	w, second := b.watch, byHand(b)
	_, undo := leaveRoom(t, b, streamIngest, 1)
	defer undo()
	w.wrote(streamIngest, ErrNoAck)
	if err := b.Accepting(); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("without an answer: %v", err)
	}
	for range 10 {
		if err := b.Append(t.Context(), []Entry{{0, line1("a")}}); !errors.Is(err, ErrFull) {
			t.Fatalf("got %v, want that INGEST is full", err)
		}
		if err := b.Accepting(); err != nil {
			t.Errorf("not accepting: %v", err)
		}
		second()
		w.tick(t.Context()) // with a probe, at times
		if h := b.Health(); h.State != HealthOK || h.Restarts != 0 {
			t.Errorf("health %+v", h)
		}
	}
}
