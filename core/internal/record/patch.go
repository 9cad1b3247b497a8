package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/wire"
)

// A Patch is the body of a command of KindPatch: what a flow's run, or a
// plugin, wants of a profile. All of it happens in one commit, or nothing.
type Patch struct {
	// By says who wants it, such as "flow/thank-you".
	By string
	// ID tells which one of those it was: the run's. Empty where that is not known.
	ID string
	// Patches change the profile, in order. One that does not fit the profile
	// as it is by then, such as an increment of a text, is left out and counted.
	Patches []wire.Patch
	// Events are then sent about the same profile, or about nobody where the
	// command is about nobody. Their ids are given, and the same on a repetition.
	// Of an event id, type, source, session, time, properties, traits and
	// context are carried; without a time it is that of the command.
	Events []Event
}

// MaxHops is how many commands may have caused one another. One beyond becomes
// a dead letter: flows that set each other off would never end.
const MaxHops = 16

// PatchID is the ID of the command that a run's step sends: the same however
// often the run is taken up again, and that of no other command.
func PatchID(run string, step int) ID {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(step))
	return digest('r', run, string(b[:]))
}

// AppendPatch appends the body:
//
//	{"by":"flow/thank-you","id":"…",
//	 "patches":[{"op":"set","path":"traits.vip","value":true},…],
//	 "events":[{"id":"…","type":"…","source":"…","session":"…","time":"…","properties":{…},"traits":{…},"context":{…}},…]}
//
// What is empty is left out. The raw fields have to be valid JSON.
func AppendPatch(dst []byte, p *Patch) []byte {
	dst = sdk.AppendString(append(dst, `{"by":`...), p.By)
	if p.ID != "" {
		dst = sdk.AppendString(append(dst, `,"id":`...), p.ID)
	}
	for i := range p.Patches {
		dst = append(dst, elementOf(i, "patches")...)
		dst = p.Patches[i].AppendJSON(dst)
	}
	dst = endList(dst, len(p.Patches))
	for i := range p.Events {
		dst = append(dst, elementOf(i, "events")...)
		dst = appendSent(dst, &p.Events[i])
	}
	return append(endList(dst, len(p.Events)), '}')
}

// ParsePatch decodes the body. The raw fields of what it returns are copies, and
// those of events are objects.
func ParsePatch(text []byte) (*Patch, error) {
	p := &Patch{}
	dec := jsontext.NewDecoder(bytes.NewBuffer(text))
	err := eachField(dec, func(name string) (err error) {
		switch name {
		case "by":
			p.By, err = readText(dec)
		case "id":
			p.ID, err = readText(dec)
		case "patches":
			err = eachElement(dec, func() error {
				one, err := readChange(dec)
				p.Patches = append(p.Patches, one)
				return err
			})
		case "events":
			err = eachElement(dec, func() error {
				one, err := readSent(dec)
				p.Events = append(p.Events, one)
				return err
			})
		default:
			err = errUnknown
		}
		return err
	})
	if err == nil {
		if _, more := dec.ReadToken(); !errors.Is(more, io.EOF) {
			err = errors.New("the text goes on")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: patch, at byte %d: %w", ErrMalformed, dec.InputOffset(), err)
	}
	return p, nil
}

// elementOf is what stands before the i-th element of a list.
func elementOf(i int, list string) string {
	if i == 0 {
		return `,"` + list + `":[`
	}
	return ","
}

func endList(dst []byte, elements int) []byte {
	if elements == 0 {
		return dst
	}
	return append(dst, ']')
}

func appendSent(dst []byte, e *Event) []byte {
	dst = sdk.AppendString(append(dst, `{"id":`...), e.ID)
	dst = sdk.AppendString(append(dst, `,"type":`...), e.Type)
	dst = sdk.AppendString(append(dst, `,"source":`...), e.Source)
	if e.Session != "" {
		dst = sdk.AppendString(append(dst, `,"session":`...), e.Session)
	}
	if !e.Time.IsZero() {
		dst = sdk.AppendTime(append(dst, `,"time":`...), e.Time)
	}
	dst = appendRaw(dst, "properties", e.Properties)
	dst = appendRaw(dst, "traits", e.Traits)
	return append(appendRaw(dst, "context", e.Context), '}')
}

func appendRaw(dst []byte, name string, value []byte) []byte {
	if len(value) == 0 {
		return dst
	}
	dst = append(append(append(dst, `,"`...), name...), `":`...)
	return append(dst, value...)
}

func readChange(dec *jsontext.Decoder) (p wire.Patch, err error) {
	err = eachField(dec, func(name string) (err error) {
		switch name {
		case "op":
			var op string
			op, err = readText(dec)
			p.Op = wire.Op(op)
		case "path":
			p.Path, err = readText(dec)
		case "value":
			p.Value, err = readRaw(dec)
		default:
			err = errUnknown
		}
		return err
	})
	return p, err
}

func readSent(dec *jsontext.Decoder) (e Event, err error) {
	err = eachField(dec, func(name string) (err error) {
		switch name {
		case "id":
			e.ID, err = readText(dec)
		case "type":
			e.Type, err = readText(dec)
		case "source":
			e.Source, err = readText(dec)
		case "session":
			e.Session, err = readText(dec)
		case "time":
			e.Time, err = readTime(dec)
		case "properties":
			e.Properties, err = readObject(dec)
		case "traits":
			e.Traits, err = readObject(dec)
		case "context":
			e.Context, err = readObject(dec)
		default:
			err = errUnknown
		}
		return err
	})
	return e, err
}

var errUnknown = errors.New("unknown field")

// eachField reads an object; field reads the value of the field that it names.
func eachField(dec *jsontext.Decoder, field func(name string) error) error {
	if err := begin(dec, '{', "an object"); err != nil {
		return err
	}
	for dec.PeekKind() != '}' {
		name, err := readText(dec)
		if err != nil {
			return err
		}
		if err := field(name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	_, err := dec.ReadToken()
	return err
}

func eachElement(dec *jsontext.Decoder, element func() error) error {
	if err := begin(dec, '[', "a list"); err != nil {
		return err
	}
	for dec.PeekKind() != ']' {
		if err := element(); err != nil {
			return err
		}
	}
	_, err := dec.ReadToken()
	return err
}

func begin(dec *jsontext.Decoder, kind jsontext.Kind, want string) error {
	token, err := dec.ReadToken()
	if err == nil && token.Kind() != kind {
		err = fmt.Errorf("want %s", want)
	}
	return err
}

func readText(dec *jsontext.Decoder) (string, error) {
	token, err := dec.ReadToken()
	if err != nil {
		return "", err
	}
	if token.Kind() != '"' {
		return "", errors.New("want a text")
	}
	return token.String(), nil
}

func readTime(dec *jsontext.Decoder) (time.Time, error) {
	text, err := readText(dec)
	if err != nil {
		return time.Time{}, err
	}
	return sdk.ParseTime(text)
}

// readRaw reads a value and keeps it as compact text.
func readRaw(dec *jsontext.Decoder) (jsontext.Value, error) {
	v, err := dec.ReadValue()
	if err != nil {
		return nil, err
	}
	v = v.Clone()
	return v, v.Compact()
}

func readObject(dec *jsontext.Decoder) (jsontext.Value, error) {
	v, err := readRaw(dec)
	if err == nil && v.Kind() != '{' {
		err = errors.New("want an object")
	}
	return v, err
}
