package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/erasure"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
)

// getProfile reads a profile from the bus, by an id it had or by kind:value.
func (a *API) getProfile(w http.ResponseWriter, r *http.Request) error {
	if text, _, err := a.o.Profiles.Document(r.Context(), r.PathValue("id")); err == nil {
		// As it is stored, which is the form that is shown: most reads end here.
		doc := sdk.RawView(text)
		if state, _ := doc.String("state"); state == record.StateLive {
			writeJSON(w, http.StatusOK, doc.At("profile").Raw())
			return nil
		}
	}
	profile, err := a.findProfile(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, profile.AppendJSON(nil))
	return nil
}

// profileEvents returns a profile's events, the latest first.
func (a *API) profileEvents(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	if err := checkParameters(query, "limit", "cursor"); err != nil {
		return err
	}
	limit, err := number(query.Get("limit"), "limit", store.MaxLimit)
	if err != nil {
		return err
	}
	profile, err := a.findProfile(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	filter, err := a.compile(r, store.Events, eventsOf(profile))
	if err != nil {
		return err
	}
	return a.page(w, r, store.Query{
		Kind: store.Events, Filter: filter, Sort: "-time", Limit: int(limit), Cursor: query.Get("cursor"),
	})
}

// profileChanges returns a profile's change log, the last change first: who changed
// what of it, and when.
func (a *API) profileChanges(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	if err := checkParameters(query, "path", "from", "before", "limit", "cursor"); err != nil {
		return err
	}
	q := store.ChangesQuery{Cursor: query.Get("cursor")}
	limit, err := number(query.Get("limit"), "limit", store.MaxLimit)
	if err != nil {
		return err
	}
	q.Limit = int(limit)
	if text := query.Get("path"); text != "" {
		if q.Path, err = sdk.ParsePath(strings.TrimPrefix(text, "profile.")); err != nil {
			return invalid("path", "%v", err)
		}
		if !slices.Contains(changedSections, q.Path[0]) {
			return invalid("path", "%q is no part of a profile that the change log tells of; %s", q.Path[0], config.Meant(q.Path[0], changedSections))
		}
	}
	for name, at := range map[string]*time.Time{"from": &q.From, "before": &q.Before} {
		if text := query.Get(name); text != "" {
			if *at, err = sdk.ParseTime(text); err != nil {
				return invalid(name, "%v", err)
			}
		}
	}
	profile, err := a.findProfile(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	q.Profiles = profile.IDs
	page, err := a.o.Store.ProfileChanges(r.Context(), q)
	if err != nil {
		return err
	}
	writePage(w, &page)
	return nil
}

// changedSections are what changes are told of.
var changedSections = []string{"consents", "counters", "data", "identities", "interests", "segments", "traits"}

// checkParameters refuses parameters of a query that are none of those known.
func checkParameters(query url.Values, known ...string) error {
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !slices.Contains(known, name) {
			return invalid(name, "no such parameter; want %s", strings.Join(known, " or "))
		}
	}
	return nil
}

// eventsOf is the condition for the events of a profile, under each of its ids.
func eventsOf(profile *sdk.Profile) string {
	if len(profile.IDs) <= 1 {
		return "event.profile == " + strconv.Quote(profile.ID)
	}
	quoted := make([]string, len(profile.IDs))
	for i, id := range profile.IDs {
		quoted[i] = strconv.Quote(id)
	}
	return "event.profile in [" + strings.Join(quoted, ", ") + "]"
}

// findProfile resolves an id or kind:value, also an id of a profile that was merged.
// Of one that was erased it returns an erasedError.
func (a *API) findProfile(ctx context.Context, name string) (*sdk.Profile, error) {
	id := name
	if kind, value, ok := strings.Cut(name, ":"); ok {
		identity, err := a.identity(ctx, kind, value)
		if err != nil {
			return nil, err
		}
		if id = identity.Profile; id == "" {
			p := notFound("there is no profile with %s %q", kind, value)
			if !identity.ErasedAt.IsZero() {
				p.message += "; it was erased at " + sdk.FormatTime(identity.ErasedAt)
			}
			return nil, p
		}
	}
	doc, id, err := erasure.Follow(ctx, a.o.Profiles, id)
	switch {
	case errors.Is(err, bus.ErrNotFound):
		if uuid.Validate(name) != nil && id == name {
			return nil, notFound("there is no profile %q; an identifier is written with its kind, such as user:%s", name, name)
		}
		return nil, notFound("there is no profile %q", name)
	case errors.Is(err, record.ErrMalformed):
		return nil, err
	case err != nil:
		return nil, unreachable(err)
	case doc.State == record.StateErased:
		return nil, &erasedError{name: name, profile: id, at: doc.ErasedAt}
	}
	return doc.Profile, nil
}

// An erasedError says that a profile was erased.
type erasedError struct {
	name    string // as it was asked for
	profile string
	at      time.Time
}

func (e *erasedError) Error() string {
	return fmt.Sprintf("there is no profile %q; it was erased at %s", e.name, sdk.FormatTime(e.at))
}

func (e *erasedError) problem() *problem { return notFound("%s", e.Error()) }

// identity returns what the bus knows of an identifier: its profile is empty where it
// is nobody's.
func (a *API) identity(ctx context.Context, kind, value string) (record.Identity, error) {
	if kind != record.KindSessionID {
		known, ok := a.o.Resources.Current().Kind(kind)
		if !ok {
			return record.Identity{}, invalid("id", "%q is no kind of identifier; want a profile id, or kind:value such as user:17850", kind)
		}
		value = known.Value(value)
	}
	identity, _, err := a.o.Profiles.GetIdentity(ctx, a.o.Profiles.IdentityKey(kind, value))
	if errors.Is(err, bus.ErrNotFound) {
		return record.Identity{}, nil
	}
	if err != nil {
		return record.Identity{}, unreachable(err)
	}
	return identity, nil
}

// unreachable is the answer where the bus does not.
func unreachable(err error) *problem { return unavailable("read the bus: " + err.Error()) }

// number reads a query parameter; an absent one is 0.
func number(text, name string, most uint64) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n < 1 || n > most {
		return 0, invalid(name, "is %q; want a whole number from 1 to %d", text, most)
	}
	return n, nil
}
