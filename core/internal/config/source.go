package config

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// A Source is who sends events: a web shop, an app, a queue.
type Source struct {
	ID, Name string
	// Keys are the write keys.
	Keys []string
	// Origins are the web pages that may send from a browser; empty: all. One
	// such as https://*.shop.example is every host below shop.example.
	Origins []string
	// Types are the types of event that the source may send, or with a * at the
	// end how those begin; empty: all.
	Types []string
	Rate  Rate
	// Trusted sources keep their keys secret and may read profiles back.
	Trusted bool
	// Disabled sources are refused like unknown ones.
	Disabled bool
	// Keyless sources may be named by id where a dialect asks for a key.
	Keyless bool
	// Ephemeral sources change profiles and start flows, but nobody can query
	// their events, and these belong to no session.
	Ephemeral bool
	// Bots says what becomes of events that a robot sends: [BotsAllow],
	// [BotsMark] or [BotsRefuse].
	Bots string
	// IP says what is kept of a sender's address: [IPKeep], [IPTruncate] or
	// [IPDrop].
	IP string
	// StaticIDs is the kind of identifier that the ids of profiles are that the
	// source's events name; empty: ids that this product gave.
	StaticIDs string
	// Plain sources have their events stored as they were sent: nothing is
	// added about who sends them.
	Plain bool
	// Fingerprint is how long /track knows a visitor by what the browser looks like,
	// in whole seconds; 0: not at all.
	Fingerprint time.Duration
}

// What becomes of events that a robot sends, by its user agent.
const (
	BotsAllow  = "allow"
	BotsMark   = "mark"   // they get the tag bot
	BotsRefuse = "refuse" // they are invalid
)

// What is kept of an address. A truncated one names a network: an IPv4 address
// without its last 8 bits, an IPv6 address without its last 80.
const (
	IPKeep     = "keep"
	IPTruncate = "truncate"
	IPDrop     = "drop"
)

// Allows tells whether a page of this origin may send to the source.
func (s *Source) Allows(origin string) bool {
	if len(s.Origins) == 0 {
		return true
	}
	origin = strings.ToLower(origin)
	for _, allowed := range s.Origins {
		before, after, wildcard := strings.Cut(allowed, "*")
		if !wildcard && allowed == origin {
			return true
		}
		if wildcard && len(origin) > len(before)+len(after) && strings.HasPrefix(origin, before) && strings.HasSuffix(origin, after) &&
			isHostName(origin[len(before):len(origin)-len(after)]) {
			return true
		}
	}
	return false
}

// isHostName tells whether s is labels of a host name and nothing else.
func isHostName(s string) bool {
	for _, label := range strings.Split(s, ".") {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

// Sends tells whether the source may send events of a type.
func (s *Source) Sends(eventType string) bool {
	if len(s.Types) == 0 {
		return true
	}
	for _, allowed := range s.Types {
		if prefix, ok := strings.CutSuffix(allowed, "*"); ok && strings.HasPrefix(eventType, prefix) || allowed == eventType {
			return true
		}
	}
	return false
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

// sourceID keeps the source of system events apart: nobody sends as the product.
func sourceID(id string) string {
	if id == record.SourceSystem {
		return fmt.Sprintf("%q is reserved: it is the source of the product's own events", id)
	}
	return plainID(id)
}

func compileSource(f *form, id string) any {
	s := &Source{
		ID: id, Name: f.text("name"), Keys: f.texts("keys"),
		Trusted: f.flag("trusted"), Disabled: f.flag("disabled"), Keyless: f.flag("keyless"), Ephemeral: f.flag("ephemeral"),
		Bots: f.choice("bots", "choice", []string{BotsAllow, BotsMark, BotsRefuse}),
		IP:   f.choice("ip", "choice", []string{IPKeep, IPTruncate, IPDrop}),
	}
	s.Plain = f.get("enrich") != nil && !f.flag("enrich")
	s.Types, s.StaticIDs = compileTypes(f), f.text("static_ids")
	for i, k := range s.Keys {
		if message := badKey(k); message != "" {
			f.fail(f.get("keys").items[i], f.item("keys", i), "%s", message)
		}
	}
	for i, origin := range f.texts("origins") {
		origin = strings.ToLower(strings.TrimSuffix(origin, "/"))
		if !isOrigin(origin) {
			f.fail(f.get("origins").items[i], f.item("origins", i), "%q is not an origin; want scheme and host, such as https://shop.example or https://*.shop.example", origin)
		}
		s.Origins = append(s.Origins, origin)
	}
	s.Fingerprint = compileFingerprint(f)
	if text := f.text("rate"); text != "" {
		var err error
		if s.Rate, err = ParseRate(text); err != nil {
			f.fail(f.get("rate"), f.at("rate"), "%v", err)
		}
	}
	return s
}

const (
	minFingerprint = time.Second
	maxFingerprint = 30 * 24 * time.Hour
)

func compileFingerprint(f *form) time.Duration {
	text := f.text("fingerprint")
	if text == "" {
		return 0
	}
	d, err := condition.ParseDuration(text)
	switch {
	case err != nil:
		f.fail(f.get("fingerprint"), f.at("fingerprint"), "%v", err)
	case d < minFingerprint || d > maxFingerprint:
		f.fail(f.get("fingerprint"), f.at("fingerprint"), "%s is out of range; want 1s to 30d, or leave it out to know nobody by a fingerprint", text)
	}
	return d.Truncate(time.Second)
}

func checkSource(c *checker, compiled any, s *Set) {
	if name := compiled.(*Source).StaticIDs; name != "" {
		s.wantKind(c, "spec.static_ids", name)
	}
}

// isOrigin takes a scheme, a host and perhaps a port, and a * as the first of
// the host's labels.
func isOrigin(origin string) bool {
	plain := origin
	if scheme, host, ok := strings.Cut(origin, "://*."); ok {
		plain = scheme + "://" + host
	}
	u, err := url.Parse(plain)
	return err == nil && u.Scheme != "" && u.Hostname() != "" && u.Scheme+"://"+u.Host == plain && !strings.Contains(plain, "*")
}

func compileTypes(f *form) []string {
	types := f.texts("types")
	for i, t := range types {
		n := f.get("types").items[i]
		switch prefix := strings.TrimSuffix(t, "*"); {
		case strings.Contains(prefix, "*"):
			f.fail(n, f.item("types", i), "%q has a * in the middle; want a type, or how types begin and a * at the end, such as order-*", t)
		case utf8.RuneCountInString(t) > maxTypeLength:
			f.fail(n, f.item("types", i), "has %d characters; a type has at most %d", utf8.RuneCountInString(t), maxTypeLength)
		}
	}
	return types
}

// maxTypeLength is how long a type may be, in characters.
const maxTypeLength = 128

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
