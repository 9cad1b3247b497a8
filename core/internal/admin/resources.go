package admin

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/resources"
	"github.com/tributary-bus/tributary/sdk/client"
)

// listResources returns the resources of a kind, by id; where it is asked for,
// with what is built in.
func (a *API) listResources(w http.ResponseWriter, r *http.Request) error {
	kind, err := knownKind(r)
	if err != nil {
		return err
	}
	all, err := flag(r, "built-in")
	if err != nil {
		return err
	}
	set := a.o.Resources.Current()
	list := struct {
		Items []client.Resource `json:"items"`
	}{Items: []client.Resource{}}
	for _, resource := range set.Resources() {
		if resource.Kind == kind {
			list.Items = append(list.Items, public(resource))
		}
	}
	if all {
		for _, resource := range set.BuiltIns(kind) {
			list.Items = append(list.Items, builtIn(resource))
		}
		slices.SortFunc(list.Items, func(a, b client.Resource) int { return strings.Compare(a.ID, b.ID) })
	}
	if err := a.mark(r, list.Items); err != nil {
		return err
	}
	return answer(w, list)
}

// getResource returns one resource; its revision is the ETag. Where there is none,
// it returns what is built in: that is at revision 0, as what does not exist.
func (a *API) getResource(w http.ResponseWriter, r *http.Request) error {
	kind, err := knownKind(r)
	if err != nil {
		return err
	}
	set, id := a.o.Resources.Current(), r.PathValue("id")
	resource, ok := set.Get(kind, id)
	if !ok {
		if resource, ok = set.BuiltIn(kind, id); !ok {
			return notFound("there is no %s %q", kind, id)
		}
		w.Header().Set("ETag", etag(0))
		return answer(w, builtIn(resource))
	}
	shown := []client.Resource{public(resource)}
	if err := a.mark(r, shown); err != nil {
		return err
	}
	w.Header().Set("ETag", etag(resource.Revision))
	return answer(w, shown[0])
}

// putResource creates or replaces one resource. The body is the document; kind
// and id may be left out there, but must not say anything else than the path.
func (a *API) putResource(w http.ResponseWriter, r *http.Request) error {
	kind, err := knownKind(r)
	if err != nil {
		return err
	}
	var document client.Resource
	if err := body(w, r, maxResource, &document); err != nil {
		return err
	}
	id := r.PathValue("id")
	switch {
	case document.Kind != "" && document.Kind != kind:
		return invalid("kind", "is %q in the body and %q in the path", document.Kind, kind)
	case document.ID != "" && document.ID != id:
		return invalid("id", "is %q in the body and %q in the path", document.ID, id)
	}
	resource, err := config.New(kind, id, document.Spec)
	if err != nil {
		return err
	}
	result, err := a.change(r, config.Change{Resource: resource})
	if err != nil {
		return err
	}
	if stored, ok := a.o.Resources.Current().Get(kind, id); ok {
		w.Header().Set("ETag", etag(stored.Revision))
	}
	return answer(w, result)
}

// deleteResource removes one resource.
func (a *API) deleteResource(w http.ResponseWriter, r *http.Request) error {
	kind, err := knownKind(r)
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	set := a.o.Resources.Current()
	if _, ok := set.Get(kind, id); !ok {
		if _, ok := set.BuiltIn(kind, id); ok {
			return notFound("%s %q is built in and cannot be deleted; a resource of that id replaces it", kind, id)
		}
		return notFound("there is no %s %q", kind, id)
	}
	result, err := a.change(r, config.Change{Resource: config.Resource{Kind: kind, ID: id}, Delete: true})
	if err != nil {
		return err
	}
	return answer(w, result)
}

// apply makes several resources what the body says, all or none of them.
func (a *API) apply(w http.ResponseWriter, r *http.Request) error {
	dryRun, err := flag(r, "dry-run")
	if err != nil {
		return err
	}
	var set struct {
		Resources []client.Resource `json:"resources"`
	}
	if err := body(w, r, maxApply, &set); err != nil {
		return err
	}
	if len(set.Resources) == 0 {
		return invalid("resources", "is empty; want the resources to apply")
	}
	documents := make([]config.Resource, len(set.Resources))
	for i, d := range set.Resources {
		documents[i] = config.Resource{Kind: d.Kind, ID: d.ID, Spec: []byte(d.Spec)}
	}
	result, err := a.o.Resources.Apply(r.Context(), config.Puts(documents), resources.ApplyOptions{DryRun: dryRun})
	if err != nil {
		return applyProblem(err)
	}
	return answer(w, a.applied(r, result))
}

// change applies one change, on the revision that the caller expects.
func (a *API) change(r *http.Request, c config.Change) (*client.ApplyResult, error) {
	expected, err := ifMatch(r)
	if err != nil {
		return nil, err
	}
	result, err := a.o.Resources.Apply(r.Context(), []config.Change{c}, resources.ApplyOptions{IfMatch: expected})
	if err != nil {
		return nil, applyProblem(err)
	}
	return a.applied(r, result), nil
}

// applied is the answer to an apply, or a dry run. It was made, whether or not it can be
// told now which windows are to be filled.
func (a *API) applied(r *http.Request, result resources.Result) *client.ApplyResult {
	out := &client.ApplyResult{Revision: result.Revision, Differences: make([]client.Difference, len(result.Differences))}
	for i, d := range result.Differences {
		out.Differences[i] = client.Difference{Kind: d.Kind, ID: d.ID, Action: string(d.Action)}
	}
	if filling, err := a.filling(r, result.Set); err == nil {
		for i := range out.Differences {
			d := &out.Differences[i]
			d.Backfilling, _ = filling(d.Kind, d.ID)
		}
	}
	return out
}

// applyProblem finds the answer to a failed apply.
func applyProblem(err error) error {
	var faults config.Problems
	switch {
	case errors.Is(err, resources.ErrConflict):
		return refuse(http.StatusPreconditionFailed, codeConflict, "%v", err)
	case errors.As(err, &faults):
		return faults
	}
	// What is left is a bus that does not answer.
	return unavailable(err.Error())
}

func public(r config.Resource) client.Resource {
	return client.Resource{Kind: r.Kind, ID: r.ID, Spec: jsontext.Value(r.Spec), Revision: r.Revision}
}

func builtIn(r config.Resource) client.Resource {
	return client.Resource{Kind: r.Kind, ID: r.ID, Spec: jsontext.Value(r.Spec), BuiltIn: true}
}

func knownKind(r *http.Request) (string, error) {
	kind := r.PathValue("kind")
	if !slices.Contains(config.Kinds(), kind) {
		return "", notFound("there is no kind of resource %q; kinds: %s", kind, strings.Join(config.Kinds(), ", "))
	}
	return kind, nil
}

func etag(revision uint64) string { return `"` + strconv.FormatUint(revision, 10) + `"` }

// ifMatch reads the revision that the caller changed; nil where any will do.
func ifMatch(r *http.Request) (*uint64, error) {
	text := r.Header.Get("If-Match")
	if text == "" || text == "*" {
		return nil, nil
	}
	revision, err := strconv.ParseUint(strings.Trim(strings.TrimPrefix(text, "W/"), `"`), 10, 64)
	if err != nil {
		return nil, invalid("If-Match", "is %s; want a revision as in the ETag, such as %s", text, etag(7))
	}
	return &revision, nil
}

// flag reads a query parameter that is true or false.
func flag(r *http.Request, name string) (bool, error) {
	switch text := r.URL.Query().Get(name); text {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, invalid(name, "is %q; want true or false", text)
	}
}
