package gateway

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// A segmentCall is what decides about the form of an event: the call that the
// client made.
type segmentCall struct {
	call, event, name, category string
	fixed                       bool // the path tells the call, whatever the event says
	previous, group             string
	sent, original, stamp       time.Time
}

// segmentEvent reads one event of the kin. Fields that say nothing about it
// are left out.
func (b *batch) segmentEvent(e *event, rules *rules, text []byte, c segmentCall) (int, error) {
	p := &b.parser
	p.begin(text)
	kind, err := p.object(func(name []byte) error { return b.segmentField(e, &c, rules, name) })
	if err != nil {
		return 0, err
	}
	n := p.offset()
	if kind != '{' {
		e.fail(&problem{code: codeMalformed, message: "want an event as an object, got " + kindName(kind)})
		return n, nil
	}
	c.decide(e, rules)
	e.Time = c.happened(b.received)
	e.Context = withField(e.Context, "segment", c.appendJSON(nil))
	return n, nil
}

// decide makes an event of ours of the call.
func (c *segmentCall) decide(e *event, rules *rules) {
	switch c.call {
	case "track":
		if e.setType(typeName(c.event)); e.Type == "" {
			e.fail(fieldProblem(codeInvalid, "event", "track needs an event with letters or digits in its name"))
		}
	case "page":
		e.Type = "page-view"
	case "screen":
		e.Type = "screen-view"
	case "identify":
		e.Type = "identify"
	case "group":
		e.Type, e.othersTraits = "group", true
		if c.group == "" {
			e.fail(fieldProblem(codeInvalid, "groupId", "group needs a groupId"))
		}
		e.Properties = withField(e.Properties, "groupId", sdk.AppendString(nil, c.group))
	case "alias":
		e.Type = "alias"
		user := slices.ContainsFunc(e.IDs, func(id record.Identifier) bool { return id.Kind == record.KindUser })
		if c.previous == "" || !user {
			e.fail(&problem{code: codeInvalid, message: "alias needs a userId, and a previousId that becomes one of that user's"})
			break
		}
		e.identify(rules.kinds[record.KindAnonymous], c.previous)
		e.Properties = withField(e.Properties, "previousId", sdk.AppendString(nil, c.previous))
	default:
		e.fail(fieldProblem(codeInvalid, "type", "want track, identify, page, screen, group or alias, got "+clipped(c.call)))
	}
	if len(e.IDs) == 0 {
		e.fail(&problem{code: codeInvalid, message: "an event needs a userId or an anonymousId"})
	}
}

func (b *batch) segmentField(e *event, c *segmentCall, rules *rules, name []byte) (err error) {
	p := &b.parser
	switch string(name) {
	case `"type"`:
		if c.fixed {
			return p.skip()
		}
		c.call, err = p.text(e, "type", maxID)
	case `"messageId"`:
		e.ID, err = p.text(e, "messageId", maxID)
	case `"userId"`:
		err = p.identifier(e, "userId", rules.kinds[record.KindUser])
	case `"anonymousId"`:
		err = p.identifier(e, "anonymousId", rules.kinds[record.KindAnonymous])
	case `"previousId"`:
		c.previous, err = p.text(e, "previousId", maxID)
	case `"groupId"`:
		c.group, err = p.text(e, "groupId", maxID)
	case `"event"`:
		c.event, err = p.text(e, "event", maxType*4)
	case `"name"`:
		c.name, err = p.text(e, "name", maxType*4)
	case `"category"`:
		c.category, err = p.text(e, "category", maxType*4)
	case `"properties"`:
		e.Properties, err = p.raw(e, "properties")
	case `"traits"`:
		e.Traits, err = p.raw(e, "traits")
	case `"context"`:
		e.Context, err = p.raw(e, "context")
	case `"timestamp"`:
		c.stamp, err = p.instant(e, "timestamp")
	case `"originalTimestamp"`:
		c.original, err = p.instant(e, "originalTimestamp")
	case `"sentAt"`:
		var sent time.Time
		if sent, err = p.instant(e, "sentAt"); !sent.IsZero() {
			c.sent = sent
		}
	case `"writeKey"`:
		var key string
		if key, err = p.text(e, "writeKey", maxWriteKey); b.key == "" && !masked(key) {
			b.key = key
		}
	default:
		err = p.skip()
	}
	return err
}

// identifier reads one identifier of a kind.
func (p *parser) identifier(e *event, field string, k *kind) error {
	value, err := p.text(e, field, maxID)
	e.identify(k, value)
	return err
}

// happened is the event's time by the server's clock.
func (c *segmentCall) happened(received time.Time) time.Time {
	at := c.stamp
	switch {
	case at.IsZero():
		at = c.original
	case !c.original.IsZero():
		return at // RudderStack's clients put the caller's time beside that of the call
	}
	return byServerClock(at, c.sent, received)
}

// appendJSON appends what the client called the event, for its context.
func (c *segmentCall) appendJSON(dst []byte) []byte {
	dst = append(dst, `{"type":`...)
	dst = sdk.AppendString(dst, c.call)
	for _, f := range [...]struct{ name, value string }{{"event", c.event}, {"name", c.name}, {"category", c.category}} {
		if f.value != "" {
			dst = append(dst, `,"`...)
			dst = append(dst, f.name...)
			dst = append(dst, `":`...)
			dst = sdk.AppendString(dst, f.value)
		}
	}
	return append(dst, '}')
}

// typeName makes an event type of the name that a client gave an event: NFKC,
// lower case, each run of anything but letters and digits one hyphen, none at
// the ends. "Order Completed" is order-completed.
func typeName(name string) string {
	var b strings.Builder
	gap := false
	for _, r := range strings.ToLower(norm.NFKC.String(name)) {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			gap = true
			continue
		}
		if gap && b.Len() > 0 {
			b.WriteByte('-')
		}
		gap = false
		b.WriteRune(r)
	}
	return b.String()
}
