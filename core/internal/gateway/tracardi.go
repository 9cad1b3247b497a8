package gateway

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/sdk"
)

// tracardiDialect is POST /track: Tracardi's payload and reply. All events of
// a payload are about one profile and belong to one session. A session that is
// known decides whose they are, whatever profile the client names; the client
// has to adopt the profile of the answer.
type tracardiDialect struct{}

func init() { handle(http.MethodPost, "/track", ingest(tracardiDialect{})) }

func (tracardiDialect) parse(b *batch, r *request, rules *rules, limits *Limits) *refusal {
	body := r.body
	envelope := newEnvelope(body, limits, &b.arena)
	var session, profile string
	var shared, request, properties, events []byte
	options := tracardiOptions{saveEvents: true, saveSession: true, saveProfile: true}
	profileLess := isTrue(r.query.Get("profile_less"))
	fault := envelope.open(body, func(name []byte) (err error) {
		switch string(name) {
		case `"source"`:
			b.key, err = envelope.id("source")
		case `"session"`:
			session, err = envelope.id("session")
		case `"profile"`:
			profile, err = envelope.id("profile")
		case `"context"`:
			shared, err = envelope.shared("context")
		case `"request"`:
			request, err = envelope.shared("request")
		case `"properties"`:
			properties, err = envelope.shared("properties")
		case `"profile_less"`:
			var yes bool
			yes, err = envelope.flag(&envelope.faults, "profile_less")
			profileLess = profileLess || yes
		case `"options"`:
			err = envelope.tracardiOptions(&options)
		case `"events"`:
			events, err = envelope.events("events")
		default:
			err = envelope.skip()
		}
		return err
	})
	if fault != nil {
		return &refusal{status: http.StatusUnprocessableEntity, problem: *fault}
	}
	if strings.HasPrefix(b.key, "@") {
		return refuse(http.StatusUnauthorized, codeUnauthorized, "a source id that begins with @ is reserved")
	}
	b.async, b.whole = options.async, options.profile
	b.together, b.context = true, shared
	linked := ""
	if !profileLess {
		linked = passed(shared, rules)
	}
	if len(request) > len("{}") {
		shared = withField(shared, "request", request)
	}
	if len(properties) > len("{}") {
		// What Tracardi keeps as the session's properties.
		shared = withField(shared, "session", properties)
	}
	if events == nil {
		return nil
	}
	s := b.stream(events, 0, limits, func(e *event, text []byte) (int, error) {
		n, err := b.tracardiEvent(e, text)
		b.share(e, n, shared, limits)
		return n, err
	})
	s.array()
	if refused := s.refusal(); refused != nil {
		if refused.status == http.StatusBadRequest {
			refused.status = http.StatusUnprocessableEntity
		}
		return refused
	}
	for i := range b.events {
		e := &b.events[i]
		e.Session, e.Profile, e.Passed, e.ProfileLess = session, profile, linked, profileLess
		e.bySession = true
		e.Transient = e.Transient || !options.saveEvents
		e.TransientSession, e.TransientProfile = !options.saveSession, !options.saveProfile
	}
	return nil
}

// passed is the profile that a visitor had on another site of the same owner, as
// that site's link told it: {"tracardi":{"pass":{"profile":"…","source":"…"}}} in the
// context, where the source is one that is known here.
func passed(context []byte, rules *rules) string {
	if len(context) == 0 {
		return ""
	}
	pass := sdk.RawView(context).Member("tracardi").Member("pass")
	source, _ := pass.String("source")
	if _, refused := rules.keylessSource(source); refused != nil {
		return ""
	}
	profile, _ := pass.String("profile")
	if profile = strings.TrimSpace(profile); len(profile) > maxID {
		return ""
	}
	return profile
}

// maxFingerprint is how long a fingerprint may be, in bytes; a longer one is none.
const maxFingerprint = 256

// recognise gives the events what the visitor's browser looks like, where their source
// goes by that: context.fingerprint, or context.device.fingerprint.
func (b *batch) recognise(source *config.Source) {
	if source.Fingerprint == 0 || len(b.context) == 0 {
		return
	}
	context := sdk.RawView(b.context)
	look, ok := context.String("fingerprint")
	if !ok {
		look, _ = context.Member("device").String("fingerprint")
	}
	if len(look) > maxFingerprint {
		return
	}
	look = config.IdentifierKind{}.Value(look) // as little as any identifier what a program writes where it has none
	for i := range b.events {
		if e := &b.events[i]; !e.ProfileLess {
			e.Fingerprint = look
		}
	}
}

// tracardiOptions are what a payload asks for beside its events.
type tracardiOptions struct {
	async                                bool // does not wait for flows
	profile                              bool // wants the profile's document
	saveEvents, saveSession, saveProfile bool
}

func (e *envelope) tracardiOptions(o *tracardiOptions) error {
	fields := map[string]*bool{
		`"async"`: &o.async, `"profile"`: &o.profile,
		`"saveEvents"`: &o.saveEvents, `"saveSession"`: &o.saveSession, `"saveProfile"`: &o.saveProfile,
	}
	_, err := e.object(func(name []byte) (err error) {
		field := fields[string(name)]
		if field == nil || e.dec.PeekKind() == 'n' {
			return e.skip()
		}
		*field, err = e.flag(&e.faults, "options."+unquote(name))
		return err
	})
	return err
}

func isTrue(s string) bool {
	yes, err := strconv.ParseBool(s)
	return err == nil && yes
}

// tracardiEvent reads one element of events. Fields that Tracardi does not
// read either are left out.
func (b *batch) tracardiEvent(e *event, text []byte) (int, error) {
	p := &b.parser
	p.begin(text)
	var inserted, created time.Time
	kind, err := p.object(func(name []byte) (err error) {
		switch string(name) {
		case `"id"`:
			e.ID, err = p.text(e, "id", maxID)
		case `"type"`:
			var s string
			if s, err = p.text(e, "type", maxType*4); s != "" {
				e.setType(s)
			}
		case `"time"`:
			inserted, created, err = p.tracardiTime(e)
		case `"properties"`:
			e.Properties, err = p.raw(e, "properties")
		case `"traits"`:
			e.Traits, err = p.raw(e, "traits")
		case `"context"`:
			e.Context, err = p.raw(e, "context")
		case `"tags"`:
			err = p.tags(e, "tags")
		case `"options"`:
			err = p.tracardiEventOptions(e)
		default:
			err = p.skip()
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	if e.Time = created; created.IsZero() {
		e.Time = inserted
	}
	switch {
	case kind != '{':
		e.fail(&problem{code: codeMalformed, message: "want an event as an object, got " + kindName(kind)})
	case e.Type == "":
		e.fail(fieldProblem(codeInvalid, "type", "an event needs a type"))
	}
	return p.offset(), nil
}

// tracardiEventOptions reads whether an event is kept, by either of its names.
func (p *parser) tracardiEventOptions(e *event) error {
	_, err := p.object(func(name []byte) error {
		if n := string(name); n != `"save"` && n != `"saveEvent"` || p.dec.PeekKind() == 'n' {
			return p.skip()
		}
		save, err := p.flag(e, "options."+unquote(name))
		e.Transient = !save
		return err
	})
	return err
}

// tracardiTime reads {"insert":"…","create":"…"}; either back-dates the event.
func (p *parser) tracardiTime(e *event) (inserted, created time.Time, err error) {
	if k := p.dec.PeekKind(); k == '"' {
		created, err = p.instant(e, "time")
		return inserted, created, err
	}
	kind, err := p.object(func(name []byte) (err error) {
		switch string(name) {
		case `"insert"`:
			inserted, err = p.instant(e, "time.insert")
		case `"create"`:
			created, err = p.instant(e, "time.create")
		default:
			err = p.skip()
		}
		return err
	})
	if err == nil && kind != '{' && kind != 'n' {
		e.fail(fieldProblem(codeMalformed, "time", "want an object with insert and create, got "+kindName(kind)))
	}
	return inserted, created, err
}

// announced takes a header that is no write key for nothing: Tracardi's clients
// may send tokens of their own there.
func (tracardiDialect) announced(r *request, rules *rules) (*config.Source, *refusal) {
	source, _ := rules.sourceOf(headerKey(r.Header))
	return source, nil
}

func (tracardiDialect) named(_ *request, rules *rules, key string) (*config.Source, *refusal) {
	return rules.keylessSource(key)
}

func (tracardiDialect) until(b *batch, _ *request) (stage, *refusal) {
	if b.async {
		return stored, nil
	}
	return flows, nil
}

// reply writes
//
//	{"task":"…","ux":[],"response":{},"profile":{"id":"…"},"session":{"id":"…"},"errors":[],"warnings":[]}
//
// with status 226 where there are errors, and null where there were no events.
// The response is what the flows answered, merged.
func (tracardiDialect) reply(g *Gateway, w http.ResponseWriter, _ *request, b *batch, form replyForm) {
	w.Header().Set("X-Process-Time", strconv.FormatFloat(g.now().Sub(b.received).Seconds(), 'f', 4, 64))
	if len(b.events) == 0 {
		writeJSON(w, http.StatusOK, []byte("null"))
		return
	}
	if refusedForNow(b.events) {
		nothingStored.write(w)
		return
	}
	var profile, session string
	var errs, warnings []string
	for i := range b.events {
		e := &b.events[i]
		who, visit := e.profile, e.Session
		if e.TransientProfile {
			who = "" // nobody may come to have it
		}
		if e.outcome != nil {
			who, visit = e.outcome.Profile, e.outcome.Session
			for _, fault := range e.outcome.Errors {
				errs = append(errs, "event "+e.ID+": "+fault.Path+": "+fault.Message)
			}
		}
		if e.problem != nil {
			errs = append(errs, "event "+strconv.Itoa(i)+": "+e.problem.message)
			continue
		}
		if who != "" {
			profile = who
		}
		if visit != "" {
			session = visit
		}
	}
	if form.late {
		warnings = append(warnings, "the events are stored, but not all of them, and their flows, were done in time")
	}
	status := http.StatusOK
	if len(errs) > 0 {
		status = http.StatusIMUsed
	}
	b.out = append(b.out[:0], `{"task":`...)
	b.out = sdk.AppendString(b.out, newID())
	b.out = append(b.out, `,"ux":[],"response":`...)
	b.out = sdk.AppendValue(b.out, tracardiResponse(b.events))
	b.out = append(b.out, `,"profile":`...)
	if document, ok := form.profile[profile]; ok {
		b.out = append(b.out, document...)
	} else {
		b.out = appendIDOrNull(b.out, profile)
	}
	b.out = append(b.out, `,"session":`...)
	b.out = appendIDOrNull(b.out, session)
	b.out = append(b.out, `,"errors":`...)
	b.out = sdk.AppendValue(b.out, errs)
	b.out = append(b.out, `,"warnings":`...)
	b.out = sdk.AppendValue(b.out, warnings)
	writeJSON(w, status, append(b.out, '}'))
}

func appendIDOrNull(dst []byte, id string) []byte {
	if id == "" {
		return append(dst, "null"...)
	}
	dst = append(dst, `{"id":`...)
	dst = sdk.AppendString(dst, id)
	return append(dst, '}')
}
