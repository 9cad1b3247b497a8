package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/tributary-bus/tributary/core/internal/record"
)

func TestReaderMissesNothingWhenTheServerGoes(t *testing.T) {
	b := open(t, Options{Partitions: 2, Durability: DurabilityProcess})
	const n = 3000
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() {
		for i := range n {
			commands := []record.Routed{{Partition: 0, Command: line1("%d", i)}, {Partition: 1, Command: line1("other")}}
			if err := b.PublishCommands(ctx, commands); err != nil {
				t.Error(err)
				return
			}
		}
	})
	r := must(b.ReadIngest(ctx, 0, 0))
	defer r.Close()
	restarts, next := 0, 0
	var last uint64
	for next < n {
		list, err := r.Next(ctx, 1<<20)
		if err != nil {
			t.Fatalf("after %d of %d: %v", next, n, err)
		}
		for _, m := range list {
			if m.Seq <= last {
				t.Fatalf("sequence %d follows %d", m.Seq, last)
			}
			last = m.Seq
			i, err := strconv.Atoi(strings.TrimSpace(string(m.Data)))
			if err != nil || i > next {
				t.Fatalf("%q (%v) follows %d", m.Data, err, next-1)
			}
			if i == next { // else published again
				next++
			}
		}
		switch {
		case restarts < 3 && next > (restarts+1)*n/5:
			restarts++
			if err := b.server.restart(); err != nil {
				t.Fatal(err)
			}
		case restarts == 3 && next > n*4/5 && r.feed.consumer != "": // only the consumer goes
			err := b.js.DeleteConsumer(ctx, streamIngest, r.feed.consumer)
			if errors.Is(err, jetstream.ErrConsumerNotFound) {
				continue // the restart took it, and the reader has not noticed yet
			}
			if err != nil {
				t.Fatal(err)
			}
			restarts++
		}
	}
	if restarts != 4 {
		t.Errorf("the reader was disturbed %d times, want 4", restarts)
	}
}

func TestReaderTakesMessagesOfAnySize(t *testing.T) {
	b := open(t, Options{Partitions: 1, Durability: DurabilityProcess})
	sizes := []int{10, pullBytes - 1, pullBytes + 1, 3, 6 << 20, 6 << 20, 1, pullBytes / 2, pullBytes / 2, pullBytes / 2, 5}
	for _, size := range sizes {
		if err := b.Append(t.Context(), []Entry{{0, bytes.Repeat([]byte("v"), size)}}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r := must(b.ReadIngest(ctx, 0, 0))
	defer r.Close()
	var got []int
	for len(got) < len(sizes) {
		list, err := r.Next(ctx, 100)
		if err != nil {
			t.Fatalf("after %v: %v", got, err)
		}
		for _, m := range list {
			got = append(got, len(m.Data))
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(sizes) {
		t.Errorf("read messages of %v bytes, want %v", got, sizes)
	}
}

func TestReaderNextIsBounded(t *testing.T) {
	b := open(t, Options{Partitions: 1, Durability: DurabilityProcess})
	for range 50 {
		if err := b.Append(t.Context(), []Entry{{0, make([]byte, 1000)}}); err != nil {
			t.Fatal(err)
		}
	}
	r := must(b.ReadIngest(t.Context(), 0, 0))
	defer r.Close()
	for total := 0; total < 50; {
		list := must(r.Next(t.Context(), 5000))
		if len(list) == 0 || len(list) > 5 {
			t.Fatalf("%d messages of 1,000 bytes where 5,000 bytes were wanted", len(list))
		}
		total += len(list)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if list, err := r.Next(ctx, 5000); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("at the end: %d messages, %v", len(list), err)
	}
}

func TestReaderStartsWhereItIsTold(t *testing.T) {
	b := open(t, Options{Partitions: 2})
	for i := range 6 {
		if err := b.Append(t.Context(), []Entry{{i % 2, line1("%d", i)}}); err != nil {
			t.Fatal(err)
		}
	}
	first := must(b.IngestLast(t.Context())) - 5
	for after, want := range map[uint64][]string{0: {"1", "3", "5"}, first + 1: {"3", "5"}, first + 2: {"3", "5"}, first + 4: {"5"}} {
		if got := readLines(t, b, 1, after, len(want)); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("after %d: %v, want %v", after, got, want)
		}
	}
	if _, err := b.ReadIngest(t.Context(), 2, 0); err == nil {
		t.Error("partition 2 of 2 can be read")
	}
}

func TestReaderEndsWithTheBus(t *testing.T) {
	b := open(t, Options{})
	r := must(b.ReadIngest(t.Context(), 0, 0))
	ended := make(chan error, 1)
	go func() {
		_, err := r.Next(t.Context(), 1)
		ended <- err
	}()
	eventually(t, 5*time.Second, "a consumer", func() bool {
		state, err := b.state(t.Context(), streamIngest)
		return err == nil && state.Consumers == 1
	})
	closeBus(t, b)
	if err := <-ended; !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestReaderLeavesNoConsumer(t *testing.T) {
	b := open(t, Options{})
	if err := b.Append(t.Context(), []Entry{{0, line1("a")}}); err != nil {
		t.Fatal(err)
	}
	readLines(t, b, 0, 0, 1)
	state := must(b.state(t.Context(), streamIngest))
	if state.Consumers != 0 {
		t.Errorf("%d consumers are left", state.Consumers)
	}
}

func TestPurgeIngestKeepsTheLast(t *testing.T) {
	b := open(t, Options{})
	for i := range 10 {
		if err := b.Append(t.Context(), []Entry{{i % 2, line1("%d", i)}}); err != nil {
			t.Fatal(err)
		}
	}
	last := must(b.IngestLast(t.Context()))
	if err := b.PurgeIngest(t.Context(), last-3); err != nil {
		t.Fatal(err)
	}
	if got := readLines(t, b, 0, 0, 2); fmt.Sprint(got) != "[6 8]" {
		t.Errorf("after a purge partition 0 has %v", got)
	}
	if err := b.PurgeIngest(t.Context(), last+1000); err != nil {
		t.Fatal(err)
	}
	state := must(b.state(t.Context(), streamIngest))
	if state.Msgs == 0 || state.LastSeq < last {
		t.Errorf("after a purge of everything: %+v", state)
	}
	if n := must(b.IngestLastOf(t.Context(), 0)); n != 0 {
		t.Errorf("partition 0 has a message at %d", n)
	}
	if err := b.Append(t.Context(), []Entry{{0, line1("next")}}); err != nil {
		t.Fatal(err)
	}
	if got := readLines(t, b, 0, last, 1); got[0] != "next" {
		t.Errorf("after the purge partition 0 goes on with %q", got)
	}
}

func TestAdvanceIngestLastsOverARestart(t *testing.T) {
	b := open(t, Options{})
	if err := b.Append(t.Context(), []Entry{{0, line1("a")}}); err != nil {
		t.Fatal(err)
	}
	if err := b.AdvanceIngest(t.Context(), 5000); err != nil {
		t.Fatal(err)
	}
	if err := b.AdvanceIngest(t.Context(), 100); err != nil { // already past
		t.Fatal(err)
	}
	closeBus(t, b)
	b = open(t, Options{Dir: b.options.Dir})
	if err := b.Append(t.Context(), []Entry{{0, line1("b")}}); err != nil {
		t.Fatal(err)
	}
	if last := must(b.IngestLastOf(t.Context(), 0)); last <= 5000 {
		t.Errorf("the next message has sequence %d, want more than 5000", last)
	}
	if got := readLines(t, b, 0, 5000, 1); got[0] != "b" {
		t.Errorf("read %q", got)
	}
}

// What a power cut may leave: the tail of INGEST is gone.
func TestIngestWithItsTailCutOffIsReadable(t *testing.T) {
	b := open(t, Options{Partitions: 1})
	for i := range 20 {
		if err := b.Append(t.Context(), []Entry{{0, append(bytes.Repeat([]byte{'x'}, 1000), line1("%d", i)...)}}); err != nil {
			t.Fatal(err)
		}
	}
	before := must(b.IngestLast(t.Context()))
	msgs := filepath.Join(b.server.streamDir(streamIngest), "msgs")
	closeBus(t, b)
	for _, path := range must(filepath.Glob(filepath.Join(msgs, "*.blk"))) {
		if info := must(os.Stat(path)); info.Size() > 10_000 {
			if err := os.Truncate(path, info.Size()-5_500); err != nil {
				t.Fatal(err)
			}
		}
	}
	b = open(t, Options{Dir: b.options.Dir})
	last := must(b.IngestLastOf(t.Context(), 0))
	if last == 0 || last >= before {
		t.Fatalf("the last message is at %d, was at %d", last, before)
	}
	if err := b.AdvanceIngest(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	r := must(b.ReadIngest(t.Context(), 0, before))
	defer r.Close()
	if err := b.Append(t.Context(), []Entry{{0, line1("new")}}); err != nil {
		t.Fatal(err)
	}
	if list := must(r.Next(t.Context(), 1)); list[0].Seq <= before || string(list[0].Data) != "new\n" {
		t.Errorf("read %q at %d, want what is new above %d", list[0].Data, list[0].Seq, before)
	}
}
