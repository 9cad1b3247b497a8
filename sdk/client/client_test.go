package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/gorilla/websocket"

	"github.com/tributary-bus/tributary/sdk/client"
)

// serve answers every request with h and returns a client of it.
func serve(t *testing.T, h http.HandlerFunc) *client.Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c, err := client.New(server.URL, client.Key("shop-key"), client.Token("secret"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNewRefusesWhatIsNoServer(t *testing.T) {
	for _, address := range []string{"ftp://bus.example", "http://", "http://bad host"} {
		if _, err := client.New(address); err == nil {
			t.Errorf("New(%q) gives no error", address)
		}
	}
	c, err := client.New("bus.example:8080")
	if err != nil {
		t.Fatal(err)
	}
	if c.Server() != "http://bus.example:8080" {
		t.Errorf("a bare address is taken as %s", c.Server())
	}
}

func TestSend(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		const want = `[{"id":"536365","ids":{"user":"17850"},"properties":{"total":139.12},"time":"2010-12-01T00:00:00.000Z","type":"order-completed"}]`
		if string(body) != want {
			t.Errorf("body %s, want %s", body, want)
		}
		if r.URL.Path != "/v1/events" || r.URL.Query().Get("wait") != "processed" {
			t.Errorf("asked for %s", r.URL)
		}
		if key := r.Header.Get("Authorization"); key != "Bearer shop-key" {
			t.Errorf("key %q", key)
		}
		fmt.Fprint(w, `{"accepted":1,"results":[{"id":"536365","status":"accepted","profile":"p1","valid":true}],"response":{}}`)
	})
	reply, err := c.Send(context.Background(), []client.Event{{
		ID: "536365", Type: "order-completed", Time: time.Date(2010, 12, 1, 0, 0, 0, 0, time.UTC),
		IDs: map[string]string{"user": "17850"}, Properties: map[string]any{"total": 139.12},
	}}, client.Wait(client.Processed))
	if err != nil {
		t.Fatal(err)
	}
	if len(reply.Results) != 1 || reply.Results[0].Profile != "p1" || reply.Results[0].Status != client.Accepted {
		t.Errorf("reply %+v", reply)
	}
}

func TestResponse(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if stage := r.URL.Query().Get("wait"); stage != "flows" {
			t.Errorf("wait=%s", stage)
		}
		fmt.Fprint(w, `{"accepted":2,"results":[
			{"id":"1","status":"accepted","profile":null,"session":null,"valid":true,"response":{"price":12.50,"thank-you":{"thanks":"Ann","n":9007199254740993}}},
			{"id":"2","status":"accepted"}],"response":{"price":12.50,"thank-you":{"thanks":"Ann","n":9007199254740993}},"waited":false}`)
	})
	reply, err := c.Send(t.Context(), []client.Event{{Type: "a"}, {Type: "b"}}, client.Wait(client.Flows))
	if err != nil {
		t.Fatal(err)
	}
	if reply.Waited == nil || *reply.Waited || len(reply.Response) != 2 || len(reply.Results) != 2 || len(reply.Results[1].Response) != 0 {
		t.Errorf("reply %+v", reply)
	}
	answered := reply.Results[0].Response
	if got := string(answered["price"]); got != "12.50" {
		t.Errorf("the price is %s", got)
	}
	var thanks struct {
		Thanks string `json:"thanks"`
		N      int64  `json:"n"`
	}
	if err := answered.Decode("thank-you", &thanks); err != nil || thanks.Thanks != "Ann" || thanks.N != 1<<53+1 {
		t.Errorf("thank-you answered %+v, %v", thanks, err)
	}
	for _, r := range []client.Response{answered, reply.Results[1].Response, nil} {
		if err := r.Decode("other", &thanks); !errors.Is(err, client.ErrNoResponse) || err.Error() != "flow other: no response" || thanks.Thanks != "Ann" {
			t.Errorf("other answered %+v, %v", thanks, err)
		}
	}
	if err := answered.Decode("price", &thanks); err == nil || errors.Is(err, client.ErrNoResponse) || !strings.HasPrefix(err.Error(), "response of flow price: ") {
		t.Errorf("a number as a struct: %v", err)
	}
}

func TestErrors(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/v1/source/a%20b":
			t.Errorf("the path was escaped twice")
		case "/api/v1/source/a/b":
			if r.URL.EscapedPath() != "/api/v1/source/a%2Fb" {
				t.Errorf("path %s", r.URL.EscapedPath())
			}
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error":{"code":"not_found","message":"there is no source","details":[{"path":"id","message":"unknown"}]}}`)
		case "/api/v1/source/once":
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":{"code":"invalid","message":"id: unknown","details":[{"path":"id","message":"unknown"}]}}`)
		case "/api/v1/source/busy":
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, "<html>")
		}
	})
	_, err := c.Resource(context.Background(), "source", "a/b")
	if !client.IsNotFound(err) || client.IsTemporary(err) || err.Error() != "there is no source\n  id: unknown" {
		t.Errorf("error %q", err)
	}
	if _, err = c.Resource(context.Background(), "source", "once"); err == nil || err.Error() != "id: unknown" {
		t.Errorf("error %q", err)
	}
	_, err = c.Resource(context.Background(), "source", "busy")
	var answered *client.Error
	if !errors.As(err, &answered) || answered.RetryAfter != 3*time.Second || !client.IsTemporary(err) ||
		answered.Message != "the server answered 503 Service Unavailable" {
		t.Errorf("error %q", err)
	}
}

func TestTemporary(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	c, err := client.New(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	server.Close()
	if _, err = c.Status(context.Background()); !client.IsTemporary(err) || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a refused connection is not temporary: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err = c.Status(ctx); client.IsTemporary(err) {
		t.Errorf("a call that its caller ended is temporary: %v", err)
	}
}

func TestSettleWaitsForEachConsumerInTurn(t *testing.T) {
	// What the server says, call by call: the indexer's stream grows by what
	// the processor does, and must be waited for up to there.
	states := []string{
		`{"lag":[{"consumer":"processor","position":5,"end":10},{"consumer":"indexer","position":0,"end":0}]}`,
		`{"lag":[{"consumer":"processor","position":10,"end":12},{"consumer":"indexer","position":0,"end":8}]}`,
		`{"lag":[{"consumer":"processor","position":12,"end":12},{"consumer":"indexer","position":7,"end":9}]}`,
		`{"lag":[{"consumer":"processor","position":12,"end":12},{"consumer":"indexer","position":8,"end":9}]}`,
		`{"lag":[{"consumer":"processor","position":12,"end":12},{"consumer":"indexer","position":9,"end":9}]}`,
	}
	calls := 0
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, states[min(calls, len(states)-1)])
		calls++
	})
	var told []string
	err := c.Settle(context.Background(), func(consumer string, left uint64) {
		told = append(told, fmt.Sprint(consumer, left))
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := "[processor5 indexer8 indexer1]"; fmt.Sprint(told) != want {
		t.Errorf("waited for %v, want %s", told, want)
	}
	if calls != len(states) {
		t.Errorf("%d calls, want one for each of the %d states", calls, len(states))
	}
}

func TestRebuildStore(t *testing.T) {
	tests := []struct{ name, answer, want string }{
		{"done", `{"done":1,"total":2}` + "\n" + `{"done":2,"total":2,"finished":true}`, ""},
		{"fails", `{"done":1,"total":2}` + "\n" + `{"error":"disk full"}`, "disk full"},
		{"server dies", `{"done":1,"total":2}` + "\n", "ended before the rebuild did"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, test.answer) })
			var steps int
			err := c.RebuildStore(context.Background(), client.Rebuild{}, func(_, _ uint64) { steps++ })
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			if steps != 1 {
				t.Errorf("%d steps told, want 1", steps)
			}
		})
	}
}

func TestTail(t *testing.T) {
	upgrader := websocket.Upgrader{}
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		expect := func(want string) {
			t.Helper()
			_, got, err := conn.ReadMessage()
			if err != nil || string(got) != want {
				t.Errorf("frame %s (%v), want %s", got, err, want)
			}
		}
		say := func(text string) {
			t.Helper()
			if err := conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
				t.Error(err)
			}
		}
		expect(`{"id":1,"connect":{"token":"secret"}}`)
		say(`{"id":1,"connected":{"session":"s"}}`)
		expect(`{"id":2,"subscribe":{"channel":"events","filter":"true"}}`)
		// Several objects may share a frame.
		say("{\"id\":2,\"subscribed\":{}}\n{\"push\":{\"channel\":\"events\",\"data\":{\"n\":1}}}")
		say(`{"ping":{}}`)
		expect(`{"pong":{}}`)
		say(`{"push":{"channel":"events","data":{"n":2}}}`)
		say(`{"error":{"code":"slow","message":"too slow"}}`)
	})
	ready := false
	var got []string
	err := c.Tail(context.Background(), client.Subscription{Channel: "events", Filter: "true", Ready: func() { ready = true }},
		func(data jsontext.Value) error {
			got = append(got, string(data))
			return nil
		})
	if err == nil || err.Error() != "too slow" {
		t.Errorf("error %v, want the server's", err)
	}
	if !ready || fmt.Sprint(got) != `[{"n":1} {"n":2}]` {
		t.Errorf("ready %v, got %v", ready, got)
	}
}

func TestTailEndsWithItsContext(t *testing.T) {
	upgrader := websocket.Upgrader{}
	ctx, cancel := context.WithCancel(context.Background())
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"id":2,"subscribed":{}}`)); err != nil {
			t.Error(err)
		}
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				return
			}
		}
	})
	err := c.Tail(ctx, client.Subscription{Channel: "events", Ready: cancel}, func(jsontext.Value) error { return nil })
	if err != nil {
		t.Errorf("error %v, want none", err)
	}
}
