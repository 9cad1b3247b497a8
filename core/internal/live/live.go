// Package live hands events, as they are processed, to whoever listens now.
// It promises nothing about the past: a subscription begins with the first
// event processed after it was made.
package live

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// ChannelEvents is the channel of all events.
const ChannelEvents = "events"

// FilterScope is what a subscription's filter may speak of: the event and the
// session that it belongs to.
var FilterScope = condition.NewScope("event", "session")

// A Source is where events come from.
type Source interface {
	ReadNewEvents(ctx context.Context) (*bus.EventReader, error)
}

// Live has one reader of the bus, however many subscriptions there are, and
// none where there are none.
type Live struct {
	source Source
	log    *slog.Logger

	// turn is for those who start and stop the reader.
	turn sync.Mutex
	stop func() // stops the reader and waits for it; nil where there is none

	mu   sync.RWMutex
	subs []*Subscription
}

// New returns a Live without subscriptions.
func New(source Source, log *slog.Logger) *Live {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Live{source: source, log: log}
}

// A Subscription is one listener to a channel.
type Subscription struct {
	live    *Live
	filter  *condition.Program
	deliver func(frame []byte) bool
}

// Subscribe calls deliver with every event from now on that the filter holds
// for; without a filter, with all. A frame is a push of the contract:
//
//	{"push":{"channel":"events","offset":13,"data":{…the event…}}}
//
// It is shared with other listeners and must not be changed. deliver must not
// block, and must not close the subscription; where it answers false it is
// not called again.
func (l *Live) Subscribe(ctx context.Context, filter *condition.Program, deliver func(frame []byte) bool) (*Subscription, error) {
	l.turn.Lock()
	defer l.turn.Unlock()
	if l.stop == nil {
		if err := l.start(ctx); err != nil {
			return nil, err
		}
	}
	s := &Subscription{live: l, filter: filter, deliver: deliver}
	l.mu.Lock()
	defer l.mu.Unlock()
	// The list is replaced, not changed: the reader walks it without the lock.
	l.subs = append(slices.Clip(l.subs), s)
	return s, nil
}

// Close ends the subscription. After the last one's end nothing is read any
// more.
func (s *Subscription) Close() {
	l := s.live
	l.turn.Lock()
	defer l.turn.Unlock()
	if l.remove(s) == 0 && l.stop != nil {
		l.stop()
		l.stop = nil
	}
}

// Count is how many subscriptions there are.
func (l *Live) Count() int { return len(l.list()) }

func (l *Live) list() []*Subscription {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.subs
}

func (l *Live) remove(s *Subscription) (left int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.subs, s); i >= 0 {
		l.subs = slices.Delete(slices.Clone(l.subs), i, i+1)
	}
	return len(l.subs)
}

// start opens the reader before the first subscription is told that it
// stands, so that it misses nothing from then on.
func (l *Live) start(ctx context.Context) error {
	reader, err := l.source.ReadNewEvents(ctx)
	if err != nil {
		return fmt.Errorf("read events as they come: %w", err)
	}
	reading, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.run(reading, reader)
	}()
	l.stop = func() { cancel(); <-done }
	return nil
}

const (
	readBatch = 256
	readWait  = time.Minute // an idle reader wakes this often
	readPause = time.Second // before reading is tried again
)

func (l *Live) run(ctx context.Context, reader *bus.EventReader) {
	defer reader.Close() //nolint:contextcheck // it closes without one
	for ctx.Err() == nil {
		events, err := reader.Next(ctx, readBatch, readWait)
		for i := range events {
			l.publish(&events[i])
		}
		switch {
		case err == nil || ctx.Err() != nil:
		case errors.Is(err, bus.ErrGap):
			l.log.Warn("live subscriptions fell behind what the bus keeps; events were left out", "error", err)
		default:
			l.log.Warn("live subscriptions cannot read events; trying again", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(readPause):
			}
		}
	}
}

// publish hands one event to everybody whose filter holds for it. It is
// decoded once, and only where there is a filter.
func (l *Live) publish(e *bus.StoredEvent) {
	var frame []byte
	var vars *condition.Vars
	for _, s := range l.list() {
		if s.filter != nil {
			if vars == nil {
				vars = filterVars(e)
			}
			// A filter that fails on an event does not hold for it.
			if holds, _ := s.filter.Bool(vars); !holds {
				continue
			}
		}
		if frame == nil {
			frame = push(e)
		}
		if !s.deliver(frame) {
			l.remove(s)
		}
	}
}

func filterVars(e *bus.StoredEvent) *condition.Vars {
	vars := &condition.Vars{Now: time.Now()}
	// What cannot be decoded reads as null.
	if m, err := sdk.ParseObject(e.Data); err == nil {
		vars.Event, vars.Session = m["event"], m["session"]
	}
	return vars
}

// push is the frame that carries an event.
func push(e *bus.StoredEvent) []byte {
	event := eventOf(e.Data)
	dst := make([]byte, 0, len(event)+80)
	dst = append(dst, `{"push":{"channel":"events","offset":`...)
	dst = sdk.AppendValue(dst, e.Seq)
	dst = append(dst, `,"data":`...)
	dst = append(dst, event...)
	return append(dst, `}}`...)
}

// eventOf cuts the event out of a processed event, where it stands first.
func eventOf(processed []byte) jsontext.Value {
	const prefix = `{"event":`
	if len(processed) > len(prefix) && string(processed[:len(prefix)]) == prefix {
		dec := jsontext.NewDecoder(bytes.NewBuffer(processed[len(prefix):]))
		if v, err := dec.ReadValue(); err == nil {
			return v
		}
	}
	return jsontext.Value("null")
}
