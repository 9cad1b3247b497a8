package record

import (
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tributary-bus/tributary/sdk"
)

// TypeChange is the type of a message of EVENTS that is no event: it says what a
// command changed in a profile that has no event of its own, such as a run's patch.
// No event has an empty type. Its payload is {"change":{…}}, a [ChangeEntry], or, of a
// profile that became part of another, a [Left] or what [AppendMoved] writes.
const TypeChange = ""

// The kinds of author of a change.
const (
	ByEvent  = "event"
	BySystem = "system" // a system event
	ByFlow   = "flow"
	ByPlugin = "plugin"
	ByMerge  = "merge" // of two profiles into one
)

// An Author is who changed a profile: an event, by its id, type and source; a flow's
// run, by its id and the flow's; a plugin, by its request's id and its name; a merge, by
// the id of the other profile.
type Author struct{ Kind, ID, Name, Source string }

// AuthorOfEvent names an event as who changed a profile.
func AuthorOfEvent(id, kind, source string) Author {
	by := Author{Kind: ByEvent, ID: id, Name: kind, Source: source}
	if source == SourceSystem {
		by.Kind = BySystem
	}
	return by
}

// Author is who wants the patch.
func (p *Patch) Author() Author {
	kind, name, ok := strings.Cut(p.By, "/")
	if !ok {
		kind, name = ByPlugin, p.By
	}
	return Author{Kind: kind, ID: p.ID, Name: name}
}

// A ChangeEntry is an entry of a profile's change log.
type ChangeEntry struct {
	Profile  string
	Revision uint64 // of the profile, after the change
	// Time is the event's, or when the command was received, as Received is; both
	// have the form that [sdk.FormatTime] writes.
	Time, Received string
	By             Author
	Changes        []byte // as [AppendChanges] writes them
}

// Entry makes an entry of what a command, received at a time, changed.
func Entry(p *sdk.Profile, at time.Time, by Author, changes map[string]any) ChangeEntry {
	text := sdk.FormatTime(at)
	return ChangeEntry{
		Profile: p.ID, Revision: p.Revision, Time: text, Received: text, By: by,
		Changes: AppendChanges(nil, changes),
	}
}

// ID is what tells the entry from others of its profile. It begins with when the
// command was received, so that the order of ids is about that of the changes.
func (e *ChangeEntry) ID() string {
	id := append([]byte(e.Received), '-')
	id = sdk.AppendValue(id, e.Revision)
	return string(append(append(id, '-'), e.By.ID...))
}

// AppendJSON appends the entry:
//
//	{"id":"…","profile":"…","revision":7,"time":"…","received":"…",
//	 "by":{"kind":"event","id":"…","name":"order-completed","source":"shop"},
//	 "changes":{"traits.vip":true,"traits.old":null},"cut":["traits.bio"],"omitted":3}
//
// What is empty of by, cut and omitted is left out.
func (e *ChangeEntry) AppendJSON(dst []byte) []byte {
	dst = sdk.AppendString(append(dst, `{"id":`...), e.ID())
	dst = sdk.AppendString(append(dst, `,"profile":`...), e.Profile)
	dst = sdk.AppendValue(append(dst, `,"revision":`...), e.Revision)
	dst = sdk.AppendString(append(dst, `,"time":`...), e.Time)
	dst = sdk.AppendString(append(dst, `,"received":`...), e.Received)
	dst = sdk.AppendString(append(dst, `,"by":{"kind":`...), e.By.Kind)
	for _, field := range [...]struct{ name, value string }{{"id", e.By.ID}, {"name", e.By.Name}, {"source", e.By.Source}} {
		if field.value != "" {
			dst = append(append(append(dst, `,"`...), field.name...), `":`...)
			dst = sdk.AppendString(dst, field.value)
		}
	}
	return append(append(dst, `},`...), e.Changes[1:]...)
}

// The bounds of an entry, in bytes of JSON: of a value, and of all that it says of
// values.
const (
	MaxChangeValue = 1 << 10
	MaxChanges     = 32 << 10
)

// AppendChanges appends what an entry says of the new values of places in a profile,
// by path; of what was deleted the value is null:
//
//	{"changes":{"traits.vip":true},"cut":["traits.bio"],"omitted":3}
//
// A value that is too long is the beginning of its text instead, and its path is in
// cut; omitted counts the places for which there was no room.
func AppendChanges(dst []byte, changes map[string]any) []byte {
	w := beginChanges(dst)
	for _, path := range slices.Sorted(maps.Keys(changes)) {
		w.add(path, sdk.AppendValue(nil, changes[path]))
	}
	return w.end()
}

// CutChanges appends the same of changes that are JSON already, an object that this
// package wrote.
func CutChanges(dst, changes []byte) []byte {
	if len(changes) <= MaxChangeValue {
		return append(append(append(dst, `{"changes":`...), changes...), '}')
	}
	w := beginChanges(dst)
	for path, value := range sdk.RawView(changes).Members() {
		w.add(path, value.Raw())
	}
	return w.end()
}

// A changesWriter writes changes within their bounds.
type changesWriter struct {
	dst          []byte
	began, named int
	cut          []any
	omitted      int
}

func beginChanges(dst []byte) *changesWriter {
	return &changesWriter{dst: append(dst, `{"changes":{`...), began: len(dst)}
}

func (w *changesWriter) add(path string, value []byte) {
	if len(w.dst)-w.began+len(path)+min(len(value), MaxChangeValue) > MaxChanges {
		w.omitted++
		return
	}
	if w.named > 0 {
		w.dst = append(w.dst, ',')
	}
	w.named++
	w.dst = append(sdk.AppendString(w.dst, path), ':')
	if len(value) <= MaxChangeValue {
		w.dst = append(w.dst, value...)
		return
	}
	text, isText := sdk.RawView(value).String("")
	if !isText {
		text = string(value)
	}
	w.dst = sdk.AppendString(w.dst, beginning(text))
	w.cut = append(w.cut, path)
}

// beginning is as much of a text as an entry has room for.
func beginning(text string) string {
	if len(text) <= MaxChangeValue {
		return text
	}
	n := MaxChangeValue
	for !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

func (w *changesWriter) end() []byte {
	w.dst = append(w.dst, '}')
	if len(w.cut) > 0 {
		w.dst = sdk.AppendValue(append(w.dst, `,"cut":`...), w.cut)
	}
	if w.omitted > 0 {
		w.dst = sdk.AppendValue(append(w.dst, `,"omitted":`...), int64(w.omitted))
	}
	return append(w.dst, '}')
}
