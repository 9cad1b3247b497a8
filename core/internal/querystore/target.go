package querystore

import "maps"

// A Target is a store that exists or is to be made.
type Target struct {
	// Store is what it is: sqlite, …
	Store string `json:"store"`
	// Place tells it from others of its kind: the path of a file.
	Place string `json:"place"`
	// Settings are what else it takes to open it, by their keys. They may hold secrets.
	Settings map[string]string `json:"settings,omitempty"`
}

// String names the store for people, without its settings.
func (t Target) String() string { return t.Store + " " + t.Place }

// Is tells whether both are the same store, whatever the settings.
func (t Target) Is(other Target) bool { return t.Store == other.Store && t.Place == other.Place }

func (t Target) clone() Target {
	t.Settings = maps.Clone(t.Settings)
	return t
}
