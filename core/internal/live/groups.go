package live

import (
	"slices"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/faults"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// A group are the subscriptions that want the same: their filter is evaluated
// once an event, however many they are.
type group struct {
	channel Channel
	filter  *condition.Program // nil: all
	faults  *faults.Faults
	subs    []*member
}

type groupKey struct {
	channel Channel
	filter  string
}

// groups are those that have subscriptions.
type groups struct {
	byKey map[groupKey]*group
	list  []*group
	// faults is told of filters that fail.
	faults *faults.Faults
}

// find returns the group of a channel and a filter. It is in the list as long
// as it has subscriptions.
func (g *groups) find(c Channel, filter *condition.Program) *group {
	if one := g.byKey[keyOf(c, filter)]; one != nil {
		return one
	}
	return &group{channel: c, filter: filter, faults: g.faults}
}

func keyOf(c Channel, filter *condition.Program) groupKey {
	key := groupKey{channel: c}
	if filter != nil {
		key.filter = filter.Source()
	}
	return key
}

// add puts a subscription on the list of its group, or of the one that has
// been made for the same meanwhile.
func (g *groups) add(m *member) {
	key := keyOf(m.group.channel, m.group.filter)
	if one := g.byKey[key]; one != nil {
		m.group = one
	} else {
		if g.byKey == nil {
			g.byKey = map[groupKey]*group{}
		}
		g.byKey[key] = m.group
		g.list = append(g.list, m.group)
	}
	m.group.subs = append(m.group.subs, m)
}

// remove takes a subscription off the list, where it is there.
func (g *groups) remove(m *member) {
	one := m.group
	i := slices.Index(one.subs, m)
	if i < 0 {
		return
	}
	one.subs = slices.Delete(one.subs, i, i+1)
	if len(one.subs) == 0 {
		delete(g.byKey, keyOf(one.channel, one.filter))
		g.list = slices.Delete(g.list, slices.Index(g.list, one), slices.Index(g.list, one)+1)
	}
}

func (g *groups) each(do func(m *member)) {
	for _, one := range g.list {
		for _, m := range one.subs {
			do(m)
		}
	}
}

// push hands one event to all who want it. It is encoded once a channel.
func (g *groups) push(e *bus.StoredEvent) {
	var text texts
	var vars *condition.Vars
	var frames map[Channel][]byte
	for _, one := range g.list {
		if !one.wants(e, &text, &vars) {
			continue
		}
		frame := frames[one.channel]
		if frame == nil {
			frame = one.channel.push(e, &text)
			if frames == nil {
				frames = map[Channel][]byte{}
			}
			frames[one.channel] = frame
		}
		for _, m := range one.subs {
			if !m.over && e.Seq > m.after {
				m.over = !m.to.Push(frame)
			}
		}
	}
}

// wants tells whether the group gets the event. The event is not decoded for
// it: a filter reads what it needs.
func (one *group) wants(e *bus.StoredEvent, text *texts, vars **condition.Vars) bool {
	if !one.channel.carries(e, text) {
		return false
	}
	if one.filter == nil {
		return true
	}
	if *vars == nil {
		*vars = &condition.Vars{Now: time.Now(), Event: text.event(e), Session: text.session(e)}
	}
	holds, err := one.filter.Bool(*vars)
	if err != nil { // it does not hold then
		one.faults.Saw("filter "+one.filter.Source(), err)
	}
	return holds
}
