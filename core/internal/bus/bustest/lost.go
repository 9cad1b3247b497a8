// Package bustest gives tests of other packages a bus in states that are tedious
// to bring about.
package bustest

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/tributary-bus/tributary/core/internal/bus"
)

// Lost is a bus whose external server is gone.
func Lost(t testing.TB) *bus.Bus {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, MaxPayload: 8 << 20, JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: 64 << 30,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	b, err := bus.Open(t.Context(), bus.Options{Dir: t.TempDir(), Partitions: 4, URLs: []string{s.ClientURL()}})
	if err != nil {
		t.Fatal(err)
	}
	s.Shutdown()
	s.WaitForShutdown()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_ = b.Close(ctx) // there is nobody to take leave of
	})
	return b
}
