package resources

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/profile"
	"github.com/tributary-bus/tributary/sdk"
)

// A changeSet is one message of the log: what an apply changed, or, in every
// 64th, all that there is after it, so that older messages can go.
type changeSet struct {
	Revision uint64     `json:"revision"`
	Node     string     `json:"node"` // that applied it
	Changes  []document `json:"changes"`
	All      []document `json:"all"`
	// Kept are, with All, the aggregates that profiles keep, and since which revision.
	Kept []aggregate `json:"kept"`
}

// An aggregate is a window or a sum that profiles keep.
type aggregate struct {
	Type     string `json:"type"`
	Property string `json:"property"`
	Window   int64  `json:"window"` // in nanoseconds
	Since    uint64 `json:"since"`
}

type document struct {
	Kind     string         `json:"kind"`
	ID       string         `json:"id"`
	Spec     jsontext.Value `json:"spec"`
	Revision uint64         `json:"revision"` // in which the spec last changed; of All
	Deleted  bool           `json:"deleted"`  // of Changes
}

// wholeEvery is how many revisions apart the messages are that hold everything.
const wholeEvery = 64

// appendChangeSet encodes what leads to set; without changes, all of it.
func appendChangeSet(dst []byte, node string, set *config.Set, changes []config.Change) []byte {
	dst = append(dst, `{"revision":`...)
	dst = sdk.AppendValue(dst, set.Revision())
	dst = append(dst, `,"node":`...)
	dst = sdk.AppendString(dst, node)
	if changes == nil {
		dst = append(dst, `,"all":[`...)
		for i, r := range set.Resources() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendDocument(dst, r)
			dst = append(dst, `,"revision":`...)
			dst = sdk.AppendValue(dst, r.Revision)
			dst = append(dst, '}')
		}
		return append(appendKept(append(dst, ']'), set.Kept().List()), '}')
	}
	dst = append(dst, `,"changes":[`...)
	for i, c := range changes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendDocument(dst, c.Resource)
		if c.Delete {
			dst = append(dst, `,"deleted":true`...)
		}
		dst = append(dst, '}')
	}
	return append(dst, "]}"...)
}

func appendKept(dst []byte, list []profile.Aggregate) []byte {
	dst = append(dst, `,"kept":[`...)
	for i, a := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = sdk.AppendString(append(dst, `{"type":`...), a.Type)
		dst = sdk.AppendString(append(dst, `,"property":`...), a.Property)
		dst = strconv.AppendInt(append(dst, `,"window":`...), int64(a.Window), 10)
		dst = strconv.AppendUint(append(dst, `,"since":`...), a.Since, 10)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// appendDocument leaves the object open.
func appendDocument(dst []byte, r config.Resource) []byte {
	dst = append(dst, `{"kind":`...)
	dst = sdk.AppendString(dst, r.Kind)
	dst = append(dst, `,"id":`...)
	dst = sdk.AppendString(dst, r.ID)
	if r.Spec != nil {
		dst = append(dst, `,"spec":`...)
		dst = append(dst, r.Spec...)
	}
	return dst
}

func parseChangeSet(data []byte) (*changeSet, error) {
	m := &changeSet{}
	if err := json.UnmarshalRead(bytes.NewReader(data), m); err != nil {
		return nil, fmt.Errorf("a change of the configuration: %w", err)
	}
	if m.Revision == 0 {
		return nil, fmt.Errorf("a change of the configuration has no revision")
	}
	return m, nil
}

// whole tells whether the message holds everything.
func (m *changeSet) whole() bool { return m.All != nil }

// after makes the set that the message leads to. The set before is needed
// unless the message holds everything.
func (m *changeSet) after(before *config.Set) (*config.Set, error) {
	var set *config.Set
	var err error
	if m.whole() {
		resources := make([]config.Resource, len(m.All))
		for i, d := range m.All {
			resources[i] = config.Resource{Kind: d.Kind, ID: d.ID, Spec: []byte(d.Spec), Revision: d.Revision}
		}
		kept := make([]profile.Aggregate, len(m.Kept))
		for i, a := range m.Kept {
			kept[i] = profile.Aggregate{Type: a.Type, Property: a.Property, Window: time.Duration(a.Window), Since: a.Since}
		}
		set, err = config.Restore(m.Revision, resources, kept)
	} else {
		changes := make([]config.Change, len(m.Changes))
		for i, d := range m.Changes {
			changes[i] = config.Change{Resource: config.Resource{Kind: d.Kind, ID: d.ID, Spec: []byte(d.Spec)}, Delete: d.Deleted}
		}
		set, _, err = before.Apply(changes)
	}
	if err != nil {
		return nil, fmt.Errorf("revision %d of the configuration, applied by node %s, cannot be run by this version: %w", m.Revision, m.Node, err)
	}
	if set.Revision() != m.Revision {
		return nil, fmt.Errorf("revision %d of the configuration changes nothing of revision %d", m.Revision, set.Revision())
	}
	return set, nil
}
