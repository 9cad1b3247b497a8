package condition

import (
	"encoding/json"
	"math"
	"strconv"
	"time"

	"github.com/tributary-bus/tributary/sdk"
)

// A Fielder gives fields by their name in the contract; *sdk.Event,
// *sdk.Profile and *sdk.Session are Fielders.
type Fielder interface {
	Field(name string) (any, bool)
}

var (
	_ Fielder = (*sdk.Event)(nil)
	_ Fielder = (*sdk.Profile)(nil)
	_ Fielder = (*sdk.Session)(nil)
)

// Vars holds what a condition is evaluated over. Each variable is a
// map[string]any, an sdk.View, of which no more is decoded than is asked for, a
// Fielder, or nil, which reads as null; Payload and Message may be any value.
type Vars struct {
	Event, Profile, Session, Payload, Flow, Message, Meta, Row any
	// Now is read with milliseconds, as documents keep times.
	Now time.Time
	// History answers count, sum, first and last; nil has seen nothing.
	History History
}

// History is what is known of the events of the profile that a condition is
// about. A window of 0 is its lifetime.
type History interface {
	Count(eventType string, window time.Duration) int64
	Sum(eventType, property string, window time.Duration) any // a number, or nil
	First(eventType string) time.Time                         // zero: never
	Last(eventType string) time.Time                          // zero: never
}

func (v *Vars) variable(name string) any {
	if at := v.place(name); at != nil {
		return *at
	}
	return nil
}

// place is where a variable is kept; nil where there is no such variable.
func (v *Vars) place(name string) *any {
	switch name {
	case varEvent:
		return &v.Event
	case varProfile:
		return &v.Profile
	case varSession:
		return &v.Session
	case varPayload:
		return &v.Payload
	case varFlow:
		return &v.Flow
	case varMessage:
		return &v.Message
	case varMeta:
		return &v.Meta
	case varRow:
		return &v.Row
	}
	return nil
}

// readPath reads what stands at a path below a variable, or null.
func readPath(root any, names []string) any {
	var at any
	switch r := root.(type) {
	case map[string]any:
		at = r[names[0]]
	case sdk.View:
		return readView(r, names)
	case *sdk.Profile:
		if r == nil {
			return nil
		}
		if names[0] == "stats" && len(names) > 1 {
			return readStats(&r.Stats, names[1:])
		}
		at, _ = r.Field(names[0])
	default:
		at = readField(root, names[0])
	}
	for _, name := range names[1:] {
		if m, ok := at.(map[string]any); ok {
			at = m[name]
			continue
		}
		if at = readField(at, name); at == nil {
			return nil
		}
	}
	return normal(at)
}

// readView reads below a document that is still text.
func readView(v sdk.View, names []string) any {
	for _, name := range names {
		v = v.Member(name)
	}
	return normal(v)
}

// readField reads one field of anything that has fields.
func readField(v any, name string) any {
	var at any
	switch x := v.(type) {
	case map[string]any:
		at = x[name]
	case map[string]string:
		if s, ok := x[name]; ok {
			at = s
		}
	case *sdk.Profile:
		if x != nil {
			at, _ = x.Field(name)
		}
	case *sdk.Event:
		if x != nil {
			at, _ = x.Field(name)
		}
	case *sdk.Session:
		if x != nil {
			at, _ = x.Field(name)
		}
	case sdk.View:
		at, _ = x.Member(name).Value("")
	case Fielder:
		at, _ = x.Field(name)
	}
	return at
}

// readStats reads below a profile's statistics without making a map of them.
func readStats(s *sdk.Stats, names []string) any {
	switch {
	case len(names) == 1 && names[0] == "visits":
		return s.Visits
	case len(names) == 1 && names[0] == "views":
		return s.Views
	case len(names) == 1 && names[0] == "first_seen" && !s.FirstSeen.IsZero():
		return normal(s.FirstSeen)
	case len(names) == 1 && names[0] == "last_seen" && !s.FirstSeen.IsZero():
		return normal(s.LastSeen)
	case len(names) == 3 && names[0] == "events":
		t, ok := s.Events[names[1]]
		if !ok {
			return nil
		}
		switch names[2] {
		case "count":
			return t.Count
		case "first":
			return normal(t.First)
		case "last":
			return normal(t.Last)
		}
		return nil
	}
	var at any = s.Map()
	for _, name := range names {
		m, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = m[name]
	}
	return normal(at)
}

// normal turns what documents hold into the values that operators know: nil,
// bool, string, int64, float64 for fractions, json.Number beyond both, time.Time in UTC with
// milliseconds, time.Duration, []any, map[string]any or a Fielder. Anything
// else is a fault.
func normal(v any) any {
	switch x := v.(type) {
	case nil, bool, string, int64, []any, map[string]any, time.Duration, *fault:
		return v
	case float64:
		return whole(x, v)
	case time.Time:
		if x.Location() == time.UTC && x.Nanosecond()%int(time.Millisecond) == 0 {
			return v
		}
		return x.UTC().Truncate(time.Millisecond)
	case json.Number:
		return normalNumber(sdk.ParseNumber(string(x)))
	case int:
		return int64(x)
	case int32:
		return int64(x)
	case uint32:
		return int64(x)
	case uint64:
		if x <= math.MaxInt64 {
			return int64(x)
		}
		return json.Number(strconv.FormatUint(x, 10))
	case float32:
		return whole(float64(x), nil)
	case []string:
		list := make([]any, len(x))
		for i, s := range x {
			list[i] = s
		}
		return list
	case map[string]string:
		m := make(map[string]any, len(x))
		for k, s := range x {
			m[k] = s
		}
		return m
	case sdk.Object:
		return x.View()
	case sdk.View:
		value, _ := x.Value("")
		return normalNumber(value)
	case Fielder:
		return v
	}
	return faultf("a %T is no value that conditions know", v)
}

// export turns a result into a value of package sdk or a time: a duration
// becomes seconds, a document a map. What needs no change is shared with the
// document. A fault comes back as it is.
func export(v any) any {
	if plain(v) {
		return v
	}
	switch x := normal(v).(type) {
	case time.Duration:
		return x.Seconds()
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			if out[i] = export(e); isFault(out[i]) {
				return out[i]
			}
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			if out[k] = export(e); isFault(out[k]) {
				return out[k]
			}
		}
		return out
	case *sdk.Event:
		return exportDocument(x, x == nil, varEvent)
	case *sdk.Profile:
		return exportDocument(x, x == nil, varProfile)
	case *sdk.Session:
		return exportDocument(x, x == nil, varSession)
	case Fielder:
		return faultf("a %T has fields, but is no value by itself", x)
	default:
		return x
	}
}

func exportDocument(doc Fielder, missing bool, variable string) any {
	if missing {
		return nil
	}
	m := make(map[string]any, len(schema[variable]))
	for name := range schema[variable] {
		if v, _ := doc.Field(name); v != nil {
			m[name] = v
		}
	}
	return export(m)
}

// plain tells whether v is a value of package sdk, or a time, through and through.
func plain(v any) bool {
	switch x := v.(type) {
	case nil, bool, string, int64, float64:
		return true
	case []any:
		for _, e := range x {
			if !plain(e) {
				return false
			}
		}
		return true
	case map[string]any:
		for _, e := range x {
			if !plain(e) {
				return false
			}
		}
		return true
	}
	return false
}

func isFault(v any) bool {
	_, is := v.(*fault)
	return is
}
