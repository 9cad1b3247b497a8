package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// A Plugin is how a plugin stands.
type Plugin struct {
	Name        string `json:"name"`
	Version     string `json:"version,omitzero"`
	Description string `json:"description,omitzero"`
	SDK         string `json:"sdk,omitzero"` // version of the SDK that it was built with
	Builtin     bool   `json:"builtin"`
	Path        string `json:"path"`
	SHA256      string `json:"sha256,omitzero"` // of its binary, as it was registered
	// State is starting, running, backoff (it has ended and is started again),
	// quarantined (it has ended too often), refused, draining or stopped.
	State string `json:"state"`
	// Reason says why it is in a state other than running, or what is wrong
	// while it runs.
	Reason   string `json:"reason,omitzero"`
	PID      int    `json:"pid"`      // 0: no process
	Restarts int    `json:"restarts"` // since the server started
	Started  Time   `json:"started,omitzero"`
	// What its process says of its calls, since it started.
	InFlight uint32 `json:"in_flight"`
	Handled  uint64 `json:"handled"`
	Failed   uint64 `json:"failed"`
	// MemoryBytes is the resident memory of its process.
	MemoryBytes int64 `json:"memory_bytes"`
	// LastEnd is how the last of its processes ended, but for those that were
	// asked to.
	LastEnd    *PluginEnd       `json:"last_end,omitzero"`
	Violations PluginViolations `json:"violations"`
	Actions    []PluginAction   `json:"actions"`
	// ConfigSchema is the JSON Schema of its own configuration.
	ConfigSchema jsontext.Value `json:"config_schema,omitzero"`
}

// A PluginEnd is the end of a plugin's process that nobody asked for.
type PluginEnd struct {
	Time   Time     `json:"time"`
	Reason string   `json:"reason"`
	Output []string `json:"output,omitzero"` // its last lines on the standard error
}

// PluginViolations counts what NATS refused to a plugin: what it may neither
// read nor write.
type PluginViolations struct {
	Count uint64 `json:"count"`
	Last  string `json:"last,omitzero"`
}

// A PluginAction is an action that a flow's nodes can name.
type PluginAction struct {
	ID           string         `json:"id"` // plugin/action
	Description  string         `json:"description,omitzero"`
	Ports        []string       `json:"ports"` // without error
	ConfigSchema jsontext.Value `json:"config_schema,omitzero"`
}

// A LogLine is a line of a plugin's log.
type LogLine struct {
	Seq     uint64         `json:"seq"` // from 1, in order of arrival
	Time    Time           `json:"time"`
	Level   string         `json:"level"` // DEBUG, INFO, WARN, ERROR
	Message string         `json:"message"`
	Fields  jsontext.Value `json:"fields,omitzero"` // an object
}

// Plugins lists the plugins by name.
func (c *Client) Plugins(ctx context.Context) ([]Plugin, error) {
	var list struct {
		Items []Plugin `json:"items"`
	}
	r := c.admin(http.MethodGet, "plugins")
	r.out = &list
	return list.Items, c.do(ctx, r)
}

// Plugin returns one plugin.
func (c *Client) Plugin(ctx context.Context, name string) (*Plugin, error) {
	plugin := &Plugin{}
	r := c.admin(http.MethodGet, "plugins", name)
	r.out = plugin
	return plugin, c.do(ctx, r)
}

// RestartPlugin replaces a plugin's process by a new one, of its binary as it
// is now, and returns when that one answers. If it does not come up, that is
// the error, and the old process, if there was one, goes on.
func (c *Client) RestartPlugin(ctx context.Context, name string) (*Plugin, error) {
	plugin := &Plugin{}
	r := c.admin(http.MethodPost, "plugins", name, "restart")
	r.out = plugin
	return plugin, c.do(ctx, r)
}

// PluginLogs returns the last n lines of a plugin's log, the oldest first; of
// those after a number, unless that is 0. The server keeps the last 1,000.
func (c *Client) PluginLogs(ctx context.Context, name string, after uint64, n int) ([]LogLine, error) {
	var list struct {
		Items []LogLine `json:"items"`
	}
	r := c.admin(http.MethodGet, "plugins", name, "logs")
	r.query = url.Values{"n": {strconv.Itoa(n)}}
	if after > 0 {
		r.query.Set("after", strconv.FormatUint(after, 10))
	}
	r.out = &list
	return list.Items, c.do(ctx, r)
}
