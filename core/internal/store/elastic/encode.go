package elastic

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
)

// mostID is how many bytes an _id has at most.
const mostID = 512

// idOf is the _id of a document: its id, or a hash where that is too long. What looks
// like a hash is hashed itself.
func idOf(id string) string {
	if len(id) <= mostID && id[0] != '#' {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "#" + hex.EncodeToString(sum[:])
}

// appendSource appends a document as it is stored: what it is searched and sorted by, and
// its text, byte by byte.
func appendSource(dst []byte, d *store.Document) ([]byte, error) {
	dst = append(dst, '{')
	for i, column := range d.Kind.Columns() {
		value := d.Column(i)
		if value == "" && !bearsText(d.Body, column) {
			continue
		}
		dst = append(append(append(dst, '"'), column...), `":`...)
		dst = append(sdk.AppendString(dst, value), ',')
	}
	if d.Config > 0 {
		dst = append(strconv.AppendUint(append(dst, `"config":`...), d.Config, 10), ',')
	}
	switch {
	case d.Log != nil:
		dst = strconv.AppendUint(append(dst, `"revision":`...), d.Log.Revision, 10)
		dst = append(append(append(dst, `,"changes":`...), d.Log.Changes...), ',')
	case d.Kind == store.Changes:
		// With a source, as of the events that they are listed with.
		dst = strconv.AppendUint(append(dst, `"source":"","revision":`...), d.Version, 10)
		dst = append(dst, ',')
	}
	dst, err := documentTerms(append(dst, `"terms":`...), d.Kind, d.Body)
	if err != nil {
		return dst, err
	}
	dst = append(append(dst, `,"body":`...), d.Body...)
	return append(dst, '}'), nil
}

// bearsText tells whether a document has a text in one of its fields.
func bearsText(body []byte, name string) bool {
	raw := sdk.RawView(body).Member(name).Raw()
	return jsontext.Value(raw).Kind() == '"'
}

// A source is what is read of a document as it is stored.
type source struct {
	Config   uint64         `json:"config"`
	Revision uint64         `json:"revision"`
	Changes  jsontext.Value `json:"changes"`
	Body     jsontext.Value `json:"body"`
}

// documentOf reads a document as it is stored.
func documentOf(kind store.Kind, text []byte) (store.Document, error) {
	var from source
	if err := readAnswer(text, &from); err != nil {
		return store.Document{}, err
	}
	d, err := store.NewDocument(kind, from.Body)
	if err != nil {
		return d, fmt.Errorf("%w: %w", store.ErrBroken, err)
	}
	d.Config = from.Config
	if kind == store.Events && from.Changes != nil {
		d.Log = &store.Log{Revision: from.Revision, Changes: from.Changes}
	}
	return d, nil
}

// putLines are the two lines of a bulk request that put a document.
func putLines(index string, d *store.Document) ([]byte, error) {
	line := appendAction(nil, "index", index, idOf(d.ID), d.Version, "external")
	line, err := appendSource(line, d)
	return append(line, '\n'), err
}

// deleteLine is the line of a bulk request that removes a document of a version or an
// earlier one. That version, and those before, cannot come back for an hour, unless the
// node is restarted in between: what it has on disk does not tell of deletions.
func deleteLine(index, id string, version uint64) []byte {
	return appendAction(nil, "delete", index, id, version, "external_gte")
}

func appendAction(dst []byte, action, index, id string, version uint64, by string) []byte {
	dst = append(dst, `{"`+action+`":{"_index":"`+index+`","_id":`...)
	dst = append(sdk.AppendString(dst, id), `,"version":`...)
	return append(strconv.AppendUint(dst, version, 10), `,"version_type":"`+by+"\"}}\n"...)
}
