package gateway

import (
	"bytes"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/enrich"
	"github.com/tributary-bus/tributary/sdk"
)

// A sender is who a request or a connection comes from, as its headers tell. The
// zero sender tells nothing.
type sender struct {
	address   netip.Addr
	agent     string
	languages string
	// personal is true where address and languages are those of the browser, the
	// app or the robot that the events are about, not of a server that sends for it.
	personal bool
}

// sender reads a request's headers. It costs no more than looking at them: what
// they tell is found out when the event is processed.
func (g *Gateway) sender(r *http.Request) sender {
	s := sender{agent: r.UserAgent()}
	s.agent = s.agent[:min(len(s.agent), enrich.MaxAgent)]
	if s.personal = enrich.Personal(s.agent); s.personal {
		s.address = g.options.Proxies.client(r)
		if s.languages = r.Header.Get("Accept-Language"); len(s.languages) > enrich.MaxLanguages {
			s.languages = ""
		}
	}
	return s
}

// screen looks at what a batch's source wants of its events before they are taken
// in: which types it may send, what it does with robots, what is added about the
// sender, and what is kept of an address. That is settled here, since the source
// may be another one, or gone, by the time the events are processed.
func (b *batch) screen(source *config.Source) {
	var facts facts
	if b.sender.personal && !source.Plain {
		facts.of(&b.sender, source, &b.arena)
	}
	screened := source.Bots == config.BotsMark || source.Bots == config.BotsRefuse
	robot := screened && enrich.IsBot(b.sender.agent)
	for i := range b.events {
		e := &b.events[i]
		if e.status != accepted {
			continue
		}
		if !source.Sends(e.Type) {
			e.fail(fieldProblem(codeInvalid, "type", fmt.Sprintf("source %s may not send %s; see its types", source.ID, clipped(e.Type))))
			continue
		}
		if screened && !e.screenRobot(source, robot) {
			continue
		}
		e.Context = enrich.Cut(facts.addTo(e.Context, &b.arena), source.IP)
	}
}

// screenRobot does with an event of a robot what its source wants. What the event
// says of its user agent counts before that of the request. It is false where the
// event is refused.
func (e *event) screenRobot(source *config.Source, robot bool) bool {
	if agent, ok := sdk.RawView(e.Context).Member("userAgent").String(""); ok && agent != "" {
		robot = enrich.IsBot(agent)
	}
	switch {
	case !robot:
	case source.Bots == config.BotsRefuse:
		e.fail(&problem{code: codeBot, message: fmt.Sprintf("its user agent is that of a robot, and source %s takes none; see its bots", source.ID)})
		return false
	case !slices.Contains(e.Tags, botTag):
		e.Tags = append(e.Tags[:len(e.Tags):len(e.Tags)], botTag)
	}
	return true
}

// botTag marks events of robots.
const botTag = "bot"

// facts are members of a context that tell who sends, as text.
type facts struct {
	members [3]fact
	n       int
	object  []byte // of all of them
}

type fact struct {
	name   string
	quoted string
	text   []byte // "name":value
}

// of writes what is kept of a sender. An address of this machine says nothing.
func (f *facts) of(s *sender, source *config.Source, arena *[]byte) {
	if s.address.IsValid() && !s.address.IsLoopback() && !s.address.IsUnspecified() {
		f.add("ip", `"ip"`, enrich.Kept(s.address, source.IP), arena)
	}
	f.add("userAgent", `"userAgent"`, s.agent, arena)
	f.add("languages", `"languages"`, s.languages, arena)
	f.object = f.addTo(nil, arena)
}

func (f *facts) add(name, quoted, value string, arena *[]byte) {
	if value == "" {
		return
	}
	start := len(*arena)
	*arena = append(*arena, quoted...)
	*arena = append(*arena, ':')
	*arena = sdk.AppendString(*arena, strings.ToValidUTF8(value, "\uFFFD"))
	f.members[f.n] = fact{name, quoted, (*arena)[start:len(*arena):len(*arena)]}
	f.n++
}

// addTo returns a context with those of the facts that it does not have itself,
// in front. It is looked at as text, and decoded nowhere.
func (f *facts) addTo(context []byte, arena *[]byte) []byte {
	if f.n == 0 {
		return context
	}
	empty := len(context) <= len("{}")
	if empty && f.object != nil {
		return f.object
	}
	start := len(*arena)
	*arena = append(*arena, '{')
	for i := range f.members[:f.n] {
		m := &f.members[i]
		if !empty && hasMember(context, m.name, m.quoted) {
			continue
		}
		*arena = append(append(*arena, m.text...), ',')
	}
	if len(*arena) == start+1 { // nothing is new
		*arena = (*arena)[:start]
		return context
	}
	if empty {
		(*arena)[len(*arena)-1] = '}'
	} else {
		*arena = append(*arena, context[1:]...)
	}
	return (*arena)[start:len(*arena):len(*arena)]
}

// hasMember tells whether an object has a member of its own, not further down, of
// a name.
func hasMember(object []byte, name, quoted string) bool {
	if !contains(object, quoted) {
		return false
	}
	for other := range sdk.RawView(object).Members() {
		if other == name {
			return true
		}
	}
	return false
}

// contains tells whether a name may stand in a JSON text: as it is, or with escapes.
func contains(text []byte, quoted string) bool {
	return bytes.Contains(text, []byte(quoted)) || bytes.IndexByte(text, '\\') >= 0
}
