package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// Clients that announce large bodies and send next to nothing of them take
// nothing away from the others, whether the gateway knows them or not.
func TestBodiesThatAreOnlyAnnounced(t *testing.T) {
	const clients, announced = 40, 500_000
	f := newFixture(t, func(o *Options) { o.Limits.InFlight = 2 * announced })
	for i := range clients {
		conn, err := net.Dial("tcp", f.server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		key := ""
		if i%2 == 0 {
			key = "X-Write-Key: shop-key\r\n"
		}
		if _, err := fmt.Fprintf(conn, "POST /v1/events HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n{", key, announced); err != nil {
			t.Fatal(err)
		}
	}
	inFlight := func(is func(bytes int64) bool) {
		t.Helper()
		for start := time.Now(); !is(f.bodies.used.Load()); time.Sleep(time.Millisecond) {
			if time.Since(start) > 5*time.Second {
				t.Fatalf("%d bytes count as in flight, %d were sent", f.bodies.used.Load(), clients)
			}
		}
	}
	inFlight(func(bytes int64) bool { return bytes >= clients })
	if a := f.post(t, "", `{"type":"x"}`); a.status != 200 {
		t.Errorf("another request: %d %s", a.status, a.text)
	}
	inFlight(func(bytes int64) bool { return bytes == clients })
}

// A paying reader looks, before it gives more, at what was paid and made room
// for on account of what it gave.
type payingReader struct {
	t     *testing.T
	from  io.Reader
	lease *lease
	had   int // room that cost nothing
	given int
}

func (r *payingReader) Read(p []byte) (int, error) {
	if paid := r.lease.n; paid < int64(r.given) || paid > int64(2*r.given) {
		r.t.Errorf("%d bytes are paid for after %d have come", paid, r.given)
	}
	if room := r.given + len(p); room > max(r.had, firstRoom, 2*r.given) {
		r.t.Errorf("room for %d bytes after %d have come", room, r.given)
	}
	n, err := r.from.Read(p)
	r.given += n
	return n, err
}

func TestBodiesArePaidForAsTheyCome(t *testing.T) {
	const limit = 500 << 10
	for _, size := range []int{0, 1, 400, 10_000, firstRoom - 1, firstRoom, firstRoom + 1, 100_000, limit} {
		body := bytes.Repeat([]byte("x"), size)
		for _, had := range []int{0, 600, 64 << 10} {
			for _, expect := range []int{512, size, limit} {
				for name, form := range map[string]func(io.Reader) io.Reader{
					"whole": func(r io.Reader) io.Reader { return r }, "halves": iotest.HalfReader, "end with data": iotest.DataErrReader,
				} {
					budget := budget{limit: 1 << 20}
					l := &lease{budget: &budget}
					r := &payingReader{t: t, from: form(bytes.NewReader(body)), lease: l, had: had}
					got, err := readAll(r, make([]byte, 0, had), expect, limit, l)
					if err != nil || !bytes.Equal(got, body) {
						t.Errorf("%d bytes, %d expected, %s: got %d, %v", size, expect, name, len(got), err)
					}
					if used := budget.used.Load(); used < int64(size) {
						t.Errorf("%d of %d bytes are paid for", used, size)
					}
					if l.end(); budget.used.Load() != 0 {
						t.Errorf("%d bytes stay in use", budget.used.Load())
					}
				}
			}
		}
	}
}

func TestBodiesThatDoNotFit(t *testing.T) {
	for _, c := range []struct {
		size, limit int
		budget      int64
		want        error
	}{
		{1000, 1000, 1000, nil},
		{1001, 1000, 1 << 20, errTooLarge},
		{1001, 2000, 1000, errNoRoom},
		{100_000, 500_000, 50_000, errNoRoom},
		{100_000, 99_999, 1 << 20, errTooLarge},
	} {
		budget := budget{limit: c.budget}
		l := &lease{budget: &budget}
		_, err := readAll(strings.NewReader(strings.Repeat("x", c.size)), nil, c.size, c.limit, l)
		if !errors.Is(err, c.want) {
			t.Errorf("%d bytes: %v, want %v", c.size, err, c.want)
		}
		if used := budget.used.Load(); used > c.budget {
			t.Errorf("%d bytes are in use of %d", used, c.budget)
		}
		if l.end(); budget.used.Load() != 0 {
			t.Errorf("%d bytes stay in use", budget.used.Load())
		}
	}
}

// An ordinary body costs one allocation where there is no room for it yet, and
// none where there is.
func TestBodiesCostFewAllocations(t *testing.T) {
	budget := budget{limit: 1 << 20}
	for _, size := range []int{400, 10_000} {
		from := bytes.NewReader(nil)
		body := bytes.Repeat([]byte("x"), size)
		for had, want := range map[int]float64{0: 1, firstRoom: 0} {
			room := make([]byte, 0, had)
			l := &lease{budget: &budget}
			n := testing.AllocsPerRun(100, func() {
				from.Reset(body)
				if _, err := readAll(from, room, size, 500<<10, l); err != nil {
					t.Fatal(err)
				}
				l.end()
				l.n = 0
			})
			if n != want {
				t.Errorf("%d bytes with room for %d: %v allocations, want %v", size, had, n, want)
			}
		}
	}
}
