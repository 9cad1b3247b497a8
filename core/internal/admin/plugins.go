package admin

import (
	"context"
	"errors"
	"math"
	"net/http"
	"time"

	"github.com/tributary-bus/tributary/core/internal/supervisor"
	"github.com/tributary-bus/tributary/sdk/client"
)

// Plugins runs the plugins of this server.
type Plugins interface {
	List() []client.Plugin
	Info(name string) (client.Plugin, error)
	Restart(ctx context.Context, name string) error
	Logs(name string, after uint64, n int) ([]client.LogLine, error)
}

// How many lines of a log an answer holds.
const (
	defaultLines = 100
	maxLines     = 1000
)

// restartWithin bounds a restart: a process may take its time to come up.
const restartWithin = time.Minute

// listPlugins returns all plugins by name.
func (a *API) listPlugins(w http.ResponseWriter, _ *http.Request) error {
	return answer(w, struct {
		Items []client.Plugin `json:"items"`
	}{a.o.Plugins.List()})
}

// getPlugin returns one plugin.
func (a *API) getPlugin(w http.ResponseWriter, r *http.Request) error {
	plugin, err := a.o.Plugins.Info(r.PathValue("name"))
	if err != nil {
		return noPlugin(err)
	}
	return answer(w, plugin)
}

// restartPlugin answers when the new process does, with how the plugin stands.
func (a *API) restartPlugin(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), restartWithin)
	defer cancel()
	name := r.PathValue("name")
	if err := a.o.Plugins.Restart(ctx, name); err != nil {
		return noPlugin(err)
	}
	return a.getPlugin(w, r)
}

// pluginLogs returns the last lines of a plugin's log.
func (a *API) pluginLogs(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	for name := range query {
		if name != "n" && name != "after" {
			return invalid(name, "no such parameter; want n or after")
		}
	}
	n, err := number(query.Get("n"), "n", maxLines)
	if err != nil {
		return err
	}
	if n == 0 {
		n = defaultLines
	}
	after, err := number(query.Get("after"), "after", math.MaxInt64)
	if err != nil {
		return err
	}
	lines, err := a.o.Plugins.Logs(r.PathValue("name"), after, int(n))
	if err != nil {
		return noPlugin(err)
	}
	return answer(w, struct {
		Items []client.LogLine `json:"items"`
	}{lines})
}

// noPlugin is the answer to an error of the supervisor: there is no plugin of
// that name, or it does not come up, which is no fault of this server.
func noPlugin(err error) error {
	if errors.Is(err, supervisor.ErrUnknown) {
		return notFound("%v; `tributary plugin list` has them; a new file is found when the server starts: restart it", err)
	}
	return refuse(http.StatusConflict, codeConflict, "%v", err)
}
