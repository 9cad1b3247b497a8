package record

import (
	"encoding/json"
	"fmt"

	"github.com/tributary-bus/tributary/sdk"
)

// The states of a document.
const (
	StateLive     = "live"
	StateRedirect = "redirect" // merged into another profile
	StateErased   = "erased"
)

// A Document is the value of a key of PROFILES: a profile with what the
// processor keeps beside it. It is one JSON object, so that readers in any
// language find `profile` in it.
type Document struct {
	State string
	// C is the commit that wrote it; an older one never replaces it.
	C       uint64
	Profile *sdk.Profile
	Session *sdk.Session // the open one, or the last one
	// Windows holds the recent occurrences that stored conditions read, by
	// the name of the aggregate.
	Windows map[string]*Window
}

// AppendJSON appends the document; equal documents have equal texts.
func (d *Document) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"state":`...)
	dst = sdk.AppendString(dst, d.State)
	dst = append(dst, `,"c":`...)
	dst = sdk.AppendValue(dst, d.C)
	dst = append(dst, `,"profile":`...)
	dst = d.Profile.AppendJSON(dst)
	if d.Session != nil {
		dst = append(dst, `,"session":`...)
		dst = d.Session.AppendJSON(dst)
	}
	if len(d.Windows) > 0 {
		dst = append(dst, `,"windows":{`...)
		for i, name := range sortedNames(d.Windows) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = sdk.AppendString(dst, name)
			dst = append(dst, ':')
			dst = d.Windows[name].appendJSON(dst)
		}
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

// ParseDocument decodes a value of PROFILES.
func ParseDocument(text []byte) (*Document, error) {
	var raw struct {
		State   string             `json:"state"`
		C       uint64             `json:"c"`
		Profile *sdk.Profile       `json:"profile"`
		Session *sdk.Session       `json:"session"`
		Windows map[string]*Window `json:"windows"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("%w: document: %w", ErrMalformed, err)
	}
	if raw.Profile == nil || raw.State == "" {
		return nil, fmt.Errorf("%w: document without a profile or a state", ErrMalformed)
	}
	return &Document{State: raw.State, C: raw.C, Profile: raw.Profile, Session: raw.Session, Windows: raw.Windows}, nil
}
