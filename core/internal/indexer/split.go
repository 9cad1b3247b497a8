package indexer

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
)

// A splitter takes documents out of what the streams carry, without decoding
// more of it than the store needs.
type splitter struct {
	buffer  *bytes.Buffer
	decoder *jsontext.Decoder
}

func newSplitter() *splitter {
	s := &splitter{buffer: &bytes.Buffer{}}
	s.decoder = jsontext.NewDecoder(s.buffer, jsontext.AllowDuplicateNames(true))
	return s
}

// event splits an event of EVENTS: into the event and its session, but for what is
// transient, each by a mark of its own; of a transient event what it changed is left.
// The documents' bodies are parts of text.
func (s *splitter) event(text []byte, docs []store.Document) ([]store.Document, error) {
	first := len(docs)
	var hasEvent bool
	var revision uint64
	var changes []byte
	var config uint64
	var sender string           // of an event that is not valid
	var aside bool              // its profile does not count it
	var noEvent, noSession bool // what is not for the store
	err := s.members(text, func(name string) error {
		kind := store.Sessions
		switch name {
		case "event":
			kind, hasEvent = store.Events, true
		case "session":
		case "config":
			token, err := s.decoder.ReadToken()
			if err != nil {
				return err
			}
			if token.Kind() != '0' {
				return fmt.Errorf("%w: its config is no number", record.ErrMalformed)
			}
			config = token.Uint()
			return nil
		case "sender":
			token, err := s.decoder.ReadToken()
			if err == nil && token.Kind() == '"' {
				sender = token.String()
			}
			return err
		case "aside":
			aside = true
			return s.decoder.SkipValue()
		case "revision":
			token, err := s.decoder.ReadToken()
			if err == nil && token.Kind() == '0' {
				revision = token.Uint()
			}
			return err
		case "changes":
			value, err := s.decoder.ReadValue()
			if err == nil && value.Kind() == '{' {
				changes = record.CutChanges(make([]byte, 0, min(len(value), record.MaxChangeValue)+16), value)
			}
			return err
		case "transient":
			noEvent = true
			return s.decoder.SkipValue()
		case "transient_session":
			noSession = true
			return s.decoder.SkipValue()
		default:
			return s.decoder.SkipValue()
		}
		doc, err := store.ReadDocument(kind, text, s.decoder)
		if err != nil {
			return err
		}
		docs = append(docs, doc)
		return nil
	})
	if err != nil {
		return docs[:first], fmt.Errorf("split event: %w", err)
	}
	if !hasEvent || docs[first].Kind != store.Events {
		return docs[:first], fmt.Errorf("split event: %w: it has no event", record.ErrMalformed)
	}
	docs[first].Sender = sender
	if !aside {
		docs[first].Config = config
	}
	if changes != nil && revision > 0 {
		docs[first].Log = &store.Log{Revision: revision, Changes: changes}
		if noEvent {
			if docs[first], err = store.ChangeOfEvent(&docs[first]); err != nil {
				return docs[:first], fmt.Errorf("split event: %w", err)
			}
		}
	}
	kept := docs[:first]
	for _, doc := range docs[first:] {
		var left bool
		switch doc.Kind {
		case store.Events:
			left = noEvent
		case store.Sessions:
			left = noSession
		}
		if !left {
			kept = append(kept, doc)
		}
	}
	return kept, nil
}

// change takes what a message of EVENTS says that is no event: an entry of a change log,
// a session that came from another profile, or that those of a profile went.
func (s *splitter) change(text []byte) (batch store.Batch, err error) {
	members := 0
	err = s.members(text, func(name string) error {
		members++
		kind := store.Sessions
		switch name {
		case "left":
			value, err := s.decoder.ReadValue()
			if err == nil {
				batch.Delete, err = deletions(value)
			}
			return err
		case "change":
			kind = store.Changes
		case "session":
		default:
			return fmt.Errorf("%w: %q is nothing that is told beside events", record.ErrMalformed, name)
		}
		doc, err := store.ReadDocument(kind, text, s.decoder)
		batch.Put = append(batch.Put, doc)
		return err
	})
	if err == nil && members != 1 {
		err = fmt.Errorf("%w: it says %d things, want one", record.ErrMalformed, members)
	}
	if err != nil {
		return store.Batch{}, fmt.Errorf("split change: %w", err)
	}
	return batch, nil
}

// deletions are those of sessions that a profile does not have any more.
func deletions(text []byte) ([]store.Deletion, error) {
	left, err := record.ParseLeft(text)
	if err != nil {
		return nil, err
	}
	list := make([]store.Deletion, len(left.Sessions))
	for i, session := range left.Sessions {
		list[i] = store.Deletion{Kind: store.Sessions, ID: store.Sessions.ID(session, left.Profile)}
	}
	return list, nil
}

// document takes the profile out of a message of PROFILES. live is false where
// there is none to be found any more: it was merged into another, or erased.
func (s *splitter) document(text []byte) (doc store.Document, live bool, err error) {
	var state string
	var refused error
	err = s.members(text, func(name string) error {
		switch name {
		case "state":
			token, err := s.decoder.ReadToken()
			if err != nil {
				return err
			}
			if token.Kind() != '"' {
				return fmt.Errorf("%w: its state is no string", record.ErrMalformed)
			}
			state = token.String()
			return nil
		case "profile":
			// Only that of a live one has to be whole.
			doc, refused = store.ReadDocument(store.Profiles, text, s.decoder)
			return nil
		}
		return s.decoder.SkipValue()
	})
	if err == nil {
		switch state {
		case record.StateRedirect, record.StateErased:
			return store.Document{}, false, nil
		case record.StateLive:
			if err = refused; err == nil && doc.Kind == "" {
				err = fmt.Errorf("%w: it has no profile", record.ErrMalformed)
			}
		default:
			err = fmt.Errorf("%w: state %q is unknown", record.ErrMalformed, state)
		}
	}
	if err != nil {
		return store.Document{}, false, fmt.Errorf("split document: %w", err)
	}
	return doc, true, nil
}

// members calls each with every name of the object that text is; each takes the
// value.
func (s *splitter) members(text []byte, each func(name string) error) error {
	*s.buffer = *bytes.NewBuffer(text)
	s.decoder.Reset(s.buffer, jsontext.AllowDuplicateNames(true))
	if s.decoder.PeekKind() != '{' {
		return fmt.Errorf("%w: it is no JSON object", record.ErrMalformed)
	}
	if _, err := s.decoder.ReadToken(); err != nil {
		return err
	}
	for s.decoder.PeekKind() != '}' {
		name, err := s.decoder.ReadToken()
		if err != nil {
			return err
		}
		if err := each(name.String()); err != nil {
			return err
		}
	}
	_, err := s.decoder.ReadToken()
	return err
}
