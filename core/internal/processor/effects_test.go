package processor

import (
	"reflect"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
)

func TestEventMessagesSayWhatCausedThem(t *testing.T) {
	c := &record.Commit{Partition: 3, C: 7, Events: []record.Processed{
		{Type: "a", Data: []byte("1")}, {Type: "b", Data: []byte("2"), Hops: 4, Reply: "_INBOX.x"},
	}}
	want := []bus.EventMessage{{Partition: 3, C: 7, N: 2, Type: "b", Data: []byte("2"), Hops: 4, Reply: "_INBOX.x"}}
	if got := eventMessages(c, bus.Mark{C: 7, N: 1}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
