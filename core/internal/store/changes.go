package store

import (
	"fmt"
	"strings"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// A ChangesQuery asks for what changed a person's profile.
type ChangesQuery struct {
	// Profiles are all ids of the profile, its own first.
	Profiles []string
	// Path leaves only what changed this place, places in it and what it is in;
	// nil: all.
	Path sdk.Path
	// From and Before bound when a change was received: at From or later, before
	// Before. Zero does not.
	From, Before time.Time
	// Limit is as in [Query].
	Limit int
	// Cursor is that of the page before, with the same profiles, path and times.
	Cursor string
}

// ChangeOfEvent makes the entry of the change log that an event tells, by its columns.
func ChangeOfEvent(event *Document) (Document, error) {
	column := func(name string) string {
		for i, one := range eventColumns {
			if one == name {
				return event.columns[i]
			}
		}
		return ""
	}
	return NewChange(&record.ChangeEntry{
		Profile: column("profile"), Revision: event.Log.Revision, Time: column("time"), Received: column("received"),
		By:      record.AuthorOfEvent(column("id"), column("type"), column("source")),
		Changes: event.Log.Changes,
	})
}

// NewChange makes the document of an entry of the change log.
func NewChange(entry *record.ChangeEntry) (Document, error) {
	return NewDocument(Changes, entry.AppendJSON(nil))
}

// About tells whether a change is about the place that the query asks for, and leaves
// of its body only that.
func (q *ChangesQuery) About(change *Document) (bool, error) {
	if q.Path == nil {
		return true, nil
	}
	body, err := sdk.ParseObject(change.Body)
	if err != nil {
		return false, fmt.Errorf("read change %s: %w", change.ID, err)
	}
	changes, _ := body["changes"].(map[string]any)
	kept := map[string]any{}
	for path, v := range changes {
		if touches(path, q.Path) {
			kept[path] = v
		}
	}
	if len(kept) == 0 {
		return false, nil
	}
	text := []byte{'{'}
	for name, v := range sdk.RawView(change.Body).Members() {
		switch name {
		case "changes":
			text = sdk.AppendValue(append(text, `"changes":`...), kept)
		case "cut":
			list, _ := v.List("")
			var left []any
			for _, path := range list {
				if path, ok := path.(string); ok && touches(path, q.Path) {
					left = append(left, path)
				}
			}
			if len(left) == 0 {
				continue
			}
			text = sdk.AppendValue(append(text, `"cut":`...), left)
		default:
			text = append(append(sdk.AppendString(text, name), ':'), v.Raw()...)
		}
		text = append(text, ',')
	}
	text[len(text)-1] = '}'
	change.Body = text
	return true, nil
}

// touches tells whether a change of the place at a path, in its canonical form, is one
// of the wanted place: the same, within it, or around it.
func touches(path string, wanted sdk.Path) bool {
	text := wanted.String()
	if rest, ok := strings.CutPrefix(path, text); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
		return true
	}
	for n := len(wanted) - 1; n > 0; n-- {
		if path == wanted[:n].String() {
			return true
		}
	}
	return false
}
