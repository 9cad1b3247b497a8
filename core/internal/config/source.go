package config

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Source is who sends events: a web shop, an app, a queue.
type Source struct {
	ID, Name string
	// Keys are the write keys.
	Keys []string
	// Origins are the web pages that may send from a browser; empty: all.
	Origins []string
	Rate    Rate
	// Trusted sources keep their keys secret and may read profiles back.
	Trusted bool
	// Disabled sources are refused like unknown ones.
	Disabled bool
	// Keyless sources may be named by id where a dialect asks for a key.
	Keyless bool
}

// Allows tells whether a page of this origin may send to the source.
func (s *Source) Allows(origin string) bool {
	return len(s.Origins) == 0 || slices.Contains(s.Origins, strings.ToLower(origin))
}

// A Rate is how many events a source may send in a span of time; the zero
// value is no limit.
type Rate struct {
	Events int
	Per    time.Duration
}

// PerSecond is the rate in events per second, 0 where there is no limit.
func (r Rate) PerSecond() float64 {
	if r.Per == 0 {
		return 0
	}
	return float64(r.Events) / r.Per.Seconds()
}

var rateUnits = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}

// ParseRate reads a rate such as 500/s, 1000/m or 10000/h.
func ParseRate(s string) (Rate, error) {
	number, unit, _ := strings.Cut(s, "/")
	n, err := strconv.Atoi(number)
	per, ok := rateUnits[unit]
	if err != nil || !ok || n < 1 || n > 1e9 {
		return Rate{}, fmt.Errorf("%q is not a rate; want events per second, minute or hour, such as 500/s, 1000/m or 10000/h", s)
	}
	return Rate{n, per}, nil
}

func compileSource(f *form, id string) any {
	s := &Source{
		ID: id, Name: f.text("name"), Keys: f.texts("keys"),
		Trusted: f.flag("trusted"), Disabled: f.flag("disabled"), Keyless: f.flag("keyless"),
	}
	for i, k := range s.Keys {
		if message := badKey(k); message != "" {
			f.fail(f.get("keys").items[i], f.item("keys", i), "%s", message)
		}
	}
	for i, origin := range f.texts("origins") {
		origin = strings.ToLower(strings.TrimSuffix(origin, "/"))
		if u, err := url.Parse(origin); err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != origin {
			f.fail(f.get("origins").items[i], f.item("origins", i), "%q is not an origin; want scheme and host, such as https://shop.example", origin)
		}
		s.Origins = append(s.Origins, origin)
	}
	if text := f.text("rate"); text != "" {
		var err error
		if s.Rate, err = ParseRate(text); err != nil {
			f.fail(f.get("rate"), f.at("rate"), "%v", err)
		}
	}
	return s
}

// badKey never repeats the key: it may be a secret.
func badKey(k string) string {
	if len(k) > 256 {
		return fmt.Sprintf("a write key has at most 256 characters, this one has %d", len(k))
	}
	for _, r := range k {
		switch {
		case r == ':':
			return "a write key must not hold a colon: a sender's text after one is ignored"
		case r <= ' ' || r > '~' || strings.ContainsRune("\"'\\{}", r):
			return "a write key may hold printable ASCII characters, but no space, quote, backslash or brace"
		}
	}
	return ""
}
