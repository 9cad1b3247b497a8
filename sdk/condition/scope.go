package condition

import (
	"maps"
	"slices"
	"strings"
)

// The variables that conditions know.
const (
	varEvent   = "event"
	varProfile = "profile"
	varSession = "session"
	varPayload = "payload"
	varFlow    = "flow"
	varMessage = "message"
	varMeta    = "meta"
	varRow     = "row"
	varNow     = "now"
)

var variables = []string{varEvent, varProfile, varSession, varPayload, varFlow, varMessage, varMeta, varRow, varNow}

// Scope says which variables a condition may use.
type Scope struct {
	variables []string
}

// The scopes of the product's conditions.
var (
	// EventScope is that of what is asked of an event as it is processed: an
	// event type's when and copy, a flow's trigger, a subscription's filter.
	EventScope = NewScope(varEvent, varProfile, varSession)
	// ProfileScope is that of segments, heartbeats and searches for profiles.
	ProfileScope = NewScope(varProfile)
	// SessionScope is that of searches for sessions.
	SessionScope = NewScope(varSession)
	// FlowScope is that of a flow's nodes.
	FlowScope = NewScope(varEvent, varProfile, varSession, varPayload, varFlow)
	// RowScope is that of an import's mapping.
	RowScope = NewScope(varRow)
	// MessageScope is that of a bridge's mapping.
	MessageScope = NewScope(varMessage, varMeta)
)

// NewScope makes a scope of variables by name; now belongs to every scope. The
// first one is the document that [Program.Predicate] searches. A name that is
// no variable is a mistake of the program and panics.
func NewScope(names ...string) Scope {
	for _, name := range names {
		if !slices.Contains(variables, name) {
			panic("condition: no variable is called " + name)
		}
	}
	all := slices.Clone(names)
	if !slices.Contains(all, varNow) {
		all = append(all, varNow)
	}
	return Scope{variables: all}
}

func (s Scope) has(name string) bool { return slices.Contains(s.variables, name) }

func (s Scope) String() string { return strings.Join(s.variables, ", ") }

// schema has the fields of the documents whose first level is fixed, and their
// types. An open object or a list without tNull is there even when it is empty.
var schema = map[string]map[string]typ{
	varEvent: {
		"id": tString, "type": tString, "source": tString, "session": tString | tNull, "profile": tString | tNull,
		"time": tTime, "received": tTime, "properties": tMap, "traits": tMap, "context": tMap,
		"tags": tList, "valid": tBool, "errors": tList,
	},
	varProfile: {
		"id": tString, "ids": tList, "identities": tMap, "created": tTime, "updated": tTime, "revision": tInt,
		"traits": tMap, "data": tMap, "segments": tMap, "consents": tMap, "interests": tMap, "counters": tMap,
		"stats": tMap,
	},
	varSession: {
		"id": tString, "profile": tString | tNull, "started": tTime, "updated": tTime, "ended": tTime | tNull,
		"duration": tNumber, "status": tString, "events": tInt, "context": tMap,
		"device": tAny, "os": tAny, "app": tAny, "utm": tAny, "geo": tAny,
	},
}

// pathType is what is known of the value at a path below a variable. What the
// product itself writes below the first level is known too.
func pathType(variable string, names []string) typ {
	fields, fixed := schema[variable]
	switch {
	case !fixed:
		return tAny
	case len(names) == 1:
		return fields[names[0]]
	case variable != varProfile:
		return tAny
	case names[0] == "segments" && len(names) == 3 && names[2] == "since":
		return tTime | tNull
	case names[0] != "stats":
		return tAny
	case len(names) == 2:
		switch names[1] {
		case "visits", "views":
			return tInt | tNull
		case "first_seen", "last_seen":
			return tTime | tNull
		case "events":
			return tMap | tNull
		}
	case len(names) == 4 && names[1] == "events":
		switch names[3] {
		case "count":
			return tInt | tNull
		case "first", "last":
			return tTime | tNull
		}
	}
	return tAny
}

// closedFields gives what stands at a path below profile whose fields are fixed,
// though it is below the first level; none where it is open.
func closedFields(variable string, names []string) []string {
	switch n := len(names); {
	case variable != varProfile:
	case n == 1 && names[0] == "stats":
		return []string{"events", "first_seen", "last_seen", "truncated", "views", "visits"}
	case n == 3 && names[0] == "stats" && names[1] == "events":
		return []string{"count", "first", "last"}
	case n == 2 && names[0] == "segments":
		return []string{"since"}
	}
	return nil
}

// Fields lists the fields of event, profile or session, sorted; any other
// variable has none that are fixed.
func Fields(variable string) []string { return slices.Sorted(maps.Keys(schema[variable])) }

// fieldNames lists the fields of a document for a message.
func fieldNames(variable string) string { return strings.Join(Fields(variable), ", ") }
