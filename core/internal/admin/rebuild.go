package admin

import (
	"net/http"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A step is one line of the answer to a rebuild.
type step struct {
	Done     uint64 `json:"done"`
	Total    uint64 `json:"total"`
	Finished bool   `json:"finished,omitzero"`
	Error    string `json:"error,omitzero"`
}

// stepEvery is how often the progress of a rebuild is told.
const stepEvery = 200 * time.Millisecond

// rebuild drops the query store and fills it again. It answers with a line of
// JSON for each step; the last one says finished, or an error. A caller who
// hangs up does not end it: half a store helps nobody.
func (a *API) rebuild(w http.ResponseWriter, r *http.Request) error {
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
	err := a.o.Rebuild(r.Context(), func(done, total uint64) {
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
