// Package consent has the rules of consents and of compliance, as pure functions:
// what an event says of consents, which of those that something needs a profile has
// not given, and what of an event is not to be stored. There is no clock and no I/O
// here. Whoever acts on a profile's behalf, now or later, asks [Lacking].
package consent

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/sdk"
)

// The types of event by which people give and withdraw consents.
const (
	// TypeUpdate has the property "consents": {"marketing":true,"analytics":false}.
	TypeUpdate = "consent-update"
	// TypeSegmentUpdate is that of Segment's clients, who say the same in
	// context.consent.categoryPreferences.
	TypeSegmentUpdate = "segment-consent-preference-updated"
)

// Tells tells whether events of the type say something of consents.
func Tells(eventType string) bool { return eventType == TypeUpdate || eventType == TypeSegmentUpdate }

// A Choice is what somebody wants of one consent type.
type Choice struct {
	ID      string // of the consent type
	Granted bool
}

// Choices reads what an event says of consents, by id. A choice that is none, of a
// type that is not there, or to give a consent that is not asked for any more, is a
// problem and left out.
func Choices(e *sdk.Event, set *config.Set) (choices []Choice, problems []error) {
	said, err := said(e)
	if err != nil {
		return nil, []error{err}
	}
	for _, id := range slices.Sorted(maps.Keys(said)) {
		granted, isChoice := said[id].(bool)
		t, known := set.ConsentType(id)
		switch {
		case !known:
			err = fmt.Errorf("%s: there is no consent-type %.100q", e.Type, id)
		case !isChoice:
			err = fmt.Errorf("%s: consent %s: want true or false, got %s", e.Type, id, sdk.TypeName(said[id]))
		case granted && t.Disabled:
			err = fmt.Errorf("%s: consent %s is not asked for any more", e.Type, id)
		default:
			choices = append(choices, Choice{id, granted})
			continue
		}
		problems = append(problems, err)
	}
	return choices, problems
}

// said is the object of choices of an event.
func said(e *sdk.Event) (map[string]any, error) {
	at, path := e.Properties.View(), sdk.Path{"consents"}
	if e.Type == TypeSegmentUpdate {
		at, path = e.Context.View(), sdk.Path{"consent", "categoryPreferences"}
	}
	v, _ := path.Get(at)
	object, is := v.(map[string]any)
	if !is {
		return nil, fmt.Errorf("%s: %s: want an object such as {\"marketing\":true}, got %s", e.Type, path, sdk.TypeName(v))
	}
	return object, nil
}

// Entry is what a profile keeps of a choice that was made at a time, through a
// source; see [sdk.Granted].
func Entry(c Choice, t *config.ConsentType, at time.Time, source string) map[string]any {
	entry := map[string]any{"granted": c.Granted, "at": sdk.FormatTime(at), "source": source}
	if c.Granted && t.Expires > 0 {
		entry["expires"] = sdk.FormatTime(at.Add(t.Expires))
	}
	return entry
}

// Lacking lists those of the consents that a profile has not given, or that have
// expired or were withdrawn by now. A document that is not there, that of an event
// about nobody, has given none.
func Lacking(profile sdk.View, required []string, now time.Time) []string {
	var lacking []string
	for _, id := range required {
		if !sdk.Consented(profile, id, now) {
			lacking = append(lacking, id)
		}
	}
	return lacking
}
