package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testResources = `
kind: source
id: shop
spec: {name: Shop, keys: [shop-key, second-key], trusted: true}
---
kind: source
id: web
spec: {name: Web, keys: [web-key], origins: ["https://shop.example"]}
---
kind: source
id: old
spec: {name: Old, keys: [old-key], disabled: true}
---
kind: source
id: hook
spec: {name: Hook, keyless: true}
---
kind: source
id: slow
spec: {name: Slow, keys: [slow-key], rate: 1/h}
---
kind: identification
id: card
spec: {event: event.properties.card, priority: 10, normalise: digits}
---
kind: identification
id: email
spec: {event: event.traits.email, priority: 5, normalise: lower}
`

func testSet(t testing.TB) *config.Set { return setOf(t, testResources) }

func setOf(t testing.TB, text string) *config.Set {
	t.Helper()
	resources, err := config.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	set, err := config.NewSet(1, resources)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

type fixedResources struct{ set *config.Set }

func (f fixedResources) Current() *config.Set { return f.set }

// shopSource is the source that most tests send by.
var shopSource = &config.Source{ID: "shop"}

// testNow is a time that no test depends on otherwise.
var testNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// bodyOf is a request that has nothing but a body.
func bodyOf(body string) *request {
	return &request{Request: httptest.NewRequest(http.MethodPost, "/", nil), body: []byte(body)}
}

func openBus(t testing.TB) *bus.Bus {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Options{Dir: t.TempDir(), Durability: bus.DurabilityProcess, DiskReserve: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return b
}

// A fixture is a gateway on a real bus.
type fixture struct {
	*Gateway
	bus    *bus.Bus
	server *httptest.Server
}

func newFixture(t testing.TB, change func(o *Options)) *fixture {
	t.Helper()
	b := openBus(t)
	o := Options{Bus: b, Resources: fixedResources{testSet(t)}}
	if change != nil {
		change(&o)
	}
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(g.Handler())
	server.Config.ConnState = func(conn net.Conn, state http.ConnState) {
		if tcp, ok := conn.(*net.TCPConn); ok && state == http.StateNew {
			_ = tcp.SetWriteBuffer(4 << 10)
		}
	}
	server.Start()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := g.Drain(ctx); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	return &fixture{Gateway: g, bus: b, server: server}
}

// An answer is what came back of a request.
type answer struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

func (f *fixture) send(t testing.TB, method, path, body string, header ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, f.server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := f.server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: response.StatusCode, header: response.Header, text: string(text)}
	if bytes.HasPrefix(text, []byte("{")) {
		if a.body, err = sdk.ParseObject(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	return a
}

// post sends to /v1/events as the shop.
func (f *fixture) post(t testing.TB, query, body string) answer {
	t.Helper()
	return f.send(t, "POST", "/v1/events"+query, body, "X-Write-Key", "shop-key")
}

func (a answer) results() (list []map[string]any) {
	results, _ := a.body["results"].([]any)
	for _, r := range results {
		list = append(list, r.(map[string]any))
	}
	return list
}

func (a answer) statuses() string {
	var list []string
	for _, r := range a.results() {
		list = append(list, r["status"].(string))
	}
	return strings.Join(list, " ")
}

// code returns the error's code of the whole request.
func (a answer) code() string {
	e, _ := a.body["error"].(map[string]any)
	code, _ := e["code"].(string)
	return code
}

// commands reads all commands that the bus has.
func (f *fixture) commands(t testing.TB) []record.Command {
	t.Helper()
	var all []record.Command
	for p := range f.bus.Partitions() {
		last, err := f.bus.IngestLastOf(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		reader, err := f.bus.ReadIngest(t.Context(), p, 0)
		if err != nil {
			t.Fatal(err)
		}
		for seq := uint64(0); seq < last; {
			messages, err := reader.Next(t.Context(), 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range messages {
				commands, err := record.ParseCommands(m.Data)
				if err != nil {
					t.Fatal(err)
				}
				all, seq = append(all, commands...), m.Seq
			}
		}
		reader.Close()
	}
	return all
}

// command returns the only command there is.
func (f *fixture) command(t testing.TB) record.Command {
	t.Helper()
	all := f.commands(t)
	if len(all) != 1 {
		t.Fatalf("the bus has %d commands, want 1", len(all))
	}
	return all[0]
}

// A folder stands for the processor: it answers every command that somebody
// waits for. Where they wait for flows too, it stands for those as well.
type folder struct {
	outcome func(c *record.Command) *record.Outcome // nil: no answer
	flows   func(c *record.Command) string          // empty: no answer
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

func (f *fixture) fold(t testing.TB, outcome func(c *record.Command) *record.Outcome) {
	t.Helper()
	f.foldWithFlows(t, outcome, func(*record.Command) string { return `{"response":{}}` })
}

func (f *fixture) foldWithFlows(t testing.TB, outcome func(c *record.Command) *record.Outcome, flows func(c *record.Command) string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	fold := &folder{outcome: outcome, flows: flows, cancel: cancel}
	for p := range f.bus.Partitions() {
		fold.done.Go(func() { fold.run(ctx, t, f.bus, p) })
	}
	t.Cleanup(func() { cancel(); fold.done.Wait() })
}

func (f *folder) run(ctx context.Context, t testing.TB, b *bus.Bus, partition int) {
	reader, err := b.ReadIngest(ctx, partition, 0)
	if err != nil {
		t.Error(err)
		return
	}
	defer reader.Close()
	for {
		messages, err := reader.Next(ctx, 1<<20)
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			return
		}
		for _, m := range messages {
			commands, err := record.ParseCommands(m.Data)
			if err != nil {
				t.Error(err)
			}
			for i := range commands {
				o := f.outcome(&commands[i])
				if o == nil || commands[i].Reply == "" {
					continue
				}
				// Flows may be quicker than the outcome, as either comes by itself.
				answer := ""
				if commands[i].Flows && o.Valid && o.Status == record.StatusAccepted {
					answer = f.flows(&commands[i])
				}
				if answer != "" {
					if err := b.Respond(record.FlowsReply(commands[i].Reply), []byte(answer)); err != nil {
						t.Error(err)
					}
				}
				if err := b.Respond(commands[i].Reply, o.AppendJSON(nil)); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// applied is the outcome of an event that was applied as it was routed.
func applied(c *record.Command) *record.Outcome {
	return &record.Outcome{
		Status: record.StatusAccepted, Profile: c.Profile, Session: c.Event.Session, Valid: true,
		Partition: 1, C: 7, Revision: 3,
	}
}
