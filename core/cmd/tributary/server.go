package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tributary-bus/tributary/core/internal/access"
	"github.com/tributary-bus/tributary/core/internal/admin"
	"github.com/tributary-bus/tributary/core/internal/backfill"
	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/enrich"
	"github.com/tributary-bus/tributary/core/internal/erasure"
	"github.com/tributary-bus/tributary/core/internal/flow"
	"github.com/tributary-bus/tributary/core/internal/gateway"
	"github.com/tributary-bus/tributary/core/internal/importer"
	"github.com/tributary-bus/tributary/core/internal/live"
	"github.com/tributary-bus/tributary/core/internal/processor"
	"github.com/tributary-bus/tributary/core/internal/querystore"
	"github.com/tributary-bus/tributary/core/internal/resources"
	"github.com/tributary-bus/tributary/core/internal/supervisor"
)

// A server is the running product: every part, wired to the others. Here and
// nowhere else is known which part uses which.
type server struct {
	config  *config.Config
	log     *slog.Logger
	started time.Time
	token   string
	places  *enrich.Places // nil: no GeoIP file

	bus       *bus.Bus
	resources *resources.Registry
	store     *querystore.Store
	processor *processor.Processor
	commands  *erasure.Commands
	erasures  *erasure.Service
	plugins   *supervisor.Supervisor
	backfill  *backfill.Backfill
	flows     *flow.Engine
	gateway   *gateway.Gateway
	live      *live.Live
	admin     *admin.API
	https     []*http.Server
	listeners []net.Listener

	group    *errgroup.Group
	failed   context.Context // ends when a part fails
	workers  map[string]*worker
	draining atomic.Bool
}

// A worker is a part that runs until it is told to stop.
type worker struct {
	stop context.CancelFunc
	done chan struct{}
}

// start brings all parts up. It returns when events are accepted.
func start(ctx context.Context, c *config.Config, log *slog.Logger) (*server, error) {
	s := &server{config: c, log: log, started: time.Now(), workers: map[string]*worker{}}
	s.group, s.failed = errgroup.WithContext(context.WithoutCancel(ctx))
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.stop(context.WithoutCancel(ctx)))
	}
	return s, nil
}

func (s *server) start(ctx context.Context) error {
	// The addresses first: whoever finds one taken has waited for nothing.
	if err := s.listen(ctx); err != nil {
		return err
	}
	var err error
	if file := s.config.GeoIP.File; file != "" {
		if s.places, err = enrich.OpenPlaces(file, s.log, time.Now); err != nil {
			return err
		}
	}
	if s.token, err = admin.Token(s.config.Data, string(s.config.Admin.Token)); err != nil {
		return err
	}
	if err := s.openBus(ctx); err != nil {
		return err
	}
	defaults := config.Defaults(s.config.Loopback())
	if s.resources, err = resources.Open(ctx, s.bus, defaults, s.log, resources.WithActions(s.actions)); err != nil {
		return err
	}
	// They come up while the rest is opened.
	s.openPlugins(ctx)
	if err := s.openStore(ctx); err != nil {
		return err
	}
	if err := s.openProcessor(ctx); err != nil {
		return err
	}
	s.openBackfill()
	// Before anything is indexed: it keeps out what is being erased.
	if err := s.openErasures(ctx); err != nil {
		return err
	}
	s.openFlows()
	if err := s.openGateway(); err != nil {
		return err
	}
	s.openAdmin()
	s.work(ctx, "resources", func(ctx context.Context) error { s.resources.Run(ctx); return nil })
	s.work(ctx, "processor", s.processor.Run)
	s.work(ctx, "flows", s.flows.Run)
	s.work(ctx, "indexer", s.store.Run)
	s.work(ctx, "backfill", s.backfill.Run)
	s.work(ctx, "erasures", s.erasures.Run)
	return s.serve()
}

// listen takes the addresses of ingest and, where it has its own, of the
// admin API.
func (s *server) listen(ctx context.Context) error {
	addresses := []string{s.config.HTTP.Addr}
	if s.config.HTTP.Admin != "" {
		addresses = append(addresses, s.config.HTTP.Admin)
	}
	for _, address := range addresses {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("listen on %s: %w; say --http with another address", address, err)
		}
		s.listeners = append(s.listeners, l)
	}
	return nil
}

func (s *server) openBus(ctx context.Context) (err error) {
	c := &s.config.Bus
	s.bus, err = bus.Open(ctx, bus.Options{
		Dir: s.config.Data, Partitions: c.Partitions, URLs: c.URLs, Creds: c.Creds, Replicas: c.Replicas, Listen: c.Listen,
		SigningKey: string(c.SigningKey), ShareCredentials: s.config.Plugins.ShareCredentials,
		Durability: bus.Durability(s.config.Durability), DiskReserve: uint64(c.DiskReserve),
		IngestMaxBytes: int64(c.IngestMaxBytes), EventsMaxAge: time.Duration(c.EventsMaxAge), Log: s.log, Synced: synced,
	})
	return err
}

// synced is told what the streams made durable, by the test of a power cut.
var synced func(path string)

func (s *server) openProcessor(ctx context.Context) (err error) {
	s.processor, err = processor.New(ctx, processor.Options{
		Bus: s.bus, Resources: s.resources, Dir: s.config.Data, Sole: len(s.config.Bus.URLs) == 0,
		EventsMaxAge: time.Duration(s.config.Bus.EventsMaxAge), Log: s.log,
		Enrich: enrich.New(s.places), Learn: s.learn,
	})
	if err != nil {
		return err
	}
	return s.processor.Settle(ctx)
}

// openBackfill has the node that owns the first partition fill windows that are new.
func (s *server) openBackfill() {
	s.backfill = backfill.New(backfill.Options{
		Bus: s.bus, Store: s.store, Index: s.store, Set: s.resources.Current, Log: s.log,
		Leads: func() bool { owned, _ := s.processor.Owned(); return owned[0] },
	})
}

// learn tells the gateway who holds an identifier. While the log is settled,
// at the start, there is no gateway yet, and nothing in its cache to be wrong.
func (s *server) learn(key bus.IdentityKey, profile string) {
	if s.gateway != nil {
		s.gateway.Learn(key, profile)
	}
}

// work runs a part until [server.halt], not until the context ends, so that the
// parts end in their order; its failure ends the process.
func (s *server) work(ctx context.Context, name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w := &worker{stop: cancel, done: make(chan struct{})}
	s.workers[name] = w
	s.group.Go(func() error {
		defer close(w.done)
		err := run(ctx)
		if err == nil || ctx.Err() != nil && errors.Is(err, context.Canceled) {
			return nil
		}
		return fmt.Errorf("%s: %w", name, err)
	})
}

// serve answers on the addresses.
func (s *server) serve() error {
	config, err := serverTLS(s.config.HTTP.TLS, s.log)
	if err != nil {
		return err
	}
	own := s.config.HTTP.Admin != ""
	handlers := []http.Handler{s.routes(!own && s.config.Loopback())}
	if own {
		handlers = append(handlers, s.admin.Handler())
	}
	for i, handler := range handlers {
		server := &http.Server{Handler: handler, TLSConfig: config, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)}
		gateway.ServerSettings(server)
		s.https = append(s.https, server)
		listener, serve := s.listeners[i], server.Serve
		if config != nil {
			serve = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
		}
		s.group.Go(func() error {
			if err := serve(listener); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve HTTP on %s: %w", listener.Addr(), err)
			}
			return nil
		})
	}
	return nil
}

// routes serves ingest and, where it is wanted, the admin API beside it.
func (s *server) routes(withAdmin bool) http.Handler {
	ingest, api := s.gateway.Handler(), s.admin.Handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The health endpoints tell nothing worth hiding and are wanted
		// wherever a load balancer looks.
		if admin.Serves(r.URL.Path) && (withAdmin || admin.Public(r.URL.Path)) {
			api.ServeHTTP(w, r)
			return
		}
		ingest.ServeHTTP(w, r)
	})
}

func (s *server) openGateway() (err error) {
	l := &s.config.Limits
	networks, err := s.config.HTTP.Proxies()
	if err != nil {
		return fmt.Errorf("http.trusted_proxies: %w", err)
	}
	readers, err := s.readers()
	if err != nil {
		return err
	}
	s.live = live.New(s.bus, s.log)
	s.live.WatchHealth(s.health)
	s.gateway, err = gateway.New(gateway.Options{
		Bus: s.bus, Resources: s.resources, Seen: seen(s.processor.Seen), Indexed: s.indexed,
		Live: s.live, Readers: readers,
		Proxies: gateway.Proxies{Networks: networks, Header: s.config.HTTP.ForwardedHeader},
		Limits: gateway.Limits{
			Event: int(l.Event), Request: int(l.Request), Inflated: int(l.Inflated), Events: l.Events, Nesting: l.Nesting,
		},
		Log: s.log,
	})
	return err
}

// readers know who may read the live channels.
func (s *server) readers() (*access.Readers, error) {
	j := &s.config.Auth.JWT
	keys := make([]string, len(j.Keys))
	for i, key := range j.Keys {
		keys[i] = string(key)
	}
	return access.New(access.Options{
		Admin: func(token string) bool { return s.admin.Admits(token) },
		Keys:  keys, JWKSURL: j.JWKSURL, Issuer: j.Issuer, Audience: j.Audience, Log: s.log,
	})
}

func (s *server) openAdmin() {
	imports := importer.New(importer.Options{
		Bus: s.bus, Submit: s.submit, Set: s.resources.Current, Now: time.Now,
	})
	s.admin = admin.New(admin.Options{
		Token: s.token, Resources: s.resources, Profiles: s.bus, Erasures: s.erasures, Store: s.store, Backfills: s.backfill, Stores: stores{s}, Imports: imports,
		Letters: s.bus, Plugins: s.plugins, Accepting: s.accepting, Parts: s.parts, Status: s.status, Log: s.log,
		Metrics: []func(io.Writer){s.bus.Metrics, s.gateway.Metrics, s.live.Metrics, s.processor.Metrics, s.flows.Metrics, s.store.Metrics, s.erasures.Metrics, s.plugins.Metrics, processMetrics},
	})
}

// accepting is nil while events can be accepted.
func (s *server) accepting() error {
	if s.draining.Load() {
		return errors.New("the server is stopping")
	}
	if err := s.bus.Accepting(); err != nil {
		return err
	}
	return s.pluginsReady()
}

// The shares of the 10 seconds that a stop may take.
const (
	drainShare   = 3 * time.Second         // requests and WebSockets
	pluginShare  = 1500 * time.Millisecond // calls that plugins work on; half a second more to end
	catchUpShare = 1500 * time.Millisecond // the query store
	stopShare    = 3 * time.Second         // everything else
)

// stop ends all parts, those that take in first, so that what was accepted is
// finished. What the query store did not get is made up for at the next start.
func (s *server) stop(ctx context.Context) error {
	s.draining.Store(true)
	var problems []error
	keep := func(doing string, err error) {
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", doing, err))
		}
	}
	// It names this process: without it commands say that no server runs.
	_ = os.Remove(filepath.Join(s.config.Data, serverFile))
	drain, cancel := context.WithTimeout(ctx, drainShare)
	defer cancel()
	if s.gateway != nil {
		keep("drain the gateway", s.gateway.Drain(drain))
	}
	for _, server := range s.https {
		if err := server.Shutdown(drain); err != nil {
			keep("close connections", server.Close())
		}
	}
	for _, l := range s.listeners {
		// Shutdown has closed those that were served.
		_ = l.Close()
	}
	// Runs of flows that are under way may end, while plugins answer and the
	// processor takes in what they want; then plugins finish what they have begun.
	s.halt("flows", "backfill", "erasures")
	s.halt("plugins", "resources", "processor")
	if s.workers["indexer"] != nil && s.failed.Err() == nil && s.bus.Accepting() == nil {
		s.catchUp(ctx)
	}
	s.halt("indexer")
	problems = append(problems, s.group.Wait())
	if s.commands != nil {
		s.commands.Close()
	}
	if s.processor != nil {
		keep("close the processor", s.processor.Close())
	}
	if s.store != nil {
		keep("close the query store", s.store.Close())
	}
	if s.bus != nil {
		closing, cancel := context.WithTimeout(ctx, stopShare)
		defer cancel()
		keep("close the bus", s.bus.Close(closing))
	}
	return errors.Join(problems...)
}

// halt stops workers and waits for them.
func (s *server) halt(names ...string) {
	for _, name := range names {
		if w := s.workers[name]; w != nil {
			w.stop()
		}
	}
	for _, name := range names {
		if w := s.workers[name]; w != nil {
			<-w.done
		}
	}
}
