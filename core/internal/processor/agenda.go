package processor

import (
	"container/heap"
	"crypto/sha256"
	"math"
	"strings"
	"sync"

	"github.com/google/uuid"
)

// An agenda knows when something is due at the profiles of a partition. It is exact to
// a second, never early, and takes about 80 bytes for a profile that waits, without a
// pointer in them, so that half a million profiles cost tens of megabytes and the
// garbage collector nothing.
//
// A profile that is used puts off what is due again and again. Its place in the queue
// stays where it was: when its turn comes it is given another one.
type agenda struct {
	mu    sync.Mutex
	at    map[agendaKey]appointment
	queue places
	names map[agendaKey]string // of the profiles whose ids are no UUIDs
	sent  int                  // how many are being seen to
}

// An agendaKey is a profile's id: that itself where it is a UUID in its usual form.
type agendaKey [16]byte

// An appointment is when something is due at a profile, and where it stands in the
// queue, both in seconds since 1970.
type appointment struct{ due, place uint32 }

// A place in the queue. One that is not its profile's appointed place any more counts
// for nothing.
type place struct {
	at  uint32
	who agendaKey
}

func newAgenda() *agenda {
	return &agenda{at: map[agendaKey]appointment{}, names: map[agendaKey]string{}}
}

// put says when something is due at a profile, in milliseconds since 1970; 0: nothing is.
func (a *agenda) put(profile string, due int64) {
	who, whole := keyOf(profile)
	a.mu.Lock()
	defer a.mu.Unlock()
	if due == 0 {
		delete(a.at, who)
		delete(a.names, who)
		return
	}
	if !whole {
		a.names[who] = profile
	}
	a.enter(who, seconds(due))
}

// find is put for what was found in a document, which may be older than what the agenda
// knows: then it changes nothing.
func (a *agenda) find(profile string, due int64) {
	who, whole := keyOf(profile)
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, known := a.at[who]; due == 0 || known {
		return
	}
	if !whole {
		a.names[who] = profile
	}
	a.enter(who, seconds(due))
}

func (a *agenda) enter(who agendaKey, due uint32) {
	old, known := a.at[who]
	if !known {
		old.place = math.MaxUint32
	}
	old.due = due
	if due < old.place {
		old.place = due
		heap.Push(&a.queue, place{at: due, who: who})
	}
	a.at[who] = old
}

// take takes the profiles at which something is due by now, as many as may be seen to
// beside those that are, up to dueMost in all.
func (a *agenda) take(now int64) (profiles []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.queue) > 0 && int64(a.queue[0].at)*1000 <= now && a.sent < dueMost {
		first := heap.Pop(&a.queue).(place)
		appointed, known := a.at[first.who]
		switch {
		case !known || appointed.place != first.at:
		case int64(appointed.due)*1000 > now:
			appointed.place = appointed.due
			a.at[first.who] = appointed
			heap.Push(&a.queue, place{at: appointed.due, who: first.who})
		default:
			profiles = append(profiles, a.nameOf(first.who))
			delete(a.at, first.who)
			delete(a.names, first.who)
			a.sent++
		}
	}
	if len(a.queue) == 0 {
		a.queue = nil
	}
	if len(profiles) > 0 && len(a.at) == 0 { // what held half a million does not stay as large
		a.at, a.names = map[agendaKey]appointment{}, map[agendaKey]string{}
	}
	return profiles
}

// done notes that so many of those that were taken have been seen to.
func (a *agenda) done(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sent = max(0, a.sent-n) // those in the log may be of an earlier owner
}

func (a *agenda) nameOf(who agendaKey) string {
	if name, ok := a.names[who]; ok {
		return name
	}
	return uuid.UUID(who).String()
}

// keyOf tells also whether the id can be made of the key again.
func keyOf(profile string) (who agendaKey, whole bool) {
	id, err := uuid.Parse(profile)
	if err == nil && len(profile) == len("00000000-0000-0000-0000-000000000000") && !strings.ContainsAny(profile, "ABCDEF") {
		return agendaKey(id), true
	}
	sum := sha256.Sum256([]byte(profile))
	return agendaKey(sum[:len(who)]), false
}

func seconds(milliseconds int64) uint32 {
	return uint32(min(max(milliseconds+999, 0)/1000, math.MaxUint32-1))
}

// places are ordered by time.
type places []place

func (p places) Len() int           { return len(p) }
func (p places) Less(i, j int) bool { return p[i].at < p[j].at }
func (p places) Swap(i, j int)      { p[i], p[j] = p[j], p[i] }
func (p *places) Push(v any)        { *p = append(*p, v.(place)) }
func (p *places) Pop() any {
	last := len(*p) - 1
	v := (*p)[last]
	*p = (*p)[:last]
	return v
}
