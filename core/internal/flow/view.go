package flow

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/core/internal/profile"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk/condition"
	"github.com/tributary-bus/tributary/sdk/wire"
)

// A view is what a run sees: the event, and the profile as it was when the run
// began with what the run's own nodes have changed since. What is only handed to
// plugins stays the text it came in. One goroutine uses it at a time.
type view struct {
	event    *event
	profile  jsontext.Value // null is empty
	revision uint64         // of the profile
	doc      *record.Document
	text     []byte // of the document, until doc is set
	now      time.Time
}

// newView takes the document of the event's profile, or nothing for an event
// about nobody.
func newView(e *event, document []byte, now time.Time) (*view, error) {
	v := &view{event: e, text: document, now: now}
	if document == nil {
		return v, nil
	}
	var err error
	if v.profile, err = field(document, "profile"); err != nil {
		return nil, fmt.Errorf("profile %s: %w", e.profile, err)
	}
	text, err := field(v.profile, "revision")
	if err == nil {
		v.revision, err = strconv.ParseUint(string(text), 10, 64)
	}
	if err != nil {
		return nil, fmt.Errorf("profile %s: its revision: %w", e.profile, err)
	}
	return v, nil
}

// document decodes the profile's document where that was not done yet; nil for
// an event about nobody.
func (v *view) document() (*record.Document, error) {
	if v.doc == nil && v.text != nil {
		doc, err := record.ParseDocument(v.text)
		if err != nil {
			return nil, fmt.Errorf("profile %s: %w", v.event.profile, err)
		}
		v.doc, v.text = doc, nil
	}
	return v.doc, nil
}

// apply makes the patches of a node part of what later ones see. One that does
// not fit is an error: the node that wanted it fails.
func (v *view) apply(patches []wire.Patch) error {
	if len(patches) == 0 {
		return nil
	}
	doc, err := v.document()
	if err != nil {
		return err
	}
	if doc == nil {
		return errNobody
	}
	for _, p := range patches {
		if _, err := profile.Apply(doc.Profile, p, v.now); err != nil {
			return fmt.Errorf("change the profile: %w", err)
		}
	}
	v.profile = doc.Profile.AppendJSON(nil)
	return nil
}

// vars are what the conditions and templates of a node see.
func (v *view) vars(payload value, flow map[string]any) (*condition.Vars, error) {
	doc, err := v.document()
	if err != nil {
		return nil, err
	}
	vars := &condition.Vars{Event: v.event.fields, Payload: payload.decode(), Flow: flow, Now: v.now}
	if v.event.session != nil {
		vars.Session = v.event.session
	}
	if doc != nil {
		vars.Profile, vars.History = doc.Profile, &profile.History{Doc: doc, Now: v.now}
	}
	return vars, nil
}

// field cuts a member out of a JSON object without decoding it; it is empty
// where there is none, or null.
func field(object []byte, name string) (jsontext.Value, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(object), jsontext.AllowDuplicateNames(true))
	if k := dec.PeekKind(); k != '{' {
		return nil, fmt.Errorf("%w: want an object", record.ErrMalformed)
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, fmt.Errorf("%w: %w", record.ErrMalformed, err)
	}
	for dec.PeekKind() == '"' {
		token, err := dec.ReadToken()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", record.ErrMalformed, err)
		}
		if token.String() != name {
			if err := dec.SkipValue(); err != nil {
				return nil, fmt.Errorf("%w: %w", record.ErrMalformed, err)
			}
			continue
		}
		v, err := dec.ReadValue()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", record.ErrMalformed, err)
		}
		if v.Kind() == 'n' {
			return nil, nil
		}
		return v.Clone(), nil
	}
	return nil, nil
}
