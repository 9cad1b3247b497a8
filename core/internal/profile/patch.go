package profile

import (
	"fmt"
	"strings"
	"time"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/wire"
)

// MaxDepth is how deep what a patch writes may be nested, as deep as an event:
// the names of its path and the levels of its value. A document that could be
// written and not be read again would stop its partition.
const MaxDepth = 64

// Apply does one patch to a profile and tells whether that changed it. Now is
// what `since` becomes of a segment that the profile enters. An error says what
// the patch should have been, and leaves the profile as it was. That the value is
// valid JSON was checked where the patch came in.
func Apply(p *sdk.Profile, patch wire.Patch, now time.Time) (changed bool, err error) {
	path, err := sdk.ParsePath(patch.Path)
	if err != nil {
		return false, fmt.Errorf("%s: %w", patch.Op, err)
	}
	switch patch.Op {
	case wire.OpEnter, wire.OpLeave:
		return segment(p, path, patch.Op, now)
	case wire.OpSet, wire.OpSetIfMissing, wire.OpAppend, wire.OpRemove, wire.OpIncrement, wire.OpDecrement, wire.OpDelete:
	default:
		return false, fmt.Errorf("%s %s: no such operation; want one of %s", patch.Op, patch.Path, strings.Join(operations, ", "))
	}
	switch {
	case path[0] == "segments":
		return false, fmt.Errorf("%s %s: segments are entered and left; want the op enter or leave", patch.Op, patch.Path)
	case !isSection(path[0]):
		return false, fmt.Errorf("%s %s: cannot be written; want a path that begins with one of %s", patch.Op, patch.Path, strings.Join(sections, ", "))
	case len(path) < 2:
		return false, fmt.Errorf("%s %s: names the whole of it; want a field in it, such as %s.name", patch.Op, patch.Path, path[0])
	}
	var operand any
	if patch.Op != wire.OpDelete && len(patch.Value) > 0 {
		var ok bool
		if operand, ok = sdk.RawView(patch.Value).Value(""); !ok {
			return false, fmt.Errorf("%s %s: the value is no JSON", patch.Op, patch.Path)
		}
	}
	if err := fits(path, operand); err != nil {
		return false, fmt.Errorf("%s %s: %w", patch.Op, patch.Path, err)
	}
	if _, changed, err = Change(p, path, patch.Op, operand); err != nil {
		return false, fmt.Errorf("%s %s: %w", patch.Op, patch.Path, err)
	}
	return changed, nil
}

// Storable tells what keeps a value from being stored: nested deeper than the
// given number of levels, or a name that holds NUL, at which stores end a text.
func Storable(v any, levels int) error {
	switch v := v.(type) {
	case map[string]any:
		if levels == 0 {
			return errDeep
		}
		for name, e := range v {
			if err := storableName(name); err != nil {
				return err
			}
			if err := Storable(e, levels-1); err != nil {
				return err
			}
		}
	case []any:
		if levels == 0 {
			return errDeep
		}
		for _, e := range v {
			if err := Storable(e, levels-1); err != nil {
				return err
			}
		}
	}
	return nil
}

var errDeep = fmt.Errorf("nested deeper than the %d levels that are allowed", MaxDepth)

var (
	operations = []string{
		string(wire.OpSet), string(wire.OpSetIfMissing), string(wire.OpAppend), string(wire.OpRemove),
		string(wire.OpIncrement), string(wire.OpDecrement), string(wire.OpDelete), string(wire.OpEnter), string(wire.OpLeave),
	}
	// sections are those that patches write with the operations of copy rules.
	sections = []string{"traits", "data", "counters", "interests", "consents"}
)

func isSection(name string) bool {
	for _, s := range sections {
		if s == name {
			return true
		}
	}
	return false
}

// segment makes the profile enter or leave a segment. Since when it has been in
// one stays as it was where it enters again.
func segment(p *sdk.Profile, path sdk.Path, op wire.Op, now time.Time) (changed bool, err error) {
	if len(path) != 2 || path[0] != "segments" {
		return false, fmt.Errorf("%s %s: names no segment; want segments and a segment's id, such as segments.loyal", op, path)
	}
	id := path[1]
	if err := storableName(id); err != nil {
		return false, fmt.Errorf("%s %s: %w", op, path, err)
	}
	if _, inside := p.Segments[id]; inside == (op == wire.OpEnter) {
		return false, nil
	}
	if op == wire.OpEnter {
		// As text, which is what a document has that is read again.
		p.Segments[id] = map[string]any{"since": sdk.FormatTime(now)}
	} else {
		delete(p.Segments, id)
	}
	return true, nil
}

func fits(path sdk.Path, operand any) error {
	if len(path) > MaxDepth {
		return errDeep
	}
	for _, name := range path {
		if err := storableName(name); err != nil {
			return err
		}
	}
	return Storable(operand, MaxDepth-len(path))
}

func storableName(name string) error {
	if strings.ContainsRune(name, 0) {
		return fmt.Errorf("the name %q holds the character NUL; values may, names may not", name)
	}
	return nil
}
