package admin

import (
	"errors"
	"net/http"

	"github.com/tributary-bus/tributary/core/internal/importer"
	"github.com/tributary-bus/tributary/sdk/client"
)

// importProgress tells how far the import of a file is.
func (a *API) importProgress(w http.ResponseWriter, r *http.Request) error {
	progress, err := a.o.Imports.Progress(r.Context(), r.PathValue("id"), r.URL.Query().Get("file"))
	if err != nil {
		return importProblem(err)
	}
	return answer(w, progress)
}

// importRestart forgets the progress of a file.
func (a *API) importRestart(w http.ResponseWriter, r *http.Request) error {
	progress, err := a.o.Imports.Restart(r.Context(), r.PathValue("id"), r.URL.Query().Get("file"))
	if err != nil {
		return importProblem(err)
	}
	return answer(w, progress)
}

// importRows takes in a chunk of a file; with dry-run it only says what the
// rows would become.
func (a *API) importRows(w http.ResponseWriter, r *http.Request) error {
	dryRun, err := flag(r, "dry-run")
	if err != nil {
		return err
	}
	var chunk client.Chunk
	if err := body(w, r, maxChunk, &chunk); err != nil {
		return err
	}
	if dryRun {
		rows, err := a.o.Imports.Check(r.PathValue("id"), &chunk)
		if err != nil {
			return importProblem(err)
		}
		return answer(w, struct {
			Rows []client.Check `json:"rows"`
		}{rows})
	}
	progress, err := a.o.Imports.Rows(r.Context(), r.PathValue("id"), &chunk)
	if err != nil {
		return importProblem(err)
	}
	return answer(w, progress)
}

func importProblem(err error) error {
	switch {
	case errors.Is(err, importer.ErrNoMapping):
		return notFound("%v", err)
	case errors.Is(err, importer.ErrInvalid):
		return refuse(http.StatusBadRequest, codeInvalid, "%v", err)
	case errors.Is(err, importer.ErrOrder):
		return refuse(http.StatusConflict, codeConflict, "%v", err)
	case errors.Is(err, importer.ErrUnavailable):
		return unavailable(err.Error())
	}
	return err
}
