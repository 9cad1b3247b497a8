package processor

import (
	"reflect"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/bus"
)

func TestBehindGap(t *testing.T) {
	mark := func(c uint64, n int) bus.Mark { return bus.Mark{C: c, N: n} }
	sent := []bus.Mark{mark(4, 1), mark(4, 2), mark(5, 1), mark(6, 1)}
	for name, c := range map[string]struct {
		present []placed
		want    []uint64
	}{
		"nothing there":        {nil, nil},
		"all there":            {[]placed{{mark(4, 1), 10}, {mark(4, 2), 11}, {mark(5, 1), 13}, {mark(6, 1), 14}}, nil},
		"the end is missing":   {[]placed{{mark(4, 1), 10}, {mark(4, 2), 11}}, nil},
		"one is missing":       {[]placed{{mark(4, 1), 10}, {mark(5, 1), 13}, {mark(6, 1), 14}}, []uint64{13, 14}},
		"the first is missing": {[]placed{{mark(6, 1), 14}}, []uint64{14}},
		"one is there twice":   {[]placed{{mark(4, 1), 10}, {mark(4, 2), 11}, {mark(5, 1), 13}, {mark(6, 1), 14}, {mark(5, 1), 15}}, []uint64{15}},
		"an old one is there":  {[]placed{{mark(3, 9), 9}, {mark(4, 1), 10}, {mark(5, 1), 13}}, []uint64{13}},
	} {
		if got := behindGap(c.present, sent); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
