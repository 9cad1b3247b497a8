package gateway

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"mime"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// A cloudEvent is one CloudEvent while its attributes are read. The rules are
// those of CloudEvents 1.0.2, "Context Attributes" and "JSON Event Format".
type cloudEvent struct {
	e          *event
	rules      *rules
	id, source string
	version    string
	media      string // datacontenttype
	// context is what the event's context keeps: all attributes but type and
	// time, as the fields of a JSON object.
	context []byte
}

// maxExtension bounds the name of an extension attribute; 20 are recommended.
const maxExtension = 64

// cloudEvent reads an event in the JSON event format from the front of text.
func (b *batch) cloudEvent(e *event, rules *rules, text []byte) (int, error) {
	p := &b.parser
	p.begin(text)
	c := &cloudEvent{e: e, rules: rules}
	var data, binary jsontext.Value
	kind, err := p.object(func(quoted []byte) error {
		name := unquote(quoted)
		value, err := p.dec.ReadValue()
		if err != nil || value.Kind() == 'n' {
			return err // null is the same as none
		}
		switch {
		case name == "data":
			data = value
		case name == "data_base64":
			binary = value
		case strings.EqualFold(name, "writeKey"):
			b.cloudKey(e, value)
		default:
			c.attribute(name, value)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	n := p.offset()
	if kind != '{' {
		e.fail(&problem{code: codeMalformed, message: "want an event as an object, got " + kindName(kind)})
		return n, nil
	}
	c.finish()
	switch {
	case data != nil && binary != nil:
		e.fail(fieldProblem(codeInvalid, "data_base64", "an event has data or data_base64, not both"))
	case data != nil:
		c.setData(p, data)
	case binary != nil:
		c.setBinary(b, binary)
	}
	c.adoptTraits()
	return n, nil
}

// cloudKey takes a write key that an event names.
func (b *batch) cloudKey(e *event, value jsontext.Value) {
	if value.Kind() != '"' || len(value) > maxWriteKey+2 {
		e.fail(fieldProblem(codeInvalid, "writeKey", "want a write key as a string"))
		return
	}
	if key := unquote(value); b.key == "" && !masked(key) {
		b.key = key
	}
}

// binaryCloudEvent reads an event whose attributes are headers and whose data is
// the body. Both count for its size: names, without their prefix, and values as
// they were sent.
func (b *batch) binaryCloudEvent(r *request, rules *rules, limits *Limits) *refusal {
	e := b.add()
	c := &cloudEvent{e: e, rules: rules}
	size := len(r.body)
	for _, header := range sortedNames(r.Header) {
		name, ok := strings.CutPrefix(header, "Ce-")
		if !ok {
			continue
		}
		size += len(name) + len(r.Header.Get(header))
		name = strings.ToLower(name)
		text, err := url.PathUnescape(r.Header.Get(header))
		value := jsontext.Value(sdk.AppendString(nil, text))
		switch {
		case err != nil || !utf8.ValidString(text):
			e.fail(fieldProblem(codeInvalid, clipped(name), "want UTF-8, percent-encoded"))
		case name == "writekey":
			b.cloudKey(e, value)
		case name != "datacontenttype":
			c.attribute(name, value)
		}
	}
	if media := r.Header.Get("Content-Type"); media != "" {
		size += len("datacontenttype") + len(media)
		c.attribute("datacontenttype", sdk.AppendString(nil, media))
	}
	c.finish()
	if size > limits.Event {
		e.fail(tooLarge(size, limits.Event))
	} else if len(r.body) > 0 {
		if refused := c.setBody(b, r.body); refused != nil {
			return refused
		}
	}
	c.adoptTraits()
	return nil
}

func sortedNames(headers map[string][]string) []string {
	names := make([]string, 0, len(headers))
	for name := range headers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// attribute takes one attribute in.
func (c *cloudEvent) attribute(name string, value jsontext.Value) {
	e := c.e
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") != "" || name == "" || len(name) > maxExtension {
		e.fail(fieldProblem(codeInvalid, clipped(name), fmt.Sprintf("attributes have names of 1–%d lower-case letters and digits", maxExtension)))
		return
	}
	text, ok := c.text(name, value)
	if !ok {
		return
	}
	switch name {
	case "type":
		e.setType(text)
		return
	case "time":
		at, err := sdk.ParseTime(text)
		if err != nil {
			e.fail(fieldProblem(codeInvalid, "time", err.Error()))
		}
		e.Time = at
		return
	case "id":
		c.id = text
	case "source":
		c.source = text
		if _, err := url.Parse(text); err != nil || strings.ContainsRune(text, ' ') {
			e.fail(fieldProblem(codeInvalid, "source", "want a URI reference, such as /orders or https://shop.example/orders"))
		}
	case "specversion":
		c.version = text
	case "datacontenttype":
		media, _, err := mime.ParseMediaType(text)
		if c.media = media; err != nil {
			e.fail(fieldProblem(codeInvalid, "datacontenttype", "want a media type, such as application/json"))
		}
	case "dataschema":
		if u, err := url.Parse(text); err != nil || u.Scheme == "" {
			e.fail(fieldProblem(codeInvalid, "dataschema", "want a URI"))
		}
	case "subject":
	case "session", "sessionid":
		e.Session = c.limited(name, text)
	case "profile":
		e.Profile = c.limited(name, text)
	default:
		c.identify(name, text)
	}
	c.context = append(c.context, ',')
	c.context = append(append(append(append(c.context, '"'), name...), '"', ':'), value...)
}

// identify takes an extension attribute that names somebody: userid and
// anonymousid, or one that is called like a kind of identifier.
func (c *cloudEvent) identify(name, text string) {
	kind := map[string]string{"userid": record.KindUser, "anonymousid": record.KindAnonymous}[name]
	if kind == "" {
		kind = name
	}
	if k, ok := c.rules.kinds[kind]; ok {
		if !c.e.identify(k, c.limited(name, text)) {
			c.e.fail(fieldProblem(codeInvalid, name, fmt.Sprintf("more than the %d identifiers that are allowed", maxIDs)))
		}
	}
}

func (c *cloudEvent) limited(name, text string) string {
	if len(text) > maxID {
		c.e.fail(fieldProblem(codeInvalid, name, fmt.Sprintf("%d bytes are more than the %d that are allowed", len(text), maxID)))
		return ""
	}
	return text
}

// text reads an attribute's value: a string that is not empty and holds no
// control characters, or, of an extension, a boolean or a 32-bit integer.
func (c *cloudEvent) text(name string, value jsontext.Value) (string, bool) {
	switch value.Kind() {
	case '"':
		text := unquote(value)
		if text == "" {
			c.e.fail(fieldProblem(codeInvalid, name, "must not be empty"))
			return "", false
		}
		if strings.ContainsFunc(text, unicode.IsControl) {
			c.e.fail(fieldProblem(codeInvalid, name, "control characters are not allowed"))
			return "", false
		}
		return text, true
	case 't', 'f':
		if !slices.Contains(specified, name) {
			return string(value), true
		}
	case '0':
		if _, err := strconv.ParseInt(string(value), 10, 32); err == nil && !slices.Contains(specified, name) {
			return string(value), true
		}
	}
	c.e.fail(fieldProblem(codeInvalid, name, "want a string, or for an extension a boolean or an integer of 32 bits, got "+kindName(value.Kind())))
	return "", false
}

// specified are the attributes of the specification, all of them strings.
var specified = []string{"id", "source", "specversion", "type", "datacontenttype", "dataschema", "subject", "time"}

// finish checks the attributes that must be there, and makes of source and id,
// which are unique together, the event's id. A source holds no space, so that one
// between them keeps them apart.
func (c *cloudEvent) finish() {
	e := c.e
	switch {
	case c.version != "1.0":
		e.fail(fieldProblem(codeInvalid, "specversion", "want 1.0"))
	case c.id == "":
		e.fail(fieldProblem(codeInvalid, "id", "an event needs an id"))
	case c.source == "":
		e.fail(fieldProblem(codeInvalid, "source", "an event needs a source"))
	case e.Type == "":
		e.fail(fieldProblem(codeInvalid, "type", "an event needs a type"))
	}
	if c.id != "" && c.source != "" {
		if e.ID = c.source + " " + c.id; len(e.ID) > maxID {
			sum := sha256.Sum256([]byte(e.ID))
			e.ID = hex.EncodeToString(sum[:])
		}
	}
	e.orNobody = true
	if len(c.context) > 0 {
		c.context[0] = '{'
		e.Context = withField(nil, "cloudevents", append(c.context, '}'))
	}
}

// setBody takes the body of binary mode as data.
func (c *cloudEvent) setBody(b *batch, body []byte) *refusal {
	if c.media == "" || isJSON(c.media) {
		p := &b.parser
		p.begin(body)
		value, err := p.dec.ReadValue()
		if err == nil {
			if at := spaces(body, p.offset()); at < len(body) {
				err = textError("the data goes on after its value")
			}
		}
		if err == nil {
			c.setData(p, value)
			return nil
		}
		if c.media != "" {
			return &refusal{status: 400, problem: *syntaxProblem(err, body, 0)}
		}
	}
	c.e.Properties = textOrBase64(body)
	return nil
}

// setBinary takes data_base64: it stays as it is, unless it is JSON.
func (c *cloudEvent) setBinary(b *batch, value jsontext.Value) {
	var plain []byte
	err := error(textError("want a string"))
	if value.Kind() == '"' {
		plain, err = base64.StdEncoding.DecodeString(unquote(value))
	}
	switch {
	case err != nil:
		c.e.fail(fieldProblem(codeInvalid, "data_base64", "want base64 as a string"))
	case isJSON(c.media) && jsontext.Value(plain).IsValid():
		c.setData(&b.parser, plain)
	default:
		c.e.Properties = withField(nil, "data_base64", value)
	}
}

// setData makes properties of data in JSON: an object as it is, anything else as
// the property data.
func (c *cloudEvent) setData(p *parser, value jsontext.Value) {
	value = value[spaces(value, 0):]
	text := p.keep(c.e, "data", value)
	switch {
	case text == nil || value.Kind() == 'n':
	case value.Kind() == '{':
		c.e.Properties = text
	default:
		c.e.Properties = withField(nil, "data", text)
	}
}

// adoptTraits makes the data of an identify event its traits, too: nothing else
// in a CloudEvent could tell them.
func (c *cloudEvent) adoptTraits() {
	if c.e.Type == "identify" {
		c.e.Traits = c.e.Properties
	}
}

// textOrBase64 are the properties of what is not JSON: the property data as text,
// or data_base64 where it is none.
func textOrBase64(body []byte) []byte {
	if utf8.Valid(body) {
		return withField(nil, "data", sdk.AppendString(nil, string(body)))
	}
	return withField(nil, "data_base64", sdk.AppendString(nil, base64.StdEncoding.EncodeToString(body)))
}

// isJSON tells whether a media type is JSON. None stands for JSON.
func isJSON(media string) bool {
	return media == "" || media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json")
}
