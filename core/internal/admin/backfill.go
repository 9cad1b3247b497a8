package admin

import (
	"net/http"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/profile"
	"github.com/tributary-bus/tributary/sdk/client"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// filling returns what tells whether windows that the conditions of a set's resource
// read are being filled, or would be, and how far that is.
func (a *API) filling(r *http.Request, set *config.Set) (of func(kind, id string) (bool, *client.Backfill), err error) {
	if len(set.Kept().List()) == 0 {
		return func(string, string) (bool, *client.Backfill) { return false, nil }, nil
	}
	progress, err := a.o.Backfills.Progress(r.Context())
	if err != nil {
		return nil, unreachable(err)
	}
	return func(kind, id string) (bool, *client.Backfill) {
		complete, read, total := progress.Of(set.KeptFor(kind, id))
		if complete {
			return false, nil
		}
		return true, &client.Backfill{Read: read, Total: total}
	}, nil
}

// mark marks resources of which windows are being filled.
func (a *API) mark(r *http.Request, list []client.Resource) error {
	filling, err := a.filling(r, a.o.Resources.Current())
	if err != nil {
		return err
	}
	for i := range list {
		list[i].Backfilling, list[i].Backfill = filling(list[i].Kind, list[i].ID)
	}
	return nil
}

// readable refuses a filter that reads a window or a sum which profiles do not have,
// or not wholly.
func (a *API) readable(r *http.Request, program *condition.Program) error {
	for _, read := range program.Aggregates() {
		one, keeps := profile.KeptOf(read)
		if !keeps {
			continue
		}
		one.Since = a.o.Resources.Current().Kept().Since(one)
		if one.Since == 0 {
			return unsearchable("nobody keeps %s: windows and sums are kept where a stored condition reads them, such as an event type's or a flow's; apply one that does", one)
		}
		progress, err := a.o.Backfills.Progress(r.Context())
		if err != nil {
			return unreachable(err)
		}
		if complete, events, total := progress.Of([]profile.Aggregate{one}); !complete {
			return unsearchable("%s is backfilling: %d of about %d stored events have been read; ask again when it is complete", one, events, total)
		}
	}
	return nil
}

// unsearchable is the answer to a filter that the store is not asked.
func unsearchable(format string, args ...any) error {
	return refuse(http.StatusUnprocessableEntity, codeUnsearchable, format, args...)
}
