package live

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// ErrNoProfile is what a subscription to a profile that does not exist, or
// does not any more, is answered.
var ErrNoProfile = errors.New("there is no such profile")

// profiles are the subscriptions to profiles. A profile is a state: who comes
// back is given the present one, where it is not the one that it knows. Its
// epoch is the profile's id, which a merge changes, and its offset the profile's
// revision, which no power cut changes.
type profiles struct {
	live   *Live
	shared shared

	mu   sync.Mutex
	byID map[string][]*watcher
}

// A watcher is a subscription to a profile.
type watcher struct {
	channel Channel
	to      Sink
	id      string // the profile's today
	known   uint64 // the revision that was pushed last, or was there
	seq     uint64 // of the document that this was
	begun   bool
	last    bus.StoredDocument // that came before it had begun
	over    bool
}

func (p *profiles) init(l *Live) {
	p.live, p.byID = l, map[string][]*watcher{}
	p.shared.init(p.start)
}

func (p *profiles) start(ctx context.Context) (func(context.Context), error) {
	last, err := p.live.source.DocumentsLast(ctx)
	if err != nil {
		return nil, err
	}
	reader, err := p.live.source.ReadDocuments(ctx, last)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) {
		defer reader.Close() //nolint:contextcheck // it closes without one
		for ctx.Err() == nil {
			changes, err := reader.Next(ctx, readBatch, readWait)
			if err != nil && ctx.Err() == nil {
				p.live.log.Warn("live subscriptions cannot read profiles; trying again", "error", err)
				pause(ctx, readPause)
			}
			for i := range changes {
				p.changed(ctx, &changes[i])
			}
		}
	}, nil
}

func (p *profiles) subscribe(ctx context.Context, r Request, to Sink, begun func(Start)) (*Subscription, error) {
	if err := p.shared.enter(ctx); err != nil {
		return nil, err
	}
	w := &watcher{channel: r.Channel, to: to, id: r.Channel.id}
	p.mu.Lock()
	p.add(w)
	p.mu.Unlock()
	if err := p.begin(ctx, w, r.Recover, begun); err != nil {
		p.remove(w)
		return nil, err
	}
	return &Subscription{end: func() { p.remove(w) }}, nil
}

// begin finds the profile and pushes what the listener does not know.
func (p *profiles) begin(ctx context.Context, w *watcher, from *Position, begun func(Start)) error {
	now, err := p.follow(ctx, w)
	if err != nil {
		return err
	}
	p.mu.Lock()
	if w.over {
		p.mu.Unlock()
		return errOver
	}
	late := w.last
	if late.Seq > now.Seq && !late.Deleted && stateOf(late.Data) == record.StateLive {
		now = late
	}
	w.begun, w.last, w.seq = true, bus.StoredDocument{}, now.Seq
	profile := sdk.RawView(now.Data).Member("profile")
	w.known = revisionOf(profile)
	begun(Start{Position: Position{Epoch: w.id, Offset: w.known}, Recovered: from != nil})
	if from != nil && (from.Epoch != w.id || from.Offset != w.known) {
		w.push(profile.Raw())
	}
	p.mu.Unlock()
	if late.Seq > now.Seq { // merged or erased since it was read
		p.tell(ctx, w, &late)
	}
	return nil
}

// errOver says that a subscription ended while its profile was looked for.
var errOver = errors.New("the subscription has ended")

// maxRedirects bounds how often a profile was merged into another one; each
// time into one that is older.
const maxRedirects = 64

// follow finds the profile that the one watched has become, and puts the watcher
// there. It returns the present document.
func (p *profiles) follow(ctx context.Context, w *watcher) (bus.StoredDocument, error) {
	for range maxRedirects {
		data, seq, err := p.live.source.GetDocument(ctx, w.id)
		switch {
		case errors.Is(err, bus.ErrNotFound):
			return bus.StoredDocument{}, ErrNoProfile
		case err != nil:
			return bus.StoredDocument{}, err
		}
		switch stateOf(data) {
		case record.StateLive:
			return bus.StoredDocument{Seq: seq, Profile: w.id, Data: data}, nil
		case record.StateRedirect:
			to, ok := sdk.RawView(data).String("to")
			if !ok {
				return bus.StoredDocument{}, fmt.Errorf("profile %s was merged, and into whom is not told", w.id)
			}
			p.mu.Lock()
			if w.over { // it ended meanwhile
				p.mu.Unlock()
				return bus.StoredDocument{}, errOver
			}
			p.take(w)
			w.id, w.last = to, bus.StoredDocument{}
			p.add(w)
			p.mu.Unlock()
		default:
			return bus.StoredDocument{}, ErrNoProfile
		}
	}
	return bus.StoredDocument{}, fmt.Errorf("profile %s was merged too often", w.id)
}

// changed tells those who watch a profile what it is now.
func (p *profiles) changed(ctx context.Context, d *bus.StoredDocument) {
	p.mu.Lock()
	list := p.byID[d.Profile]
	p.mu.Unlock()
	for _, w := range list {
		p.tell(ctx, w, d)
	}
}

// tell tells one watcher what its profile is now. Where it was merged, that is
// the other one.
func (p *profiles) tell(ctx context.Context, w *watcher, d *bus.StoredDocument) {
	p.mu.Lock()
	merged := false
	switch {
	case w.over || w.id != d.Profile:
	case !w.begun:
		w.last = *d
	case d.Seq <= w.seq: // the reader is behind what was looked up
	case !d.Deleted && stateOf(d.Data) == record.StateRedirect:
		merged, w.begun = true, false
	default:
		w.seq = d.Seq
		w.now(d)
	}
	p.mu.Unlock()
	if !merged {
		return
	}
	known := Position{} // of another profile: it is pushed
	if err := p.begin(ctx, w, &known, func(Start) {}); err != nil && !errors.Is(err, errOver) && ctx.Err() == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		w.over = true
		w.to.Lost("the profile was merged, and the other one cannot be read")
	}
}

// now pushes the profile, null where it was erased.
func (w *watcher) now(d *bus.StoredDocument) {
	if d.Deleted || stateOf(d.Data) != record.StateLive {
		w.known++
		w.push([]byte("null"))
		return
	}
	profile := sdk.RawView(d.Data).Member("profile")
	if revision := revisionOf(profile); revision != w.known {
		w.known = revision
		w.push(profile.Raw())
	}
}

func (w *watcher) push(data []byte) { w.over = !w.to.Push(pushFrame(w.channel, w.known, data)) }

func stateOf(document []byte) string {
	state, _ := sdk.RawView(document).String("state")
	return state
}

func revisionOf(profile sdk.View) uint64 {
	n, _ := profile.Int("revision")
	return uint64(n)
}

// add puts a watcher on its profile, in a new list: the old one may be walked.
func (p *profiles) add(w *watcher) {
	list := p.byID[w.id]
	p.byID[w.id] = append(list[:len(list):len(list)], w)
}

// take takes a watcher off its profile.
func (p *profiles) take(w *watcher) {
	list := p.byID[w.id]
	for i, one := range list {
		if one == w {
			// A new list: the old one may be walked.
			list = append(append([]*watcher(nil), list[:i]...), list[i+1:]...)
			break
		}
	}
	if len(list) == 0 {
		delete(p.byID, w.id)
		return
	}
	p.byID[w.id] = list
}

func (p *profiles) remove(w *watcher) {
	p.mu.Lock()
	w.over = true
	p.take(w)
	p.mu.Unlock()
	p.shared.leave()
}
