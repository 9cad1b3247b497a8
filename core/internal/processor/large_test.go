package processor

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// TestACommitThatTheServerDoesNotTakeIsDivided has a backlog whose commit would
// be larger than what an external server takes in one message.
func TestACommitThatTheServerDoesNotTakeIsDivided(t *testing.T) {
	const events, maxPayload = 300, 32 << 10
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, MaxPayload: maxPayload,
		JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: 64 << 30,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	dir := t.TempDir()
	b, err := bus.Open(t.Context(), bus.Options{
		Dir: dir, Partitions: 4, DiskReserve: 1, IngestMaxBytes: 64 << 20, URLs: []string{s.ClientURL()},
	})
	if err != nil {
		t.Fatal(err)
	}
	n, stopReplies := attach(t, b, dir)
	n.configure()
	random := rand.NewChaCha8([32]byte{1})
	noise := make([]byte, 700) // does not compress
	for i := range events {
		c := n.adds(fmt.Sprint(i), "anna", 1, "")
		random.Read(noise)
		c.Event.Properties = fmt.Appendf(nil, `{"n":1,"noise":%q}`, base64.StdEncoding.EncodeToString(noise))
		if i == events-1 {
			c.Reply = n.prefix + "last"
		}
		n.send(c)
	}
	n.p = process(t, b, dir)
	n.run(stopReplies)
	if o := n.outcome("last"); o.Status != record.StatusAccepted || !o.Valid {
		t.Errorf("the last event is %+v", o)
	}
	if doc := n.document(n.bus.DerivedProfile(record.KindUser, "anna", 0)); doc.Profile.Counters["sum"] != int64(events) {
		t.Errorf("the sum is %v, want %d", doc.Profile.Counters["sum"], events)
	}
}
