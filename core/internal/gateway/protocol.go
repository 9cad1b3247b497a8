package gateway

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/core/internal/live"
	"github.com/tributary-bus/tributary/sdk"
)

// A closing is why the server ends a WebSocket connection. Clients reconnect
// after codes 3000–3499, and do not after 3500–3999.
type closing struct {
	code   int
	reason string
}

// The reasons for which the server ends a connection.
var (
	closeGone         = closing{3000, "connection closed"}
	closeShutdown     = closing{3001, "shutting down"}
	closeExpired      = closing{3005, "token expired"}
	closeSlow         = closing{3008, "slow reader"}
	closeLost         = closing{3009, "events or steps were dropped before they could be pushed"}
	closeNoPong       = closing{3012, "no pong"}
	closeUnready      = closing{3014, "tokens cannot be verified now"}
	closeConnections  = closing{3013, "too many connections"}
	closeBusy         = closing{3015, "the gateway is busy with other requests"}
	closeUnauthorized = closing{3500, "unknown key or token"}
	closeNobody       = closing{3500, "no key or token"}
	closeNotConnected = closing{3501, "connect first"}
	closeForbidden    = closing{3503, "origin not allowed"}
)

// A pace says how long the server waits for a WebSocket client.
type pace struct {
	ping    time.Duration // between pings
	pong    time.Duration // for anything from the client after a ping
	message time.Duration // in which a message's bytes, from its first one on, are signs of life
	connect time.Duration // for a key or a token
	stall   time.Duration // for one write to be taken, and for a slow reader to come to why it is closed
	write   time.Duration // for what is queued where a connection ends for another reason
	last    time.Duration // for the word why it is closed, behind that
}

var usualPace = pace{ping: 25 * time.Second, pong: 10 * time.Second, message: 30 * time.Second, connect: 10 * time.Second, stall: 30 * time.Second, write: 10 * time.Second, last: 5 * time.Second}

const (
	// frameOverhead is what a frame may hold beside its events.
	frameOverhead = 16 << 10
	maxFilter     = 4 << 10
	maxToken      = 8 << 10
	maxEpoch      = 256
	// maxSubscriptions is how many channels one connection may listen to.
	maxSubscriptions = 64
)

// A command is one line that a client sent.
type command struct {
	id   int64
	name string // connect, track, subscribe, unsubscribe, refresh or pong

	key, token, session string         // connect, refresh
	events              jsontext.Value // track
	wait                string         // track
	channel, filter     string         // subscribe, unsubscribe
	from                *live.Position // subscribe: to go on from
}

const commandNames = "connect, track, subscribe, unsubscribe, refresh or pong"

// parseCommand reads a line, which must stay unchanged as long as the command.
func (p *parser) parseCommand(line []byte) (c command, refused *refusal) {
	e := event{} // takes the faults that are found
	p.begin(line)
	kind, err := p.object(func(name []byte) (err error) {
		switch string(name) {
		case `"id"`:
			c.id, err = p.number(&e, "id")
			return err
		case `"connect"`, `"track"`, `"subscribe"`, `"unsubscribe"`, `"refresh"`, `"pong"`:
			if c.name != "" {
				e.fail(&problem{code: codeInvalid, message: "one command a line, got " + c.name + " and " + unquote(name)})
			}
			c.name = unquote(name)
			kind, err := p.object(func(field []byte) error { return p.commandField(&e, &c, field) })
			if err == nil && kind != '{' {
				e.fail(fieldProblem(codeMalformed, c.name, "want an object, got "+kindName(kind)))
			}
			return err
		}
		e.fail(fieldProblem(codeUnknownField, clipped(unquote(name)), "unknown command; want "+commandNames))
		return p.skip()
	})
	switch {
	case err != nil:
		return c, &refusal{problem: *syntaxProblem(err, line, 0)}
	case kind != '{':
		return c, refuse(0, codeMalformed, "want a command as an object, got "+kindName(kind))
	case len(bytes.TrimSpace(line[p.offset():])) > 0:
		return c, refuse(0, codeMalformed, "the line goes on after its object")
	case e.problem != nil:
		return c, &refusal{problem: *e.problem}
	case c.name == "":
		return c, refuse(0, codeInvalid, "no command; want "+commandNames)
	case c.id <= 0 && c.name != "pong":
		return c, refuse(0, codeInvalid, "id: "+c.name+" needs an id above 0, which its answer will have")
	}
	return c, nil
}

// commandFields are the fields of each command.
var commandFields = map[string]string{
	"connect": "key token session", "track": "events wait", "subscribe": "channel filter recover",
	"unsubscribe": "channel", "refresh": "token", "pong": "",
}

func (p *parser) commandField(e *event, c *command, quoted []byte) (err error) {
	name := unquote(quoted)
	if !bytes.Contains([]byte(" "+commandFields[c.name]+" "), []byte(" "+name+" ")) || name == "" {
		e.fail(fieldProblem(codeUnknownField, c.name+"."+clipped(name), "unknown field; "+c.name+" has "+commandFields[c.name]))
		return p.skip()
	}
	path := c.name + "." + name
	switch name {
	case "key":
		c.key, err = p.text(e, path, maxWriteKey)
	case "token":
		c.token, err = p.text(e, path, maxToken)
	case "session":
		c.session, err = p.text(e, path, maxID)
	case "events":
		c.events, err = p.dec.ReadValue()
	case "wait":
		c.wait, err = p.text(e, path, maxType)
	case "channel":
		c.channel, err = p.text(e, path, maxID)
	case "filter":
		c.filter, err = p.text(e, path, maxFilter)
	case "recover":
		c.from, err = p.position(e, path)
	}
	return err
}

// position reads where a subscription is to go on.
func (p *parser) position(e *event, path string) (*live.Position, error) {
	from := &live.Position{}
	kind, err := p.object(func(quoted []byte) (err error) {
		switch name := unquote(quoted); name {
		case "epoch":
			from.Epoch, err = p.text(e, path+".epoch", maxEpoch)
		case "offset":
			var n int64
			n, err = p.number(e, path+".offset")
			if n < 0 {
				e.fail(fieldProblem(codeInvalid, path+".offset", "want 0 or more"))
			}
			from.Offset = uint64(max(n, 0))
		default:
			e.fail(fieldProblem(codeUnknownField, path+"."+clipped(name), "unknown field; recover has epoch offset"))
			err = p.skip()
		}
		return err
	})
	switch {
	case err != nil:
	case kind == 'n':
		return nil, nil
	case kind != '{':
		e.fail(fieldProblem(codeMalformed, path, "want an object, got "+kindName(kind)))
	case from.Offset > 0 && from.Epoch == "":
		e.fail(fieldProblem(codeInvalid, path+".epoch", "an offset means something only together with the epoch that subscribed told; 0 is all that is kept"))
	}
	return from, err
}

// number reads an integer.
func (p *parser) number(e *event, field string) (int64, error) {
	raw, err := p.dec.ReadValue()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		e.fail(fieldProblem(codeMalformed, field, "want an integer, got "+clipped(string(raw))))
	}
	return n, nil
}

// errorFrame answers a command that was refused; id 0: a line that had none.
func errorFrame(id int64, r *refusal) []byte {
	dst := frame(id, "error", len(r.message)+128)
	dst = r.appendFields(dst)
	if r.temporary() {
		dst = append(dst, `,"temporary":true,"retry_after":`...)
		dst = append(dst, retryIn(r.retryAfter)...)
	}
	return append(dst, "}}"...)
}

// frame begins an answer up to its object's content.
func frame(id int64, name string, room int) []byte {
	dst := make([]byte, 0, room+len(name)+32)
	dst = append(dst, '{')
	if id > 0 {
		dst = append(dst, `"id":`...)
		dst = strconv.AppendInt(dst, id, 10)
		dst = append(dst, ',')
	}
	dst = append(dst, '"')
	dst = append(dst, name...)
	return append(dst, `":{`...)
}

func connectedFrame(id int64, session string, l *Limits, ping time.Duration) []byte {
	dst := frame(id, "connected", 160)
	dst = append(dst, `"session":`...)
	dst = appendTextOrNull(dst, session)
	return fmt.Appendf(dst, `,"limits":{"event":%d,"request":%d,"events":%d,"nesting":%d},"ping":%d}}`,
		l.Event, l.Request, l.Events, l.Nesting, int(ping/time.Second))
}

func unsubscribedFrame(id int64, channel string) []byte {
	dst := frame(id, "unsubscribed", len(channel)+16)
	dst = append(dst, `"channel":`...)
	dst = sdk.AppendString(dst, channel)
	return append(dst, "}}"...)
}

// subscribedFrame says where a subscription begins, and to a client that wanted
// to go on whether it does without a gap.
func subscribedFrame(id int64, channel string, start live.Start, asked bool) []byte {
	dst := frame(id, "subscribed", len(channel)+96)
	dst = appendStart(dst, channel, start, asked)
	return append(dst, "}}"...)
}

func appendStart(dst []byte, channel string, start live.Start, asked bool) []byte {
	dst = append(dst, `"channel":`...)
	dst = sdk.AppendString(dst, channel)
	dst = append(dst, `,"epoch":`...)
	dst = sdk.AppendString(dst, start.Epoch)
	dst = append(dst, `,"offset":`...)
	dst = strconv.AppendUint(dst, start.Offset, 10)
	if asked {
		dst = append(dst, `,"recovered":`...)
		dst = strconv.AppendBool(dst, start.Recovered)
	}
	return dst
}

func ackFrame(id int64, events []event) []byte {
	dst := frame(id, "ack", 80*len(events))
	dst = append(dst, `"results":`...)
	dst = appendResults(dst, events, replyForm{})
	return append(dst, "}}"...)
}

func resultFrame(id int64, events []event, form replyForm) []byte {
	dst := frame(id, "result", 160*len(events))
	dst = appendReply(dst[:len(dst)-1], events, form)
	return append(dst, '}')
}

var pingFrame = []byte(`{"ping":{}}`)
