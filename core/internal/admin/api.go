// Package admin is the API for operators and for the command line: resources,
// profiles, queries, imports, dead letters, plugins, and how the server stands.
//
// Everything below /api/v1 needs the admin token. /healthz and /readyz are for
// load balancers and need none; neither does /metrics, which is served only
// where the admin API is and holds no data of persons.
package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/tributary-bus/tributary/core/internal/backfill"
	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/resources"
	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk/client"
)

// Options are what the API works with.
type Options struct {
	Token     string // the admin token
	Resources Resources
	Profiles  Profiles
	Erasures  Erasures
	Store     store.Reader
	// Backfills tells which windows are complete.
	Backfills Backfills
	Stores    Stores
	Imports   Imports
	Letters   DeadLetters
	Plugins   Plugins
	// Accepting is nil while events can be accepted, else the reason.
	Accepting func() error
	// Parts tells how each part is, at no cost worth counting: balancers ask
	// often. Status tells all.
	Parts  func(ctx context.Context) []client.Part
	Status func(ctx context.Context) client.Status
	// Metrics write their part of /metrics, in Prometheus' text format.
	Metrics []func(io.Writer)
	Log     *slog.Logger
}

// Resources is the durable configuration.
type Resources interface {
	Current() *config.Set
	Apply(ctx context.Context, changes []config.Change, o resources.ApplyOptions) (resources.Result, error)
}

// Backfills fills windows that are new from stored events.
type Backfills interface {
	Progress(ctx context.Context) (backfill.Progress, error)
}

// Profiles is the part of the bus that holds profiles.
type Profiles interface {
	// Document is GetDocument from memory, where that is as good.
	Document(ctx context.Context, profile string) (data []byte, revision uint64, err error)
	GetDocument(ctx context.Context, profile string) (data []byte, revision uint64, err error)
	IdentityKey(kind, value string) bus.IdentityKey
	GetIdentity(ctx context.Context, key bus.IdentityKey) (record.Identity, uint64, error)
}

// Erasures forgets persons.
type Erasures interface {
	// Request erases a profile on behalf of somebody. Where it returns an error with
	// a report, it goes on by itself.
	Request(ctx context.Context, profile string, ids []string, by string) (client.Erasure, error)
	// Report is that of one erasure, by any id that the profile had, or
	// [bus.ErrNotFound].
	Report(ctx context.Context, profile string) (client.Erasure, error)
	Reports(ctx context.Context) ([]client.Erasure, error)
}

// DeadLetters is the part of the bus that holds what could not be processed.
type DeadLetters interface {
	DeadLetters(ctx context.Context, origin string, after uint64, limit int) ([]bus.DeadLetter, error)
	GetDeadLetter(ctx context.Context, seq uint64) (bus.DeadLetter, error)
}

// Imports takes in the rows of files.
type Imports interface {
	Progress(ctx context.Context, mapping, file string) (*client.ImportProgress, error)
	Restart(ctx context.Context, mapping, file string) (*client.ImportProgress, error)
	Rows(ctx context.Context, mapping string, chunk *client.Chunk) (*client.ImportProgress, error)
	Check(mapping string, chunk *client.Chunk) ([]client.Check, error)
}

// The bounds of a request.
const (
	answerWithin = 30 * time.Second // streams excepted
	maxQuery     = 64 << 10
	maxResource  = 2 << 20
	maxApply     = 32 << 20
	maxChunk     = 32 << 20
)

// An API serves the admin API.
type API struct {
	o     Options
	token [sha256.Size]byte
	mux   *http.ServeMux
}

// New returns the API.
func New(o Options) *API {
	a := &API{o: o, token: sha256.Sum256([]byte(o.Token)), mux: http.NewServeMux()}
	a.handle("GET /healthz", a.healthz)
	a.handle("GET /readyz", a.readyz)
	a.handle("GET /metrics", a.metrics)

	a.handle("GET /api/v1/status", a.status)
	a.handle("GET /api/v1/{kind}", a.listResources)
	a.handle("GET /api/v1/{kind}/{id}", a.getResource)
	a.handle("PUT /api/v1/{kind}/{id}", a.putResource)
	a.handle("DELETE /api/v1/{kind}/{id}", a.deleteResource)
	a.handle("POST /api/v1/apply", a.apply)

	a.handle("GET /api/v1/profiles/{id}", a.getProfile)
	a.handle("DELETE /api/v1/profiles/{id}", a.eraseProfile)
	a.handle("GET /api/v1/profiles/{id}/events", a.profileEvents)
	a.handle("GET /api/v1/profiles/{id}/changes", a.profileChanges)
	a.handle("GET /api/v1/erasures", a.listErasures)
	a.handle("GET /api/v1/erasures/{profile}", a.getErasure)
	for _, kind := range store.Queried {
		a.handle("POST /api/v1/"+string(kind)+"/query", a.query(kind))
		a.handle("POST /api/v1/"+string(kind)+"/count", a.count(kind))
	}

	a.handle("GET /api/v1/deadletters", a.listDeadLetters)
	a.handle("GET /api/v1/deadletters/{seq}", a.getDeadLetter)

	a.handle("GET /api/v1/import/{id}/progress", a.importProgress)
	a.handle("DELETE /api/v1/import/{id}/progress", a.importRestart)
	a.handle("POST /api/v1/import/{id}/rows", a.importRows)

	a.handle("GET /api/v1/plugins", a.listPlugins)
	a.handle("GET /api/v1/plugins/{name}", a.getPlugin)
	a.handle("GET /api/v1/plugins/{name}/logs", a.pluginLogs)
	a.stream("POST /api/v1/plugins/{name}/restart", a.restartPlugin)

	a.handle("GET /api/v1/store", a.storeStatus)
	a.stream("POST /api/v1/store/rebuild", a.rebuild)
	a.stream("POST /api/v1/store/compare", a.compare)
	a.stream("POST /api/v1/store/drop", a.drop)
	a.stream("GET /api/v1/debug/{name}", a.profile)
	return a
}

// Admits tells whether a token is the admin token, in constant time.
func (a *API) Admits(token string) bool {
	sum := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(sum[:], a.token[:]) == 1
}

// Serves tells whether a path belongs to this API.
func Serves(path string) bool {
	return strings.HasPrefix(path, "/api/v1/") || path == "/metrics" || Public(path)
}

// Public tells whether a path is for load balancers, and served everywhere.
func Public(path string) bool { return path == "/healthz" || path == "/readyz" }

// Handler serves the API.
func (a *API) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") && !a.Admits(bearer(r)) {
			refuse(http.StatusUnauthorized, codeUnauthorized,
				"want the admin token as `Authorization: Bearer`; it is in the file admin-token of the server's data directory").write(w)
			return
		}
		handler, pattern := a.mux.Handler(r)
		if pattern == "" {
			noRoute(handler, r).write(w)
			return
		}
		a.mux.ServeHTTP(w, r)
	})
}

func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// noRoute turns the mux's answer to what it does not serve into ours.
func noRoute(handler http.Handler, r *http.Request) *problem {
	probe := &discard{header: http.Header{}}
	handler.ServeHTTP(probe, r)
	if allow := probe.header.Get("Allow"); probe.status == http.StatusMethodNotAllowed {
		return refuse(http.StatusMethodNotAllowed, codeMethod, "%s is not allowed on %s; allowed: %s", r.Method, r.URL.Path, allow)
	}
	return notFound("there is nothing at %s", r.URL.Path)
}

// discard keeps an answer's status and header.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// A handler answers a request, or returns why not: then it has written nothing.
type handler func(w http.ResponseWriter, r *http.Request) error

// handle serves a route whose answer comes within [answerWithin].
func (a *API) handle(pattern string, h handler) {
	a.stream(pattern, func(w http.ResponseWriter, r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), answerWithin)
		defer cancel()
		return h(w, r.WithContext(ctx))
	})
}

// stream serves a route that takes as long as it takes.
func (a *API) stream(pattern string, h handler) {
	a.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil || r.Context().Err() != nil {
			return
		}
		p := problemOf(err)
		if p.status == http.StatusInternalServerError {
			a.o.Log.Error("admin request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		}
		p.write(w)
	})
}

// body decodes a request's JSON strictly: a field that is not known is an
// error, and so is one that comes twice.
func body(w http.ResponseWriter, r *http.Request, limit int64, into any) error {
	text, err := readBody(w, r, limit)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into, json.RejectUnknownMembers(true)); err != nil {
		return problemOfBody(err)
	}
	return nil
}

func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	switch {
	case err == nil:
		return text, nil
	case int64(len(text)) >= limit:
		return nil, refuse(http.StatusRequestEntityTooLarge, codeTooLarge, "the body has more than %d bytes", limit)
	}
	return nil, refuse(http.StatusBadRequest, codeMalformed, "the body ended early: %v", err)
}

// answer writes a value as JSON.
func answer(w http.ResponseWriter, v any) error { return answerStatus(w, http.StatusOK, v) }

func answerStatus(w http.ResponseWriter, status int, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	writeJSON(w, status, text)
	return nil
}
