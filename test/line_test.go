package test

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// A line is the network between clients and the product: it can be cut and
// mended, and stays at one address while the product is stopped and started.
type line struct {
	url string

	mu      sync.Mutex
	down    bool
	open    map[net.Conn]struct{}
	carried int // connections, ever
}

// lay lays a line to a product.
func lay(t *testing.T, p *product) *line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{url: "http://" + listener.Addr().String(), open: map[net.Conn]struct{}{}}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			if !l.add(near) {
				_ = near.Close()
				continue
			}
			all.Go(func() { l.carry(near, strings.TrimPrefix(p.url, "http://")) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		l.cut()
		all.Wait()
	})
	return l
}

func (l *line) add(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.down {
		l.open[c] = struct{}{}
	}
	return !l.down
}

func (l *line) end(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = c.Close()
	delete(l.open, c)
}

func (l *line) carry(near net.Conn, address string) {
	defer l.end(near)
	far, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer l.end(far)
	if !l.add(far) {
		return
	}
	l.mu.Lock()
	l.carried++
	l.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(far, near)
		_ = far.Close()
	}()
	_, _ = io.Copy(near, far)
	_ = near.Close()
	<-done
}

// cut ends all connections and lets no new one through.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = true
	for c := range l.open {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, as of a network that is gone
		}
		_ = c.Close()
	}
	clear(l.open)
}

func (l *line) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = false
}

// connections is how many have reached the product so far.
func (l *line) connections() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.carried
}

// staysQuiet does something, after which nobody connects for a while.
func (l *line) staysQuiet(t *testing.T, do func()) {
	t.Helper()
	n := l.connections()
	do()
	time.Sleep(3 * time.Second)
	if again := l.connections(); again != n {
		t.Errorf("%d connections more", again-n)
	}
}
