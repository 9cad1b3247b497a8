package gateway

import (
	"math"
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
			r.computed = append(r.computed, computed{k, identification.Event})
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
	if len(r.computed) == 0 {
		return
	}
	public := e.Public(received)
	vars := condition.Vars{Event: &public, Now: received}
	for _, c := range r.computed {
		value, err := c.value.Value(&vars)
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
