// Package supervisor runs plugins: each a process of its own, started, asked
// what it offers, given a connection to NATS that allows what it needs and no
// more, watched, restarted when it ends, and drained before it is stopped.
//
// Built-in plugins are this binary, executed again; those of third parties are
// the executables of a directory. Both go the same way.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tributary-bus/tributary/sdk/client"
	"github.com/tributary-bus/tributary/sdk/control"
)

// Options are what a supervisor works with.
type Options struct {
	// Builtin are the names of the built-in plugins. Each is served by this
	// binary as `plugin serve NAME`.
	Builtin []string
	// Dir is where third parties' plugins are: every executable file in it is
	// one, and every other file is refused. It need not exist.
	Dir string
	// Work is a directory of the supervisor's own, emptied when it begins. The
	// processes work in directories below it.
	Work string
	// Memory is how many bytes of resident memory a process may have before it
	// is killed. 0: no limit.
	Memory int64
	// DrainWithin is how long plugins have, all at once, to finish what they
	// have begun when the supervisor ends.
	DrainWithin time.Duration
	Broker      Broker
	// Ended is told when a process has ended that may have left calls
	// unanswered. Nil: nobody is.
	Ended func(plugin string)
	Log   *slog.Logger

	pace   *pace    // of tests
	binary string   // instead of this one
	host   []string // instead of the environment of this process
}

// A Broker makes users of NATS.
type Broker interface {
	// Grant makes a user for one process of a plugin, who may answer its
	// actions and send it requests, and nothing else. ErrNotAllowed refuses the
	// plugin; after any other error it is tried again.
	Grant(ctx context.Context, plugin string, builtin bool, actions []string) (Credentials, error)
}

// ErrNotAllowed is the error of a Broker that makes no user for such a plugin,
// however often it is asked.
var ErrNotAllowed = errors.New("not allowed here")

// Credentials are how a plugin's process reaches NATS.
type Credentials struct {
	URLs      []string // of servers
	JWT       string   // empty where the seed alone is the user
	Seed      string   // a secret
	Inbox     string   // prefix of the inboxes that it may subscribe to
	Requests  string   // subject on which the core takes its requests
	Endpoints []Endpoint
	// Expires is when the user ends by itself, and the process should have been
	// replaced; zero: never.
	Expires time.Time
	// Revoke ends the user, when the process has ended.
	Revoke func()
}

// An Endpoint is where an action is asked for.
type Endpoint struct{ Action, Subject, Queue string }

// ErrUnknown is the error where there is no plugin of a name.
var ErrUnknown = errors.New("there is no such plugin")

// A Supervisor runs the plugins of one server. Its methods are safe for
// concurrent use.
type Supervisor struct {
	o          Options
	pace       pace
	catalogue  *Catalogue
	registered chan struct{}
	starting   chan struct{} // a place for each process that may start at a time
	forker     *forker
	own        func() (string, error) // SHA-256 of the binary of built-in plugins
	drainBy    func() time.Time       // when all must have drained: DrainWithin from its first call, at the stop

	mu      sync.Mutex
	plugins []*plugin
	names   map[string]*plugin // registered
}

// pace is how fast things go; tests are in a hurry.
type pace struct {
	handshake   time.Duration // from the start of a process until it can be asked
	answer      time.Duration // to one question of the control service
	health      time.Duration // between two reports
	silence     time.Duration // without a report, until a process counts as hung
	look        time.Duration // between two looks at a process
	stop        time.Duration // from Stop to the end of the process
	drain       time.Duration // of a process that another has replaced
	least, most time.Duration // of the wait before a restart
	steady      time.Duration // a run so long makes the wait short again
	ends        int           // so many within span are too many
	span        time.Duration
}

var standard = pace{
	handshake: 10 * time.Second, answer: 10 * time.Second,
	health: 5 * time.Second, silence: 15 * time.Second, look: time.Second,
	stop: 500 * time.Millisecond, drain: 10 * time.Second,
	least: 100 * time.Millisecond, most: 30 * time.Second, steady: time.Minute,
	ends: 10, span: 10 * time.Minute,
}

// startAtOnce bounds how many processes start at a time: each is busy for a
// while, and all of them have the same seconds to shake hands.
const startAtOnce = 4

// New returns a supervisor that has started nothing yet.
func New(o Options) *Supervisor {
	s := &Supervisor{
		o: o, pace: standard, catalogue: newCatalogue(), registered: make(chan struct{}),
		starting: make(chan struct{}, startAtOnce), names: map[string]*plugin{},
	}
	if o.pace != nil {
		s.pace = *o.pace
	}
	if s.o.binary == "" {
		s.o.binary = self
	}
	if s.o.host == nil {
		s.o.host = os.Environ()
	}
	s.own = sync.OnceValues(func() (string, error) { return sumOf(s.o.binary) })
	s.drainBy = sync.OnceValue(func() time.Time { return time.Now().Add(s.o.DrainWithin) })
	return s
}

// Run starts all plugins and keeps them running until ctx ends; then it drains
// and stops them. It returns when no process and no goroutine is left.
func (s *Supervisor) Run(ctx context.Context) error {
	if err := s.prepare(); err != nil {
		return err
	}
	defer os.RemoveAll(s.o.Work)
	s.forker = newForker()
	defer s.forker.close()
	defer context.AfterFunc(ctx, func() { s.drainBy() })()
	var running sync.WaitGroup
	for _, p := range s.plugins {
		running.Go(func() { p.run(ctx) })
	}
	running.Go(func() {
		for _, p := range s.plugins {
			<-p.settled
		}
		close(s.registered)
	})
	running.Wait()
	return nil
}

// Registered is closed when every executable has been asked what it offers, and
// runs, or was refused, or has failed to start a first time.
func (s *Supervisor) Registered() <-chan struct{} { return s.registered }

// Catalogue is what the plugins offer. It is complete when [Supervisor.Registered]
// is closed.
func (s *Supervisor) Catalogue() *Catalogue { return s.catalogue }

// List tells how all plugins stand, by name.
func (s *Supervisor) List() []client.Plugin {
	s.mu.Lock()
	plugins := slices.Clone(s.plugins)
	s.mu.Unlock()
	list := make([]client.Plugin, len(plugins))
	for i, p := range plugins {
		list[i] = p.info()
	}
	slices.SortStableFunc(list, func(a, b client.Plugin) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Info tells how a plugin stands. One that was refused is known by the name of
// its file. The error is ErrUnknown.
func (s *Supervisor) Info(name string) (client.Plugin, error) {
	p, err := s.find(name)
	if err != nil {
		return client.Plugin{}, err
	}
	return p.info(), nil
}

// Restart starts a new process of a plugin, of its binary as it is now, and
// returns when that one answers; the old process is drained then. If the new
// one does not come up, that is the error, and an old one goes on.
func (s *Supervisor) Restart(ctx context.Context, name string) error {
	p, err := s.find(name)
	if err != nil {
		return err
	}
	return p.restart(ctx)
}

// Logs returns the last n lines of a plugin's log after a number, the oldest
// first. The error is ErrUnknown.
func (s *Supervisor) Logs(name string, after uint64, n int) ([]client.LogLine, error) {
	p, err := s.find(name)
	if err != nil {
		return nil, err
	}
	return p.journal.lines(after, n), nil
}

// Violation takes note that NATS has refused something to a plugin's user.
func (s *Supervisor) Violation(name, text string) {
	if p, err := s.find(name); err == nil {
		p.violation(text)
	}
}

// Degraded lists the plugins that do not work as they should, once every one
// has had its chance to start. A file that may not be executed is none of them: it
// may be a note that lies beside the plugins.
func (s *Supervisor) Degraded() []client.Part {
	var parts []client.Part
	for _, p := range s.List() {
		if p.State == string(running) && p.Reason == "" || p.SHA256 == "" && mayNotRun(lookAt(p.Path)) {
			continue
		}
		reason := p.State
		if p.Reason != "" {
			reason += ": " + p.Reason
		}
		parts = append(parts, client.Part{Name: "plugin " + p.Name, State: "degraded", Reason: reason})
	}
	return parts
}

// prepare finds the plugins.
func (s *Supervisor) prepare() error {
	if err := removeAll(s.o.Work); err != nil {
		// Each process makes a directory of its own in it: what is left is in nobody's way.
		s.o.Log.Warn("what plugins have left in their working directory cannot be removed", "error", err)
	}
	if err := os.MkdirAll(s.o.Work, 0o700); err != nil {
		return fmt.Errorf("make the plugins' working directory: %w", err)
	}
	files, err := candidates(s.o.Dir)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range s.o.Builtin {
		p := s.newPlugin(name, s.o.binary, []string{"tributary", "plugin", "serve", name})
		p.builtin = true
		s.plugins = append(s.plugins, p)
	}
	var before *plugin
	for _, file := range files {
		p := s.newPlugin(filepath.Base(file), file, []string{file})
		p.before, before = before, p
		s.plugins = append(s.plugins, p)
	}
	return nil
}

// candidates lists the files of a directory, by name: those that may be executed,
// and those that may not and are not hidden either, which are refused.
func candidates(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) || dir == "" {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for plugins: %w; plugins.dir, or --plugin-dir, names another directory", err)
	}
	var files []string
	for _, entry := range entries {
		path, err := filepath.Abs(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("look for plugins: %w", err)
		}
		// A link is what it leads to.
		info, err := os.Stat(path)
		if err == nil && info.Mode().IsRegular() && (info.Mode()&0o111 != 0 || entry.Name()[0] != '.') {
			files = append(files, path)
		}
	}
	return files, nil
}

// mayNotRun tells whether a file is there and not executable.
func mayNotRun(info os.FileInfo) bool {
	return info != nil && info.Mode()&0o111 == 0
}

// find returns a plugin by its name or, where it has none, that of its file.
func (s *Supervisor) find(name string) (*plugin, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.names[name]; p != nil {
		return p, nil
	}
	for _, p := range s.plugins {
		if p.label == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("%w: %q", ErrUnknown, name)
}

// claim gives a plugin its name, or says why it cannot have it.
func (s *Supervisor) claim(p *plugin, m *control.Manifest) error {
	name := m.GetName()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch holder := s.names[name]; {
	case p.builtin && name != p.label:
		return fmt.Errorf("the built-in plugin %s calls itself %q", p.label, name)
	case !p.builtin && (slices.Contains(reserved, name) || slices.Contains(s.o.Builtin, name)):
		return fmt.Errorf("its name, %s, is reserved", name)
	case holder != nil && holder != p:
		return fmt.Errorf("its name, %s, is that of %s", name, holder.path)
	}
	s.names[name] = p
	return nil
}
