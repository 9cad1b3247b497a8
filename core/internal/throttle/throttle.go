// Package throttle bounds how often the log says the same thing.
package throttle

import (
	"sync"
	"time"
)

// A Throttle lets each subject be spoken of once in a time. It is safe for concurrent
// use.
type Throttle struct {
	every time.Duration
	most  int

	mu   sync.Mutex
	told map[string]*told // by subject
}

// told is when a subject was spoken of, and how often it was not since.
type told struct {
	at     time.Time
	unsaid int
}

// New makes a throttle that remembers so many subjects at most: where there are more, it
// begins anew, since whoever is told about may make them up.
func New(every time.Duration, most int) *Throttle {
	return &Throttle{every: every, most: most, told: map[string]*told{}}
}

// Say tells whether a subject is to be spoken of now, and how often it was not since it
// was the last time.
func (t *Throttle) Say(subject string, now time.Time) (unsaid int, loud bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	one := t.told[subject]
	if one == nil {
		if len(t.told) >= t.most {
			clear(t.told)
		}
		one = &told{}
		t.told[subject] = one
	}
	if now.Sub(one.at) < t.every {
		one.unsaid++
		return 0, false
	}
	unsaid, one.at, one.unsaid = one.unsaid, now, 0
	return unsaid, true
}
