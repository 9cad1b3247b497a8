package supervisor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/sdk/client"
)

// name is the plugin's own or, while it has told none, that of its file.
func (p *plugin) name() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.nameLocked()
}

func (p *plugin) nameLocked() string {
	if p.manifest != nil {
		return p.manifest.GetName()
	}
	return p.label
}

// shown is the path of the binary, by the name that people know.
func (p *plugin) shown() string {
	if p.path == self {
		if path, err := os.Executable(); err == nil {
			return path
		}
	}
	return p.path
}

// set says where the plugin is in its life, and why.
func (p *plugin) set(to state, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state, p.reason = to, reason
}

// up makes a process the one that counts.
func (p *plugin) up(r *process) {
	p.mu.Lock()
	p.state, p.reason, p.current = running, "", r
	p.starts++
	p.mu.Unlock()
	p.s.o.Log.Info("plugin runs", "plugin", p.name(), "pid", r.child.pid())
}

// note keeps how a process has ended, or why it did not come up.
func (p *plugin) note(err error) {
	end := &client.PluginEnd{Time: client.Time{Time: time.Now()}, Reason: err.Error()}
	var f *failure
	if errors.As(err, &f) {
		end.Output = f.output
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = end
}

// maxProblem bounds what is shown of a process's own words, in bytes.
const maxProblem = 512

func (p *plugin) violation(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.violations.Count++
	p.violations.Last = text[:min(len(text), 512)]
}

// info tells how the plugin stands.
func (p *plugin) info() client.Plugin {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := client.Plugin{
		Name: p.nameLocked(), Builtin: p.builtin, Path: p.shown(), SHA256: p.sum, State: string(p.state), Reason: p.reason,
		Restarts: max(0, p.starts-1), LastEnd: p.last, Violations: p.violations, Actions: []client.PluginAction{},
	}
	if m := p.manifest; m != nil {
		out.Version, out.Description, out.SDK = m.GetVersion(), m.GetDescription(), m.GetSdk()
		out.ConfigSchema = jsontext.Value(m.GetConfigSchema())
		for i, spec := range p.specs {
			out.Actions = append(out.Actions, client.PluginAction{
				ID: spec.ID, Description: spec.Description, Ports: spec.Ports,
				ConfigSchema: jsontext.Value(m.GetActions()[i].GetConfigSchema()),
			})
		}
	}
	if r := p.current; r != nil {
		out.PID, out.Started = r.child.pid(), client.Time{Time: r.started}
		report, memory := r.health()
		out.MemoryBytes = memory
		if report != nil {
			out.InFlight, out.Handled, out.Failed = report.GetInFlight(), report.GetHandled(), report.GetFailed()
			if !report.GetConnected() && out.Reason == "" {
				out.Reason = "it has no connection to NATS"
				if problem := report.GetProblem(); problem != "" {
					out.Reason += ": " + p.journal.redact(problem[:min(len(problem), maxProblem)])
				}
			}
		}
	}
	return out
}

// Metrics writes the plugins' part of /metrics, in Prometheus' text format.
func (s *Supervisor) Metrics(w io.Writer) {
	for _, p := range s.List() {
		up := 0
		if p.PID != 0 {
			up = 1
		}
		plugin, err := s.find(p.Name)
		if err != nil || up == 0 && p.Version == "" {
			continue // never registered
		}
		write := func(metric string, value any) {
			fmt.Fprintf(w, "tributary_plugin_%s{plugin=%q} %v\n", metric, p.Name, value)
		}
		write("up", up)
		write("restarts_total", p.Restarts)
		write("in_flight", p.InFlight)
		write("handled_total", p.Handled)
		write("failed_total", p.Failed)
		write("resident_bytes", p.MemoryBytes)
		write("violations_total", p.Violations.Count)
		write("log_lines_left_out_total", plugin.journal.droppedLines())
	}
}
