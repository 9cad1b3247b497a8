package admin

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/querystore"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/client"
)

// Stores looks after the query store, and another one that is to take its place.
type Stores interface {
	Status(ctx context.Context) client.StoreStatus
	// Rebuild begins to fill a store. The error is [config.Problems] where the settings
	// are not right, [querystore.ErrUnderWay] where something else is being done.
	Rebuild(ctx context.Context, what client.Rebuild) (Rebuilding, error)
	Compare(ctx context.Context, sample int) (client.StoreComparison, error)
	Drop(ctx context.Context, force bool) (client.StoreAt, error)
}

// Rebuilding is the filling of a store that goes on by itself.
type Rebuilding interface {
	// Wait returns when it is done, and tells its progress.
	Wait(ctx context.Context, progress func(done, total uint64)) error
}

// A step is one line of the answer to a rebuild.
type step struct {
	Done     uint64 `json:"done"`
	Total    uint64 `json:"total"`
	Finished bool   `json:"finished,omitzero"`
	Error    string `json:"error,omitzero"`
}

// stepEvery is how often the progress of a rebuild is told.
const stepEvery = 200 * time.Millisecond

// rebuild fills a query store. It answers with a line of JSON for each step; the last one
// says finished, or an error. A caller who hangs up does not end it: half a store helps
// nobody.
func (a *API) rebuild(w http.ResponseWriter, r *http.Request) error {
	var what client.Rebuild
	if err := optionalBody(w, r, &what); err != nil {
		return err
	}
	job, err := a.o.Stores.Rebuild(r.Context(), what)
	if err != nil {
		return problemOfStores(err)
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	control := http.NewResponseController(w)
	write := func(s step) {
		text, err := json.Marshal(s, jsontext.Multiline(false))
		if err != nil {
			return
		}
		// The rebuild goes on without a reader.
		if _, err := w.Write(append(text, '\n')); err == nil {
			_ = control.Flush()
		}
	}
	// Streams are not held to the server's time to write an answer.
	_ = control.SetWriteDeadline(time.Time{})
	var (
		mu   sync.Mutex
		last step
		told time.Time
	)
	err = job.Wait(r.Context(), func(done, total uint64) {
		mu.Lock()
		defer mu.Unlock()
		last = step{Done: done, Total: total}
		if now := time.Now(); now.Sub(told) >= stepEvery {
			told = now
			write(last)
		}
	})
	mu.Lock()
	defer mu.Unlock()
	if err != nil {
		last.Error = err.Error()
	} else {
		last.Finished = true
	}
	write(last)
	return nil
}

// The number of documents that a comparison samples of each kind.
const (
	defaultSample = 1000
	mostSample    = 1_000_000
)

// compare holds the two query stores against each other.
func (a *API) compare(w http.ResponseWriter, r *http.Request) error {
	asked := struct {
		Sample *int `json:"sample"`
	}{}
	if err := optionalBody(w, r, &asked); err != nil {
		return err
	}
	sample := defaultSample
	if asked.Sample != nil {
		sample = *asked.Sample
	}
	if sample < 0 || sample > mostSample {
		return invalid("sample", "want 0 to %d documents of each kind", mostSample)
	}
	// It takes as long as counting takes.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	compared, err := a.o.Stores.Compare(r.Context(), sample)
	if err != nil {
		return problemOfStores(err)
	}
	return answer(w, compared)
}

// drop removes the store that does not answer.
func (a *API) drop(w http.ResponseWriter, r *http.Request) error {
	asked := struct {
		Force bool `json:"force"`
	}{}
	if err := optionalBody(w, r, &asked); err != nil {
		return err
	}
	dropped, err := a.o.Stores.Drop(r.Context(), asked.Force)
	if err != nil {
		return problemOfStores(err)
	}
	return answer(w, dropped)
}

func (a *API) storeStatus(w http.ResponseWriter, r *http.Request) error {
	return answer(w, a.o.Stores.Status(r.Context()))
}

// optionalBody is body where there is one.
func optionalBody(w http.ResponseWriter, r *http.Request, into any) error {
	text, err := readBody(w, r, maxQuery)
	if err != nil || len(text) == 0 {
		return err
	}
	if err := json.Unmarshal(text, into, json.RejectUnknownMembers(true)); err != nil {
		return problemOfBody(err)
	}
	return nil
}

func problemOfStores(err error) error {
	var faults config.Problems
	switch {
	case errors.Is(err, querystore.ErrUnderWay):
		return refuse(http.StatusConflict, codeConflict, "%v", err)
	case errors.As(err, &faults):
		p := refuse(http.StatusBadRequest, codeInvalid, "the settings are not right; nothing was changed")
		for _, f := range faults {
			p.details = append(p.details, sdk.FieldError{Path: strings.TrimPrefix(f.Path, "--set "), Message: f.Message})
		}
		return p
	}
	return err
}
