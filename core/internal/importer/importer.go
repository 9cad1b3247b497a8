// Package importer takes in the rows of files: it maps them to events, has the
// gateway store those durably, keeps the rows that fail as dead letters, and
// remembers how far each file is.
//
// A row's event has the mapping's id, or one derived from the file's hash and
// the row's number. So rows may come twice, after a kill -9 of either side or
// where the same file is imported again, without an effect.
package importer

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk/client"
)

// What callers decide by.
var (
	// ErrNoMapping says that there is no import of that id.
	ErrNoMapping = errors.New("no such import mapping")
	// ErrInvalid says that a call is wrong in itself.
	ErrInvalid = errors.New("invalid import")
	// ErrOrder says that rows before the chunk's first are missing.
	ErrOrder = errors.New("rows out of order")
	// ErrUnavailable says that the same call may succeed later.
	ErrUnavailable = errors.New("rows cannot be taken in now")
)

// MaxRows is how many rows a chunk may hold.
const MaxRows = 1000

// Bus is the part of the bus that keeps progress and dead letters.
type Bus interface {
	GetJob(ctx context.Context, key string) (data []byte, revision uint64, err error)
	PutJob(ctx context.Context, key string, data []byte, expect uint64) (revision uint64, err error)
	DeadLetter(ctx context.Context, letter bus.DeadLetter) error
	DeadLetters(ctx context.Context, origin string, after uint64, limit int) ([]bus.DeadLetter, error)
}

// A Submission says what became of one event.
type Submission struct {
	Status string // accepted, duplicate, invalid or retry
	Reason string // why it is invalid, or to be sent again
}

// Submit has the gateway check events and store them durably, in order, as if
// the source had sent them. An error says that none of them was taken in.
type Submit func(ctx context.Context, source *config.Source, events []record.Event) ([]Submission, error)

// Options are what an importer works with.
type Options struct {
	Bus    Bus
	Submit Submit
	// Set is the configuration in force.
	Set func() *config.Set
	Now func() time.Time
	Log *slog.Logger
}

// An Importer is safe for concurrent use. Chunks of one file are taken in one
// after another.
type Importer struct {
	o Options

	mu    sync.Mutex
	files map[string]*file // those that this process has worked on
}

// A file is one file under one mapping.
type file struct {
	mu sync.Mutex
	// clean is true where the last chunk ended with its progress kept. Else a
	// chunk may be half done: its dead letters are there, its progress is not.
	clean bool
}

// New returns an importer.
func New(o Options) *Importer { return &Importer{o: o, files: map[string]*file{}} }

// Progress tells how far a file is; one that was never begun is at row 1.
func (i *Importer) Progress(ctx context.Context, mapping, hash string) (*client.ImportProgress, error) {
	if _, err := i.mapping(mapping); err != nil {
		return nil, err
	}
	if err := checkHash(hash); err != nil {
		return nil, err
	}
	progress, _, err := i.load(ctx, mapping, hash)
	return progress, err
}

// Restart forgets how far a file is.
func (i *Importer) Restart(ctx context.Context, mapping, hash string) (*client.ImportProgress, error) {
	if _, err := i.mapping(mapping); err != nil {
		return nil, err
	}
	if err := checkHash(hash); err != nil {
		return nil, err
	}
	f := i.file(key(mapping, hash))
	f.mu.Lock()
	defer f.mu.Unlock()
	old, revision, err := i.load(ctx, mapping, hash)
	if err != nil {
		return nil, err
	}
	progress := i.fresh(mapping, hash)
	progress.Name, progress.Pass = old.Name, old.Pass+1
	return progress, i.store(ctx, progress, revision)
}

// Rows takes in a chunk. When it returns without an error, its events are
// stored durably and the rows that failed are dead letters. Rows that were
// taken in before are skipped.
func (i *Importer) Rows(ctx context.Context, mapping string, chunk *client.Chunk) (*client.ImportProgress, error) {
	m, err := i.mapping(mapping)
	if err != nil {
		return nil, err
	}
	if err := m.check(chunk); err != nil {
		return nil, err
	}
	f := i.file(key(mapping, chunk.File))
	f.mu.Lock()
	defer f.mu.Unlock()
	progress, revision, err := i.load(ctx, mapping, chunk.File)
	if err != nil {
		return nil, err
	}
	if chunk.First > progress.Next {
		return nil, fmt.Errorf("%w: the chunk begins at row %d, want row %d", ErrOrder, chunk.First, progress.Next)
	}
	clean := f.clean
	f.clean = false
	rows := chunk.Rows[min(progress.Next-chunk.First, uint64(len(chunk.Rows))):]
	progress.Name, progress.Updated = chunk.Name, client.Time{Time: i.o.Now()}
	outcomes := i.translate(m, chunk.File, progress.Next, rows)
	if err := i.submit(ctx, outcomes); err != nil {
		return nil, err
	}
	if err := i.bury(ctx, clean, progress, outcomes); err != nil {
		return nil, err
	}
	for n := range outcomes {
		switch {
		case outcomes[n].fault != nil:
			progress.Failed++
		case outcomes[n].duplicate:
			progress.Duplicates++
		default:
			progress.Accepted++
			if len(m.violations(&outcomes[n], progress.Updated.Time)) > 0 {
				progress.Invalid++
			}
		}
	}
	progress.Next += uint64(len(rows))
	progress.Finished = progress.Finished || chunk.Last
	if err := i.store(ctx, progress, revision); err != nil {
		return nil, err
	}
	f.clean = true
	if progress.Finished {
		i.forget(key(mapping, chunk.File))
	}
	return progress, nil
}

// Check tells what the rows would become.
func (i *Importer) Check(mapping string, chunk *client.Chunk) ([]client.Check, error) {
	m, err := i.mapping(mapping)
	if err != nil {
		return nil, err
	}
	if err := m.check(chunk); err != nil {
		return nil, err
	}
	outcomes := i.translate(m, chunk.File, chunk.First, chunk.Rows)
	checks := make([]client.Check, len(outcomes))
	for n := range outcomes {
		o := &outcomes[n]
		checks[n].Line = o.line
		if o.fault != nil {
			checks[n].Column, checks[n].Value, checks[n].Error = o.fault.column, o.fault.value, o.fault.reason
			continue
		}
		checks[n].Event, checks[n].Errors = preview(o), m.violations(o, i.o.Now())
	}
	return checks, nil
}

func (i *Importer) mapping(id string) (*mapping, error) {
	set := i.o.Set()
	m, ok := set.Import(id)
	if !ok {
		return nil, fmt.Errorf("%w: there is no import %q; `tributary get import` lists them", ErrNoMapping, id)
	}
	if source, ok := set.Source(m.Source); ok && source.Disabled {
		return nil, fmt.Errorf("%w: source %s, which import %s sends as, is disabled", ErrInvalid, m.Source, id)
	}
	resource, _ := set.Get(config.KindImport, id)
	return &mapping{Import: m, set: set, spec: resource.Spec}, nil
}

func (i *Importer) file(key string) *file {
	i.mu.Lock()
	defer i.mu.Unlock()
	f := i.files[key]
	if f == nil {
		f = &file{}
		i.files[key] = f
	}
	return f
}

// forget drops what is known of a file that is done. Whoever still waits for
// it is safe: the progress is kept by compare-and-set.
func (i *Importer) forget(key string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.files, key)
}

func (m *mapping) check(chunk *client.Chunk) error {
	if err := checkHash(chunk.File); err != nil {
		return err
	}
	switch {
	case chunk.First < 1:
		return fmt.Errorf("%w: first is %d; rows are numbered from 1", ErrInvalid, chunk.First)
	case len(chunk.Rows) > MaxRows:
		return fmt.Errorf("%w: %d rows in one chunk; at most %d are allowed", ErrInvalid, len(chunk.Rows), MaxRows)
	case len(chunk.Columns) == 0:
		return nil
	}
	if err := m.CheckColumns(chunk.Columns); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrInvalid, chunk.Name, err)
	}
	return nil
}

func checkHash(hash string) error {
	if sum, err := hex.DecodeString(hash); err != nil || len(sum) != 32 {
		return fmt.Errorf("%w: file is %q; want the SHA-256 of the file in hexadecimal", ErrInvalid, hash)
	}
	return nil
}

func key(mapping, hash string) string { return "import." + mapping + "." + hash }

func (i *Importer) fresh(mapping, hash string) *client.ImportProgress {
	now := client.Time{Time: i.o.Now()}
	return &client.ImportProgress{Mapping: mapping, File: hash, Pass: 1, Next: 1, Started: now, Updated: now}
}

func (i *Importer) load(ctx context.Context, mapping, hash string) (*client.ImportProgress, uint64, error) {
	text, revision, err := i.o.Bus.GetJob(ctx, key(mapping, hash))
	if errors.Is(err, bus.ErrNotFound) {
		return i.fresh(mapping, hash), 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("%w: read the progress: %w", ErrUnavailable, err)
	}
	progress := &client.ImportProgress{}
	if err := json.Unmarshal(text, progress); err != nil {
		return nil, 0, fmt.Errorf("read the progress of %s: %w", key(mapping, hash), err)
	}
	return progress, revision, nil
}

func (i *Importer) store(ctx context.Context, progress *client.ImportProgress, expect uint64) error {
	text, err := json.Marshal(progress)
	if err != nil {
		return fmt.Errorf("keep the progress: %w", err)
	}
	if _, err := i.o.Bus.PutJob(ctx, key(progress.Mapping, progress.File), text, expect); err != nil {
		return fmt.Errorf("%w: keep the progress: %w", ErrUnavailable, err)
	}
	return nil
}
