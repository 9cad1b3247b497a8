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
// began with what the run's own nodes have changed since. All of it stays the text
// that it came in: what conditions and templates read is looked up in it. One
// goroutine uses it at a time.
type view struct {
	event    *event
	profile  jsontext.Value // empty: the event is about nobody
	revision uint64         // of the profile
	history  history
	now      time.Time
	seen     condition.Vars // what vars returned last
}

// newView takes the document of the event's profile, or nothing for an event
// about nobody.
func newView(e *event, document []byte, now time.Time) (*view, error) {
	v := &view{event: e, now: now}
	if document == nil {
		return v, nil
	}
	err := record.Members(document, func(name string) *jsontext.Value {
		switch name {
		case "profile":
			return &v.profile
		case "windows":
			return &v.history.windows
		}
		return nil
	})
	if err == nil {
		v.revision, err = number(sdk.RawView(v.profile).Member("revision").Raw())
	}
	if err != nil {
		return nil, fmt.Errorf("profile %s: %w", e.profile, err)
	}
	v.history.profile, v.history.now = v.profile, now
	return v, nil
}

// apply makes the patches of a node part of what later ones see. Where one does
// not fit, it is an error, and none is: the node that wanted them fails.
func (v *view) apply(patches []wire.Patch) error {
	if len(patches) == 0 {
		return nil
	}
	if v.profile == nil {
		return errNobody
	}
	text, err := profile.ApplyText(v.profile, patches, v.now)
	if err != nil {
		return fmt.Errorf("change the profile: %w", err)
	}
	v.profile, v.seen.Profile = text, nil
	return nil
}

// vars are what the conditions and templates of a node see, until the next call.
func (v *view) vars(payload value, flow condition.Fielder) *condition.Vars {
	if v.seen.Event == nil {
		v.seen.Event, v.seen.Now = v.event.view, v.now
		if len(v.event.session) > 0 {
			v.seen.Session = sdk.RawView(v.event.session)
		}
	}
	if v.seen.Profile == nil && v.profile != nil {
		v.seen.Profile, v.seen.History = sdk.RawView(v.profile), &v.history
	}
	v.seen.Payload, v.seen.Flow = payload.view(), nil
	if flow != nil {
		v.seen.Flow = flow
	}
	return &v.seen
}

// unread is why what was asked of the profile's history has no true answer; nil
// where it has.
func (v *view) unread() error {
	if v.history.err == nil {
		return nil
	}
	return fmt.Errorf("the history of profile %s: %w", v.event.profile, v.history.err)
}

// A history answers count, sum, first and last from a profile's document, which
// it decodes when it is first asked: nodes change nothing of what it has. Where
// it cannot be decoded, err says so, and the answers mean nothing.
type history struct {
	profile, windows jsontext.Value
	now              time.Time
	kept             *profile.Aggregates
	decoded          *profile.History
	err              error // why the document cannot be decoded
}

var _ condition.History = (*history)(nil)

func (h *history) decode() *profile.History {
	if h.decoded == nil {
		h.decoded = &profile.History{Now: h.now, Kept: h.kept}
		doc := &record.Document{State: record.StateLive}
		if doc.Profile, h.err = sdk.ProfileOf(sdk.RawObject(h.profile)); h.err == nil && len(h.windows) > 0 {
			doc.Windows, h.err = record.ParseWindows(h.windows)
		}
		if h.err == nil {
			h.decoded.Doc = doc
		}
	}
	return h.decoded
}

// Count implements condition.History.
func (h *history) Count(eventType string, window time.Duration) int64 {
	return h.decode().Count(eventType, window)
}

// Sum implements condition.History.
func (h *history) Sum(eventType, property string, window time.Duration) any {
	return h.decode().Sum(eventType, property, window)
}

// First implements condition.History.
func (h *history) First(eventType string) time.Time { return h.decode().First(eventType) }

// Last implements condition.History.
func (h *history) Last(eventType string) time.Time { return h.decode().Last(eventType) }
