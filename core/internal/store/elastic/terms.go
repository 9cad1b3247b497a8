package elastic

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// What can be asked of a document stands in one field of keywords: for every place of the
// document, what kind of value is there, and the value, written so that the order of the
// keywords is that of the values. So any condition can be asked at any place, exactly,
// and the number of fields does not depend on what is sent.
//
// A term is the place, a colon, the kind, and for most kinds an equals sign and the value:
//
//	traits.plan:s  traits.plan:s=gold  traits.age:n  traits.age:n=2p242  properties.tags:es=new
//
// Places are names joined by dots; backslashes, dots and colons of names have a backslash
// before them. What stands in the columns of the kind has no terms.
const fieldTerms = "terms"

// The kinds of term. Those of a list's elements have an e before them.
const (
	kindNull    = "0" // there, and null
	kindBool    = "b"
	kindNumber  = "n" // as condition.AppendOrdered writes it
	kindHuge    = "N" // beside kindNumber: it has no such text
	kindText    = "s"
	kindLong    = "S" // beside kindText: it is longer than mostText, and has no kindText with its value
	kindHash    = "h" // of a long text
	kindTime    = "d" // beside kindText: as a time in sdk.TimeLayout
	kindLowered = "l" // beside kindText: in lower case, where that differs
	kindFolded  = "f" // beside kindText: folded, where that differs
	kindMap     = "m"
	kindList    = "a"
)

const (
	// mostText is how many bytes of a text are a term; Lucene refuses terms over 32,766.
	mostText = 512
	// mostPlace is how many bytes of a place are part of a term.
	mostPlace = 256
)

// documentTerms appends the terms of a document of a kind as a JSON array.
func documentTerms(dst []byte, kind store.Kind, body []byte) ([]byte, error) {
	w := termWriters.Get().(*termWriter)
	defer termWriters.Put(w)
	w.reader.Reset(body)
	w.dec.Reset(&w.reader, jsontext.AllowDuplicateNames(true))
	w.columns, w.dst, w.place = kind.Columns(), append(dst, '['), w.place[:0]
	if err := w.object(0); err != nil {
		return dst, fmt.Errorf("read document: %w", err)
	}
	if last := len(w.dst) - 1; w.dst[last] == ',' {
		w.dst = w.dst[:last]
	}
	dst, w.dst = append(w.dst, ']'), nil
	return dst, nil
}

var termWriters = sync.Pool{New: func() any { return &termWriter{dec: jsontext.NewDecoder(bytes.NewReader(nil))} }}

// A termWriter walks through a document.
type termWriter struct {
	dec     *jsontext.Decoder
	reader  bytes.Reader
	columns []string
	dst     []byte
	place   []byte // escaped
	term    []byte
	text    []byte
	value   []byte
}

// object walks through the members of the object that comes.
func (w *termWriter) object(depth int) error {
	if _, err := w.dec.ReadToken(); err != nil {
		return err
	}
	for w.dec.PeekKind() != '}' {
		quoted, err := w.dec.ReadValue()
		if err != nil {
			return err
		}
		if w.text, err = jsontext.AppendUnquote(w.text[:0], quoted); err != nil {
			return err
		}
		if depth == 0 && w.isColumn(w.text) {
			if err := w.dec.SkipValue(); err != nil {
				return err
			}
			continue
		}
		before := len(w.place)
		if before > 0 || depth > 0 {
			w.place = append(w.place, '.')
		}
		w.place = appendName(w.place, w.text)
		if err := w.valueAt(depth+1, false); err != nil {
			return err
		}
		w.place = w.place[:before]
	}
	_, err := w.dec.ReadToken()
	return err
}

func (w *termWriter) isColumn(name []byte) bool {
	for _, column := range w.columns {
		if string(name) == column {
			return true
		}
	}
	return false
}

// appendName appends a name as part of a place.
func appendName[T []byte | string](dst []byte, name T) []byte {
	for i := range len(name) {
		if c := name[i]; c == '\\' || c == '.' || c == ':' {
			dst = append(dst, '\\')
		}
		dst = append(dst, name[i])
	}
	return dst
}

// placeOf is the place of a path, as it stands in terms.
func placeOf(path sdk.Path) string {
	var place []byte
	for i, name := range path {
		if i > 0 {
			place = append(place, '.')
		}
		place = appendName(place, strings.ToValidUTF8(name, "\uFFFD"))
	}
	return string(shortPlace(place))
}

// shortPlace is the place itself, or one of its hash.
func shortPlace(place []byte) []byte {
	if len(place) <= mostPlace {
		return place
	}
	// In no place does anything else than these follow a backslash: \\ \. \:
	return []byte(`\#` + hashOf(place))
}

func hashOf[T []byte | string](text T) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// valueAt walks through the value that comes. Of what stands in a list, only what it is
// and scalars are told.
func (w *termWriter) valueAt(depth int, element bool) error {
	switch w.dec.PeekKind() {
	case '{':
		w.add(element, kindMap, nil)
		if element {
			return w.dec.SkipValue()
		}
		return w.object(depth)
	case '[':
		w.add(element, kindList, nil)
		if element {
			return w.dec.SkipValue()
		}
		if _, err := w.dec.ReadToken(); err != nil {
			return err
		}
		for w.dec.PeekKind() != ']' {
			if err := w.valueAt(depth+1, true); err != nil {
				return err
			}
		}
		_, err := w.dec.ReadToken()
		return err
	}
	raw, err := w.dec.ReadValue()
	if err != nil {
		return err
	}
	switch raw.Kind() {
	case 'n':
		w.add(element, kindNull, nil)
	case 't', 'f':
		w.add(element, kindBool, nil)
		w.add(element, kindBool, raw)
	case '0':
		w.number(element, string(raw))
	case '"':
		if w.value, err = jsontext.AppendUnquote(w.value[:0], raw); err != nil {
			return err
		}
		w.textAt(element, w.value)
	}
	return nil
}

func (w *termWriter) number(element bool, literal string) {
	w.add(element, kindNumber, nil)
	text, ok := condition.AppendOrdered(w.text[:0], sdk.ParseNumber(literal))
	w.text = text
	if !ok {
		w.add(element, kindHuge, nil)
		return
	}
	w.add(element, kindNumber, text)
}

func (w *termWriter) textAt(element bool, text []byte) {
	w.add(element, kindText, nil)
	if len(text) > mostText {
		w.add(element, kindLong, nil)
		w.add(element, kindHash, []byte(hashOf(text)))
		return
	}
	w.add(element, kindText, text)
	if maybeTime(text) {
		if t, err := sdk.ParseTime(string(text)); err == nil {
			w.add(element, kindTime, []byte(sdk.FormatTime(t)))
		}
	}
	if element || !mayDiffer(text) {
		return
	}
	whole := string(text)
	if lowered := strings.ToLower(whole); lowered != whole {
		w.add(false, kindLowered, nil)
		w.add(false, kindLowered, []byte(lowered))
	}
	if folded := condition.Fold(whole); folded != whole {
		w.add(false, kindFolded, nil)
		w.add(false, kindFolded, []byte(folded))
	}
}

// maybeTime rules out most texts that are no time.
func maybeTime(text []byte) bool {
	return len(text) >= len("2006-01-02") && text[0] >= '0' && text[0] <= '9' && text[4] == '-'
}

// mayDiffer rules out texts that are in lower case and folded already.
func mayDiffer(text []byte) bool {
	for _, c := range text {
		if c >= utf8.RuneSelf || c >= 'A' && c <= 'Z' {
			return true
		}
	}
	return false
}

// add appends a term: of a value, or, without one, of a kind.
func (w *termWriter) add(element bool, kind string, value []byte) {
	w.term = append(append(w.term[:0], shortPlace(w.place)...), ':')
	if element {
		w.term = append(w.term, 'e')
	}
	w.term = append(w.term, kind...)
	if value != nil {
		w.term = append(append(w.term, '='), value...)
	}
	// An error would be a text that is not UTF-8; what was unquoted always is.
	w.dst, _ = jsontext.AppendQuote(w.dst, w.term)
	w.dst = append(w.dst, ',')
}

// presence is the term of a kind at a place; valueTerm that of a value.
func presence(place, kind string) string { return place + ":" + kind }

func valueTerm(place, kind, value string) string { return place + ":" + kind + "=" + value }

// presences are the terms of which one is there where anything but null stands.
func presences(place string) []string {
	return []string{presence(place, kindBool), presence(place, kindNumber), presence(place, kindText), presence(place, kindMap), presence(place, kindList)}
}
