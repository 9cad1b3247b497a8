package profile

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tributary-bus/tributary/sdk"
)

// Long lists are indexed, and say the same as those that are looked through.
func TestMembersOfLongLists(t *testing.T) {
	elements := []any{
		nil, true, "", "1", int64(1), 1.0, 1.5, json.Number("1"), noon, noon.Add(time.Second), []any{}, []any{int64(1)}, []any{1.0},
		map[string]any{}, map[string]any{"a": int64(1)}, map[string]any{"a": 1.0}, map[string]any{"a": []any{nil}},
	}
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) (list []any) {
			for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(elements)-1), 0, 20).Draw(t, name) {
				list = append(list, sdk.Clone(elements[i]))
			}
			return list
		}
		list, more := draw("list"), draw("more")
		long, short := newMembers(list, fewComparisons), newMembers(list, 0)
		for _, e := range more {
			if long.has(e) != short.has(e) {
				t.Fatalf("%v in %v: %v indexed, %v not", e, list, long.has(e), short.has(e))
			}
			long.add(e)
			short.add(e)
		}
		if !long.indexed || short.indexed {
			t.Fatal("what is indexed is not what was meant")
		}
	})
}

func TestLongListsAreQuick(t *testing.T) {
	list, objects := make([]any, 100_000), make([]any, 20_000)
	for i := range list {
		list[i] = int64(i)
	}
	for i := range objects {
		objects[i] = map[string]any{"n": int64(i)}
	}
	begun := time.Now()
	both := appendTo(appendTo(list, list[50_000:]), objects)
	if got := removeFrom(appendTo(both, objects), objects); !reflect.DeepEqual(got, list) {
		t.Error("the lists are not what they were")
	}
	// Looking through the lists would take minutes.
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("took %s", took)
	}
}
