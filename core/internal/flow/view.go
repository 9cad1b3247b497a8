package flow

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/core/internal/profile"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
	"github.com/tributary-bus/tributary/sdk/wire"
)

// A view is what a run sees: the event, and the profile as it was when the run
// began with what the run's own nodes have changed since. What is only handed to
// plugins stays the text it came in. One goroutine uses it at a time.
type view struct {
	event    *event
	profile  jsontext.Value // null is empty; nil until it is asked for anew, see text
	revision uint64         // of the profile
	doc      *record.Document
	windows  jsontext.Value // of the document, until doc is set
	now      time.Time
}

// newView takes the document of the event's profile, or nothing for an event
// about nobody.
func newView(e *event, document []byte, now time.Time) (*view, error) {
	v := &view{event: e, now: now}
	if document == nil {
		return v, nil
	}
	var revision jsontext.Value
	err := record.Members(document, func(name string) *jsontext.Value {
		switch name {
		case "profile":
			return &v.profile
		case "windows":
			return &v.windows
		}
		return nil
	})
	if err == nil {
		err = record.Members(v.profile, func(name string) *jsontext.Value {
			if name == "revision" {
				return &revision
			}
			return nil
		})
	}
	if err == nil {
		v.revision, err = number(revision)
	}
	if err != nil {
		return nil, fmt.Errorf("profile %s: %w", e.profile, err)
	}
	return v, nil
}

// document decodes the profile's document where that was not done yet; nil for
// an event about nobody.
func (v *view) document() (*record.Document, error) {
	if v.doc != nil || v.profile == nil {
		return v.doc, nil
	}
	doc := &record.Document{State: record.StateLive}
	var err error
	if doc.Profile, err = sdk.ProfileOf(sdk.RawObject(v.profile)); err == nil && len(v.windows) > 0 {
		doc.Windows, err = record.ParseWindows(v.windows)
	}
	if err != nil {
		return nil, fmt.Errorf("profile %s: %w", v.event.profile, err)
	}
	v.doc, v.windows = doc, nil
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
	v.profile = nil
	return nil
}

// text is the profile as JSON; null is empty.
func (v *view) text() jsontext.Value {
	if v.profile == nil && v.doc != nil {
		v.profile = v.doc.Profile.AppendJSON(nil)
	}
	return v.profile
}

// vars are what the conditions and templates of a node see.
func (v *view) vars(payload value, flow condition.Fielder) (*condition.Vars, error) {
	doc, err := v.document()
	if err != nil {
		return nil, err
	}
	vars := &condition.Vars{Event: v.event.fields, Payload: payload.decode(), Now: v.now}
	if session := v.event.about(); session != nil {
		vars.Session = session
	}
	if flow != nil {
		vars.Flow = flow
	}
	if doc != nil {
		vars.Profile, vars.History = doc.Profile, &profile.History{Doc: doc, Now: v.now}
	}
	return vars, nil
}
