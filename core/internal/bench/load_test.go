package bench

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// serving runs a handler for a load of this test's own process.
func serving(t *testing.T, h http.HandlerFunc) server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return server{address: strings.TrimPrefix(s.URL, "http://"), pid: os.Getpid()}
}

func short(connections int) span {
	return span{connections: connections, warmUp: 10 * time.Millisecond, duration: 50 * time.Millisecond}
}

func TestLoadCountsWhatTheServerTookIn(t *testing.T) {
	var requests, events atomic.Int64
	at := serving(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		n := strings.Count(string(body), `"type":"order-completed"`)
		requests.Add(1)
		events.Add(int64(n))
		answer := `{"results":[` + strings.TrimSuffix(strings.Repeat(`{"status":"accepted"},`, n), ",") + `]}`
		w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
		io.WriteString(w, answer)
	})
	var sent atomic.Int64
	for _, rate := range []float64{0, 2000} {
		requests.Store(0)
		events.Store(0)
		sent.Store(0)
		r, err := httpLoad{events: 1000, rate: rate, accepted: allAccepted, sent: &sent}.on(at, short(4)).run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if r.all != events.Load() || sent.Load() != events.Load() {
			t.Errorf("rate %g: %d events taken in, %d on the way, the server counted %d", rate, r.all, sent.Load(), events.Load())
		}
		if r.requests == 0 || r.requests > requests.Load() || uint64(r.requests) != r.latency.total {
			t.Errorf("rate %g: %d requests and %d latencies counted, the server saw %d", rate, r.requests, r.latency.total, requests.Load())
		}
		if r.refused+r.failed > 0 {
			t.Errorf("rate %g: %d refused, %d failed: %s", rate, r.refused, r.failed, r.failure)
		}
	}
}

func TestLoadDoesNotWaitForAServerThatIsTooSlowForTheRate(t *testing.T) {
	var requests atomic.Int64
	at := serving(t, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		<-time.After(20 * time.Millisecond)
		io.WriteString(w, ceilingBody)
	})
	// 60,000 requests are due, of which each connection can have 3 answered.
	r, err := httpLoad{events: 1, rate: 1_000_000, accepted: anyBody}.on(at, short(2)).run(t.Context())
	if err != nil || r.requests == 0 || requests.Load() > 100 {
		t.Errorf("%d requests sent, %d counted, %v", requests.Load(), r.requests, err)
	}
}

func TestLoadTellsRefusedFromFailed(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		body   string
		failed bool
	}{
		"unavailable":  {503, `{"error":{"code":"unavailable"}}`, false},
		"retry":        {200, `{"results":[{"status":"retry"}]}`, false},
		"unauthorised": {401, `{"error":{"code":"unauthorised"}}`, true},
		"duplicate":    {200, `{"results":[{"status":"duplicate"}]}`, true},
		"no result":    {200, `{}`, true},
	} {
		at := serving(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(test.status)
			io.WriteString(w, test.body)
		})
		r, err := httpLoad{events: 1, accepted: allAccepted}.on(at, short(2)).run(t.Context())
		if err != nil {
			t.Fatal(name, err)
		}
		if r.all != 0 || (r.failed > 0) != test.failed || (r.refused > 0) == test.failed || !strings.Contains(r.failure, test.body) {
			t.Errorf("%s: %d taken in, %d refused, %d failed: %s", name, r.all, r.refused, r.failed, r.failure)
		}
	}
}

func TestLoadEndsWithTheServer(t *testing.T) {
	at := serving(t, func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) })
	if _, err := (httpLoad{events: 1, accepted: anyBody}).on(at, short(2)).run(t.Context()); err == nil {
		t.Error("a server that hangs up is no error")
	}
}

func TestParseAnswer(t *testing.T) {
	const whole = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello"
	for cut := range len(whole) + 1 {
		a, size, err := parseAnswer([]byte(whole[:cut]), nil)
		headed := cut >= len(whole)-5
		if err != nil || headed != (size == len(whole)) || (string(a.body) == "hello") != (cut == len(whole)) {
			t.Errorf("%d bytes: body %q, size %d, %v", cut, a.body, size, err)
		}
	}
	for text, want := range map[string]error{
		"SSH-2.0-OpenSSH":                               errNoAnswer,
		"HTTP/1.1 2\r\n\r\n":                            errNoAnswer,
		"HTTP/1.1 abc\r\nContent-Length: 1\r\n\r\n":     errNoAnswer,
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n": errNoLength,
	} {
		if _, _, err := parseAnswer([]byte(text), nil); err != want {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
	}
}

func TestParseAnswerInChunks(t *testing.T) {
	const whole = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA\r\n, world. I\r\n0\r\n\r\n"
	for cut := range len(whole) {
		if _, size, err := parseAnswer([]byte(whole[:cut]), nil); size != 0 || err != nil {
			t.Errorf("%d bytes: size %d, %v", cut, size, err)
		}
	}
	a, size, err := parseAnswer([]byte(whole+"HTTP/1.1"), nil)
	if string(a.body) != "hello, world. I" || size != len(whole) || err != nil {
		t.Errorf("body %q, size %d, %v", a.body, size, err)
	}
}

func TestExchangeKeepsAnswersApart(t *testing.T) {
	large := strings.Repeat("x", 100_000)
	at := serving(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		answer := string(body) + large[:len(body)*10_000]
		if !strings.HasPrefix(answer, "b") { // else it comes in chunks
			w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
		}
		io.WriteString(w, answer)
	})
	c, err := dialHTTP(t.Context(), at.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.conn.Close()
	for _, body := range []string{"a", "bc", "12345678", "b", "bcd", ""} {
		a, err := c.exchange([]byte(requestText(at.address, "/", "k", "", body)))
		if err != nil || a.status != 200 || string(a.body) != body+large[:len(body)*10_000] {
			t.Errorf("%s: answer %d of %d bytes, %v", body, a.status, len(a.body), err)
		}
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	f.Add([]byte("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\nok\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, size, err := parseAnswer(text, nil)
		// Of an answer that is not complete (size 0) the body is what of it came.
		if err == nil && (size < 0 || len(a.body) > len(text) || size > 0 && len(a.body) > size) {
			t.Errorf("%q: %d bytes of body, size %d", text, len(a.body), size)
		}
	})
}
