package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A Durability says what an acknowledgement survives.
type Durability string

// The durabilities of the embedded server. An external one has its own.
const (
	DurabilityFsync   Durability = "fsync"   // a power cut
	DurabilityProcess Durability = "process" // kill -9
)

// Options say which bus to open. The zero value of a field means its default.
type Options struct {
	Dir string // the data directory; has to exist
	// Partitions is compared with what the bus was created with; a new bus
	// gets 16.
	Partitions int

	// URLs names an external NATS, used instead of the embedded server, Creds
	// the credentials file for it, Replicas how many copies it is to keep of
	// each stream (1).
	URLs     []string
	Creds    string
	Replicas int
	// SigningKey is the seed of a signing key of the external NATS' account, with
	// which a user is made for each plugin. Without it ShareCredentials gives
	// plugins the Creds.
	SigningKey       string
	ShareCredentials bool

	// Listen is the embedded server's address, 127.0.0.1:0.
	Listen string
	// Durability of the embedded server, fsync.
	Durability Durability

	// DiskReserve is the free space, in bytes, below which nothing is
	// accepted: 5 % of the disk, at least 1 GB.
	DiskReserve uint64
	// IngestMaxBytes bounds INGEST: 2 GiB or a tenth of the free disk,
	// whichever is less.
	IngestMaxBytes int64
	// EventsMaxAge is how long processed events are kept, 30 days.
	EventsMaxAge time.Duration

	Log *slog.Logger
	// Fatal is called once when fsync fails, after which nothing can be
	// promised any more: it logs and ends the process.
	Fatal func(error)
	// Synced is told each file and directory that was made durable, after it
	// was: tests of a power cut keep what such a one would leave. It may be nil.
	Synced func(path string)
}

// A Bus is an open bus. Its methods may be called concurrently.
type Bus struct {
	options    Options
	log        *slog.Logger
	node       string
	partitions int
	key        []byte
	macs       sync.Pool // of hash.Hash, keyed with key
	server     *embedded // nil where the server is external
	mint       *mint     // nil where it is not, or there is no signing key
	violations *violations
	ingestMax  int64

	// A connection each for what must not wait for another.
	appends *line // gateway's commands
	effects *line // events, documents, identities, commands, ids seen
	commits *line
	ask     *line      // questions
	calls   *caller    // of plugins' actions
	reading *nats.Conn // feeds, and management
	replies *nats.Conn
	waiting sync.Map   // by prefix, who takes the answers to callers on this node
	steps   *nats.Conn // of runs, for those who listen

	teller   atomic.Pointer[StepTeller] // nil: no runs are worked on here
	listened listened

	js      jetstream.JetStream
	streams map[string]jetstream.Stream

	reconnect struct {
		sync.Mutex
		signal chan struct{}
	}

	sync       *durable // nil where acknowledgements are durable as they come
	floor      Floor    // when the bus was opened
	kept       Floor    // as of the last checkpoint
	appender   *appender
	watch      *watch
	metrics    *measures
	types      typeNames
	newEvents  *tail[StoredEvent]
	newChanges *tail[StoredDocument]
	lastCommit []atomic.Uint64 // by partition, 0: unknown
	runs       *runRoom
	dead       unsynced // dead letters

	closing  sync.Once
	closeErr error
}

// Open starts or reaches the server, creates what is missing, and changes what
// an older version created.
func Open(ctx context.Context, o Options) (*Bus, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &Bus{options: o, log: o.Log, metrics: newMeasures(), runs: newRunRoom(),
		newEvents:  newTail[StoredEvent](eventTail, nil),
		newChanges: newTail(documentTail, func(d *StoredDocument) string { return d.Profile })}
	b.reconnect.signal = make(chan struct{})
	b.violations = newViolations(o.Log, b.metrics.set)
	if err := b.open(ctx); err != nil {
		if e := b.Close(context.WithoutCancel(ctx)); e != nil {
			err = errors.Join(err, e)
		}
		return nil, err
	}
	return b, nil
}

// Close lets pending appends end, closes the connections, and waits for the
// embedded server. The context bounds the wait for appends only.
func (b *Bus) Close(ctx context.Context) error {
	b.closing.Do(func() { b.closeErr = b.close(ctx) })
	return b.closeErr
}

func (b *Bus) close(ctx context.Context) (err error) {
	if b.appender != nil {
		err = b.appender.stop(ctx)
	}
	if b.watch != nil {
		b.watch.stop()
	}
	for _, l := range []*line{b.appends, b.effects, b.commits, b.ask} {
		if l != nil {
			l.close()
		}
	}
	if b.calls != nil {
		b.calls.line.close()
	}
	for _, conn := range []*nats.Conn{b.reading, b.replies, b.steps} {
		if conn != nil {
			conn.Close()
		}
	}
	b.signalReconnect(nil) // ends the readers that are left
	if b.server != nil {
		b.server.stop()
	}
	if b.sync != nil {
		b.sync.stop()
	}
	return err
}

// Partitions is how many partitions there are.
func (b *Bus) Partitions() int { return b.partitions }

// Partition is the partition of a profile.
func (b *Bus) Partition(profile string) int {
	return int(xxhash.Sum64String(profile) % uint64(b.partitions))
}

// InstallationKey is the secret of this installation, the same on all its
// nodes. It is not to be changed.
func (b *Bus) InstallationKey() []byte { return b.key }

// NodeID names this node, also after a restart.
func (b *Bus) NodeID() string { return b.node }

// URL is where the server listens, without a user and his password; Credentials
// is the file to log in with: of the embedded server a seed, for `nats --nkey`,
// else that of the options.
func (b *Bus) URL() string {
	if b.server != nil {
		return b.server.url()
	}
	return strings.Join(withoutUsers(b.options.URLs), ",")
}

// Credentials is the path of the file that URL is used with, or empty.
func (b *Bus) Credentials() string {
	if b.server != nil {
		return b.server.keyFile()
	}
	return b.options.Creds
}

func (o Options) withDefaults() (Options, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	switch o.Durability {
	case "":
		o.Durability = DurabilityFsync
	case DurabilityFsync, DurabilityProcess:
	default:
		return o, fmt.Errorf("durability %q: it is %s or %s", o.Durability, DurabilityFsync, DurabilityProcess)
	}
	if o.Replicas == 0 {
		o.Replicas = 1
	}
	if len(o.URLs) == 0 && o.Replicas != 1 {
		return o, fmt.Errorf("%d replicas: the embedded server keeps 1; name a cluster with bus.urls", o.Replicas)
	}
	var err error
	if o.URLs, err = serverURLs(o.URLs); err != nil {
		return o, err
	}
	if o.EventsMaxAge == 0 {
		o.EventsMaxAge = 30 * 24 * time.Hour
	}
	if o.Fatal == nil {
		log := o.Log
		o.Fatal = func(err error) {
			log.Error("nothing can be made durable any more; ending", "error", err)
			os.Exit(1)
		}
	}
	return o, nil
}

func (b *Bus) open(ctx context.Context) (err error) {
	if b.node, err = nodeID(b.options.Dir); err != nil {
		return err
	}
	space, err := statDisk(b.options.Dir)
	if err != nil {
		return err
	}
	var want []jetstream.StreamConfig
	if len(b.options.URLs) == 0 {
		bounds := budget{disk: space.total, ingest: b.options.IngestMaxBytes}
		if bounds.ingest == 0 {
			bounds.ingest = max(minShare, min(maxIngest, int64(space.free/10)))
		}
		want = definitions(bounds, 1, b.options.EventsMaxAge)
		b.server, err = newEmbedded(b.options.Dir, b.options.Listen, b.node, storeLimit(want), b.log, b.violations.saw)
		if err != nil {
			return err
		}
		if err := b.server.start(); err != nil {
			return err
		}
	} else {
		if err := b.openMint(); err != nil {
			return err
		}
		b.log.Info("how durable an acknowledgement is depends on the external NATS: its replicas and its sync_interval", "urls", b.URL())
	}
	if err := b.connect(); err != nil {
		return err
	}
	if b.server != nil {
		var have map[string]jetstream.StreamConfig
		if have, err = existing(ctx, b.js); err == nil {
			b.streams, err = settleStreams(ctx, b.js, have, want)
		}
	} else {
		b.streams, err = settleExternal(ctx, b.js, b.options)
	}
	if err != nil {
		return err
	}
	b.ingestMax = b.streams[streamIngest].CachedInfo().Config.MaxBytes
	b.watch = newWatch(b, space)
	if err := b.identify(ctx); err != nil {
		return err
	}
	b.lastCommit = make([]atomic.Uint64, b.partitions)
	if b.server != nil && b.options.Durability == DurabilityFsync {
		if b.sync, err = b.openDurable(ctx); err != nil {
			return err
		}
	}
	if err := b.openFloor(ctx); err != nil {
		return err
	}
	if err := b.loadTypes(ctx); err != nil {
		return err
	}
	b.appender = newAppender(b)
	return b.watch.start(ctx)
}

func (b *Bus) connect() (err error) {
	dial := func(name string, more ...nats.Option) func(...nats.Option) (*nats.Conn, error) {
		return func(options ...nats.Option) (*nats.Conn, error) { return b.dial(name, append(options, more...)...) }
	}
	b.appends, b.effects, b.commits = newLine(dial("appends")), newLine(dial("effects")), newLine(dial("commits"))
	b.ask, b.calls = newLine(dial("ask")), newCaller(dial("calls"))
	if b.server != nil {
		// A lone question takes half the CPU without a socket, and a lone call
		// two thirds; what is read and written in bulk is faster through one.
		direct := nats.InProcessServer(b.server)
		b.ask, b.calls = newLine(dial("ask", direct)), newCaller(dial("calls", direct))
	}
	lasting := []nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(50 * time.Millisecond), nats.ReconnectJitter(20*time.Millisecond, 0)}
	if b.reading, err = b.dial("reading", append(lasting, nats.ReconnectHandler(b.signalReconnect))...); err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	if b.replies, err = b.dial("replies", lasting...); err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	if b.steps, err = b.dial("steps", lasting...); err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	if b.js, err = jetstream.New(b.reading); err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	return nil
}

func (b *Bus) dial(name string, options ...nats.Option) (*nats.Conn, error) {
	options = append(options, nats.Name("tributary "+name), nats.Timeout(2*time.Second),
		nats.FlusherTimeout(2*time.Second), nats.PingInterval(20*time.Second),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			b.log.Warn("NATS connection", "connection", name, "error", err)
		}))
	if b.server != nil {
		return nats.Connect(b.server.url(), append(options, b.server.login())...)
	}
	if b.options.Creds != "" {
		options = append(options, nats.UserCredentials(b.options.Creds))
	}
	return nats.Connect(strings.Join(b.options.URLs, ","), options...)
}

// reconnected returns a channel that is closed when the reading connection was
// made anew: what consumers of it sent meanwhile may be lost.
func (b *Bus) reconnected() <-chan struct{} {
	b.reconnect.Lock()
	defer b.reconnect.Unlock()
	return b.reconnect.signal
}

func (b *Bus) signalReconnect(*nats.Conn) {
	b.reconnect.Lock()
	defer b.reconnect.Unlock()
	close(b.reconnect.signal)
	b.reconnect.signal = make(chan struct{})
}
