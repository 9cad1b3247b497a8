package indexer

import (
	"bytes"
	"context"
	"log/slog"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/core/internal/store/sqlite"
)

func TestPoisonBecomesADeadLetter(t *testing.T) {
	r := newRig(t)
	r.run(0)
	r.send(8)
	if err := r.bus.PublishEvents(t.Context(), []bus.EventMessage{{Partition: 3, C: 50, N: 0, Type: "bad", Data: []byte(`{"event":{"id":1}}`)}}); err != nil {
		t.Fatal(err)
	}
	r.c[3] = 50
	r.document("bad", []byte(`{"state":"live","profile":{"id":"bad"}}`))
	r.document("good", document("good", record.StateLive, 1))
	r.send(8)
	r.settled()
	eventually(t, "the profile behind it is indexed", func() bool { return r.count(store.Profiles) == 1 })
	letters, err := r.bus.DeadLetters(t.Context(), Origin, 0, 10)
	if err != nil || len(letters) != 2 {
		t.Fatalf("%d dead letters, %v, want 2", len(letters), err)
	}
	for _, l := range letters {
		if l.Reason == "" || l.Details["sequence"] == nil || l.Details["stream"] == "events" && string(l.Payload) != `{"event":{"id":1}}` {
			t.Errorf("dead letter %+v", l)
		}
	}
}

// refusing is a store that refuses one document for itself alone.
type refusing struct{ *sqlite.Store }

func (s refusing) Apply(ctx context.Context, b store.Batch) (refused []store.Refused, err error) {
	kept := b
	kept.Put = nil
	for _, d := range b.Put {
		if d.ID == "shop/e-000002" {
			refused = append(refused, store.Refused{Document: d, Reason: "not this one"})
			continue
		}
		kept.Put = append(kept.Put, d)
	}
	_, err = s.Store.Apply(ctx, kept)
	return refused, err
}

func TestRefusedBecomesADeadLetter(t *testing.T) {
	r := newRig(t)
	x, err := New(t.Context(), Options{Bus: r.bus, Store: refusing{r.store}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx) }()
	r.send(10)
	eventually(t, "the others are indexed", func() bool { return r.count(store.Events) == 9 })
	var letters []bus.DeadLetter
	eventually(t, "there is a dead letter", func() bool {
		letters, err = r.bus.DeadLetters(ctx, Origin, 0, 10)
		return err == nil && len(letters) == 1
	})
	if l := letters[0]; l.Reason != "not this one" || l.Details["id"] != "shop/e-000002" || !bytes.Contains(l.Payload, []byte("e-000002")) {
		t.Errorf("dead letter %+v", l)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
