package supervisor

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// However often gRPC connects to a process, the connections that are closed leave
// nothing behind, and one that is open ends with the line.
func TestAClosedConnectionLeavesNothingBehind(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, hangUp := context.WithCancel(context.Background())
	defer hangUp()
	line := &countingContext{Context: ctx}
	r := &process{address: l.Addr(), line: line}
	for range 3 {
		conn, err := r.dial(context.Background(), "")
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := line.waiting.Load(); n != 0 {
		t.Errorf("%d functions wait for the end of the line", n)
	}
	conn, err := r.dial(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	if n := line.waiting.Load(); n != 1 {
		t.Errorf("%d functions wait for the end of the line, want that of the open connection", n)
	}
	hangUp()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) {
		t.Errorf("it reads with %v when the line has ended", err)
	}
	conn.Close()
}

// A countingContext knows how many functions wait for its end.
type countingContext struct {
	context.Context
	waiting atomic.Int64
}

// Value hides the context within, which would take the functions itself.
func (c *countingContext) Value(any) any { return nil }

// AfterFunc is what package context calls in the place of its own.
func (c *countingContext) AfterFunc(f func()) (stop func() bool) {
	c.waiting.Add(1)
	stopped := context.AfterFunc(c.Context, f)
	return func() bool {
		if !stopped() {
			return false
		}
		c.waiting.Add(-1)
		return true
	}
}
