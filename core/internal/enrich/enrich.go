// Package enrich adds to an event's context what can be told from it: the
// device, system and program that its user agent names, its languages by
// preference, the campaign and the referrer of its page, and the place of its
// address. What the sender said itself is never changed.
//
// Everything is a function of the event and of the GeoIP file, so that a
// repetition adds the same; what was found out about a user agent or an address
// is kept in bounded caches. The context is read and extended as text.
package enrich

import (
	"bytes"
	"net/netip"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// An Enricher adds to events. It is safe for concurrent use.
type Enricher struct {
	agents    *cache[string, agentText]
	languages *cache[string, []byte] // a text in the form of Accept-Language, and the list
	places    *Places                // nil: none
}

// agentText is what a user agent says, as members of a context; empty where it
// says nothing.
type agentText struct{ device, os, app []byte }

// cachedAgents is how many user agents are kept at most. One takes up to about
// 1.5 KB: its text, at most [MaxAgent] bytes, and what it says.
const cachedAgents = 4096

// cachedLanguages is how many wishes for languages are kept at most, each of up
// to 600 bytes.
const cachedLanguages = 1024

// New returns an enricher. Without places, events are told none.
func New(places *Places) *Enricher {
	return &Enricher{
		agents: newCache[string, agentText](cachedAgents), languages: newCache[string, []byte](cachedLanguages), places: places,
	}
}

// Event adds to the event's context, and does with the address in it what its
// source wants: the gateway has cut it before, see [Cut], but by what its source wanted
// then. An event of a plain source stays as it is, but for its address.
//
// The context gets these members, each only where it has none of that name and
// something is known:
//
//	"device":{"type":"mobile","brand":"Apple","model":"iPhone"}
//	"os":{"name":"iOS","version":"17.2"}
//	"app":{"name":"Safari","version":"17.2","bot":false}
//	"utm":{"source":"…","medium":"…","campaign":"…","term":"…","content":"…"}
//	"referrer":{"host":"www.google.com","kind":"search"}
//	"geo":{"country":"NO","region":"Oslo County","city":"Oslo","lat":59.9,"lon":10.7,"timezone":"Europe/Oslo"}
//
// and a text in "languages", in the form of Accept-Language, becomes a list.
func (e *Enricher) Event(event *record.Event, source *config.Source) {
	plain, keep := false, config.IPKeep
	if source != nil {
		plain, keep = source.Plain, source.IP
	}
	if !mayTell(event.Context) && (plain || !mayCarryPage(event.Properties)) {
		return
	}
	facts := read(event, !plain)
	context := event.Context
	if !plain {
		context = e.extended(&facts, context)
	}
	if facts.has.ip {
		context = cut(context, facts.ip, keep)
	}
	event.Context = context
}

// Cut returns a context in which the address is what a choice such as
// [config.IPTruncate] keeps of it; the given one where nothing is to be cut.
func Cut(context []byte, keep string) []byte {
	if keep == config.IPKeep || !bytes.Contains(context, []byte(`"ip"`)) && bytes.IndexByte(context, '\\') < 0 {
		return context
	}
	for name, v := range sdk.RawView(context).Members() {
		if name == "ip" {
			return cut(context, short(v, maxAddress), keep)
		}
	}
	return context
}

// cut is [Cut] of a context whose address has been read; empty: it is none.
func cut(context []byte, address, keep string) []byte {
	text := kept(address, keep)
	if text == address && (text != "" || keep == config.IPKeep) {
		return context
	}
	return replaced(context, "ip", text)
}

// extended returns the context with what the facts tell.
func (e *Enricher) extended(f *facts, context []byte) []byte {
	if f.languages != "" {
		list, ok := e.languages.get(f.languages)
		if !ok {
			list = appendLanguages(nil, f.languages)
			e.languages.put(f.languages, list)
		}
		context = replacedRaw(context, "languages", list)
	}
	room := addition{object: context}
	if f.agent != "" && !(f.has.device && f.has.os && f.has.app) {
		said := e.agent(f.agent)
		room.add(!f.has.device, said.device)
		room.add(!f.has.os, said.os)
		room.add(!f.has.app, said.app)
	}
	if !f.has.utm {
		room.add(true, f.utm())
	}
	if !f.has.referrer {
		room.add(true, f.referral())
	}
	if !f.has.geo && f.ip != "" && e.places != nil {
		if address, err := netip.ParseAddr(f.ip); err == nil {
			room.add(true, e.places.text(address.Unmap()))
		}
	}
	return room.end()
}

// agent returns what a user agent says, from the cache where it was asked for
// before.
func (e *Enricher) agent(text string) agentText {
	if said, ok := e.agents.get(text); ok {
		return said
	}
	said := ParseAgent(text).text()
	e.agents.put(text, said)
	return said
}

// kept is what a source wants to keep of an address; empty: nothing. Text that is
// no address is kept whole or not at all.
func kept(text, keep string) string {
	if text == "" || keep == config.IPKeep {
		return text
	}
	address, err := netip.ParseAddr(text)
	if err != nil {
		return ""
	}
	return Kept(address, keep)
}

// Kept is the text of what is kept of an address by a choice such as
// [config.IPTruncate]; empty where nothing is.
func Kept(address netip.Addr, keep string) string {
	address = address.Unmap().WithZone("")
	switch keep {
	case config.IPDrop:
		return ""
	case config.IPTruncate:
		bits := 48
		if address.Is4() {
			bits = 24
		}
		network, err := address.Prefix(bits)
		if err != nil {
			return ""
		}
		address = network.Addr()
	}
	return address.String()
}

// An addition appends members to an object, in a copy of it.
type addition struct {
	object []byte
	text   []byte // nil while nothing was added
}

// add appends a member such as "a":1, where it is wanted and not empty.
func (a *addition) add(wanted bool, member []byte) {
	if !wanted || len(member) == 0 {
		return
	}
	switch {
	case a.text != nil:
		a.text = append(a.text, ',')
	case len(a.object) > len("{}"):
		a.text = append(make([]byte, 0, len(a.object)+384), a.object[:len(a.object)-1]...)
		a.text = append(a.text, ',')
	default:
		a.text = append(make([]byte, 0, 384), '{')
	}
	a.text = append(a.text, member...)
}

// end returns the object with what was added.
func (a *addition) end() []byte {
	if a.text == nil {
		return a.object
	}
	return append(a.text, '}')
}

// replaced returns an object with another text as one of its members, or without
// that where the text is empty.
func replaced(object []byte, name, text string) []byte {
	if text == "" {
		return replacedRaw(object, name, nil)
	}
	return replacedRaw(object, name, sdk.AppendString(nil, text))
}

// replacedRaw returns an object in which a member has another value, or which
// has not got it any more where the value is empty.
func replacedRaw(object []byte, name string, value []byte) []byte {
	dst := make([]byte, 0, len(object)+len(value))
	dst = append(dst, '{')
	for other, v := range sdk.RawView(object).Members() {
		raw := v.Raw()
		if other == name {
			if raw = value; len(value) == 0 {
				continue
			}
		}
		if len(dst) > 1 {
			dst = append(dst, ',')
		}
		dst = sdk.AppendString(dst, other)
		dst = append(dst, ':')
		dst = append(dst, raw...)
	}
	return append(dst, '}')
}

// mayTell tells, by a look at the text alone, whether a context may hold facts.
func mayTell(context []byte) bool {
	if len(context) <= len("{}") {
		return false
	}
	for _, name := range [...]string{`"userAgent"`, `"ip"`, `"languages"`, `"page"`, `"campaign"`, `\`} {
		if bytes.Contains(context, []byte(name)) {
			return true
		}
	}
	return false
}

// mayCarryPage tells, by a look at the text, whether properties may tell of a
// page; a name written with escapes is not found.
func mayCarryPage(properties []byte) bool {
	return bytes.Contains(properties, []byte(`"url"`)) || bytes.Contains(properties, []byte(`"referrer"`))
}
