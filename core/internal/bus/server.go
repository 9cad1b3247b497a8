package bus

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"golang.org/x/time/rate"
)

// What the embedded server keeps in the data directory beside its store.
const (
	fileURL = "nats.url" // where it listens, while it does
	fileKey = "nats.nk"  // the seed that the core, and the nats CLI, log in with
)

const (
	maxPayload = 8 << 20
	// maxSubscriptions bounds those of one connection: our own have some hundreds.
	maxSubscriptions = 50_000
	// startTimeout allows for recovering a large store.
	startTimeout = 2 * time.Minute
	// lameDuck bounds how long connections that others left open are kept
	// while the server ends.
	lameDuck = 2 * time.Second
)

// An embedded is the NATS server within this process. It can be restarted: it
// keeps its address and its store.
type embedded struct {
	dir   string
	limit int64 // of the store
	log   *slog.Logger
	seed  []byte
	user  string // public key of seed
	name  string
	gate  *gate

	mu     sync.Mutex
	host   string
	port   int
	server *server.Server
}

// newEmbedded prepares a server that listens on an address, where port 0 means
// any free one, chosen at the first start and kept. violated is told what a
// plugin's user tries.
func newEmbedded(dir, listen, name string, limit int64, log *slog.Logger, violated func(plugin, text string)) (*embedded, error) {
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	host, text, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, fmt.Errorf("bus.listen %q: %w; give host:port, such as 127.0.0.1:4222", listen, err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return nil, fmt.Errorf("bus.listen %q: the port is not a number; give host:port, such as 127.0.0.1:4222", listen)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	seed, err := keptSecret(filepath.Join(dir, fileKey), func() ([]byte, error) {
		pair, err := nkeys.CreateUser()
		if err != nil {
			return nil, err
		}
		return pair.Seed()
	})
	if err != nil {
		return nil, err
	}
	pair, err := nkeys.FromSeed(seed)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w; delete the file and a new one is made", filepath.Join(dir, fileKey), err)
	}
	user, err := pair.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Join(dir, fileKey), err)
	}
	return &embedded{dir: dir, limit: limit, log: log, seed: seed, user: user, name: name, gate: newGate(user, violated), host: host, port: port}, nil
}

// start returns when clients can connect.
func (e *embedded) start() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, err := server.NewServer(&server.Options{
		ServerName: e.name, Host: e.host, Port: e.port, NoSigs: true,
		JetStream: true, StoreDir: e.dir, JetStreamMaxStore: e.limit, JetStreamMaxMemory: 64 << 20,
		MaxSubs: maxSubscriptions, DisableJetStreamBanner: true, MaxPayload: maxPayload,
		CustomClientAuthentication: e.gate, AlwaysEnableNonce: true,
		LameDuckDuration: lameDuck, LameDuckGracePeriod: lameDuck / 4,
	})
	if err != nil {
		return fmt.Errorf("configure the embedded NATS server: %w", err)
	}
	e.gate.guard(s)
	logger := &serverLog{log: e.log, gate: e.gate, pace: rate.NewLimiter(serverLines, serverBurst)}
	s.SetLoggerV2(logger, false, false, false)
	s.Start()
	for start := time.Now(); !s.ReadyForConnections(20 * time.Millisecond); {
		reason := logger.fatal()
		if reason == "" && time.Since(start) > startTimeout {
			reason = fmt.Sprintf("it accepts no connection after %v", startTimeout)
		}
		if reason != "" {
			s.Shutdown()
			s.WaitForShutdown()
			return fmt.Errorf("start the embedded NATS server on %s: %s", net.JoinHostPort(e.host, strconv.Itoa(e.port)), reason)
		}
	}
	if !s.JetStreamEnabled() {
		s.Shutdown()
		s.WaitForShutdown()
		return fmt.Errorf("start the embedded NATS server: no JetStream in %s: %s", e.dir, logger.fatal())
	}
	addr, ok := s.Addr().(*net.TCPAddr)
	if !ok {
		s.Shutdown()
		s.WaitForShutdown()
		return fmt.Errorf("start the embedded NATS server: it listens on %v, not on TCP", s.Addr())
	}
	e.server, e.port = s, addr.Port
	if err := os.WriteFile(filepath.Join(e.dir, fileURL), []byte(e.urlLocked()+"\n"), 0o644); err != nil {
		s.Shutdown()
		s.WaitForShutdown()
		return fmt.Errorf("keep the address of the embedded NATS server: %w", err)
	}
	return nil
}

// stop ends the server and waits for it. Clients that are left are told first.
func (e *embedded) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.server == nil {
		return
	}
	// The server takes a moment to see that our own connections are closed.
	for start := time.Now(); e.server.NumClients() > 0 && time.Since(start) < lameDuck/20; {
		time.Sleep(time.Millisecond)
	}
	if e.server.NumClients() > 0 {
		e.server.LameDuckShutdown()
	} else {
		e.server.Shutdown()
	}
	e.server.WaitForShutdown()
	e.server = nil
	if err := os.Remove(filepath.Join(e.dir, fileURL)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		e.log.Warn("the address of the embedded NATS server stays behind", "error", err)
	}
}

// restart is the way out of a store that refuses after a write error.
func (e *embedded) restart() error {
	e.mu.Lock()
	if e.server != nil {
		e.server.Shutdown()
		e.server.WaitForShutdown()
		e.server = nil
	}
	e.mu.Unlock()
	return e.start()
}

func (e *embedded) url() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.urlLocked()
}

func (e *embedded) urlLocked() string {
	host := e.host
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "nats://" + net.JoinHostPort(host, strconv.Itoa(e.port))
}

// InProcessConn connects this process without a socket.
func (e *embedded) InProcessConn() (net.Conn, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.server == nil {
		return nil, errors.New("the embedded NATS server is not running")
	}
	return e.server.InProcessConn()
}

// keyFile is the path of the seed.
func (e *embedded) keyFile() string { return filepath.Join(e.dir, fileKey) }

func (e *embedded) login() nats.Option {
	return nats.Nkey(e.user, func(nonce []byte) ([]byte, error) {
		pair, err := nkeys.FromSeed(e.seed)
		if err != nil {
			return nil, err
		}
		return pair.Sign(nonce)
	})
}

// streamDir is where the server keeps a stream.
func (e *embedded) streamDir(name string) string {
	return filepath.Join(e.store(), "streams", name)
}

// store is where the server keeps the account of all our streams.
func (e *embedded) store() string {
	return filepath.Join(e.dir, server.JetStreamStoreDir, server.DEFAULT_GLOBAL_ACCOUNT)
}

// selfTest stores a message and looks for it where the syncers expect it.
func (e *embedded) selfTest(ctx context.Context, js jetstream.JetStream, dir string) error {
	const name = "SELFTEST"
	mark := make([]byte, 16)
	if _, err := rand.Read(mark); err != nil {
		return fmt.Errorf("self-test of durability: %w", err)
	}
	text := hex.EncodeToString(mark)
	if _, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: name, Subjects: []string{"selftest"}, Storage: jetstream.FileStorage, MaxBytes: 1 << 20, MaxMsgs: 1,
	}); err != nil {
		return fmt.Errorf("self-test of durability: create a stream: %w", err)
	}
	if _, err := js.Publish(ctx, "selftest", []byte(text)); err != nil {
		return fmt.Errorf("self-test of durability: publish: %w", err)
	}
	found, path := false, newSyncer(dir, nil)
	for index := 1; !found; index++ {
		data, err := os.ReadFile(path.block(index))
		if err != nil {
			break
		}
		found = strings.Contains(string(data), text)
	}
	if err := js.DeleteStream(ctx, name); err != nil {
		return fmt.Errorf("self-test of durability: delete the stream: %w", err)
	}
	if !found {
		return fmt.Errorf("durability fsync cannot be kept: a stored message was not found in the files of %s; "+
			"use --set durability=process, which survives a killed process but not a power cut", path.blocks())
	}
	return nil
}
