package wire

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Check tells whether the patch is complete: its op is known and has the value
// that it needs, or none. Whether its path can be patched is for the processor
// to say.
func (p *Patch) Check() error {
	kind := p.Value.Kind()
	switch p.Op {
	case OpSet, OpSetIfMissing, OpAppend, OpRemove:
		if len(p.Value) == 0 {
			return fmt.Errorf("%s needs a value", p.Op)
		}
	case OpIncrement, OpDecrement:
		if kind != '0' {
			return fmt.Errorf("%s needs a number as its value", p.Op)
		}
	case OpDelete, OpEnter, OpLeave:
		if len(p.Value) > 0 && kind != 'n' {
			return fmt.Errorf("%s takes no value", p.Op)
		}
	default:
		return fmt.Errorf("there is no op %q", string(p.Op))
	}
	if p.Path == "" {
		return fmt.Errorf("%s needs a path", p.Op)
	}
	if p.Op == OpEnter || p.Op == OpLeave {
		if id, ok := strings.CutPrefix(p.Path, "segments"); !ok || len(id) < 2 || id[0] != '.' && id[0] != '[' {
			return fmt.Errorf("%s needs a path such as segments.loyal, not %q", p.Op, p.Path)
		}
	}
	return nil
}

// MaxType is how many characters the type of an event may have.
const MaxType = 128

// Check tells whether the event can be sent: its type has 1 to [MaxType]
// characters, none of them a control character.
func (e *Event) Check() error {
	switch {
	case e.Type == "":
		return errors.New("it has no type")
	case len(e.Type) > MaxType && utf8.RuneCountInString(e.Type) > MaxType:
		return fmt.Errorf("its type has more than %d characters", MaxType)
	case strings.ContainsFunc(e.Type, unicode.IsControl):
		return errors.New("its type has a control character")
	}
	return nil
}
