package gateway

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

func basic(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }

func TestKeys(t *testing.T) {
	f := newFixture(t, nil)
	const event = `{"type":"x"}`
	for name, c := range map[string]struct {
		body   string
		header []string
		status int
	}{
		"bearer":                 {event, []string{"Authorization", "Bearer shop-key"}, 200},
		"bearer, other case":     {event, []string{"Authorization", "bearer  shop-key"}, 200},
		"second key":             {event, []string{"Authorization", "Bearer second-key"}, 200},
		"basic user":             {event, []string{"Authorization", basic("shop-key:")}, 200},
		"basic user with secret": {event, []string{"Authorization", basic("shop-key:secret")}, 200},
		"basic without padding":  {event, []string{"Authorization", strings.TrimRight(basic("shop-key:"), "=")}, 200},
		"header":                 {event, []string{"X-Write-Key", "shop-key"}, 200},
		"header with secret":     {event, []string{"X-Write-Key", "shop-key:secret"}, 200},
		"body":                   {`{"type":"x","writeKey":"shop-key"}`, nil, 200},
		"body with secret":       {`{"type":"x","writeKey":"shop-key:secret"}`, nil, 200},
		"header wins":            {`{"type":"x","writeKey":"nobody"}`, []string{"X-Write-Key", "shop-key"}, 200},
		"wrong header wins":      {`{"type":"x","writeKey":"shop-key"}`, []string{"X-Write-Key", "nobody"}, 401},
		"masked body":            {`{"type":"x","writeKey":"shop-key:***"}`, nil, 401},
		"masked body and header": {`{"type":"x","writeKey":"other:***"}`, []string{"X-Write-Key", "shop-key"}, 200},
		"none":                   {event, nil, 401},
		"unknown":                {event, []string{"X-Write-Key", "nobody"}, 401},
		"unknown in body":        {`{"type":"x","writeKey":"nobody"}`, nil, 401},
		"disabled":               {event, []string{"X-Write-Key", "old-key"}, 401},
		"id is no key":           {event, []string{"X-Write-Key", "shop"}, 401},
		"keyless is no key":      {event, []string{"X-Write-Key", "hook"}, 401},
		"broken basic":           {event, []string{"Authorization", "Basic !!"}, 401},
	} {
		t.Run(name, func(t *testing.T) {
			a := f.send(t, "POST", "/v1/events", c.body, c.header...)
			if a.status != c.status {
				t.Errorf("%d %s, want %d", a.status, a.text, c.status)
			}
			if c.status == 401 && (a.code() != codeUnauthorized || a.header.Get("Www-Authenticate") == "") {
				t.Errorf("%s %v", a.text, a.header)
			}
		})
	}
}

func TestLengthOfReplies(t *testing.T) {
	f := newFixture(t, nil)
	for _, n := range []int{1, 500} {
		a := f.send(t, "POST", "/v1/events", strings.Repeat(`{"type":"x"}`+"\n", n), "X-Write-Key", "shop-key")
		if got := a.header.Get("Content-Length"); a.status != 200 || got != strconv.Itoa(len(a.text)) {
			t.Errorf("%d events: %d with the length %q, want %d", n, a.status, got, len(a.text))
		}
	}
}

func TestRefusedRequests(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Limits = Limits{Inflated: 600 << 10} })
	many := strings.Repeat(`{"type":"x"}`+"\n", 1001)
	large := `{"type":"x","properties":{"a":"` + strings.Repeat("x", 500<<10) + `"}}`
	key := []string{"X-Write-Key", "shop-key"}
	for name, c := range map[string]struct {
		method, path, body string
		header             []string
		status             int
		code               string
	}{
		"unknown path":     {"POST", "/v1/nothing", "", key, 404, codeNotFound},
		"wrong method":     {"GET", "/v1/events", "", key, 405, codeMethod},
		"empty":            {"POST", "/v1/events", "", key, 400, codeMalformed},
		"no JSON":          {"POST", "/v1/events", "hello", key, 400, codeMalformed},
		"too many events":  {"POST", "/v1/events", many, key, 413, codeTooLarge},
		"too large":        {"POST", "/v1/events", large, key, 413, codeTooLarge},
		"bomb":             {"POST", "/v1/events", gzipped(strings.Repeat(" ", 700<<10)), append(key, "Content-Encoding", "gzip"), 413, codeTooLarge},
		"zstd bomb":        {"POST", "/v1/events", zstded(strings.Repeat(" ", 700<<10)), append(key, "Content-Encoding", "zstd"), 413, codeTooLarge},
		"no gzip":          {"POST", "/v1/events", "hello", append(key, "Content-Encoding", "gzip"), 400, codeMalformed},
		"gzip cut":         {"POST", "/v1/events", gzipped(`{"type":"x"}`)[:20], append(key, "Content-Encoding", "gzip"), 400, codeMalformed},
		"no zstd":          {"POST", "/v1/events", "hello", append(key, "Content-Encoding", "zstd"), 400, codeMalformed},
		"unknown encoding": {"POST", "/v1/events", "hello", append(key, "Content-Encoding", "br"), 415, codeEncoding},
		"unknown wait":     {"POST", "/v1/events?wait=done", `{"type":"x"}`, key, 400, codeInvalid},
		"no parameter":     {"POST", "/v1/events?wait=processed&foo=1", `{"type":"x"}`, key, 400, codeInvalid},
		"unknown profile":  {"POST", "/v1/events?wait=processed&profile=all", `{"type":"x"}`, key, 400, codeInvalid},
		"profile, no wait": {"POST", "/v1/events?profile=full", `{"type":"x"}`, key, 400, codeInvalid},
		"not trusted":      {"POST", "/v1/events?wait=processed&profile=full", `{"type":"x"}`, []string{"X-Write-Key", "web-key"}, 403, codeForbidden},
		"no store":         {"POST", "/v1/events?wait=indexed", `{"type":"x"}`, key, 400, codeInvalid},
		"wrong origin":     {"POST", "/v1/events", `{"type":"x"}`, []string{"X-Write-Key", "web-key", "Origin", "https://evil.example"}, 403, codeForbidden},
		"over the rate":    {"POST", "/v1/events", strings.Repeat(`{"type":"x"}`, 1000), []string{"X-Write-Key", "slow-key"}, 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := f.send(t, c.method, c.path, c.body, c.header...)
			if a.status != c.status || a.code() != c.code {
				t.Errorf("%d %.200s, want %d %s", a.status, a.text, c.status, c.code)
			}
			if a.header.Get("Content-Type") != "application/json" {
				t.Errorf("Content-Type %s", a.header.Get("Content-Type"))
			}
		})
	}
	t.Run("a parameter in other words", func(t *testing.T) {
		a := f.send(t, "POST", "/v1/events?wiat=processed", `{"type":"x"}`, key...)
		if want := `unknown query parameter wiat; did you mean \"wait\"?`; !strings.Contains(a.text, want) {
			t.Errorf("%s, want %s", a.text, want)
		}
	})
	t.Run("again over the rate", func(t *testing.T) {
		a := f.send(t, "POST", "/v1/events", `{"type":"x"}`, "X-Write-Key", "slow-key")
		if a.status != 429 || a.header.Get("Retry-After") == "" || a.code() != codeTooMany {
			t.Errorf("%d %s %v", a.status, a.text, a.header)
		}
	})
	for _, c := range f.commands(t) {
		if c.Event.Source != "slow" {
			t.Errorf("a refused request stored %+v", c.Event)
		}
	}
}

func gzipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(s))
	_ = z.Close()
	return b.String()
}

func zstded(s string) string {
	z, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return string(z.EncodeAll([]byte(s), nil))
}

func TestEncodings(t *testing.T) {
	f := newFixture(t, nil)
	for i, c := range []struct{ encoding, body string }{
		{"gzip", gzipped(`{"type":"x","id":"0"}`)},
		{"zstd", zstded(`{"type":"x","id":"1"}`)},
		{"identity", `{"type":"x","id":"2"}`},
		{"gzip", gzipped("[" + strings.TrimSuffix(strings.Repeat(`{"type":"x","properties":{"a":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}},`, 1000), ",") + "]")},
	} {
		a := f.send(t, "POST", "/v1/events", c.body, "X-Write-Key", "shop-key", "Content-Encoding", c.encoding)
		want := 1
		if i == 3 {
			want = 1000
		}
		if n, _ := a.body["accepted"].(int64); a.status != 200 || n != int64(want) {
			t.Errorf("%d: %d %.200s, want %d accepted", i, a.status, a.text, want)
		}
	}
	if n := len(f.commands(t)); n != 1003 {
		t.Errorf("%d commands, want 1003", n)
	}
	if used := f.bodies.used.Load(); used != 0 {
		t.Errorf("%d bytes still count as in flight", used)
	}
}

func TestCrossOrigin(t *testing.T) {
	f := newFixture(t, nil)
	a := f.send(t, "OPTIONS", "/v1/batch", "", "Origin", "https://shop.example", "Access-Control-Request-Method", "POST",
		"Access-Control-Request-Headers", "authorization,content-type,x-retry-count")
	if a.status != 204 || a.header.Get("Access-Control-Allow-Origin") != "https://shop.example" {
		t.Errorf("%d %v", a.status, a.header)
	}
	for _, name := range []string{"authorization", "content-type", "x-retry-count", "x-write-key"} {
		if !strings.Contains(a.header.Get("Access-Control-Allow-Headers"), name) {
			t.Errorf("%s is not allowed", name)
		}
	}
	for origin, status := range map[string]int{"https://shop.example": 200, "https://evil.example": 403} {
		a := f.send(t, "POST", "/v1/events", `{"type":"x"}`, "X-Write-Key", "web-key", "Origin", origin)
		if a.status != status || a.header.Get("Access-Control-Allow-Origin") != origin || a.header.Get("Vary") != "Origin" {
			t.Errorf("%s: %d %v", origin, a.status, a.header)
		}
	}
	if a := f.send(t, "POST", "/v1/events", `{"type":"x"}`, "X-Write-Key", "shop-key", "Origin", "https://any.example"); a.status != 200 {
		t.Errorf("a source without origins: %d %s", a.status, a.text)
	}
}

func TestEventsWithoutID(t *testing.T) {
	f := newFixture(t, nil)
	a := f.post(t, "", `[{"type":"x"},{"type":"x"}]`)
	if a.statuses() != "accepted accepted" {
		t.Fatal(a.text)
	}
	first, second := a.results()[0]["id"].(string), a.results()[1]["id"].(string)
	if len(first) != 36 || first[14] != '7' || first == second {
		t.Errorf("ids %s and %s, want two UUIDv7", first, second)
	}
	// Whoever repeats the id that the gateway gave repeats the event.
	commands := f.commands(t)
	if got := record.EventID("shop", commands[0].Event.ID); got != commands[0].ID {
		t.Errorf("the command's id is not that of its event")
	}
	if !commands[0].Event.Time.Equal(commands[0].Received) || commands[0].Received.IsZero() {
		t.Errorf("time %v, received %v", commands[0].Event.Time, commands[0].Received)
	}
}

type seenIDs struct {
	ids map[record.ID]bool
	err error
}

func (s seenIDs) Has(id record.ID) (bool, error) { return s.ids[id], s.err }

func TestDuplicates(t *testing.T) {
	seen := seenIDs{ids: map[record.ID]bool{record.EventID("shop", "old"): true}}
	f := newFixture(t, func(o *Options) { o.Seen = seen })
	f.fold(t, applied)
	t.Run("known and repeated", func(t *testing.T) {
		a := f.post(t, "", `[{"type":"x","id":"old"},{"type":"x","id":"new"},{"type":"x","id":"new"}]`)
		if a.statuses() != "duplicate accepted duplicate" || a.body["accepted"] != int64(1) {
			t.Error(a.text)
		}
	})
	t.Run("repeated among many", func(t *testing.T) {
		var body strings.Builder
		for i := range 20 {
			fmt.Fprintf(&body, `{"type":"x","id":"m%d"}`, i%10)
		}
		a := f.post(t, "", body.String())
		if want := strings.TrimSpace(strings.Repeat("accepted ", 10) + strings.Repeat("duplicate ", 10)); a.statuses() != want {
			t.Error(a.statuses())
		}
	})
	t.Run("waited for", func(t *testing.T) {
		a := f.post(t, "?wait=processed", `[{"type":"x","id":"w","ids":{"user":"1"}},{"type":"x","id":"w","ids":{"user":"1"}},{"type":"x","id":"old","ids":{"user":"1"}}]`)
		profile := f.bus.DerivedProfile("user", "1", 0)
		if a.statuses() != "accepted duplicate duplicate" {
			t.Fatal(a.text)
		}
		for i, r := range a.results()[:2] {
			if r["profile"] != profile {
				t.Errorf("result %d: profile %v, want %s", i, r["profile"], profile)
			}
		}
	})
	t.Run("unsure", func(t *testing.T) {
		f := newFixture(t, func(o *Options) { o.Seen = seenIDs{err: errors.New("broken")} })
		if a := f.post(t, "", `{"type":"x","id":"old"}`); a.statuses() != "accepted" {
			t.Error(a.text)
		}
	})
	for _, c := range f.commands(t) {
		if c.Event.ID == "old" {
			t.Error("a known event was appended")
		}
	}
}

func TestWait(t *testing.T) {
	var indexed atomic.Int64
	f := newFixture(t, func(o *Options) {
		o.Limits.Wait = 2 * time.Second
		o.Indexed = func(_ context.Context, out record.Outcome) error {
			indexed.Add(int64(out.C))
			return nil
		}
	})
	f.fold(t, func(c *record.Command) *record.Outcome {
		o := applied(c)
		switch c.Event.Type {
		case "unanswered":
			return nil
		case "seen":
			o.Status = record.StatusDuplicate
		case "broken":
			o.Valid, o.Profile = false, ""
			o.Errors = []sdk.FieldError{{Path: "properties.total", Message: "want a number"}}
		}
		return o
	})
	user := f.bus.DerivedProfile("user", "1", 0)
	t.Run("processed", func(t *testing.T) {
		a := f.post(t, "?wait=processed", `[{"id":"1","type":"x","session":"s","ids":{"user":"1"}},{"id":"2","type":"seen","ids":{"user":"1"}},{"id":"3","type":"broken","ids":{"user":"1"}},{"id":"4"}]`)
		want := `{"accepted":2,"results":[` +
			`{"id":"1","status":"accepted","profile":"` + user + `","session":"s","valid":true,"response":{}},` +
			`{"id":"2","status":"duplicate","profile":"` + user + `","session":null,"valid":true,"response":{}},` +
			`{"id":"3","status":"accepted","profile":null,"session":null,"valid":false,"errors":[{"path":"properties.total","message":"want a number"}],"response":{}},` +
			`{"id":"4","status":"invalid","error":{"code":"invalid","message":"type: an event needs a type","details":[{"path":"type","message":"an event needs a type"}]}}` +
			`],"response":{}}`
		if a.status != 200 || a.text != want {
			t.Errorf("%d\n%s\nwant\n%s", a.status, a.text, want)
		}
	})
	t.Run("nothing to wait for", func(t *testing.T) {
		if a := f.post(t, "?wait=processed", `{"id":"4"}`); a.status != 200 || a.statuses() != "invalid" || a.body["waited"] != nil {
			t.Errorf("%d %s", a.status, a.text)
		}
	})
	t.Run("indexed", func(t *testing.T) {
		a := f.post(t, "?wait=indexed", `[{"type":"x"},{"type":"x"}]`)
		if a.status != 200 || a.statuses() != "accepted accepted" || indexed.Load() != 14 {
			t.Errorf("%d %s, waited for commits up to %d", a.status, a.text, indexed.Load())
		}
	})
	t.Run("too long", func(t *testing.T) {
		a := f.post(t, "?wait=processed", `[{"id":"u","type":"unanswered","ids":{"user":"1"}},{"id":"v","type":"x","ids":{"user":"1"}}]`)
		if a.status != 200 || a.body["waited"] != false || a.statuses() != "accepted accepted" {
			t.Errorf("%d %s", a.status, a.text)
		}
		if a.results()[1]["profile"] != user || a.results()[0]["profile"] != nil {
			t.Errorf("profiles in %s", a.text)
		}
	})
	t.Run("profile", func(t *testing.T) {
		document := `{"state":"live","c":1,"profile":{"id":"` + user + `","traits":{"a":1}}}`
		if _, err := f.bus.PutDocuments(t.Context(), []bus.DocumentPut{{Profile: user, Data: []byte(document)}}); err != nil {
			t.Fatal(err)
		}
		a := f.post(t, "?wait=processed&profile=full", `{"type":"x","ids":{"user":"1"}}`)
		profile, _ := a.results()[0]["profile"].(map[string]any)
		if a.status != 200 || profile["id"] != user {
			t.Errorf("%d %s", a.status, a.text)
		}
	})
	if n := len(f.waiters.open); n != 0 {
		t.Errorf("%d waiters are left", n)
	}
}

// A faultyBus refuses in ways that a real one does only when it is broken.
type faultyBus struct {
	*bus.Bus
	accepting error
	append    func(entries []bus.Entry) error
}

func (f *faultyBus) Accepting() error { return f.accepting }

func (f *faultyBus) Append(ctx context.Context, entries []bus.Entry) error {
	if f.append != nil {
		return f.append(entries)
	}
	return f.Bus.Append(ctx, entries)
}

func TestUnavailable(t *testing.T) {
	faulty := &faultyBus{}
	f := newFixture(t, func(o *Options) {
		faulty.Bus = o.Bus.(*bus.Bus)
		o.Bus = faulty
	})
	// Two users whose profiles are in different partitions, so that the bus
	// can take one event in and not the other.
	partition := func(user int) int {
		return faulty.Partition(faulty.DerivedProfile(record.KindUser, strconv.Itoa(user), 0))
	}
	other := 2
	for partition(other) == partition(1) {
		other++
	}
	events := fmt.Sprintf(`[{"id":"a","type":"x","ids":{"user":"1"}},{"id":"b","type":"x","ids":{"user":"%d"}},{"id":"a","type":"x","ids":{"user":"1"}},{"id":"c"}]`, other)
	all := func(entries []bus.Entry) error {
		failed := map[int]error{}
		for i := range entries {
			failed[i] = bus.ErrNoAck
		}
		return &bus.AppendError{Failed: failed}
	}
	t.Run("full", func(t *testing.T) {
		faulty.accepting = bus.ErrFull
		defer func() { faulty.accepting = nil }()
		began := time.Now()
		a := f.post(t, "", events)
		if a.status != 503 || a.header.Get("Retry-After") != "1" || a.code() != codeUnavailable || time.Since(began) > time.Second {
			t.Errorf("%d %s %v", a.status, a.text, a.header)
		}
	})
	t.Run("no acknowledgement", func(t *testing.T) {
		faulty.append = all
		a := f.post(t, "", events)
		if a.status != 503 || a.header.Get("Retry-After") != "1" || a.code() != codeUnavailable || a.statuses() != "retry retry retry invalid" {
			t.Errorf("%d %s %v", a.status, a.text, a.header)
		}
	})
	t.Run("in part", func(t *testing.T) {
		faulty.append = func(entries []bus.Entry) error {
			return &bus.AppendError{Failed: map[int]error{0: bus.ErrNoAck}}
		}
		a := f.post(t, "", events)
		if a.status != 200 || a.statuses() != "retry accepted retry invalid" || a.body["accepted"] != int64(1) {
			t.Errorf("%d %s", a.status, a.text)
		}
		if e, _ := a.results()[0]["error"].(map[string]any); e["code"] != codeUnavailable {
			t.Errorf("error %v", e)
		}
	})
	t.Run("waiting", func(t *testing.T) {
		faulty.append = all
		a := f.post(t, "?wait=processed", events)
		if a.status != 503 || a.body["waited"] != nil {
			t.Errorf("%d %s", a.status, a.text)
		}
	})
	t.Run("Segment's kin", func(t *testing.T) {
		faulty.append = func(entries []bus.Entry) error {
			return &bus.AppendError{Failed: map[int]error{0: bus.ErrNoAck}}
		}
		a := f.send(t, "POST", "/v1/batch", `{"batch":[{"type":"page","userId":"1"},{"type":"page","userId":"2"}]}`, "X-Write-Key", "shop-key")
		if a.status != 503 || a.header.Get("Retry-After") != "1" {
			t.Errorf("%d %s", a.status, a.text)
		}
	})
	t.Run("too much in flight", func(t *testing.T) {
		faulty.append = nil
		f.bodies.used.Add(f.bodies.limit)
		defer f.bodies.used.Add(-f.bodies.limit)
		if a := f.post(t, "", events); a.status != 503 || a.header.Get("Retry-After") != "1" {
			t.Errorf("%d %s", a.status, a.text)
		}
	})
}

func TestStoppedBus(t *testing.T) {
	f := newFixture(t, nil)
	if err := f.bus.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	a := f.post(t, "", `{"type":"x","ids":{"user":"1"}}`)
	if a.status != 503 || a.header.Get("Retry-After") != "1" || time.Since(began) > 1100*time.Millisecond {
		t.Errorf("%d %s after %v", a.status, a.text, time.Since(began))
	}
}

func TestDrain(t *testing.T) {
	f := newFixture(t, nil)
	answered := make(chan answer, 1)
	folding := make(chan struct{})
	drained := make(chan error, 1)
	f.fold(t, func(c *record.Command) *record.Outcome {
		close(folding)
		// The answer comes once the gateway has begun to drain.
		for f.gate.enter() {
			f.gate.leave()
		}
		return applied(c)
	})
	go func() { answered <- f.post(t, "?wait=processed", `{"type":"x"}`) }()
	<-folding
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		drained <- f.Drain(ctx)
	}()
	if a := <-answered; a.status != 200 || a.statuses() != "accepted" || a.body["waited"] != nil {
		t.Errorf("%d %s", a.status, a.text)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if a := f.post(t, "", `{"type":"x"}`); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") != "1" {
		t.Errorf("after the drain: %d %s", a.status, a.text)
	}
}

func TestMetrics(t *testing.T) {
	f := newFixture(t, nil)
	f.post(t, "", `[{"type":"x"},{"id":"2"},{"type":"x","id":"3"},{"type":"x","id":"3"}]`)
	var b bytes.Buffer
	f.Metrics(&b)
	for _, want := range []string{
		`tributary_ingest_events_total{source="shop",result="accepted"} 2`,
		`tributary_ingest_events_total{source="shop",result="invalid"} 1`,
		`tributary_ingest_events_total{source="shop",result="duplicate"} 1`,
		`tributary_ingest_request_duration_seconds_count{path="/v1/events"} 1`,
		`tributary_websocket_connections 0`,
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s in\n%s", want, b.String())
		}
	}
}
