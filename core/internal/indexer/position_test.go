package indexer

import (
	"errors"
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
)

func TestStoreOfAnotherBusIsRefused(t *testing.T) {
	other := newRig(t)
	other.run(0)
	other.send(3)
	other.settled()
	other.stop()
	r := newRig(t)
	r.store = other.store
	r.run(0)
	r.send(1)
	if err := r.x.Refused(); !errors.Is(err, store.ErrBroken) || !strings.Contains(err.Error(), "store rebuild") {
		t.Errorf("%v, want ErrBroken and `store rebuild`", err)
	}
	if n := r.count(store.Events); n != 3 {
		t.Errorf("%d events in a store that is refused, want its 3", n)
	}
	if err := r.x.Rebuild(t.Context(), func(uint64, uint64) {}); err != nil {
		t.Fatal(err)
	}
	if n := r.count(store.Events); n != 1 || r.x.Refused() != nil {
		t.Errorf("%d events after the rebuild, want 1; %v", n, r.x.Refused())
	}
}

// TestStreamThatEndsBelowThePosition has a position beyond what the bus holds:
// the streams were cut, and use their sequences again.
func TestStreamThatEndsBelowThePosition(t *testing.T) {
	r := newRig(t)
	r.run(0)
	r.send(4)
	r.document("p", document("p", record.StateLive, 1))
	r.settled()
	eventually(t, "the profile is indexed", func() bool { return r.count(store.Profiles) == 1 })
	r.stop()
	ahead := r.x.at()
	ahead.Events, ahead.Documents = ahead.Events+3, ahead.Documents+3
	for i := range ahead.Marks {
		ahead.Marks[i].C += 100
	}
	text, err := ahead.encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.store.Apply(t.Context(), store.Batch{Position: text}); err != nil {
		t.Fatal(err)
	}
	r.run(0)
	r.send(2)
	r.document("q", document("q", record.StateLive, 1))
	r.settled()
	eventually(t, "the profile is indexed", func() bool { return r.count(store.Profiles) == 2 })
}
