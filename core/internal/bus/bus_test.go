package bus

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if natsServerDir != "" {
			os.RemoveAll(natsServerDir)
		}
		os.Exit(code)
	}))
}

// open opens a bus of its own for the test, on a fresh directory unless the
// options name one, and closes it at the end.
func open(t testing.TB, o Options) *Bus {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Log == nil {
		o.Log = testLog(t)
	}
	if o.DiskReserve == 0 {
		o.DiskReserve = 1
	}
	b, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeBus(t, b) })
	b.appender.timeout = 20 * time.Second // for machines that have more to do
	return b
}

// impatient gives appends the time that they have in production.
func impatient(b *Bus) { b.appender.timeout = appendTimeout }

func closeBus(t testing.TB, b *Bus) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := b.Close(ctx); err != nil {
		t.Error(err)
	}
}

func testLog(t testing.TB) *slog.Logger {
	if os.Getenv("BUS_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// eventually waits for a condition.
func eventually(t testing.TB, within time.Duration, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
