package gateway

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/tributary-bus/tributary/core/internal/bus"
)

// webToken is a token that expires after a while and names channels.
func webToken(t testing.TB, after time.Duration, channels ...string) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(testSecret)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(map[string]any{"sub": "ann", "exp": time.Now().Add(after).Unix(), "channels": channels}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (f *fixture) profile(t testing.TB, id string, expect uint64, revision int) uint64 {
	t.Helper()
	text := fmt.Sprintf(`{"state":"live","c":1,"profile":{"id":%q,"revision":%d}}`, id, revision)
	results, err := f.bus.PutDocuments(t.Context(), []bus.DocumentPut{{Profile: id, Data: []byte(text), Expect: expect}})
	if err != nil || results[0].Conflict {
		t.Fatalf("%v %v", results, err)
	}
	return results[0].Revision
}

// A token opens the channels that it names, and no others.
func TestTokenChannels(t *testing.T) {
	f := newLiveFixture(t, func(o *Options) { o.Now = nil })
	f.profile(t, "p", 0, 1)
	f.profile(t, "q", 0, 1)
	c := f.dial(t, "")
	c.send(`{"id":1,"connect":{"token":"` + webToken(t, time.Hour, "profile:p", "segment:*") + `"}}`)
	c.expect(`{"id":1,"connected":{"session":null,` + connected)
	for i, channel := range []string{"events", "profile:q", "profile:nobody"} {
		c.send(fmt.Sprintf(`{"id":%d,"subscribe":{"channel":%q}}`, i+2, channel))
		if line := c.line(); !strings.Contains(line, `"code":"forbidden","message":"the token does not cover the channel `+channel) {
			t.Errorf("%s: %s", channel, line)
		}
	}
	c.send(`{"id":5,"subscribe":{"channel":"profile:p"}}`, `{"id":6,"subscribe":{"channel":"segment:loyal"}}`)
	c.expect(`{"id":5,"subscribed":{"channel":"profile:p","epoch":"p","offset":1}}`)
	if line := c.line(); !strings.Contains(line, `{"id":6,"subscribed":{"channel":"segment:loyal"`) {
		t.Error(line)
	}
	c.send(`{"id":7,"subscribe":{"channel":"profile:p","filter":"true"}}`)
	if line := c.line(); !strings.Contains(line, `the channel profile:p has no filter`) {
		t.Error(line)
	}
	// Another token takes its place, with all that it does not cover.
	c.send(`{"id":8,"refresh":{"token":"` + webToken(t, time.Hour, "segment:loyal") + `"}}`)
	c.expect(`{"unsubscribed":{"channel":"profile:p"}}`, `{"id":8,"refreshed":{}}`)
	if n := f.options.Live.Count(); n != 1 {
		t.Errorf("%d subscriptions are left, want 1", n)
	}
	for name, token := range map[string]string{
		"expired": webToken(t, -time.Minute, "events"), "forged": webToken(t, time.Hour, "events") + "x", "none": "eyJhbGciOiJub25lIn0.eyJjaGFubmVscyI6WyIqIl19.",
	} {
		if code := f.dial(t, "?token="+token).closed(); code != 3500 {
			t.Errorf("%s: closed with %d, want 3500", name, code)
		}
	}
}

func TestTokenExpires(t *testing.T) {
	f := newLiveFixture(t, func(o *Options) { o.Now = nil })
	short := func() string { return webToken(t, -3*time.Second, "events") } // within the leeway of 5 s
	ends, lives := f.dial(t, "?token="+short()), f.dial(t, "?token="+short())
	lives.send(`{"id":1,"refresh":{"token":"` + webToken(t, time.Hour, "events") + `"}}`)
	lives.expect(`{"id":1,"refreshed":{}}`)
	if code := ends.closed(); code != 3005 {
		t.Errorf("closed with %d, want 3005", code)
	}
	lives.send(`{"id":2,"subscribe":{"channel":"events"}}`)
	if line := lives.line(); !strings.Contains(line, `{"id":2,"subscribed"`) {
		t.Error(line)
	}
}

func TestSubscriptionsAreBounded(t *testing.T) {
	f := newLiveFixture(t, nil)
	c := f.dial(t, "?token=t")
	for i := range maxSubscriptions + 1 {
		c.send(fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"segment:s%d"}}`, i+1, i))
		want := `"subscribed"`
		if i == maxSubscriptions {
			want = `"code":"invalid"`
		}
		if line := c.line(); !strings.Contains(line, want) {
			t.Errorf("subscription %d: %s", i+1, line)
		}
	}
}

// An sse is a client of server-sent events.
type sse struct {
	t      *testing.T
	lines  *bufio.Scanner
	status int
}

func (f *fixture) listen(t *testing.T, path string, header ...string) *sse {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return &sse{t, bufio.NewScanner(response.Body), response.StatusCode}
}

// What a stream's request lacks, or has wrong, is called as its sender knows it.
func TestSSEProblems(t *testing.T) {
	f := newLiveFixture(t, nil)
	for path, c := range map[string]struct {
		header []string
		status int
		want   string
	}{
		"":                     {nil, 401, "no token: send ?token= or Authorization: Bearer …, an admin token or a JWT that names the channel"},
		"?token=":              {[]string{"Authorization", "Bearer "}, 401, "no token: send"},
		"?token=u":             {nil, 401, "unknown token"},
		"?token=t&recover=abc": {nil, 400, "recover: want the id"},
		"?token=t&recover=0":   {[]string{"Last-Event-ID", "abc"}, 400, "Last-Event-ID: want the id"},
	} {
		s := f.listen(t, "/sse/events"+path, c.header...)
		if s.lines.Scan(); s.status != c.status || !strings.Contains(s.lines.Text(), `"message":"`+c.want) {
			t.Errorf("%s: %d %s, want %d %s", path, s.status, s.lines.Text(), c.status, c.want)
		}
	}
}

// event returns the next event's fields.
func (s *sse) event() map[string]string {
	s.t.Helper()
	fields := map[string]string{}
	for s.lines.Scan() {
		name, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch {
		case name == "" && len(fields) > 0 && fields["retry"] == "":
			return fields
		case name == "":
			fields = map[string]string{}
		case fields[name] != "":
			fields[name] += "\n" + value
		default:
			fields[name] = value
		}
	}
	s.t.Fatalf("the stream ended: %v", s.lines.Err())
	return nil
}

// TestOneTokenOfAStream holds that a stream is opened with the token that is meant,
// and with none where that cannot be told.
func TestOneTokenOfAStream(t *testing.T) {
	f := newLiveFixture(t, func(o *Options) { o.Now = nil })
	web := webToken(t, time.Hour, "events")
	for name, c := range map[string]struct {
		query  string
		header []string
		status int
	}{
		"the address alone":     {"?token=t", nil, 200},
		"a header alone":        {"", []string{"Authorization", "Bearer " + web}, 200},
		"as Basic user":         {"", []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("t:"))}, 200},
		"the same twice":        {"?token=t", []string{"Authorization", "Bearer t"}, 200},
		"two that are good":     {"?token=t", []string{"Authorization", "Bearer " + web}, 400},
		"a bad header":          {"?token=t", []string{"Authorization", "Bearer u"}, 400},
		"a bad address":         {"?token=u", []string{"Authorization", "bearer t"}, 400},
		"a bearer of nothing":   {"?token=t", []string{"Authorization", "Bearer "}, 200},
		"a password of a proxy": {"?token=t", []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("anna:secret"))}, 200},
		"a write key":           {"?token=t", []string{"X-Write-Key", "shop-key"}, 200},
		"neither":               {"", nil, 401},
	} {
		if s := f.listen(t, "/sse/events"+c.query, c.header...); s.status != c.status {
			t.Errorf("%s: %d, want %d", name, s.status, c.status)
		}
	}
}

func TestServerSentEvents(t *testing.T) {
	f := newLiveFixture(t, func(o *Options) { o.Now = nil })
	f.publish(t, 0, 1, "before")
	state, err := f.bus.EventsState(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for path, status := range map[string]int{
		"/sse/events": 401, "/sse/events?token=u": 401, "/sse/event?token=t": 404, "/sse/events?token=t&filter=event.x.": 400,
		"/sse/profile:nobody?token=t": 404, "/sse/events?token=" + webToken(t, time.Hour, "segment:x"): 403, "/sse/events?token=t&recover=x": 400,
	} {
		if s := f.listen(t, path); s.status != status {
			t.Errorf("%s: %d, want %d", path, s.status, status)
		}
	}
	s := f.listen(t, "/sse/events?filter=event.properties.n==1", "Authorization", "Bearer "+webToken(t, time.Hour, "events"))
	if e := s.event(); e["event"] != "subscribed" || e["id"] != state.Epoch+"-1" {
		t.Errorf("%v", e)
	}
	f.publish(t, 0, 2, "zero", "one")
	if e := s.event(); e["id"] != state.Epoch+"-3" || !strings.HasPrefix(e["data"], `{"id":"one-2-1","type":"one"`) || e["event"] != "" {
		t.Errorf("%v", e)
	}
	// Who comes back with the last id goes on behind it.
	s = f.listen(t, "/sse/events?token=t", "Last-Event-ID", state.Epoch+"-1")
	if e := s.event(); !strings.Contains(e["data"], `"recovered":true`) {
		t.Errorf("%v", e)
	}
	for _, want := range []string{"zero-2-0", "one-2-1"} {
		if e := s.event(); !strings.HasPrefix(e["data"], `{"id":"`+want+`"`) {
			t.Errorf("%v, want %s", e, want)
		}
	}
	s = f.listen(t, "/sse/events?token=t&recover=0")
	s.event()
	if e := s.event(); !strings.HasPrefix(e["data"], `{"id":"before-1-0"`) {
		t.Errorf("%v", e)
	}
	// A drain tells why.
	go func() { _ = f.Drain(context.Background()) }()
	for {
		e := s.event()
		if e["event"] == "closed" {
			if e["data"] != `{"code":3001,"reason":"shutting down"}` {
				t.Errorf("%v", e)
			}
			break
		}
	}
}

// A stream outlasts the time that the server gives a request.
func TestServerSentEventsOutlastTimeouts(t *testing.T) {
	f := newLiveFixture(t, nil)
	server := httptest.NewUnstartedServer(f.Handler())
	const timeout = time.Second // in which a busy machine begins to answer
	server.Config.ReadTimeout, server.Config.WriteTimeout = timeout, timeout
	server.Start()
	t.Cleanup(server.Close)
	f.server = server
	s := f.listen(t, "/sse/events?token=t")
	s.event()
	time.Sleep(3 * timeout / 2)
	f.publish(t, 0, 1, "late")
	if e := s.event(); !strings.HasPrefix(e["data"], `{"id":"late-1-0"`) {
		t.Errorf("%v", e)
	}
}

func TestServerSentEventsSlowReader(t *testing.T) {
	f := newLiveFixture(t, func(o *Options) { o.Limits.WriteQueue = 64 << 10 })
	s := f.listen(t, "/sse/events?token=t")
	s.event()
	var stream *eventStream
	f.sockets.mu.Lock()
	for c := range f.sockets.open {
		stream = c.(*eventStream)
	}
	f.sockets.mu.Unlock()
	for c := uint64(1); stream.reason() == nil; c++ {
		if c > 10_000 {
			t.Fatal("a reader that does not read is never given up")
		}
		types := make([]string, 200)
		for i := range types {
			types[i] = "flood"
		}
		f.publish(t, 0, c, types...)
	}
	for {
		if e := s.event(); e["event"] == "closed" {
			if !strings.Contains(e["data"], "3008") {
				t.Errorf("%v", e)
			}
			return
		}
	}
}
