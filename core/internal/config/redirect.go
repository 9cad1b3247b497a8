package config

import (
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/tributary-bus/tributary/sdk/condition"
)

// A Redirect is a click-through: a link that tells of the click and leads on.
type Redirect struct {
	ID, Source string
	url        *condition.Template
	// Event maps a click to an event.
	Event *EventMapping
}

// redirectScope is that of a redirect's event and URL: payload.params are the
// query, payload.body what the body has, both as of a webhook; payload.session is
// the session.
var redirectScope = condition.NewScope("payload")

// A Click is what a redirect was asked with.
type Click struct {
	Params, Body map[string]any
	Session      string // empty: none
}

func (c *Click) vars(now time.Time) *condition.Vars {
	payload := map[string]any{"params": c.Params, "body": c.Body}
	if c.Session != "" {
		payload["session"] = c.Session
	}
	return &condition.Vars{Payload: payload, Now: now}
}

// Map makes the event of a click.
func (r *Redirect) Map(c *Click, now time.Time) (Mapped, error) { return r.Event.Map(c.vars(now)) }

// Target is where a click leads. Scheme and host are those of the template; a
// value is percent-encoded, so that it stays within the part of the URL that it
// stands in. A value that fails to evaluate is empty: the visitor goes on.
func (r *Redirect) Target(c *Click, now time.Time) string {
	target, err := r.url.Text(c.vars(now), escapeInURL)
	if err != nil {
		target, _ = r.url.Text(&condition.Vars{Payload: map[string]any{}, Now: now}, func(string, string) string { return "" })
	}
	return target
}

// escapeInURL encodes a value for the part of a URL that begins with before. In a
// path, a value that would climb is left out.
func escapeInURL(before, value string) string {
	value = strings.ToValidUTF8(value, "")
	switch {
	case strings.ContainsRune(before, '#'):
		return url.PathEscape(value)
	case strings.ContainsRune(before, '?'):
		return url.QueryEscape(value)
	case strings.Trim(value, ".") == "":
		return ""
	}
	return url.PathEscape(value)
}

func compileRedirect(f *form, id string) any {
	r := &Redirect{ID: id, Source: f.wantText("source"), Event: f.mapping("event", redirectScope)}
	text := f.wantText("url")
	if text == "" {
		return r
	}
	t, err := condition.CompileTemplate(text, redirectScope)
	if err != nil {
		f.fail(f.get("url"), f.at("url"), "%v", err)
		return r
	}
	if message := badTarget(t); message != "" {
		f.fail(f.get("url"), f.at("url"), "%s", message)
	}
	r.url = t
	return r
}

// badTarget tells why a template is no safe URL: who makes a link must not be
// able to choose where it leads.
func badTarget(t *condition.Template) string {
	const want = "want scheme and host before the first {{ }}, ended by /, ? or #, such as https://shop.example/sale?from={{ payload.params.from }}"
	prefix := t.Prefix()
	u, err := url.Parse(prefix)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return want
	}
	rest := strings.TrimPrefix(prefix, prefix[:strings.Index(prefix, "://")+3])
	if !t.Literal() && !strings.ContainsAny(rest, "/?#") {
		return want
	}
	if strings.ContainsFunc(t.Source(), unicode.IsControl) || strings.ContainsAny(prefix, ` \`) {
		return "a URL holds no control characters, spaces and backslashes"
	}
	return ""
}

// checkRedirect reports what a redirect needs and the set does not have.
func checkRedirect(c *checker, compiled any, s *Set) {
	r := compiled.(*Redirect)
	s.wantSource(c, "spec.source", r.Source)
	if r.Event.source != nil {
		c.fail(nil, "spec.event.source", "a redirect's events are of its own source; remove the field")
	}
	s.wantKinds(c, r.Event)
}
