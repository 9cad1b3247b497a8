package flow

import (
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/sdk"
)

// An answer gathers what the flows of one event say to the caller who waits for
// them.
type answer struct {
	reply    string
	left     int // flows that have not ended
	response map[string]any
	since    time.Time
}

// answerFor is how long an answer is kept open; no caller waits that long.
const answerFor = time.Minute

// await notes that a caller waits for an event's flows; without any, the caller
// is answered at once. s.mu is held.
func (s *session) await(stored *bus.StoredEvent, flows int) {
	a := &answer{reply: stored.Reply, left: flows, response: map[string]any{}, since: time.Now()}
	if flows == 0 {
		s.respond(a)
		return
	}
	s.answers[keyOf(stored)] = a
}

// answer takes what a run that has ended says.
func (s *session) answer(r *run) {
	if r.event.stored.Reply == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := keyOf(r.event.stored)
	a := s.answers[key]
	if a == nil {
		return
	}
	if r.progress.answered && r.progress.failure == nil {
		a.response[r.flow.ID] = r.progress.response.decode()
	}
	if a.left--; a.left == 0 {
		delete(s.answers, key)
		s.respond(a)
	}
}

// respond sends {"response":{"<flow id>":value,…}}.
func (s *session) respond(a *answer) {
	if err := s.engine.bus.Respond(a.reply, sdk.AppendValue(nil, map[string]any{"response": a.response})); err != nil {
		s.engine.log.Debug("a caller who waits for flows is not answered", "error", err)
	}
}

// forgetAnswers lets go of callers who do not wait any more.
func (s *session) forgetAnswers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, a := range s.answers {
		if time.Since(a.since) > answerFor {
			delete(s.answers, key)
		}
	}
}

// An eventKey names an event of EVENTS whatever its sequence.
type eventKey struct {
	partition int
	at        bus.Mark
}

func keyOf(stored *bus.StoredEvent) eventKey {
	return eventKey{stored.Partition, bus.Mark{C: stored.C, N: stored.N}}
}
