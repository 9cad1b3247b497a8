// Package bench measures the product: it starts it as a process, drives it
// over HTTP and WebSocket from this one, and quotes its rates as ratios to
// those of bare servers, taken in turns on the same machine. It reads /proc,
// so it needs Linux.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/supervisor"
)

// Options say what is measured.
type Options struct {
	// Binary is the product. It also serves the ceilings: its command
	// [CeilingCommand] calls [ServeCeiling].
	Binary string
	// Version is that of the binary.
	Version string
	// Scenarios are names of [Scenarios]; none stand for all.
	Scenarios []string
	// Duration is how long each load, or rest, is measured; 0 for what each
	// scenario sees fit.
	Duration time.Duration
	// Broker makes users for plugins' processes on a bus, as the product does.
	Broker func(*bus.Bus) supervisor.Broker
	// Progress is told what goes on, a line at a time.
	Progress io.Writer
}

// A Scenario is one thing to measure.
type Scenario struct {
	Name  string
	About string // a sentence
	run   func(ctx context.Context, r *run) error
}

// Scenarios are all that can be measured, in the order in which they are.
var Scenarios = []Scenario{
	{"ingest-single", "One event of a browser a request over 64 connections, as fast as answers come, with key, schema and what is added about its sender, against a bare net/http handler that discards the body.", ingestSingle},
	{"ingest-batch", "100 events a request over 64 connections, as fast as answers come, against the same handler.", ingestBatch},
	{"websocket", "One event of a browser a message over 64 WebSockets with 16 unanswered messages each, against a bare WebSocket that answers each message, and to one event a request over HTTP in turns with it.", overWebSocket},
	{"live", "The stream back over WebSocket: 5,000 connections that listen and hear nothing; 100 events a second to 1,000 listeners with a filter each, of which 200 match.", liveStream},
	{"pipeline", "Events at a fixed rate, 20 a request, through to the query store: 20 types with traits and copy rules, 10 of them with a schema, two identifiers each.", pipeline},
	{"reads", "Profiles read by id, 5,000 a second, beside events at a fixed rate through to the query store.", reads},
	{"store", "The query store alone, filled with a million events as the indexer does it, and asked for pages of a hundred by conditions that indices answer.", queryStore},
	{"call", "Calls of an action in the process of a built-in plugin, over the product's own NATS, against a bare responder on it.", call},
	{"flow", "The pipeline with a flow of five nodes for every event, two of them in a plugin's process.", withFlow},
	{"plugins", "The built-in plugins' processes: how soon they run, and what they take at rest.", plugins},
	{"idle", "The product at rest, after some load.", idle},
	{"startup", "From the start of the process until it takes events.", startup},
}

func about(scenario string) string {
	for _, s := range Scenarios {
		if s.Name == scenario {
			return s.About
		}
	}
	return ""
}

// Run measures. What was measured before an error is in the report.
func Run(ctx context.Context, o Options) (*Report, error) {
	chosen, err := choose(o.Scenarios)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "tributary-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the data: %w", err)
	}
	defer os.RemoveAll(dir)
	r := &run{options: o, dir: dir, report: &Report{Version: o.Version, Time: time.Now(), Machine: thisMachine(dir)}}
	for _, s := range chosen {
		r.scenario, r.setting = s.Name, ""
		if err := s.run(ctx, r); err != nil {
			return r.report, fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return r.report, nil
}

func choose(names []string) ([]Scenario, error) {
	if len(names) == 0 {
		return Scenarios, nil
	}
	var chosen []Scenario
	for _, name := range names {
		i := slices.IndexFunc(Scenarios, func(s Scenario) bool { return s.Name == name })
		if i < 0 {
			var all []string
			for _, s := range Scenarios {
				all = append(all, s.Name)
			}
			return nil, fmt.Errorf("%w %q; want %s", ErrNoScenario, name, strings.Join(all, ", "))
		}
		chosen = append(chosen, Scenarios[i])
	}
	return chosen, nil
}

// ErrNoScenario is what an unknown name is answered.
var ErrNoScenario = errors.New("unknown scenario")

// A run is what scenarios share.
type run struct {
	options  Options
	dir      string
	report   *Report
	scenario string
	setting  string
	products int
}

// duration is how long a load lasts where the scenario sees fit d.
func (r *run) duration(d time.Duration) time.Duration {
	if r.options.Duration > 0 {
		return r.options.Duration
	}
	return d
}

// span is that of a load which lasts d where nothing else was said.
func (r *run) span(connections int, d time.Duration) span {
	d = r.duration(d)
	return span{connections: connections, warmUp: min(warmUp, d), duration: d}
}

// warmUp is how long a load lasts before it counts, unless it is shorter.
const warmUp = time.Second

func (r *run) figure(name string, value float64, unit string, target *Target) {
	r.ratio(name, value, unit, 0, target)
}

func (r *run) ratio(name string, value float64, unit string, ratio float64, target *Target) {
	f := Figure{Scenario: r.scenario, Setting: r.setting, Name: name, Value: value, Unit: unit, Ratio: ratio, Target: target}
	f.judge()
	r.report.Figures = append(r.report.Figures, f)
	r.tell("%s: %s %s %s", name, f.value(), f.ratio(), f.reached())
}

// tell writes a line of progress.
func (r *run) tell(format string, args ...any) {
	where := r.scenario
	if r.setting != "" {
		where += ", " + r.setting
	}
	fmt.Fprintf(r.options.Progress, "%s: %s\n", where, strings.TrimSpace(fmt.Sprintf(format, args...)))
}

// withProduct runs the product on a fresh directory while use works with it.
func (r *run) withProduct(ctx context.Context, durability string, use func(p *product) error) (err error) {
	r.products++
	dir := filepath.Join(r.dir, fmt.Sprintf("data-%d", r.products))
	p, err := startProduct(ctx, r.options.Binary, dir, durability)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := use(p); err != nil {
		p.kill()
		return err
	}
	_, err = p.stop()
	return err
}
