package worker

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// A Connection is how a worker reaches NATS.
type Connection struct {
	URLs []string
	JWT  string // of the user; empty where the seed alone is the user
	Seed string // nkey seed, a secret; empty: nobody in particular
	// Inbox is the prefix of the inboxes that the user may subscribe to.
	Inbox string
}

// connect connects, and from then on again and again, for ever. Answers are not
// kept while there is no connection: the permission to answer a call is that of
// the connection on which it came.
func connect(o Options, problems *problems) (*nats.Conn, error) {
	c := o.Connection
	options := []nats.Option{
		nats.Name("plugin " + o.Name + " " + o.Instance),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, 250*time.Millisecond),
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectBufSize(-1),
		nats.PingInterval(20 * time.Second),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { problems.add(err) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // nil: it was closed
				problems.add(fmt.Errorf("the connection to NATS was lost: %w", err))
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			problems.solved()
			o.Log.Info("connected to NATS again", "server", nc.ConnectedUrlRedacted())
		}),
	}
	if c.Inbox != "" {
		options = append(options, nats.CustomInboxPrefix(strings.TrimSuffix(c.Inbox, ".")))
	}
	switch {
	case c.JWT != "":
		options = append(options, nats.UserJWTAndSeed(c.JWT, c.Seed))
	case c.Seed != "":
		key, err := nkeys.FromSeed([]byte(c.Seed))
		if err != nil {
			return nil, fmt.Errorf("the seed of the connection is no nkey seed: %w", err)
		}
		public, err := key.PublicKey()
		if err != nil {
			return nil, fmt.Errorf("the seed of the connection has no public key: %w", err)
		}
		options = append(options, nats.Nkey(public, key.Sign))
	}
	nc, err := nats.Connect(strings.Join(c.URLs, ","), options...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", strings.Join(c.URLs, ","), err)
	}
	return nc, nil
}

// problems are what goes wrong with NATS beside calls: it is told to the host
// and written to the log, where a fault that repeats is written now and then.
type problems struct {
	log *slog.Logger

	mu      sync.Mutex
	latest  string
	logged  time.Time
	skipped int
}

const problemInterval = 5 * time.Second

func (p *problems) add(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latest = err.Error()
	if time.Since(p.logged) < problemInterval {
		p.skipped++
		return
	}
	p.log.Error("NATS", "error", err, "unlogged", p.skipped)
	p.logged, p.skipped = time.Now(), 0
}

func (p *problems) solved() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latest = ""
}

func (p *problems) last() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.latest
}
