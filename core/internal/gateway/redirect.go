package gateway

import (
	"mime"
	"net/http"
	"net/url"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/sdk"
)

// redirection is /redirect/{id}[/{session}]: a link that makes an event of the
// click and leads on to where its redirect resource says. The visitor goes on
// whatever becomes of the event.
type redirection struct{ unwaited }

func init() {
	for _, path := range []string{"/redirect/{id}", "/redirect/{id}/{session}"} {
		handle(http.MethodGet, path, ingest(redirection{}))
		handle(http.MethodPost, path, ingest(redirection{}))
		handle(http.MethodHead, path, leadOnly)
	}
}

// sessionCookie is what Tracardi's client calls its session's cookie.
const sessionCookie = "tracardi-session-id"

func (redirection) announced(r *request, rules *rules) (*config.Source, *refusal) {
	redirect, ok := rules.set.Redirect(r.PathValue("id"))
	if !ok {
		return nil, refuse(http.StatusNotFound, codeNotFound, "there is no redirect "+clipped(r.PathValue("id")))
	}
	source, ok := rules.set.Source(redirect.Source)
	if !ok || source.Disabled {
		return nil, refuse(http.StatusUnauthorized, codeUnauthorized, "the redirect's source is disabled")
	}
	return source, nil
}

func (redirection) named(_ *request, _ *rules, _ string) (*config.Source, *refusal) {
	return nil, errNoKey
}

// parse makes the event that the resource maps the click to, in the native form.
func (redirection) parse(b *batch, r *request, rules *rules, limits *Limits) *refusal {
	redirect, ok := rules.set.Redirect(r.PathValue("id"))
	if !ok {
		return refuse(http.StatusNotFound, codeNotFound, "there is no such redirect")
	}
	click := clickOf(r, limits)
	mapped, err := redirect.Map(click, b.received)
	if err != nil {
		b.add().fail(&problem{code: codeInvalid, message: "the redirect cannot make an event of the click: " + clipped(err.Error())})
		return nil
	}
	if mapped.Session == "" {
		mapped.Session = click.Session
	}
	return b.single(mappedText(&mapped, redirect.ID), limits, func(e *event, text []byte) (int, error) {
		e.orNobody = true
		return b.native(e, rules, text)
	})
}

// clickOf reads what a redirect was asked with. A session in the path counts
// before that of the cookie.
func clickOf(r *request, limits *Limits) *config.Click {
	click := &config.Click{Params: nested(r.URL.Query(), limits.Nesting-2), Session: r.PathValue("session")}
	if cookie, err := r.Cookie(sessionCookie); err == nil && click.Session == "" {
		click.Session = cookie.Value
	}
	if len(click.Session) > maxID {
		click.Session = ""
	}
	if len(r.body) == 0 || len(r.body) > limits.Event {
		return click
	}
	if object, err := sdk.ParseObject(r.body); err == nil {
		click.Body = object
	} else if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media == "application/x-www-form-urlencoded" {
		if pairs, err := url.ParseQuery(string(r.body)); err == nil {
			click.Body = nested(pairs, limits.Nesting-2)
		}
	}
	return click
}

// mappedText writes a mapped event in the native form, with the redirect that it
// came by in its context.
func mappedText(m *config.Mapped, redirect string) []byte {
	context := m.Context
	if context == nil {
		context = map[string]any{}
	}
	context["redirect"] = map[string]any{"id": redirect}
	fields := map[string]any{"type": m.Type, "context": context}
	for name, value := range map[string]string{"id": m.ID, "session": m.Session, "profile": m.Profile} {
		if value != "" {
			fields[name] = value
		}
	}
	if !m.Time.IsZero() {
		fields["time"] = sdk.FormatTime(m.Time)
	}
	if len(m.IDs) > 0 {
		ids := map[string]any{}
		for _, id := range m.IDs {
			ids[id.Kind] = id.Value
		}
		fields["ids"] = ids
	}
	if len(m.Properties) > 0 {
		fields["properties"] = m.Properties
	}
	if len(m.Traits) > 0 {
		fields["traits"] = m.Traits
	}
	if len(m.Tags) > 0 {
		tags := make([]any, len(m.Tags))
		for i, tag := range m.Tags {
			tags[i] = tag
		}
		fields["tags"] = tags
	}
	return sdk.AppendValue(nil, fields)
}

func (redirection) reply(g *Gateway, w http.ResponseWriter, r *request, b *batch, _ replyForm) {
	g.reportInvalid(r.Pattern, b)
	g.lead(w, r, nothingStored)
}

// refused leads on all the same, where it is known where to.
func (redirection) refused(g *Gateway, w http.ResponseWriter, r *request, refused *refusal) {
	g.lead(w, r, refused)
}

// leadOnly answers HEAD, which is no click.
func leadOnly(g *Gateway, w http.ResponseWriter, r *http.Request) {
	g.lead(w, &request{Request: r}, refuse(http.StatusNotFound, codeNotFound, "there is no such redirect"))
}

// lead sends the visitor to where the redirect leads. Where there is none, or a
// newer configuration has it no more, it answers otherwise.
func (g *Gateway) lead(w http.ResponseWriter, r *request, otherwise *refusal) {
	redirect, ok := g.current().set.Redirect(r.PathValue("id"))
	if !ok {
		otherwise.write(w)
		return
	}
	status := http.StatusFound
	if r.Method == http.MethodPost {
		status = http.StatusSeeOther // with GET
	}
	w.Header().Set("Location", redirect.Target(clickOf(r, &g.limits), g.now()))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
}
