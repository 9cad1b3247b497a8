package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/consent"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// consentDialect is Tracardi's POST /customer/consent:
//
//	{"source":{"id":"…"},"session":{"id":"…"},"profile":{"id":"…"},"consents":{"marketing":true}}
//
// It makes a consent-update event of that. With ?all=true every consent type is
// given that people are asked for. Who speaks for a profile knows a session of it, or
// is refused. It is answered as /track is, once the event was processed.
type consentDialect struct{ tracardiDialect }

func init() { handle(http.MethodPost, "/customer/consent", ingest(consentDialect{})) }

// A wary dialect looks, before anything is taken in, whether the sender may say what
// it says.
type wary interface {
	allowed(ctx context.Context, g *Gateway, b *batch, source *config.Source) *refusal
}

func (consentDialect) parse(b *batch, r *request, rules *rules, limits *Limits) *refusal {
	envelope := newEnvelope(r.body, limits, &b.arena)
	var session, profile string
	var consents []byte
	fault := envelope.open(r.body, func(name []byte) (err error) {
		switch string(name) {
		case `"source"`:
			b.key, err = envelope.id("source")
		case `"session"`:
			session, err = envelope.id("session")
		case `"profile"`:
			profile, err = envelope.id("profile")
		case `"consents"`:
			consents, err = envelope.shared("consents")
		default:
			err = envelope.skip()
		}
		return err
	})
	if isTrue(r.query.Get("all")) {
		consents = allConsents(rules.set)
	}
	if fault == nil && consents == nil {
		fault = fieldProblem(codeMalformed, "consents", `want an object such as {"marketing":true}, or ?all=true`)
	}
	if fault != nil {
		return &refusal{status: http.StatusUnprocessableEntity, problem: *fault}
	}
	if len(consents) > limits.Event {
		return &refusal{status: http.StatusRequestEntityTooLarge, problem: *tooLarge(len(consents), limits.Event)}
	}
	e := b.add()
	e.setType(consent.TypeUpdate)
	e.Session, e.Profile, e.bySession = session, profile, true
	e.Properties = b.parser.keep(e, "consents", withField(nil, "consents", consents))
	return nil
}

// allConsents gives every consent that people are asked for.
func allConsents(set *config.Set) []byte {
	all := map[string]any{}
	for _, t := range set.ConsentTypes() {
		if !t.Disabled {
			all[t.ID] = true
		}
	}
	return sdk.AppendValue(nil, all)
}

func (consentDialect) until(*batch, *request) (stage, *refusal) { return processed, nil }

var errNotTheirs = refuse(http.StatusForbidden, codeForbidden, "session and profile are not known to belong together; consents of other people cannot be changed")

// allowed tells whether the session is one of the profile's. A profile that a source
// with static ids names is who holds the identifier.
func (consentDialect) allowed(ctx context.Context, g *Gateway, b *batch, source *config.Source) *refusal {
	e := &b.events[0]
	if e.Session == "" || e.Profile == "" {
		return errNotTheirs
	}
	ctx, cancel := context.WithTimeout(ctx, lookUpTimeout)
	defer cancel()
	directory := g.options.Bus
	keys := []bus.IdentityKey{directory.IdentityKey(record.KindSessionID, e.Session)}
	if kind := g.current().kinds[source.StaticIDs]; kind != nil {
		keys = append(keys, directory.IdentityKey(kind.Name, kind.Value(e.Profile)))
	}
	holders, err := directory.GetIdentities(ctx, keys)
	if err != nil {
		return unavailable("the bus does not answer: " + err.Error())
	}
	profile := e.Profile
	if len(holders) > 1 {
		profile = holders[1].Identity.Profile
	}
	owner, err := survivor(ctx, directory, holders[0].Identity.Profile)
	if err == nil {
		profile, err = survivor(ctx, directory, profile)
	}
	switch {
	case err != nil:
		return unavailable("the bus does not answer: " + err.Error())
	case owner == "" || owner != profile:
		return errNotTheirs
	}
	return nil
}

// survivor is the profile that an id leads to, empty where it leads to nobody.
func survivor(ctx context.Context, directory Directory, profile string) (string, error) {
	if profile == "" {
		return "", nil
	}
	data, _, err := directory.GetDocument(ctx, profile)
	if errors.Is(err, bus.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read profile %s: %w", profile, err)
	}
	view := sdk.RawView(data)
	if state, _ := view.String("state"); state == record.StateErased {
		return "", nil
	}
	if to, redirects := view.String("to"); redirects {
		return to, nil
	}
	return profile, nil
}

var (
	_ dialect = consentDialect{}
	_ wary    = consentDialect{}
)
