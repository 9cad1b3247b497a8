package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

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
	// Due is the earliest instant, in milliseconds since 1970, at which something about
	// the profile changes by time alone; 0 where nothing does.
	Due int64
	// Sessions are those that the profile used last, the latest first.
	Sessions []*Session
	// Fields says of what stands in the profile's sections, by path, when it was
	// changed last and by what; of what was deleted too.
	Fields map[string]Stamp
	// To is the profile that a redirect leads to, with its rank.
	To   string
	Rank Rank
	// ErasedAt is when a profile was erased; IDs are those that it had.
	ErasedAt time.Time
	IDs      []string
	// Windows holds the recent occurrences that stored conditions read, by
	// the name of the aggregate.
	Windows map[string]*Window
	// Filled says, by the id that events carry, up to where what was stored of them
	// has been entered into the windows.
	Filled map[string]Fill
	// Cleared is the revision of the configuration by which nothing stands in Windows
	// and Filled that is not kept; 0: that is not known. It is not stored.
	Cleared uint64
}

// A Stamp is when a field was changed, in milliseconds since 1970, and by what: an
// event's id, or who wanted it.
type Stamp struct {
	At int64
	By string
}

// AppendJSON appends the document; equal documents have equal texts.
func (d *Document) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"state":`...)
	dst = sdk.AppendString(dst, d.State)
	dst = append(dst, `,"c":`...)
	dst = sdk.AppendValue(dst, d.C)
	switch d.State {
	case StateRedirect:
		dst = append(dst, `,"to":`...)
		dst = sdk.AppendString(dst, d.To)
		dst = append(dst, `,"created":`...)
		dst = sdk.AppendTime(dst, d.Rank.Created)
		return append(dst, '}')
	case StateErased:
		dst = append(dst, `,"erased":`...)
		dst = sdk.AppendTime(dst, d.ErasedAt)
		dst = append(dst, `,"ids":`...)
		dst = sdk.AppendValue(dst, d.IDs)
		return append(dst, '}')
	}
	if d.Due != 0 { // before what is long: see DueOf
		dst = strconv.AppendInt(append(dst, `,"due":`...), d.Due, 10)
	}
	dst = append(dst, `,"profile":`...)
	dst = d.Profile.AppendJSON(dst)
	if len(d.Sessions) > 0 {
		dst = append(dst, `,"sessions":[`...)
		for i, s := range d.Sessions {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = s.appendJSON(dst)
		}
		dst = append(dst, ']')
	}
	if len(d.Fields) > 0 {
		dst = append(dst, `,"fields":{`...)
		for i, path := range sortedNames(d.Fields) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(sdk.AppendString(dst, path), `:[`...)
			dst = strconv.AppendInt(dst, d.Fields[path].At, 10)
			dst = sdk.AppendString(append(dst, ','), d.Fields[path].By)
			dst = append(dst, ']')
		}
		dst = append(dst, '}')
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
	dst = appendFilled(dst, d.Filled)
	return append(dst, '}')
}

// ParseDocument decodes a value of PROFILES.
func ParseDocument(text []byte) (*Document, error) {
	d, err := parseDocument(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: document: %w", ErrMalformed, err)
	case d.State == "":
		return nil, fmt.Errorf("%w: document without a state", ErrMalformed)
	case d.Profile == nil && d.State == StateLive:
		return nil, fmt.Errorf("%w: document without a profile", ErrMalformed)
	}
	return d, nil
}

// DueOf returns what the document has as [Document.Due], without reading more of it
// than its beginning.
func DueOf(text []byte) int64 {
	rest, live := bytes.CutPrefix(text, []byte(`{"state":"`+StateLive+`","c":`))
	if !live {
		return 0
	}
	rest, has := bytes.CutPrefix(bytes.TrimLeft(rest, "0123456789"), []byte(`,"due":`))
	if !has {
		return 0
	}
	digits := rest[:len(rest)-len(bytes.TrimLeft(rest, "-0123456789"))]
	due, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil {
		return 0
	}
	return due
}

// ParseWindows decodes the windows of a document.
func ParseWindows(text []byte) (windows map[string]*Window, err error) {
	return windows, json.Unmarshal(text, &windows)
}

func parseFields(text []byte) (map[string]Stamp, error) {
	fields := map[string]Stamp{}
	for path, v := range sdk.RawView(text).Members() {
		var pair [2]json.RawMessage
		var s Stamp
		if err := json.Unmarshal(v.Raw(), &pair); err != nil {
			return nil, err
		}
		if err := errors.Join(json.Unmarshal(pair[0], &s.At), json.Unmarshal(pair[1], &s.By)); err != nil {
			return nil, err
		}
		fields[path] = s
	}
	return fields, nil
}

func parseDocument(text []byte) (*Document, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(text))
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	d := &Document{}
	for dec.PeekKind() == '"' {
		token, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		name := token.String()
		v, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		if v.Kind() == 'n' {
			continue
		}
		switch name {
		case "state":
			err = json.Unmarshal(v, &d.State)
		case "c":
			err = json.Unmarshal(v, &d.C)
		case "profile":
			if v.Kind() != '{' {
				return nil, errors.New("profile: want an object")
			}
			d.Profile, err = sdk.ProfileOf(sdk.RawObject(v))
		case "due":
			err = json.Unmarshal(v, &d.Due)
		case "sessions":
			d.Sessions, err = parseSessions(v)
		case "windows":
			d.Windows, err = ParseWindows(v)
		case "filled":
			d.Filled, err = parseFilled(v)
		case "fields":
			d.Fields, err = parseFields(v)
		case "to":
			err = json.Unmarshal(v, &d.To)
			d.Rank.ID = d.To
		case "created":
			err = json.Unmarshal(v, &d.Rank.Created)
		case "erased":
			err = json.Unmarshal(v, &d.ErasedAt)
		case "ids":
			err = json.Unmarshal(v, &d.IDs)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	if _, err := dec.ReadToken(); err != io.EOF { //nolint:errorlint // as jsontext returns it
		return nil, errors.New("more than one value")
	}
	return d, nil
}
