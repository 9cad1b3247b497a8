// Package test runs the real product: the built binary, its HTTP interface,
// its data directory, and the ways in which a process or a machine dies.
package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// binary is the product, built once for all tests.
var binary string

// soak makes the tests that grow with it as long as they are meant to be.
var soak = os.Getenv("TRIBUTARY_SOAK") != ""

// scale is n in a soak and the smaller number else.
func scale(small, n int) int {
	if soak {
		return n
	}
	return small
}

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "tributary-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "tributary")
		build := exec.Command("go", "build", "-o", binary, "../core/cmd/tributary")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the product: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// A product is one running instance and its data directory.
type product struct {
	t    *testing.T
	dir  string
	args []string
	cmd  *exec.Cmd
	log  *bytes.Buffer
	done chan struct{}
	url  string
}

// launch starts the product on a new directory.
func launch(t *testing.T, args ...string) *product {
	t.Helper()
	p := &product{t: t, dir: t.TempDir(), args: args}
	p.start()
	return p
}

// start starts the product on its directory and waits until it is ready.
func (p *product) start() {
	p.t.Helper()
	p.spawn()
	p.ready()
}

// spawn starts the process. It dies with the test.
func (p *product) spawn() {
	p.t.Helper()
	p.url = ""
	_ = os.Remove(filepath.Join(p.dir, "server.json"))
	p.log = &bytes.Buffer{}
	p.cmd = exec.Command(binary, append([]string{"run", "--data", p.dir, "--http", "127.0.0.1:0"}, p.args...)...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.Env = environment()
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	cmd, done := p.cmd, make(chan struct{})
	p.done = done
	go func() {
		_ = cmd.Wait() // how it ended is in cmd.ProcessState
		close(done)
	}()
	p.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
	})
}

// environment is this process's, without what is meant for the tests alone.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "TRIBUTARY_") })
}

// ready waits until the product accepts events.
func (p *product) ready() {
	p.t.Helper()
	eventually(p.t, 30*time.Second, "the product to be ready", func() bool {
		select {
		case <-p.done:
			p.t.Fatalf("the product ended: %s", p.log)
		default:
		}
		text, err := os.ReadFile(filepath.Join(p.dir, "server.json"))
		if err != nil {
			return false
		}
		var server struct{ URL string }
		if json.Unmarshal(text, &server) != nil || server.URL == "" {
			return false
		}
		p.url = server.URL
		r, err := http.Get(p.url + "/readyz")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
}

// kill ends the process as a crash would.
func (p *product) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	<-p.done
}

// stop ends the process as an operator would.
func (p *product) stop() {
	p.t.Helper()
	begun := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.done:
	case <-time.After(15 * time.Second):
		p.t.Fatalf("the product did not stop: %s", p.log)
	}
	if took := time.Since(begun); took > 10*time.Second || !p.cmd.ProcessState.Success() {
		p.t.Errorf("stopped after %s: %s\n%s", took, p.cmd.ProcessState, p.log)
	}
}

// run runs a command of the binary against the product.
func (p *product) run(args ...string) string {
	p.t.Helper()
	out, err := p.try(args...)
	if err != nil {
		p.t.Fatalf("tributary %s: %v\n%s\nserver: %s", strings.Join(args, " "), err, out, p.log)
	}
	return out
}

func (p *product) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append([]string{"--data", p.dir}, args...)...)
	cmd.Env = environment()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil {
		return out.String() + errs.String(), err
	}
	return out.String(), nil
}

// An answer is what came back for a request.
type answer struct {
	status int
	header http.Header
	body   []byte
	value  map[string]any
}

// post sends events to the product, as the source dev.
func (p *product) post(path, body string) (answer, error) {
	return p.request(http.MethodPost, path, body, "X-Write-Key", "dev")
}

// api asks the admin API.
func (p *product) api(method, path, body string) answer {
	p.t.Helper()
	token, err := os.ReadFile(filepath.Join(p.dir, "admin-token"))
	if err != nil {
		p.t.Fatal(err)
	}
	a, err := p.request(method, path, body, "Authorization", "Bearer "+strings.TrimSpace(string(token)))
	if err != nil {
		p.t.Fatal(err)
	}
	return a
}

var patient = &http.Client{Timeout: 40 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 300}}

func (p *product) request(method, path, body string, header ...string) (answer, error) {
	r, err := http.NewRequest(method, p.url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := patient.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	a := answer{status: response.StatusCode, header: response.Header}
	if a.body, err = io.ReadAll(response.Body); err != nil {
		return answer{}, err
	}
	_ = json.Unmarshal(a.body, &a.value) // not every answer is an object
	return a, nil
}

// results are the per-event results of an ingest answer.
func (a answer) results() []map[string]any {
	list, _ := a.value["results"].([]any)
	out := make([]map[string]any, len(list))
	for i, r := range list {
		out[i], _ = r.(map[string]any)
	}
	return out
}

// profile reads one profile; nil where there is none.
func (p *product) profile(id string) map[string]any {
	p.t.Helper()
	a := p.api(http.MethodGet, "/api/v1/profiles/"+id, "")
	if a.status == http.StatusNotFound {
		return nil
	}
	if a.status != http.StatusOK {
		p.t.Fatalf("profile %s: %d %s", id, a.status, a.body)
	}
	return a.value
}

// count asks the query store.
func (p *product) count(documents, filter string) int {
	p.t.Helper()
	body, err := json.Marshal(map[string]string{"filter": filter})
	if err != nil {
		p.t.Fatal(err)
	}
	a := p.api(http.MethodPost, "/api/v1/"+documents+"/count", string(body))
	n, ok := a.value["count"].(float64)
	if a.status != http.StatusOK || !ok {
		p.t.Fatalf("count %s %s: %d %s", documents, filter, a.status, a.body)
	}
	return int(n)
}

// counts waits until a count is what it should be, and says where it is not.
func (p *product) counts(documents, filter string, want int) {
	p.t.Helper()
	got := -1
	deadline := time.Now().Add(60 * time.Second)
	for time.Now().Before(deadline) {
		if got = p.count(documents, filter); got == want {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	p.t.Errorf("%d %s with %s, want %d", got, documents, filter, want)
}

// eventually waits for a condition.
func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain for %s", within, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// at reads a path of a decoded document.
func at(document map[string]any, path ...string) any {
	var v any = document
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

// metric reads one of the product's metrics.
func metric(t *testing.T, p *product, name string) float64 {
	t.Helper()
	for line := range strings.SplitSeq(string(p.api(http.MethodGet, "/metrics", "").body), "\n") {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
