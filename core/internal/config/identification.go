package config

import (
	"fmt"
	"slices"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// An Identification says that a value identifies a person. Its id is the kind
// of identifier.
type Identification struct {
	ID string
	// Event computes the value from an event; nil: events name it in ids.
	Event *condition.Program
	// Profile is where the value is kept in the profile; nil: nowhere else
	// than in its identities.
	Profile sdk.Path
	// Priority orders identifications: the lower, the stronger.
	Priority int
	// Limit is how many values a profile may have; 0: any number.
	Limit     int
	Normalise Normalisation
	// Blocked are values that identify nobody, normalised.
	Blocked []string
}

// identifierScope is that of an identification's event: the gateway evaluates
// it before it knows whom the event is about.
var identifierScope = condition.NewScope("event")

const (
	defaultPriority = 100
	maxPriority     = 1_000_000
	maxBlocked      = 1000
)

// identifierID keeps what identifies in its own way apart.
func identifierID(id string) string {
	switch id {
	case record.KindSessionID:
		return fmt.Sprintf("%q is reserved: a session already identifies its profile", id)
	case record.KindFingerprint:
		return fmt.Sprintf("%q is reserved: a source says by its field fingerprint how long one identifies", id)
	case "profile":
		return fmt.Sprintf("%q is reserved: an event names its profile by its field profile", id)
	}
	return plainID(id)
}

func compileIdentification(f *form, id string) any {
	i := &Identification{
		ID: id, Event: f.expression("event", identifierScope), Priority: defaultPriority,
		Limit: f.integer("limit", 1, 10_000), Normalise: builtInRule(id),
	}
	if n := f.get("priority"); n != nil {
		i.Priority = f.integer("priority", 0, maxPriority)
	}
	if f.get("normalise") != nil {
		i.Normalise = Normalisation(f.choice("normalise", "rule", normalisations))
	}
	for _, value := range f.texts("blocked") {
		i.Blocked = append(i.Blocked, Normalise(i.Normalise, value))
	}
	if len(i.Blocked) > maxBlocked {
		f.fail(f.get("blocked"), f.at("blocked"), "has %d values; at most %d are allowed", len(i.Blocked), maxBlocked)
	}
	if id == record.KindUser {
		if i.Limit > 1 {
			f.fail(f.get("limit"), f.at("limit"), "a profile has at most one user; remove limit")
		}
		i.Limit = 1
	}
	if text := f.text("profile"); text != "" {
		path, err := sdk.ParsePath(text)
		switch {
		case err != nil:
			f.fail(f.get("profile"), f.at("profile"), "%v", err)
		case len(path) < 2 || !slices.Contains([]string{"traits", "data"}, path[0]):
			f.fail(f.get("profile"), f.at("profile"), "%q cannot hold an identifier; want a path such as traits.email or data.contact.email", text)
		}
		i.Profile = path
	}
	return i
}
