package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
)

// readAll reads a partition until n lines have come. The tests' entries are
// lines.
func readLines(t testing.TB, b *Bus, partition int, after uint64, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r := must(b.ReadIngest(ctx, partition, after))
	defer r.Close()
	return linesFrom(ctx, t, r, n)
}

func linesFrom(ctx context.Context, t testing.TB, r *IngestReader, n int) []string {
	t.Helper()
	var lines []string
	for len(lines) < n {
		list, err := r.Next(ctx, 1<<20)
		if err != nil {
			t.Fatalf("after %d of %d lines: %v", len(lines), n, err)
		}
		for _, m := range list {
			lines = append(lines, strings.Split(strings.TrimSuffix(string(m.Data), "\n"), "\n")...)
		}
	}
	return lines
}

func line1(format string, v ...any) []byte { return fmt.Appendf(nil, format+"\n", v...) }

func TestAppendKeepsOrderUnderManyCallers(t *testing.T) {
	for _, durability := range []Durability{DurabilityFsync, DurabilityProcess} {
		t.Run(string(durability), func(t *testing.T) {
			b := open(t, Options{Durability: durability, Partitions: 4})
			const callers, calls = 64, 20
			var group sync.WaitGroup
			for c := range callers {
				group.Go(func() {
					for i := range calls {
						entries := []Entry{
							{c % 4, line1("%d %d a", c, i)}, {(c + 1) % 4, line1("%d %d x", c, i)}, {c % 4, line1("%d %d b", c, i)},
						}
						if err := b.Append(t.Context(), entries); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			group.Wait()
			for p := range 4 {
				lines := readLines(t, b, p, 0, callers*calls*3/4)
				next := map[int]int{} // by caller: which of its lines comes next
				for _, line := range lines {
					var c, i int
					var which string
					if _, err := fmt.Sscanf(line, "%d %d %s", &c, &i, &which); err != nil {
						t.Fatalf("%q: %v", line, err)
					}
					if c%4 != p {
						continue
					}
					want := fmt.Sprintf("%d %d %s", c, next[c]/2, []string{"a", "b"}[next[c]%2])
					if line != want {
						t.Fatalf("partition %d has %q where %q was appended", p, line, want)
					}
					next[c]++
				}
				if len(lines) != callers*calls*3/4 {
					t.Errorf("partition %d has %d lines", p, len(lines))
				}
			}
		})
	}
}

func TestAppendSplitsWhatNoMessageHolds(t *testing.T) {
	b := open(t, Options{Partitions: 2})
	big := bytes.Repeat([]byte("x"), 300<<10)
	var entries []Entry
	for i := range 7 {
		entries = append(entries, Entry{i % 2, append(line1("%d", i), append(big, '\n')...)})
	}
	if err := b.Append(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	lines := readLines(t, b, 0, 0, 8)
	for i, want := range []string{"0", "2", "4", "6"} {
		if lines[2*i] != want {
			t.Errorf("line %d is %.9q, want %q", 2*i, lines[2*i], want)
		}
	}
	if last := must(b.IngestLastOf(t.Context(), 0)); last < 4 {
		t.Errorf("the last of partition 0 is at %d: more than one entry of 300 KB in a message of 512 KB", last)
	}
}

func TestAppendBeyondTheServersLimitFailsAlone(t *testing.T) {
	b := open(t, Options{Partitions: 2})
	err := b.Append(t.Context(), []Entry{{0, line1("a")}, {1, make([]byte, maxPayload+1)}, {1, line1("behind")}, {0, line1("b")}})
	var failed *AppendError
	if !errors.As(err, &failed) || len(failed.Failed) != 2 || failed.Failed[1] == nil || failed.Failed[2] == nil {
		t.Fatalf("got %v, want entries 1 and 2 to fail", err)
	}
	if got := readLines(t, b, 0, 0, 2); got[0] != "a" || got[1] != "b" {
		t.Errorf("partition 0 has %q", got)
	}
	if last := must(b.IngestLastOf(t.Context(), 1)); last != 0 {
		t.Errorf("what followed a failed entry was stored, at %d", last)
	}
	if b.Append(t.Context(), []Entry{{2, line1("x")}}) == nil {
		t.Error("an entry for partition 2 of 2 is stored")
	}
}

func TestAppendIsFsyncedBeforeItIsAnswered(t *testing.T) {
	b := open(t, Options{})
	var synced atomic.Int64
	plain := b.sync.appended.fsync
	b.sync.appended.fsync = func(f *os.File) error {
		info, err := f.Stat()
		if err == nil && strings.HasSuffix(f.Name(), ".blk") {
			synced.Store(info.Size())
		}
		return errors.Join(err, plain(f))
	}
	for i := range 20 {
		if err := b.Append(t.Context(), []Entry{{i % b.Partitions(), bytes.Repeat([]byte("y"), 1000)}}); err != nil {
			t.Fatal(err)
		}
		if size := synced.Load(); size < int64(i+1)*1000 {
			t.Fatalf("after %d appends of 1,000 bytes %d are synced", i+1, size)
		}
	}
}

func TestAppendEndsAllWhenFsyncFails(t *testing.T) {
	var fatal []error
	b := open(t, Options{Fatal: func(err error) { fatal = append(fatal, err) }})
	broken := errors.New("the disk is gone")
	b.sync.appended.fsync = func(*os.File) error { return broken }
	for range 2 {
		if err := b.Append(t.Context(), []Entry{{0, line1("a")}}); !errors.Is(err, broken) || !errors.Is(err, ErrUnavailable) {
			t.Fatalf("got %v", err)
		}
	}
	if len(fatal) != 1 || !errors.Is(fatal[0], broken) {
		t.Errorf("Fatal was called with %v", fatal)
	}
}

func TestAppendFailsInTimeWithoutAServerAndRecovers(t *testing.T) {
	b := open(t, Options{})
	if err := b.Append(t.Context(), []Entry{{0, line1("before")}}); err != nil {
		t.Fatal(err)
	}
	impatient(b)
	b.server.stop()
	for range 2 {
		start := time.Now()
		err := b.Append(t.Context(), []Entry{{0, line1("lost")}})
		if took := time.Since(start); took > time.Second || !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrNoAck) {
			t.Fatalf("after %v: %v", took, err)
		}
	}
	if err := b.Accepting(); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("accepting without a server: %v", err)
	}
	if h := b.Health(); h.State != HealthDown || h.Reason == "" {
		t.Errorf("health without a server: %+v", h)
	}
	if err := b.server.start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "accepting again", func() bool { return b.Accepting() == nil })
	if err := b.Append(t.Context(), []Entry{{0, line1("after")}}); err != nil {
		t.Fatal(err)
	}
	if got := readLines(t, b, 0, 0, 2); got[0] != "before" || got[len(got)-1] != "after" {
		t.Errorf("partition 0 has %q", got)
	}
}

func TestAppendIsRefusedWhenIngestIsFull(t *testing.T) {
	b := open(t, Options{IngestMaxBytes: 1 << 20, Durability: DurabilityProcess})
	impatient(b)
	text := bytes.Repeat([]byte("z"), 10<<10)
	var err error
	for range 200 {
		if err = b.Accepting(); err != nil {
			break
		}
		if err := b.Append(t.Context(), []Entry{{0, text}}); err != nil {
			t.Fatalf("while accepting: %v", err)
		}
	}
	if !errors.Is(err, ErrFull) {
		t.Fatalf("not refused after 2 MB: %v", err)
	}
	if _, used := b.IngestBacklog(); used < 1<<20*8/10 || used > 1<<20 {
		t.Errorf("refused at %d bytes of %d", used, 1<<20)
	}
	// The rest is for commands of the core.
	if err := b.PublishCommands(t.Context(), []record.Routed{{Partition: 1, Command: text}}); err != nil {
		t.Fatal(err)
	}
	// Whoever does not ask before is refused by the server.
	for err = nil; err == nil; {
		start := time.Now()
		err = b.Append(t.Context(), []Entry{{0, text}})
		if took := time.Since(start); took > time.Second {
			t.Fatalf("answered after %v", took)
		}
	}
	if !errors.Is(err, ErrFull) {
		t.Fatalf("a full INGEST: %v", err)
	}
	if h := b.Health(); h.State != HealthDown || h.Restarts != 0 {
		t.Errorf("health of a full INGEST: %+v", h)
	}
	// And commands wait for room.
	ctx, cancel := context.WithCancel(t.Context())
	waited := make(chan error, 1)
	go func() { waited <- b.PublishCommands(ctx, []record.Routed{{Partition: 2, Command: text}}) }()
	if err := b.PurgeIngest(t.Context(), 1<<40); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Errorf("a command that waited for room: %v", err)
	}
	cancel()
	eventually(t, 3*time.Second, "accepting again", func() bool { return b.Accepting() == nil })
}

func TestAppendGivesUpWithItsCaller(t *testing.T) {
	b := open(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Append(ctx, []Entry{{0, line1("a")}}); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	closeBus(t, b)
	if err := b.Append(t.Context(), []Entry{{0, line1("a")}}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a closed bus: %v", err)
	}
	if err := b.PublishCommands(t.Context(), []record.Routed{{Command: line1("a")}}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a closed bus: %v", err)
	}
}

// A line that loses a message stores nothing that was sent after it.
func TestLineStoresAPrefix(t *testing.T) {
	b := open(t, Options{Durability: DurabilityProcess})
	lost := 0
	for round := range 10 {
		var list []*exchange
		for i := range 2000 {
			list = append(list, &exchange{subject: subjectIngest(round), data: line1("%d", i)})
		}
		var group sync.WaitGroup
		group.Go(func() {
			// Ends the connection while messages are under way.
			if conn, _, err := b.effects.connection(); err == nil {
				for conn.Stats().OutMsgs < uint64(100*(round+1)) && !conn.IsClosed() {
					time.Sleep(10 * time.Microsecond)
				}
				b.effects.end(conn, errBroken)
			}
		})
		b.effects.do(t.Context(), time.Second, list)
		group.Wait()
		acked := 0
		for i, x := range list {
			if _, err := x.acknowledged(); err == nil {
				if acked != i {
					t.Fatalf("round %d: message %d is acknowledged, %d is not", round, i, acked)
				}
				acked++
			}
		}
		// A marker behind them, on a connection of its own.
		if _, err := b.store(t.Context(), b.effects, streamIngest, subjectIngest(round), nil, line1("end")); err != nil {
			t.Fatal(err)
		}
		next := 0
		r := must(b.ReadIngest(t.Context(), round, 0))
		for end := false; !end; {
			for _, m := range must(r.Next(t.Context(), 1<<20)) {
				text := strings.TrimSpace(string(m.Data))
				if end = text == "end"; end {
					break
				}
				if text != fmt.Sprint(next) {
					t.Fatalf("round %d: %s is stored where %d was sent", round, text, next)
				}
				next++
			}
		}
		r.Close()
		if next < acked {
			t.Errorf("round %d: %d were acknowledged, %d are stored", round, acked, next)
		}
		lost += len(list) - next
	}
	if lost == 0 {
		t.Error("no connection ended in time to lose a message: nothing was tested")
	}
}

// A large command that finds no room is not overtaken by a small one.
func TestCommandsKeepTheirOrderWhenIngestIsFull(t *testing.T) {
	b := open(t, Options{IngestMaxBytes: 1 << 20, Durability: DurabilityProcess})
	for b.Append(t.Context(), []Entry{{0, make([]byte, 50<<10)}}) == nil {
	}
	var group sync.WaitGroup
	defer group.Wait()
	before := must(b.IngestLast(t.Context()))
	group.Go(func() {
		large := append(bytes.Repeat([]byte("l"), 100<<10), '\n')
		if err := b.PublishCommands(t.Context(), []record.Routed{{Partition: 1, Command: large}, {Partition: 1, Command: line1("small")}, {Partition: 2, Command: line1("other")}}); err != nil {
			t.Error(err)
		}
	})
	eventually(t, 5*time.Second, "the other partition's command", func() bool {
		return must(b.IngestLastOf(t.Context(), 2)) > before
	})
	if last := must(b.IngestLastOf(t.Context(), 1)); last != 0 {
		t.Errorf("the small command is at %d, though the large one found no room", last)
	}
	if err := b.PurgeIngest(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	if got := readLines(t, b, 1, 0, 2); len(got[0]) != 100<<10 || got[1] != "small" {
		t.Errorf("partition 1 has %.10q", got)
	}
}
