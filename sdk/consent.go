package sdk

import "time"

// Granted tells whether a consent, as it stands in a profile's consents, is given at
// a time. It is an object
//
//	{"granted":true,"at":"2026-03-01T12:00:00.000Z","expires":"2027-03-01T12:00:00.000Z","source":"shop"}
//
// and given where granted is true and the time is before expires, if it has that.
// What has another form is no consent: nobody may rely on what cannot be read.
func Granted(consent any, now time.Time) bool {
	fields, _ := consent.(map[string]any)
	if granted, _ := fields["granted"].(bool); !granted {
		return false
	}
	expires := fields["expires"]
	if expires == nil {
		return true
	}
	text, _ := expires.(string)
	end, err := ParseTime(text)
	return err == nil && end.After(now.Truncate(time.Millisecond)) // as conditions read the clock
}

// Consented tells whether the profile has given a consent that counts at the time.
func (p *Profile) Consented(id string, now time.Time) bool { return Granted(p.Consents[id], now) }

// Consented tells of a profile's document, such as an action's [Input.Profile],
// whether it has given a consent that counts at the time.
func Consented(profile View, id string, now time.Time) bool {
	consent, _ := profile.Member("consents").Member(id).Value("")
	return Granted(consent, now)
}
