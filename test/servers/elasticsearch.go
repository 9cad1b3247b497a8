package servers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

const (
	// asked is the variable that has the tests run that need Elasticsearch.
	asked = "TRIBUTARY_ELASTICSEARCH"
	// there is the variable with the URL of an Elasticsearch that is there already.
	there = "TRIBUTARY_TEST_ELASTICSEARCH"
)

// NeedsElasticsearch skips a test unless TRIBUTARY_ELASTICSEARCH is set: it
// takes Java 17 and Maven, which the other tests do without. Where it is set
// and no node can be started, the test fails. In the package test, such a
// test has Elasticsearch in its name, by which make test-elasticsearch finds it.
func NeedsElasticsearch(t testing.TB) {
	t.Helper()
	if os.Getenv(asked) == "" {
		t.Skip("make test-elasticsearch runs it")
	}
}

// An Elasticsearch is a single node of Elasticsearch 8.19 of a test's own, on
// loopback, without security. Fields but URL are set before Start.
//
// It has the bulk, document, search, aggregation, point in time, alias, template,
// mapping and cluster APIs. It lacks what is not published as a library: GET /,
// _delete_by_query, _update_by_query, _reindex, data streams, scripts, language
// analysers, lifecycle policies and security; a [Proxy] has keys and TLS.
//
// With TRIBUTARY_TEST_ELASTICSEARCH it is the one at that URL, shared with
// others, and a test that goes on to Kill, Stop or Start it is skipped there.
type Elasticsearch struct {
	URL      string            // without a slash at its end
	Dir      string            // holds the data and elasticsearch.log
	Heap     string            // as of -Xmx
	Flags    []string          // of Java, beside the heap's
	Settings map[string]string // of the node, beside its own

	t       testing.TB
	ports   []int    // for HTTP, and for the transport between nodes
	process *process // nil while it is not running
	foreign bool     // it was there already
}

// StartElasticsearch starts a node on a new directory and waits until it is
// ready, some 5 s. It is killed when the test has ended.
func StartElasticsearch(t testing.TB) *Elasticsearch {
	t.Helper()
	e := NewElasticsearch(t)
	if !e.foreign {
		e.Start()
	}
	return e
}

// NewElasticsearch is a node that was not started yet, for a test that wants
// it otherwise than it comes.
func NewElasticsearch(t testing.TB) *Elasticsearch {
	t.Helper()
	NeedsElasticsearch(t)
	e, err := newElasticsearch(func() (string, error) { return t.TempDir(), nil })
	if err != nil {
		t.Fatalf("Elasticsearch: %v", err)
	}
	e.t = t
	t.Cleanup(e.end)
	return e
}

func newElasticsearch(dir func() (string, error)) (*Elasticsearch, error) {
	if url := os.Getenv(there); url != "" {
		return &Elasticsearch{URL: url, foreign: true}, nil
	}
	e := &Elasticsearch{
		Heap: "512m",
		// Two cores are all there is, for the test as well: one thread to collect.
		Flags: []string{"-XX:+UseSerialGC", "-XX:-UsePerfData"},
	}
	var err error
	if e.ports, err = freePorts(2); err != nil {
		return nil, err
	}
	e.URL = fmt.Sprintf("http://127.0.0.1:%d", e.ports[0])
	e.Dir, err = dir()
	return e, err
}

// Start starts the node on its data, at its URL, and waits until it is ready
// and its indices can be written.
func (e *Elasticsearch) Start() {
	e.t.Helper()
	e.own("start")
	if err := e.start(); err != nil {
		e.t.Fatalf("start Elasticsearch: %v", err)
	}
}

// Kill ends the node with SIGKILL.
func (e *Elasticsearch) Kill() {
	e.t.Helper()
	e.own("kill")
	e.end()
}

// Stop ends the node as an operator does, with SIGTERM.
func (e *Elasticsearch) Stop() {
	e.t.Helper()
	e.own("stop")
	if err := e.stop(); err != nil {
		e.t.Fatalf("stop Elasticsearch: %v", err)
	}
}

// Log is the end of what the node wrote.
func (e *Elasticsearch) Log() string {
	if e.foreign {
		return "the log of " + e.URL + " is elsewhere"
	}
	return tail(e.log())
}

// own skips a test that would do to a node of others what it does to its own.
func (e *Elasticsearch) own(do string) {
	e.t.Helper()
	if e.foreign {
		e.t.Skipf("not possible: %s names %s, which no test may %s", there, e.URL, do)
	}
}

func (e *Elasticsearch) log() string { return filepath.Join(e.Dir, "elasticsearch.log") }

func (e *Elasticsearch) start() error {
	if e.process != nil {
		return errors.New("it is running")
	}
	home, err := elasticsearchHome()
	if err != nil {
		return err
	}
	args := append([]string{"-Xms" + e.Heap, "-Xmx" + e.Heap}, e.Flags...)
	args = append(args, "-cp", filepath.Join(home, "classes")+string(filepath.ListSeparator)+filepath.Join(home, "lib", "*"), "EsNode")
	settings := map[string]string{
		"path.home":      home,
		"path.data":      filepath.Join(e.Dir, "data"),
		"path.logs":      e.Dir,
		"node.name":      "test",
		"cluster.name":   "tributary-test",
		"discovery.type": "single-node",
		"network.host":   "127.0.0.1",
		"http.port":      fmt.Sprint(e.ports[0]),
		"transport.port": fmt.Sprint(e.ports[1]),
		"logger.level":   "INFO",
		// The machine's disk may be fuller than a cluster's should be.
		"cluster.routing.allocation.disk.threshold_enabled": "false",
	}
	for name, value := range e.Settings {
		settings[name] = value
	}
	for name, value := range settings {
		args = append(args, name+"="+value)
	}
	slices.Sort(args[len(args)-len(settings):])
	if e.process, err = launch(e.log(), "java", args...); err != nil {
		return fmt.Errorf("java (Debian: apt-get install default-jdk-headless): %w", err)
	}
	if err := e.process.await(3*time.Minute, e.ready); err != nil {
		e.end()
		return err
	}
	return nil
}

// ready is why the node cannot be written to yet.
func (e *Elasticsearch) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.URL+"/_cluster/health?wait_for_status=yellow&timeout=5s", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", answer.Status, body)
	}
	return nil
}

// end kills the node where it is running.
func (e *Elasticsearch) end() {
	if e.process != nil {
		e.process.kill()
		e.process = nil
	}
}

func (e *Elasticsearch) stop() error {
	if e.process == nil {
		return errors.New("it is not running")
	}
	err := e.process.stop(time.Minute)
	e.process = nil
	return err
}
