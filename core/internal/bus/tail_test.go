package bus

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

func TestTailGivesWhatFollowsWithoutAGap(t *testing.T) {
	tail := newTail[int](eventTail, nil)
	tail.add(1, 10, 1)
	if got, _ := tail.after(0, 10); got != nil {
		t.Errorf("kept %v for nobody", got)
	}
	tail.readers.Add(1)
	if got, woken := tail.after(4, 10); got != nil || woken == nil {
		t.Errorf("an empty one gave %v, %v", got, woken)
	}
	_, woken := tail.after(4, 10)
	tail.add(5, 10, 5)
	tail.add(8, 10, 8) // 6 and 7 are another's, or still on their way
	tail.add(6, 10, 6)
	select {
	case <-woken:
	default:
		t.Error("a waiting reader was not woken")
	}
	check := func(after uint64, most int, want ...int) {
		t.Helper()
		if got, _ := tail.after(after, most); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("after %d: %v, want %v", after, got, want)
		}
	}
	check(4, 10, 5, 6)
	check(5, 10, 6)
	check(6, 10)
	check(4, 1, 5)
	check(7, 10, 8)
	check(8, 10)
	tail.add(7, 10, 7)
	check(4, 10, 5, 6, 7, 8)
	if n := tail.waiting(5); n != 3 {
		t.Errorf("%d wait behind 5", n)
	}
	tail.add(9, eventTail, 9) // larger than all it may hold
	if got, woken := tail.after(4, 10); got != nil || woken != nil {
		t.Errorf("what was let go of is given: %v", got)
	}
	tail.add(20, 10, 20)
	tail.add(21, 10, 21)
	tail.add(20, 10, 22) // the server has lost its end
	check(19, 10, 22)
	check(20, 10)
	tail.add(100_000_000, 10, 100)
	if len(tail.list) != 1 {
		t.Errorf("a far jump takes room for %d", len(tail.list))
	}
	tail.add(3, 10, 3)
	check(2, 10)
	tail.leave(&reading{})
	if len(tail.list) != 0 {
		t.Error("the last reader left and it keeps what it has")
	}
}

// TestTailGivesTheLatestAboutEach has values about few subjects, stored out of order, and compares
// what readers get from each place with what was stored.
func TestTailGivesTheLatestAboutEach(t *testing.T) {
	type value struct {
		seq     uint64
		subject string
	}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // not for secrets
	tail := newTail(20*(tailCost+100), func(v *value) string { return v.subject })
	tail.readers.Add(1)
	stored := map[uint64]value{}
	for first := uint64(1); first < 3000; first += 8 {
		order := random.Perm(8)
		for _, i := range order {
			v := value{first + uint64(i), fmt.Sprint("s", random.IntN(1+random.IntN(40)))}
			stored[v.seq] = v
			tail.add(v.seq, 100, v)
		}
		last := first + 7
		weight := 0
		for _, e := range tail.list {
			weight += e.size
		}
		if weight != tail.bytes || weight > tail.most || len(tail.latest) > len(tail.list) {
			t.Fatalf("%d bytes of %d, it says %d; %d subjects of %d", weight, tail.most, tail.bytes, len(tail.latest), len(tail.list))
		}
		for after := tail.first - 1; after < last; after++ {
			var want []value
			seen := map[string]bool{}
			for seq := last; seq > after; seq-- {
				if v := stored[seq]; !seen[v.subject] {
					seen[v.subject] = true
					want = append([]value{v}, want...)
				}
			}
			got, _ := tail.after(after, 1000)
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("after %d of %d: %v, want %v", after, last, got, want)
			}
		}
	}
}

// TestReadersAlong has readers of all speeds, and messages that this node did
// not store itself, such as another node's: each reader sees all of them in order.
// What is stored before they begin makes each of them read along at first.
func TestReadersAlong(t *testing.T) {
	b := open(t, Options{Partitions: 4, Durability: DurabilityProcess})
	const commits, each = 150, 40
	total := 4 * commits * each
	var readers []*EventReader
	for range 4 {
		readers = append(readers, must(b.ReadEvents(t.Context(), 0, nil)))
	}
	commit := func(p int, c uint64) (list []EventMessage) {
		for n := range each {
			list = append(list, event(p, c, n, "t"))
		}
		return list
	}
	for p := range 4 {
		if err := b.PublishEvents(t.Context(), commit(p, 1)); err != nil {
			t.Fatal(err)
		}
	}
	var group, writers sync.WaitGroup
	for p := range 4 {
		writers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(p), 1)) //nolint:gosec // not for secrets
			for c := uint64(2); c <= commits; c++ {
				list := commit(p, c)
				if random.IntN(10) == 0 {
					for _, e := range list {
						republish(t, b, e) // beside the tail
					}
				} else if err := b.PublishEvents(t.Context(), list); err != nil {
					t.Error(err)
				}
				if random.IntN(20) == 0 {
					time.Sleep(time.Duration(random.IntN(250)) * time.Millisecond)
				}
			}
		})
	}
	for i, r := range readers {
		group.Go(func() {
			defer r.Close()
			next := make(map[int]Mark)
			seq := uint64(0)
			for read := 0; read < total; {
				events, err := r.Next(t.Context(), 500, 10*time.Second)
				if err != nil || len(events) == 0 {
					t.Errorf("reader %d after %d of %d: %v", i, read, total, err)
					return
				}
				if read == 0 && !r.from.along {
					t.Errorf("reader %d did not read along", i)
				}
				for _, e := range events {
					if want := next[e.Partition]; e.Seq <= seq || e.C != want.C+1 || e.N != want.N {
						t.Errorf("reader %d: %d.%d.%d at %d after %d, want commit %d, number %d", i, e.Partition, e.C, e.N, e.Seq, seq, want.C+1, want.N)
						return
					}
					seq = e.Seq
					mark := next[e.Partition]
					if mark.N++; mark.N == each {
						mark = Mark{C: mark.C + 1}
					}
					next[e.Partition] = mark
				}
				read += len(events)
				time.Sleep(time.Duration(i*5) * time.Millisecond)
			}
		})
	}
	writers.Wait()
	group.Wait()
}

func TestChangesAreReadAlong(t *testing.T) {
	b := open(t, Options{Partitions: 2, Durability: DurabilityProcess})
	r := must(b.ReadDocuments(t.Context(), 0))
	defer r.Close()
	const most = 1000
	var puts []DocumentPut
	for i := range most {
		puts = append(puts, DocumentPut{Profile: fmt.Sprint("p", i), Data: []byte(fmt.Sprint("d", i))})
	}
	for _, result := range must(b.PutDocuments(t.Context(), puts)) {
		if result.Conflict {
			t.Fatal("a conflict")
		}
	}
	if n := r.Waiting(); n < most {
		t.Errorf("%d wait, want %d", n, most)
	}
	for read := 0; read < most; {
		changes := must(r.Next(t.Context(), 300, time.Second))
		for _, c := range changes {
			if int(c.Seq) != read+1 || c.Profile[1:] != string(c.Data[1:]) || c.Deleted || c.Time.IsZero() {
				t.Fatalf("change %d: %+v", read, c)
			}
			read++
		}
	}
	if !r.from.along {
		t.Error("they were asked of the server")
	}
}

// Who writes waits for a reader that gets on, and for no other.
func TestWritersWaitForReadersThatGetOn(t *testing.T) {
	const size = 100
	tail := newTail[int](30*(size+tailCost), nil)
	tail.readers.Add(1)
	waits := func(patience time.Duration) time.Duration {
		began := time.Now()
		tail.unhurried(t.Context(), patience)
		return time.Since(began)
	}
	var seq uint64
	write := func(n int) {
		for range n {
			seq++
			tail.add(seq, size, int(seq))
		}
	}
	var p reading
	tail.sees(&p, 1)
	write(9)
	if took := waits(time.Minute); took > 10*time.Second {
		t.Errorf("waited %s for a reader with room", took)
	}
	write(10)
	moved := make(chan struct{})
	time.AfterFunc(50*time.Millisecond, func() { // one step, not enough, and another
		tail.sees(&p, 2)
		time.AfterFunc(50*time.Millisecond, func() {
			close(moved)
			tail.sees(&p, 15)
		})
	})
	waits(time.Minute)
	select {
	case <-moved:
	default:
		t.Error("did not wait for the reader")
	}
	write(20) // it falls behind what is kept
	if took := waits(30 * time.Millisecond); took < 30*time.Millisecond {
		t.Errorf("waited %s only", took)
	}
	if took := waits(time.Minute); took > 10*time.Second {
		t.Errorf("waited %s for one that is stuck", took)
	}
	tail.sees(&p, 16) // it gets on again
	if took := waits(30 * time.Millisecond); took < 30*time.Millisecond {
		t.Errorf("waited %s only for one that got on again", took)
	}
	tail.sees(&p, 17)
	time.AfterFunc(30*time.Millisecond, func() { tail.leave(&p) })
	if took := waits(time.Minute); took > 10*time.Second {
		t.Errorf("waited %s for one that left", took)
	}
	// One that is far away is not waited for.
	tail.readers.Add(1)
	var far reading
	tail.sees(&far, 1)
	seq += 2 * tailReach
	write(30)
	if took := waits(time.Minute); took > 10*time.Second {
		t.Errorf("waited %s for one that is far behind", took)
	}
}
