package flow

import (
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/sdk"
)

// An answer gathers what the flows of one event say to the caller who waits for
// them.
type answer struct {
	reply    string
	left     map[string]struct{} // flows that have not ended; nil before it is known which there are
	ended    map[string]struct{} // those that have
	response map[string]any
	since    time.Time
}

// answerFor is how long an answer is kept open; no caller waits that long.
const answerFor = time.Minute

// await notes that a caller waits for an event's flows; without any, the caller
// is answered at once. s.mu is held.
func (s *session) await(stored *bus.StoredEvent, flows []*config.Flow) {
	key := keyOf(stored)
	a := s.answers[key]
	if a == nil {
		a = newAnswer(stored)
	}
	if a.left != nil {
		return // since before the partitions changed
	}
	a.left = map[string]struct{}{}
	for _, f := range flows {
		if _, over := a.ended[f.ID]; !over {
			a.left[f.ID] = struct{}{}
		}
	}
	if len(a.left) == 0 {
		delete(s.answers, key)
		s.respond(a)
		return
	}
	s.answers[key] = a
}

func newAnswer(stored *bus.StoredEvent) *answer {
	return &answer{reply: stored.Reply, ended: map[string]struct{}{}, response: map[string]any{}, since: time.Now()}
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
	if a == nil { // its reader is ahead of the session's
		a = newAnswer(r.event.stored)
		s.answers[key] = a
	}
	a.ended[r.flow.ID] = struct{}{}
	if r.progress.answered && r.progress.failure == nil {
		a.response[r.flow.ID] = r.progress.response.decode()
	}
	if delete(a.left, r.flow.ID); a.left != nil && len(a.left) == 0 {
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
