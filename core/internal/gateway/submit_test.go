package gateway

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/bus"
)

func TestSubmit(t *testing.T) {
	faulty := &faultyBus{}
	f := newFixture(t, func(o *Options) {
		faulty.Bus = o.Bus.(*bus.Bus)
		o.Bus = faulty
	})
	source, _ := f.current().set.Source("slow")
	for range 2 { // the source's rate does not count
		got, err := f.Submit(t.Context(), source, []byte(`[{"id":"a","type":"x"},{"id":"a","type":"x"},{"id":"b"}]`))
		want := "[{a accepted } {a duplicate } {b invalid type: an event needs a type}]"
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("%v %v, want %s", got, err, want)
		}
	}
	if commands := f.commands(t); len(commands) != 2 || commands[0].Event.Source != "slow" {
		t.Errorf("commands %+v", commands)
	}
	if _, err := f.Submit(t.Context(), source, []byte(`[{`)); err == nil || !strings.Contains(err.Error(), "not valid JSON") {
		t.Errorf("error %v", err)
	}
	faulty.accepting = bus.ErrFull
	if _, err := f.Submit(t.Context(), source, []byte(`[]`)); !errors.Is(err, bus.ErrFull) {
		t.Errorf("error %v", err)
	}
	faulty.accepting = nil
	f.gate.close()
	if _, err := f.Submit(t.Context(), source, []byte(`[]`)); err == nil {
		t.Error("taken in after the drain began")
	}
}
