package config

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tributary-bus/tributary/sdk/condition"
)

// A ConsentType is something that people are asked to agree to. Its id names the
// consent in a profile.
type ConsentType struct {
	ID, Name, Description string
	// Disabled ones are no longer asked for: nobody can give them any more. What
	// was given counts on, and can be withdrawn.
	Disabled bool
	// Expires is how long a consent counts after it was given; 0: until it is
	// withdrawn. It is looked at when a consent is given, so that a change holds
	// for those given since.
	Expires time.Duration
}

// The bounds of how long a consent counts.
const (
	minExpiry = time.Second
	maxExpiry = 100 * 365 * 24 * time.Hour
)

func compileConsentType(f *form, id string) any {
	t := &ConsentType{ID: id, Name: f.text("name"), Description: f.text("description"), Disabled: f.flag("disabled")}
	text := f.text("expires")
	if text == "" {
		return t
	}
	var err error
	if t.Expires, err = condition.ParseDuration(text); err == nil && (t.Expires < minExpiry || t.Expires > maxExpiry) {
		err = fmt.Errorf("%s is out of range; want 1s to 36500d", text)
	}
	if err != nil {
		f.fail(f.get("expires"), f.at("expires"), "%v", err)
	}
	return t
}

// ConsentType returns a consent type by its id, disabled ones too.
func (s *Set) ConsentType(id string) (*ConsentType, bool) {
	t, ok := s.consentTypes[id]
	return t, ok
}

// ConsentTypes lists all consent types by id, disabled ones too.
func (s *Set) ConsentTypes() []*ConsentType {
	list := make([]*ConsentType, 0, len(s.consentTypes))
	for _, id := range slices.Sorted(maps.Keys(s.consentTypes)) {
		list = append(list, s.consentTypes[id])
	}
	return list
}

// wantConsents reports consent types of a list field that are not in the set.
func (s *Set) wantConsents(c *checker, path string, ids []string) {
	for i, id := range ids {
		if _, ok := s.consentTypes[id]; ok || s.deleted(c, KindConsentType, id) {
			continue
		}
		at := fmt.Sprintf("%s[%d]", path, i)
		known := slices.Sorted(maps.Keys(s.consentTypes))
		if len(known) == 0 {
			c.fail(nil, at, "there is no consent-type %q, nor any other; apply it first, or in the same call", id)
			continue
		}
		c.fail(nil, at, "there is no consent-type %q; %s", id, Meant(id, known))
	}
}
