package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
)

// maxTypes is how many distinct event types get a subject of their own without
// being named by a resource; with it, the subjects of EVENTS stay few enough
// for the server.
const maxTypes = 1000

// typeNames knows which event types have a subject token of their own.
type typeNames struct {
	mu    sync.RWMutex
	own   map[string]string // type → token
	named map[string]bool
}

// NameTypes says which event types resources name. They keep a subject of
// their own however many types there are.
func (b *Bus) NameTypes(types []string) {
	named := make(map[string]bool, len(types))
	for _, t := range types {
		named[t] = true
	}
	b.types.mu.Lock()
	b.types.named = named
	b.types.mu.Unlock()
}

// token returns the subject token of a type. The first types seen get one of
// their own, as do those that a resource names.
func (t *typeNames) token(name string) string {
	t.mu.RLock()
	token, ok := t.own[name]
	named := t.named[name]
	few := len(t.own) < maxTypes
	t.mu.RUnlock()
	switch {
	case ok:
		return token
	case named:
		return encodeToken(name)
	case !few:
		return sharedType
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.own) >= maxTypes {
		return sharedType
	}
	token = encodeToken(name)
	t.own[name] = token
	return token
}

// loadTypes takes up the types that EVENTS has subjects of.
func (b *Bus) loadTypes(ctx context.Context) error {
	b.types.own = map[string]string{}
	subjects, err := b.eventSubjects(ctx, prefixEvents+">")
	if err != nil {
		return err
	}
	for _, subject := range subjects {
		token := typeTokenOf(subject)
		name, err := decodeToken(token)
		if err != nil || token == sharedType || len(b.types.own) >= maxTypes {
			continue
		}
		b.types.own[name] = token
	}
	return nil
}

// eventSubjects lists the distinct subjects that EVENTS holds.
func (b *Bus) eventSubjects(ctx context.Context, filter string) ([]string, error) {
	var list []string
	for {
		var reply struct {
			Error *refusedError `json:"error"`
			Total int           `json:"total"`
			State struct {
				Subjects map[string]json.Number `json:"subjects"`
			} `json:"state"`
		}
		request := map[string]any{"subjects_filter": filter, "offset": len(list)}
		if err := b.manage(ctx, "$JS.API.STREAM.INFO."+streamEvents, request, &reply); err != nil {
			return nil, fmt.Errorf("subjects of %s: %w", streamEvents, err)
		}
		if reply.Error != nil {
			return nil, fmt.Errorf("subjects of %s: %w", streamEvents, reply.Error)
		}
		for subject := range reply.State.Subjects {
			list = append(list, subject)
		}
		if len(reply.State.Subjects) == 0 || len(list) >= reply.Total {
			return list, nil
		}
	}
}
