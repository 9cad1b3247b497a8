package condition

import (
	"fmt"
	"time"
	_ "time/tzdata" // zones are known where the machine has none

	"cel.dev/cel-go/common/ast"
)

// day builds day(t) and day(t, zone): the moment at which the day of a time
// began, in UTC or in a time zone that is written out. A text is read as
// timestamp(x) reads it.
func (b *builder) day(list []ast.Expr, pos int) (*node, *Error) {
	const wayOut = `write day(now) or day(now, "Europe/Paris")`
	if len(list) != 1 && len(list) != 2 {
		return nil, b.fail(pos, wayOut, "day takes a time, and a time zone if it is not UTC, not %d values", len(list))
	}
	args, err := b.all(list)
	if err != nil {
		return nil, err
	}
	if !args[0].typ.fits(tTime | tString) {
		return nil, b.fail(args[0].pos, wayOut, "day takes a time, not %s", args[0].typ)
	}
	zone, err := b.zone(args[1:], wayOut)
	if err != nil {
		return nil, err
	}
	t := tTime | args[0].typ&tNull
	if args[0].typ&tString != 0 {
		t |= tNull // an empty text
	}
	x := args[0].eval
	return newNode("day", t, args, func(f *frame) any {
		v := x(f)
		if text, is := v.(string); is {
			v = callTimestamp(f, text)
		}
		switch at := v.(type) {
		case nil, *fault:
			return v
		case time.Time:
			at = at.In(zone)
			return shift(time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, zone).UTC(), 0)
		}
		return faultf("day takes a time, not %s", typeName(v))
	}), nil
}

// zone reads a time zone that is written out; none is UTC.
func (b *builder) zone(args []*node, wayOut string) (*time.Location, *Error) {
	if len(args) == 0 {
		return time.UTC, nil
	}
	text, is := args[0].value.(string)
	if !is {
		return nil, b.fail(args[0].pos, wayOut, "a time zone is written out as text")
	}
	zone, bad := parseZone(text)
	if bad != nil {
		return nil, b.fail(args[0].pos, `write a name such as "Europe/Paris", or "+02:00"`, "time zone: %v", bad)
	}
	return zone, nil
}

func parseZone(s string) (*time.Location, error) {
	if t, err := time.Parse("-07:00", s); err == nil {
		_, offset := t.Zone()
		return time.FixedZone(s, offset), nil
	}
	if s == "" || s == "Local" {
		return nil, fmt.Errorf("%q depends on the machine", s)
	}
	return time.LoadLocation(s)
}
