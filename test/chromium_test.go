package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/tributary-bus/tributary/sdk/js"
)

// needsClients skips what needs Chromium and Node, unless it was asked for:
// then a machine without them fails.
func needsClients(t *testing.T) {
	t.Helper()
	if !strings.HasPrefix(t.Name(), "TestPage") && !strings.HasPrefix(t.Name(), "TestClients") {
		t.Fatal("make test-clients finds these tests by their names: TestPage… and TestClients…")
	}
	if os.Getenv("TRIBUTARY_CLIENTS") == "" {
		t.Skip("make test-clients runs it")
	}
}

// A chromium is a real browser without a screen, spoken to over its DevTools
// protocol.
type chromium struct {
	t       *testing.T
	conn    *websocket.Conn
	mu      sync.Mutex // of what follows, and of writing
	last    int
	waiting map[int]chan devtools
}

// A devtools is a message of the protocol, either way.
type devtools struct {
	ID      int             `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  any             `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   json.RawMessage `json:"error,omitempty"`
}

// browse starts a browser with an empty profile, which ends with the test.
func browse(t *testing.T) *chromium {
	t.Helper()
	dir, err := os.MkdirTemp("", "tributary-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // its processes may still write
	cmd := exec.Command("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
		"--disable-dev-shm-usage", "--remote-debugging-port=0", "--user-data-dir="+dir, "--host-resolver-rules=MAP *.example 127.0.0.1", "about:blank")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start Chromium (Debian: apt-get install chromium): %v", err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // its group: all its processes
		_ = cmd.Wait()
	})
	var address []string
	eventually(t, 30*time.Second, "Chromium to be ready", func() bool {
		text, err := os.ReadFile(filepath.Join(dir, "DevToolsActivePort"))
		address = strings.Fields(string(text))
		return err == nil && len(address) == 2
	})
	b := &chromium{t: t, waiting: map[int]chan devtools{}}
	if b.conn, _, err = websocket.DefaultDialer.DialContext(t.Context(), "ws://127.0.0.1:"+address[0]+address[1], nil); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.read()
	}()
	t.Cleanup(func() { _ = b.conn.Close(); <-done })
	return b
}

func (b *chromium) read() {
	for {
		var m devtools
		if b.conn.ReadJSON(&m) != nil {
			return
		}
		b.mu.Lock()
		if answer := b.waiting[m.ID]; answer != nil {
			delete(b.waiting, m.ID)
			answer <- m
		}
		b.mu.Unlock()
	}
}

// call runs a method of the protocol.
func (b *chromium) call(session, method string, params any) (map[string]any, error) {
	answer := make(chan devtools, 1)
	b.mu.Lock()
	b.last++
	b.waiting[b.last] = answer
	err := b.conn.WriteJSON(devtools{ID: b.last, Session: session, Method: method, Params: params})
	b.mu.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case m := <-answer:
		if m.Error != nil {
			return nil, fmt.Errorf("%s: %s", method, m.Error)
		}
		var result map[string]any
		return result, json.Unmarshal(m.Result, &result)
	case <-time.After(30 * time.Second):
		return nil, fmt.Errorf("%s: no answer", method)
	}
}

// A tab is a page of the browser.
type tab struct {
	*chromium
	id, session string
}

// open opens a page in a new tab and waits until it has loaded.
func (b *chromium) open(url string) *tab {
	b.t.Helper()
	opened, err := b.call("", "Target.createTarget", map[string]any{"url": "about:blank"})
	if err != nil {
		b.t.Fatal(err)
	}
	p := &tab{chromium: b, id: fmt.Sprint(opened["targetId"])}
	attached, err := b.call("", "Target.attachToTarget", map[string]any{"targetId": p.id, "flatten": true})
	if err != nil {
		b.t.Fatal(err)
	}
	p.session = fmt.Sprint(attached["sessionId"])
	p.command("Network.enable", nil)
	p.visit(url)
	return p
}

func (p *tab) command(method string, params any) {
	p.t.Helper()
	if _, err := p.call(p.session, method, params); err != nil {
		p.t.Fatal(err)
	}
}

// visit leaves the page for another, or for itself anew.
func (p *tab) visit(url string) {
	p.t.Helper()
	p.do("window.old = true")
	p.command("Page.navigate", map[string]any{"url": url})
	eventually(p.t, 20*time.Second, url+" to load", func() bool {
		v, err := p.evaluate("!window.old && document.readyState == 'complete'")
		return err == nil && v == true
	})
}

// close closes the tab as its user would: the page is told.
func (p *tab) close() {
	p.t.Helper()
	p.command("Page.close", nil)
}

// offline takes the network from the page, or gives it back.
func (p *tab) offline(is bool) {
	p.t.Helper()
	p.command("Network.emulateNetworkConditions", map[string]any{"offline": is, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1})
}

// do runs JavaScript in the page and returns what it says, or promises.
func (p *tab) do(script string) any {
	p.t.Helper()
	v, err := p.evaluate(script)
	if err != nil {
		p.t.Fatal(err)
	}
	return v
}

func (p *tab) evaluate(script string) (any, error) {
	result, err := p.call(p.session, "Runtime.evaluate", map[string]any{"expression": script, "awaitPromise": true, "returnByValue": true})
	if err != nil {
		return nil, err
	}
	if thrown := result["exceptionDetails"]; thrown != nil {
		return nil, fmt.Errorf("%s: %v", script, thrown)
	}
	return at(result, "result", "value"), nil
}

// becomes waits until a script says what it should.
func (p *tab) becomes(within time.Duration, script string, want any) {
	p.t.Helper()
	var got any
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if got = p.do(script); fmt.Sprint(got) == fmt.Sprint(want) {
			return
		}
	}
	p.t.Errorf("%s is %v, want %v; errors of the page: %v", script, got, want, p.do(`window.errors?.map(e => e.code + " " + e.message) + ""`))
}

// A site is a web server with one page, of another origin than the product's,
// as a shop is.
type site struct{ url string }

// newSite serves a page that has the client as t, with these options; what
// goes wrong is kept in errors.
func newSite(t *testing.T, product, options string) *site {
	t.Helper()
	page := fmt.Sprintf(`<!doctype html><title>Shop</title><link rel="icon" href="data:,"><script src="/tributary.js"></script>
<script>var errors = [], got = []; var t = new Tributary(%q, { key: 'dev', delay: 50, onerror: e => errors.push(e), %s })</script>`, product, options)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		if r.URL.Path == "/tributary.js" {
			w.Header().Set("Content-Type", "text/javascript")
			_, _ = w.Write(js.Source)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(page))
	}))
	t.Cleanup(server.Close)
	return &site{server.URL}
}
