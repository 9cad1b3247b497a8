package erasure

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/indexer"
	"github.com/tributary-bus/tributary/core/internal/processor"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/core/internal/store/sqlite"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/client"
)

// marker is in everything that is of the person who is erased.
const marker = "Mnemosyne-7f3a"

// A rig is all that a person leaves something in: a bus, a processor, a query store
// with its indexer, and the service that erases from them.
type rig struct {
	t        *testing.T
	dir      string
	bus      *bus.Bus
	p        *processor.Processor
	store    *sqlite.Store
	failing  *failing
	x        *indexer.Indexer
	commands *Commands
	service  *Service
	leads    atomic.Bool
	stop     func()

	mu       sync.Mutex
	prefix   string
	outcomes map[string]record.Outcome
	sent     int
}

// A failing store takes nothing in while it fails; all else it does.
type failing struct {
	store.Store
	fails atomic.Bool
	tried atomic.Int64
}

func (f *failing) Apply(ctx context.Context, batch store.Batch) ([]store.Refused, error) {
	if f.fails.Load() {
		f.tried.Add(1)
		return nil, store.ErrUnavailable
	}
	return f.Store.Apply(ctx, batch)
}

type fixed struct{ set *config.Set }

func (f fixed) At(context.Context, uint64) (*config.Set, error) { return f.set, nil }

func newRig(t *testing.T, dir string) *rig {
	t.Helper()
	r := &rig{t: t, dir: dir, outcomes: map[string]record.Outcome{}}
	log := slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	r.bus, err = bus.Open(ctx, bus.Options{Dir: dir, Durability: bus.DurabilityFsync, Partitions: 4, DiskReserve: 1, Log: log})
	check(err)
	strict, err := config.Parse("strict.yaml", []byte("{kind: event-type, id: strict, spec: {schema: {required: [total]}}}"))
	check(err)
	set, err := config.NewSet(1, append(config.Defaults(true), strict...))
	check(err)
	r.p, err = processor.New(ctx, processor.Options{
		Bus: r.bus, Resources: fixed{set}, Dir: dir, Sole: true, EventsMaxAge: 30 * 24 * time.Hour, Log: log,
	})
	check(err)
	check(r.p.Settle(ctx))
	r.store, err = sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(dir, "store.db"), Log: log})
	check(err)
	r.failing = &failing{Store: r.store}
	r.x, err = indexer.New(ctx, indexer.Options{Bus: r.bus, Store: r.failing, Log: log})
	check(err)
	r.commands, err = NewCommands(r.bus)
	check(err)
	r.service, err = New(ctx, Options{
		Bus: r.bus, Commands: r.commands, Exclude: r.x.Exclude, Lead: r.leads.Load, Log: log,
		Erasers: []Eraser{
			QueryStore("query store", r.failing, true), Commits(r.bus), Events(r.bus, r.store), DeadLetters(r.bus),
			QueryStore("query store, again", r.store, false),
		},
	})
	check(err)
	prefix, stopReplies, err := r.bus.Replies(func(token string, data []byte) {
		o, err := record.ParseOutcome(data)
		if err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.outcomes[token] = o
	})
	check(err)
	r.prefix = prefix
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{r.p.Run, r.x.Run, r.service.Run} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	r.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		stopReplies()
		r.commands.Close()
		for _, c := range []func() error{r.p.Close, r.store.Close, func() error { return r.bus.Close(context.Background()) }} {
			if err := c(); err != nil {
				t.Error(err)
			}
		}
	})
	t.Cleanup(r.stop)
	for p := range r.bus.Partitions() {
		c := record.Command{Kind: record.KindConfig, Revision: 1, Received: time.Now()}
		check(r.bus.Append(ctx, []bus.Entry{{Partition: p, Commands: record.AppendCommand(nil, &c)}}))
	}
	return r
}

// send sends an event of somebody, known by "kind:value", the strongest first, and
// returns whom it was applied to.
func (r *rig) send(received time.Time, session, text string, identifiers ...string) record.Outcome {
	r.t.Helper()
	return r.sendOf("page-view", received, session, text, identifiers...)
}

// sendOf sends an event of a type; none of the type strict is valid.
func (r *rig) sendOf(eventType string, received time.Time, session, text string, identifiers ...string) record.Outcome {
	r.t.Helper()
	r.sent++
	id := fmt.Sprintf("e-%d-%d", r.sent, time.Now().UnixNano())
	e := &record.Event{
		ID: id, Type: eventType, Source: "test", Session: session, Time: received,
		Properties: sdk.AppendValue(nil, map[string]any{"text": text}),
		Traits:     sdk.AppendValue(nil, map[string]any{"name": text}),
	}
	for _, one := range identifiers {
		kind, value, _ := strings.Cut(one, ":")
		e.IDs = append(e.IDs, record.Identifier{Kind: kind, Value: value})
	}
	c := &record.Command{Kind: record.KindEvent, ID: record.EventID("test", id), Received: received, Event: e, Reply: r.prefix + id}
	c.Profile = r.bus.DerivedProfile(e.IDs[0].Kind, e.IDs[0].Value, 0)
	if eventType == "strict" { // who takes events in looks whose identifier it is
		held, _, err := r.bus.GetIdentity(r.t.Context(), r.bus.IdentityKey(e.IDs[0].Kind, e.IDs[0].Value))
		if err == nil {
			c.Profile = held.Profile
		}
	}
	if err := r.bus.Append(r.t.Context(), []bus.Entry{{Partition: r.bus.Partition(c.Profile), Commands: record.AppendCommand(nil, c)}}); err != nil {
		r.t.Fatal(err)
	}
	var o record.Outcome
	eventually(r.t, "the outcome of "+id, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		var ok bool
		o, ok = r.outcomes[id]
		return ok
	})
	return o
}

// person sends what makes one person of three profiles, in two sessions, and returns
// the one that is left.
func (r *rig) person() *sdk.Profile {
	r.t.Helper()
	now := time.Now().UTC().Truncate(time.Millisecond)
	for range 3 {
		r.send(now, "s-phone", marker, "anonymous:"+marker+"-phone")
		r.send(now, "s-laptop", marker, "anonymous:"+marker+"-laptop")
		r.send(now, "", marker, "email:"+marker+"@mail.example")
	}
	r.send(now, "s-phone", marker, "user:"+marker, "anonymous:"+marker+"-phone")
	r.send(now, "s-laptop", marker, "user:"+marker, "email:"+marker+"@mail.example", "anonymous:"+marker+"-laptop")
	keys := []string{"user:" + marker, "anonymous:" + marker + "-phone", "anonymous:" + marker + "-laptop", "email:" + marker + "@mail.example"}
	var profile *sdk.Profile
	eventually(r.t, "they are one person", func() bool {
		holders := map[string]bool{}
		for _, key := range keys {
			kind, value, _ := strings.Cut(key, ":")
			held, _, err := r.bus.GetIdentity(r.t.Context(), r.bus.IdentityKey(kind, value))
			if err != nil {
				return false
			}
			doc, id, err := Follow(r.t.Context(), r.bus, held.Profile)
			if err != nil || doc.State != record.StateLive {
				return false
			}
			holders[id], profile = true, doc.Profile
		}
		return len(holders) == 1 && len(profile.IDs) >= 3 && r.settled()
	})
	return profile
}

// settled tells whether all that was sent, and what that sent, is processed.
func (r *rig) settled() bool {
	end, err := r.bus.IngestLast(r.t.Context())
	if err != nil {
		return false
	}
	done, _, err := r.p.Processed(r.t.Context())
	if err != nil || done < end {
		return false
	}
	again, err := r.bus.IngestLast(r.t.Context())
	return err == nil && again == end
}

// indexed waits until the query store has all that the bus had.
func (r *rig) indexed() {
	r.t.Helper()
	events, err := r.bus.EventsLast(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	documents, err := r.bus.DocumentsLast(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	eventually(r.t, "all is indexed", func() bool {
		e, d := r.x.Reached()
		return e >= events && d >= documents
	})
}

// erase asks for a profile's erasure and waits for its end.
func (r *rig) erase(p *sdk.Profile) client.Erasure {
	r.t.Helper()
	r.leads.Store(true)
	report, err := r.service.Request(r.t.Context(), p.ID, p.IDs, "test")
	if err != nil {
		r.t.Fatal(err)
	}
	eventually(r.t, "the erasure ends", func() bool {
		report, err = r.service.Report(r.t.Context(), p.ID)
		return err == nil && report.State == client.Erased
	})
	return report
}

// stored counts what the query store has of some ids.
func (r *rig) stored(ids []string) uint64 {
	r.t.Helper()
	left, err := counts(r.t.Context(), r.store, ids)
	if err != nil {
		r.t.Fatal(err)
	}
	return left
}

// events are those that EVENTS has with the marker.
func (r *rig) events() (n int) {
	r.t.Helper()
	for p := range r.bus.Partitions() {
		err := r.bus.EventsOf(r.t.Context(), p, func(e bus.StoredEvent) error {
			if bytes.Contains(e.Data, []byte(marker)) {
				n++
			}
			return nil
		})
		if err != nil {
			r.t.Fatal(err)
		}
	}
	return n
}

// committed counts the commits that are kept and hold the marker.
func (r *rig) committed() (n int) {
	r.t.Helper()
	for p := range r.bus.Partitions() {
		err := r.bus.Commits(r.t.Context(), p, func(data []byte, _ uint64) error {
			c, err := record.ParseCommit(data)
			if err != nil {
				return err
			}
			var all []byte
			for i := range c.Documents {
				all = append(all, c.Documents[i].Document...)
			}
			for i := range c.Events {
				all = append(all, c.Events[i].Data...)
			}
			for i := range c.Commands {
				all = append(all, c.Commands[i].Command...)
			}
			if bytes.Contains(all, []byte(marker)) {
				n++
			}
			return nil
		})
		if err != nil {
			r.t.Fatal(err)
		}
	}
	return n
}

// holding lists the files that have the marker, below the data directory.
func (r *rig) holding() (files []string) {
	r.t.Helper()
	err := filepath.WalkDir(r.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte(marker)) {
			name, _ := filepath.Rel(r.dir, path)
			files = append(files, name)
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return files
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
