package gateway

import (
	"bytes"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// rules are what the gateway reads a configuration for, made ready once for
// each of its revisions.
type rules struct {
	set         *config.Set
	kinds       map[string]*kind
	unknownKind string // says which kinds there are
	computed    []computed
}

// A kind is a kind of identifier that events may name.
type kind struct {
	config.IdentifierKind
	path string // where clients write it
	rank int    // 0 identifies strongest
}

// A computed identifier is read from the event by an identification.
type computed struct {
	kind  *kind
	value *condition.Program
	// part and name say, for a program that is nothing but a path, in which
	// part of the event it reads, and the last name of the path, quoted.
	part string
	name []byte
}

// plainPath matches programs such as event.traits.contact.email.
var plainPath = regexp.MustCompile(`^\s*event\.(properties|traits|context)(?:\.[A-Za-z_][A-Za-z0-9_]*)*\.([A-Za-z_][A-Za-z0-9_]*)\s*$`)

func newComputed(k *kind, value *condition.Program) computed {
	c := computed{kind: k, value: value}
	if path := plainPath.FindStringSubmatch(value.Source()); path != nil {
		c.part, c.name = path[1], sdk.AppendString(nil, path[2])
	}
	return c
}

// absent tells, without decoding anything, that the event has no such value.
// Where it is false, nothing is known.
func (c *computed) absent(e *event) bool {
	var text []byte
	switch c.part {
	case "properties":
		text = e.Properties
	case "traits":
		text = e.Traits
	case "context":
		text = e.Context
	default:
		return false
	}
	// A name may be written with escapes.
	return !bytes.Contains(text, c.name) && bytes.IndexByte(text, '\\') < 0
}

const rankAnonymous = math.MaxInt32

// newRules orders the kinds of identifier by the contract: user,
// identifications by priority, then what has no identification, anonymous.
func newRules(set *config.Set) *rules {
	r := &rules{set: set, kinds: map[string]*kind{}}
	r.declare(record.KindUser, 0)
	r.declare(record.KindAnonymous, rankAnonymous)
	for i, identification := range set.Identifications() {
		k := r.declare(identification.ID, i+1)
		if identification.Event != nil {
			r.computed = append(r.computed, newComputed(k, identification.Event))
		}
	}
	r.declare(record.KindEmail, rankAnonymous-2)
	r.declare(record.KindPhone, rankAnonymous-1)
	names := make([]string, 0, len(r.kinds))
	for name := range r.kinds {
		names = append(names, name)
	}
	slices.Sort(names)
	r.unknownKind = "no such kind of identifier; there are " + strings.Join(names, ", ") + "; others are declared by an identification"
	return r
}

// declare adds a kind, where no stronger rank has added it before.
func (r *rules) declare(name string, rank int) *kind {
	if known := r.kinds[name]; known != nil {
		return known
	}
	k := &kind{path: "ids." + name, rank: rank}
	k.IdentifierKind, _ = r.set.Kind(name)
	r.kinds[name] = k
	return k
}

// byStrength compares two identifiers, the stronger one first.
func (r *rules) byStrength(a, b record.Identifier) int {
	return r.kinds[a.Kind].rank - r.kinds[b.Kind].rank
}

// compute adds the identifiers that identifications read from the event. One
// that fails to evaluate identifies nobody.
func (r *rules) compute(e *event, received time.Time) {
	var vars *condition.Vars
	for i := range r.computed {
		c := &r.computed[i]
		if c.absent(e) || e.othersTraits {
			continue
		}
		if vars == nil {
			public := e.Public(received)
			vars = &condition.Vars{Event: &public, Now: received}
		}
		value, err := c.value.Value(vars)
		if err != nil || value == nil {
			continue
		}
		switch v := value.(type) {
		case string:
			e.compute(c.kind, v)
		case bool, map[string]any, []any:
		default:
			e.compute(c.kind, string(sdk.AppendValue(nil, v)))
		}
	}
}

// compute adds an identifier that the event did not name itself.
func (e *event) compute(k *kind, value string) {
	if len(value) <= maxID {
		e.identify(k, value)
	}
}
