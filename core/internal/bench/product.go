package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/sdk/client"
)

// A product is the real one, as a process of its own.
type product struct {
	server  // of ingest
	process *exec.Cmd
	dir     string
	client  *client.Client // of the admin API
	token   string         // of the admin API
	began   time.Time
	ready   time.Duration // from its start until it took events
	ended   chan struct{}
}

const (
	readyWithin = 60 * time.Second
	stopWithin  = 20 * time.Second
)

// startProduct starts the binary on a data directory and returns when it takes
// events.
func startProduct(ctx context.Context, binary, dir, durability string) (*product, error) {
	log, err := os.OpenFile(logOf(dir), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start the product: %w", err)
	}
	defer log.Close()
	p := &product{dir: dir, ended: make(chan struct{})}
	// Not CommandContext: its end is a signal that lets the product drain.
	p.process = exec.Command(binary, "run", "--data", dir, "--http", "127.0.0.1:0", "--set", "durability="+durability) //nolint:noctx
	p.process.SysProcAttr = dyingWithParent()
	p.process.Stdout, p.process.Stderr = log, log
	p.process.Env = environment(os.Environ())
	p.began = time.Now()
	if err := p.process.Start(); err != nil {
		return nil, fmt.Errorf("start the product: %w", err)
	}
	go func() {
		// How it ended is told by the log.
		_ = p.process.Wait()
		close(p.ended)
	}()
	if err := p.await(ctx); err != nil {
		p.kill()
		return nil, fmt.Errorf("start the product: %w", err)
	}
	p.ready = time.Since(p.began)
	return p, nil
}

// restart starts the product, which has ended, on the same directory again.
func (p *product) restart(ctx context.Context, binary, durability string) error {
	next, err := startProduct(ctx, binary, p.dir, durability)
	if err == nil {
		*p = *next
	}
	return err
}

// environment leaves out the settings of whoever runs the benchmark.
func environment(all []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return strings.HasPrefix(s, "TRIBUTARY_") })
}

func logOf(dir string) string { return dir + ".log" }

// await waits until the product says where it listens and that it is ready.
func (p *product) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	var at *running
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready after %s: %w\n%s", readyWithin, ctx.Err(), p.lastWords())
		case <-p.ended:
			return fmt.Errorf("it ended by itself:\n%s", p.lastWords())
		case <-poll.C:
		}
		if at == nil {
			at = readRunning(p.dir, p.process.Process.Pid)
		}
		if at != nil && isReady(ctx, at.Admin) {
			return p.connect(at)
		}
	}
}

// running is what the product leaves in its data directory while it runs.
type running struct {
	URL   string `json:"url"`
	Admin string `json:"admin"`
	PID   int    `json:"pid"`
}

// readRunning is nil until the process has written where it listens; a file of
// an earlier one does not count.
func readRunning(dir string, pid int) *running {
	text, err := os.ReadFile(filepath.Join(dir, "server.json"))
	if err != nil {
		return nil
	}
	r := &running{}
	if err := json.Unmarshal(text, r); err != nil || r.PID != pid {
		return nil
	}
	return r
}

func isReady(ctx context.Context, server string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server+"/readyz", nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

func (p *product) connect(at *running) error {
	target, err := url.Parse(at.URL)
	if err != nil {
		return err
	}
	p.server = server{address: target.Host, pid: p.process.Process.Pid}
	token, err := os.ReadFile(filepath.Join(p.dir, "admin-token"))
	if err != nil {
		return fmt.Errorf("read the admin token: %w", err)
	}
	p.token = strings.TrimSpace(string(token))
	p.client, err = client.New(at.Admin, client.Token(p.token))
	return err
}

// stop ends the product as an operator does, and tells how long that took.
func (p *product) stop() (time.Duration, error) {
	began := time.Now()
	if err := p.process.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return 0, fmt.Errorf("stop the product: %w", err)
	}
	timeout := time.NewTimer(stopWithin)
	defer timeout.Stop()
	select {
	case <-p.ended:
	case <-timeout.C:
		p.kill()
		return 0, fmt.Errorf("stop the product: still there %s after SIGTERM:\n%s", stopWithin, p.lastWords())
	}
	if !p.process.ProcessState.Success() {
		return 0, fmt.Errorf("stop the product: %s:\n%s", p.process.ProcessState, p.lastWords())
	}
	return time.Since(began), nil
}

// kill ends the product with kill -9.
func (p *product) kill() {
	// The only error is that it has ended already.
	_ = p.process.Process.Kill()
	<-p.ended
}

// lastWords are the last lines of the product's log.
func (p *product) lastWords() string {
	text, err := os.ReadFile(logOf(p.dir))
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-5):], []byte("\n")))
}

// orderType makes the product do with an order what a web shop asks for.
const orderType = `{
	"schema": {"type": "object", "required": ["total", "items"], "properties": {
		"total": {"type": "number"}, "currency": {"type": "string"}, "country": {"type": "string"},
		"items": {"type": "array", "items": {"type": "object", "required": ["sku", "quantity", "price"], "properties": {
			"sku": {"type": "string"}, "quantity": {"type": "integer"}, "price": {"type": "number"}}}}}},
	"traits": {"total": "order_total", "country": "country"},
	"copy": [
		{"to": "traits.last_total", "from": "event.properties.total", "op": "set"},
		{"to": "counters.orders", "op": "increment", "by": 1},
		{"to": "counters.revenue", "from": "event.properties.total", "op": "increment"}
	],
	"tags": ["ecommerce"]
}`

// shopRules are the rules of a shop: for each of the types what is done with an order,
// half of them with a schema, and what identifies a customer.
func shopRules() []client.Resource {
	_, plain, _ := strings.Cut(orderType, `"traits"`)
	plain = `{"traits"` + plain
	rules := []client.Resource{
		{Kind: "identification", ID: "email", Spec: jsontext.Value(`{"priority": 10, "normalise": "lower", "limit": 5, "profile": "traits.email"}`)},
		{Kind: "identification", ID: "card", Spec: jsontext.Value(`{"event": "event.properties.card", "priority": 20, "normalise": "digits"}`)},
	}
	for i, id := range orderTypes {
		spec := orderType
		if i%2 == 1 {
			spec = plain
		}
		rules = append(rules, client.Resource{Kind: "event-type", ID: id, Spec: jsontext.Value(spec)})
	}
	return rules
}

// prepare applies what the events need and makes a profile of each of so many
// users, so that what is measured is the steady state.
func (p *product) prepare(ctx context.Context, users int) error {
	if _, err := p.client.Apply(ctx, shopRules(), false); err != nil {
		return fmt.Errorf("apply what a shop asks for: %w", err)
	}
	if err := p.introduce(ctx, users); err != nil {
		return fmt.Errorf("make %d profiles: %w", users, err)
	}
	if _, err := p.settle(ctx); err != nil {
		return fmt.Errorf("make %d profiles: %w", users, err)
	}
	made, err := p.client.Count(ctx, client.Profiles, "")
	if err != nil {
		return fmt.Errorf("count the profiles: %w", err)
	}
	if made != int64(users) {
		return fmt.Errorf("made %d profiles, want %d", made, users)
	}
	return nil
}

// introduce sends one event about each user.
func (p *product) introduce(ctx context.Context, users int) error {
	const perRequest = 100
	conn, err := dialHTTP(ctx, p.address)
	if err != nil {
		return err
	}
	defer conn.conn.Close()
	body := eventsText(time.Now(), perRequest, 1)
	request := newPayload(requestText(p.address, "/v1/events", writeKey, "", body), blocks.Add(1), users)
	for range users / perRequest {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := conn.conn.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		a, err := conn.exchange(request.next())
		if err != nil {
			return err
		}
		if a.status != http.StatusOK || !allAccepted(a.body, perRequest) {
			return fmt.Errorf("the product answers %d %.300s", a.status, a.body)
		}
	}
	return nil
}

// settleLimit is how long the product may take to fold and index what it has.
const settleLimit = 5 * time.Minute

// settle waits until all that was accepted can be queried, and tells how long
// that took.
func (p *product) settle(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	began := time.Now()
	// What one consumer does, another one has to read: twice nobody behind is
	// the end.
	for calm := 0; calm < 2; {
		behind, err := p.behind(ctx)
		switch {
		case errors.Is(err, errNoLag) || err == nil && behind > 0:
			calm = 0
		case err != nil:
			return 0, p.blame(fmt.Errorf("wait until all is folded and indexed: %w", err))
		default:
			calm++
		}
		if err := wait(ctx, 50*time.Millisecond); err != nil {
			return 0, fmt.Errorf("wait until all is folded and indexed: %d messages are left: %w", behind, err)
		}
	}
	return time.Since(began), nil
}

// blame adds to an error what the product said last, where it has ended. A
// broken connection may be known a moment earlier than the end.
func (p *product) blame(err error) error {
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-p.ended:
		return fmt.Errorf("%w; the product ended (%s):\n%s", err, p.process.ProcessState, p.lastWords())
	case <-timer.C:
		return err
	}
}

// orders is how many orders can be queried.
func (p *product) orders(ctx context.Context) (int64, error) {
	n, err := p.client.Count(ctx, client.Events, `event.type in ["`+strings.Join(orderTypes[:], `", "`)+`"]`)
	if err != nil {
		return 0, fmt.Errorf("count the events: %w", err)
	}
	return n, nil
}

// lag tells how far the consumers are; it is never empty.
func (p *product) lag(ctx context.Context) ([]client.Lag, error) {
	status, err := p.client.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for the lag: %w", err)
	}
	if len(status.Lag) == 0 {
		return nil, errNoLag
	}
	return status.Lag, nil
}

// errNoLag means that the product answers, but cannot tell how far it is.
var errNoLag = errors.New("the product does not tell its lag")

// behind is how many messages its consumers have not read.
func (p *product) behind(ctx context.Context) (messages uint64, err error) {
	lags, err := p.lag(ctx)
	for _, lag := range lags {
		messages += lag.End - lag.Position
	}
	return messages, err
}

// indexed is the place in the stream of processed events up to which they can
// be queried and their flows have run, of which each order takes one, and how many changed profiles can
// not be queried as they are.
func (p *product) indexed(ctx context.Context) (position, documents uint64, err error) {
	lags, err := p.lag(ctx)
	for _, lag := range lags {
		switch lag.Stream {
		case "EVENTS": // of several consumers, the slowest counts
			if position == 0 || lag.Position < position {
				position = lag.Position
			}
		case "PROFILES":
			documents = lag.End - lag.Position
		}
	}
	return position, documents, err
}
