package admin

import (
	"net/http"
	"slices"
	"strings"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/client"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// scopes say what a filter over each kind of document may name. The first
// variable is the document itself; what it says of others cannot be searched
// by, and the answer then gives the reason.
var scopes = map[store.Kind]condition.Scope{
	store.Events:   condition.EventScope,
	store.Profiles: condition.ProfileScope,
	store.Sessions: condition.SessionScope,
}

// query returns a page of documents.
func (a *API) query(kind store.Kind) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		var q client.Query
		if err := body(w, r, maxQuery, &q); err != nil {
			return err
		}
		filter, err := a.compile(r, kind, q.Filter)
		if err != nil {
			return err
		}
		if q.Limit < 0 || q.Limit > store.MaxLimit {
			return invalid("limit", "is %d; want 1 to %d", q.Limit, store.MaxLimit)
		}
		if err := checkSort(kind, q.Sort); err != nil {
			return err
		}
		return a.page(w, r, store.Query{Kind: kind, Filter: filter, Sort: q.Sort, Limit: q.Limit, Cursor: q.Cursor})
	}
}

// checkSort refuses to sort by a field that no document has: that would be any
// order.
func checkSort(kind store.Kind, sort string) error {
	if sort == "" {
		return nil
	}
	path, err := sdk.ParsePath(strings.TrimPrefix(sort, "-"))
	if err != nil {
		return invalid("sort", "%v", err)
	}
	if fields := condition.Fields(strings.TrimSuffix(string(kind), "s")); !slices.Contains(fields, path[0]) {
		return invalid("sort", "%s have no field %q; %s", kind, path[0], config.Meant(path[0], fields))
	}
	return nil
}

// count tells how many documents a filter matches.
func (a *API) count(kind store.Kind) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		var q struct {
			Filter string `json:"filter"`
		}
		if err := body(w, r, maxQuery, &q); err != nil {
			return err
		}
		filter, err := a.compile(r, kind, q.Filter)
		if err != nil {
			return err
		}
		n, err := a.o.Store.Count(r.Context(), kind, filter)
		if err != nil {
			return err
		}
		return answer(w, struct {
			Count uint64 `json:"count"`
		}{n})
	}
}

// compile returns nil, which matches all, for an empty filter.
func (a *API) compile(r *http.Request, kind store.Kind, filter string) (store.Filter, error) {
	if filter == "" {
		return nil, nil
	}
	program, err := condition.CompileCondition(filter, scopes[kind])
	if err != nil {
		return nil, problemOfFilter("filter", err)
	}
	if err := a.readable(r, program); err != nil {
		return nil, err
	}
	return program, nil
}

// page answers with what a query finds.
func (a *API) page(w http.ResponseWriter, r *http.Request, q store.Query) error {
	page, err := a.o.Store.Query(r.Context(), q)
	if err != nil {
		return err
	}
	writePage(w, &page)
	return nil
}

func writePage(w http.ResponseWriter, page *store.Page) {
	size := 64
	for i := range page.Documents {
		size += len(page.Documents[i].Body) + 1
	}
	text := append(make([]byte, 0, size), `{"items":[`...)
	for i := range page.Documents {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, page.Documents[i].Body...)
	}
	text = append(text, ']')
	if page.Cursor != "" {
		text = append(text, `,"cursor":`...)
		text = sdk.AppendString(text, page.Cursor)
	}
	writeJSON(w, http.StatusOK, append(text, '}'))
}
