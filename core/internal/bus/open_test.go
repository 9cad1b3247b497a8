package bus

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestOpenAgainKeepsEverything(t *testing.T) {
	b := open(t, Options{Partitions: 3})
	must(b.Commit(t.Context(), 2, []byte("c"), 0))
	key, node := string(b.InstallationKey()), b.NodeID()
	closeBus(t, b)
	closeBus(t, b) // a second time does nothing
	b = open(t, Options{Dir: b.options.Dir})
	if b.Partitions() != 3 || string(b.InstallationKey()) != key || b.NodeID() != node {
		t.Errorf("%d partitions, the same key %t, node %s", b.Partitions(), string(b.InstallationKey()) == key, b.NodeID())
	}
	if data, _, err := b.LastCommit(t.Context(), 2); string(data) != "c" || err != nil {
		t.Errorf("last commit %q, %v", data, err)
	}
	if n := open(t, Options{}).Partitions(); n != 16 {
		t.Errorf("a fresh bus has %d partitions, want 16", n)
	}
}

func TestOpenRefuses(t *testing.T) {
	b := open(t, Options{Partitions: 3})
	closeBus(t, b)
	dir := b.options.Dir
	taken := must(net.Listen("tcp", "127.0.0.1:0"))
	defer taken.Close()
	for _, test := range []struct {
		name    string
		options Options
		prepare func()
		want    string
	}{
		{"another number of partitions", Options{Dir: dir, Partitions: 4}, nil, "created with 3"},
		{"too many partitions", Options{Dir: t.TempDir(), Partitions: 5000}, nil, "1 to 1024"},
		{"an unknown durability", Options{Dir: t.TempDir(), Durability: "sometimes"}, nil, "fsync or process"},
		{"replicas without a cluster", Options{Dir: t.TempDir(), Replicas: 3}, nil, "bus.urls"},
		{"an address without a port", Options{Dir: t.TempDir(), Listen: "localhost"}, nil, "host:port"},
		{"an address with a strange port", Options{Dir: t.TempDir(), Listen: "localhost:x"}, nil, "not a number"},
		{"an address that is taken", Options{Dir: t.TempDir(), Listen: taken.Addr().String()}, nil, "address already in use"},
		{"no directory", Options{Dir: filepath.Join(dir, "nowhere")}, nil, "no such file"},
		{"a lost installation key", Options{Dir: dir}, func() { os.Remove(filepath.Join(dir, fileInstallation)) }, "restore it"},
		{"a damaged installation key", Options{Dir: dir}, func() { os.WriteFile(filepath.Join(dir, fileInstallation), []byte("x"), 0o600) }, "1 bytes"},
		{"a damaged login", Options{Dir: dir}, func() { os.WriteFile(filepath.Join(dir, fileKey), []byte("x"), 0o600) }, "delete the file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.prepare != nil {
				test.prepare()
			}
			start := time.Now()
			b, err := Open(t.Context(), test.options)
			if err == nil {
				closeBus(t, b)
				t.Fatal("it opens")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q, want it to say %q", err, test.want)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("refused after %v", took)
			}
		})
	}
}

func TestOpenRefusesFsyncOfAnUnknownLayout(t *testing.T) {
	b := open(t, Options{})
	err := b.server.selfTest(t.Context(), b.js, b.server.streamDir("ELSEWHERE"))
	if err == nil || !strings.Contains(err.Error(), "--set durability=process") {
		t.Errorf("got %v", err)
	}
	if err := b.server.selfTest(t.Context(), b.js, b.server.streamDir("SELFTEST")); err != nil {
		t.Errorf("the layout as it is: %v", err)
	}
}

func TestSecretsAreSecret(t *testing.T) {
	b := open(t, Options{})
	for _, path := range []string{filepath.Join(b.options.Dir, fileInstallation), b.Credentials()} {
		if mode := must(os.Stat(path)).Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %o", path, mode)
		}
	}
	// With the file one gets in, without it not.
	login := must(nats.NkeyOptionFromSeed(b.Credentials()))
	conn, err := nats.Connect(b.URL(), login)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if conn, err := nats.Connect(b.URL()); err == nil {
		conn.Close()
		t.Error("without credentials one gets in")
	}
	address := strings.TrimSpace(string(must(os.ReadFile(filepath.Join(b.options.Dir, fileURL)))))
	if address != b.URL() {
		t.Errorf("the address kept is %s, the server is at %s", address, b.URL())
	}
	closeBus(t, b)
	if _, err := os.Stat(filepath.Join(b.options.Dir, fileURL)); err == nil {
		t.Error("the address is kept though nobody listens")
	}
}

func TestRestartKeepsTheAddress(t *testing.T) {
	b := open(t, Options{})
	before := b.URL()
	if err := b.server.restart(); err != nil {
		t.Fatal(err)
	}
	if b.URL() != before {
		t.Errorf("the address was %s, is %s", before, b.URL())
	}
}

// What an older version created differently is changed, and keeps its messages.
func TestOpenMigrates(t *testing.T) {
	b := open(t, Options{EventsMaxAge: time.Hour})
	if err := b.PublishEvents(t.Context(), []EventMessage{event(0, 1, 0, "a")}); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if err := b.js.DeleteStream(ctx, streamSeen); err != nil {
		t.Fatal(err)
	}
	c := b.streams[streamEvents].CachedInfo().Config
	c.Subjects, c.MaxBytes, c.Discard, c.AllowDirect = []string{"event.0.>"}, 1<<20, jetstream.DiscardNew, false
	must(b.js.UpdateStream(ctx, c))
	closeBus(t, b)
	b = open(t, Options{Dir: b.options.Dir, EventsMaxAge: 2 * time.Hour})
	got := b.streams[streamEvents].CachedInfo().Config
	if got.Subjects[0] != "event.>" || got.MaxBytes == 1<<20 || got.Discard != jetstream.DiscardOld || !got.AllowDirect || got.MaxAge != 2*time.Hour {
		t.Errorf("the stream is %+v", got)
	}
	if c, _, err := b.LastEvent(ctx, 0); c != 1 || err != nil {
		t.Errorf("last event %d, %v", c, err)
	}
	if err := b.PublishSeen(ctx, 0, make([][16]byte, 1)); err != nil {
		t.Errorf("a stream that was missing: %v", err)
	}
}

// The bounds fit the store, and every stream has one.
func TestBoundsFitTheStore(t *testing.T) {
	for _, disk := range []uint64{0, 1e9, 20e9, 500e9, 8e12} {
		list := definitions(budget{disk: disk, ingest: minShare}, 1, time.Hour)
		var sum int64
		for _, c := range list {
			if c.MaxBytes < minShare {
				t.Errorf("%s is bounded by %d bytes", c.Name, c.MaxBytes)
			}
			sum += c.MaxBytes
		}
		if limit := storeLimit(list); sum >= limit {
			t.Errorf("on a disk of %d bytes the streams may take %d, the store %d", disk, sum, limit)
		}
		if disk > 20e9 && sum > int64(disk) {
			t.Errorf("on a disk of %d bytes the streams may take %d", disk, sum)
		}
	}
}

// A plugin's connection that is left open does not hold up the end.
func TestCloseTellsClientsThatAreLeft(t *testing.T) {
	b := open(t, Options{})
	told := make(chan struct{})
	conn, err := nats.Connect(b.URL(), must(nats.NkeyOptionFromSeed(b.Credentials())), nats.NoReconnect(),
		nats.LameDuckModeHandler(func(*nats.Conn) { close(told) }))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	start := time.Now()
	closeBus(t, b)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("closing took %v", took)
	}
	select {
	case <-told:
	case <-time.After(5 * time.Second):
		t.Error("the client was not told")
	}
}
