package profile

import (
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/wire"
)

// ApplyText does patches, in order, to a profile that is still text, as
// [sdk.Profile.AppendJSON] wrote it, and returns the text that it has then. No
// section is decoded but those that the patches change. An error is that of
// [Apply] for the first patch that does not fit.
func ApplyText(text jsontext.Value, patches []wire.Patch, now time.Time) (jsontext.Value, error) {
	p := &sdk.Profile{}
	var changed []string
	for _, patch := range patches {
		if path, err := sdk.ParsePath(patch.Path); err == nil && !slices.Contains(changed, path[0]) {
			if decodeSection(p, path[0], text) {
				changed = append(changed, path[0])
			}
		}
		if _, err := Apply(p, patch, now); err != nil {
			return nil, err
		}
	}
	dst := make([]byte, 0, len(text)+64*len(patches))
	dst = append(dst, '{')
	for name, value := range sdk.RawView(text).Members() {
		if len(dst) > 1 {
			dst = append(dst, ',')
		}
		dst = append(sdk.AppendString(dst, name), ':')
		if slices.Contains(changed, name) {
			section, _ := p.Section(name)
			dst = sdk.AppendValue(dst, section)
			continue
		}
		dst = append(dst, value.Raw()...)
	}
	return append(dst, '}'), nil
}

// decodeSection makes a section of the profile what its text has; false for a name
// that is none.
func decodeSection(p *sdk.Profile, name string, text jsontext.Value) bool {
	section := sectionOf(p, name)
	if section == nil {
		return false
	}
	*section, _ = sdk.RawView(text).Member(name).Map("")
	if *section == nil {
		*section = map[string]any{}
	}
	return true
}

func sectionOf(p *sdk.Profile, name string) *map[string]any {
	switch name {
	case "traits":
		return &p.Traits
	case "data":
		return &p.Data
	case "segments":
		return &p.Segments
	case "consents":
		return &p.Consents
	case "interests":
		return &p.Interests
	case "counters":
		return &p.Counters
	}
	return nil
}
