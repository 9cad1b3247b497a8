package flow

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk/wire"
)

// longFlow has a node that hangs, and one after it.
const longFlow = `
kind: flow
id: long
spec:
  trigger: {event: order}
  nodes:
    first: {action: test/count}
    hang:  {action: test/hang, timeout: 1m}
    last:  {action: test/last}
  edges: [start -> first, first -> hang, hang -> last]
`

// A hanging plugin answers for longFlow.
type hanging struct {
	release chan struct{}
	free    func()
	last    atomic.Int64 // how often the last node was asked for
}

func newHanging() *hanging {
	h := &hanging{release: make(chan struct{})}
	h.free = sync.OnceFunc(func() { close(h.release) })
	return h
}

func (h *hanging) actions() map[string]func(*wire.Call) wire.Reply {
	return map[string]func(*wire.Call) wire.Reply{
		"count": count,
		"hang":  func(*wire.Call) wire.Reply { <-h.release; return wire.Reply{} },
		"last":  func(*wire.Call) wire.Reply { h.last.Add(1); return wire.Reply{} },
	}
}

// erase makes a user's profile a tombstone.
func (r *rig) erase(user string) {
	r.t.Helper()
	c := record.Command{
		Kind: record.KindErase, ID: record.EventID("erase", user), Profile: r.profileID(user), Received: time.Now(),
		Body: record.AppendErase(nil, &record.Erase{By: "test"}),
	}
	routed := []record.Routed{{Partition: r.bus.Partition(c.Profile), Command: record.AppendCommand(nil, &c)}}
	if err := r.bus.PublishCommands(r.t.Context(), routed); err != nil {
		r.t.Fatal(err)
	}
	eventually(r.t, "the profile to be erased", func() bool {
		doc := r.document(user)
		return doc != nil && doc.State == record.StateErased
	})
}

// journal counts the entries, and those of them that hold a text.
func (r *rig) journal(text string) (all, with int) {
	r.t.Helper()
	err := r.bus.Runs(r.t.Context(), func(_ string, data []byte, _ uint64) error {
		all++
		if bytes.Contains(data, []byte(text)) {
			with++
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return all, with
}

func (r *rig) deadLetters() []bus.DeadLetter {
	r.t.Helper()
	letters, err := r.bus.DeadLetters(r.t.Context(), "", 0, 100)
	if err != nil {
		r.t.Fatal(err)
	}
	return letters
}

// inFlows tells whether the files of FLOWS have a text.
func (r *rig) inFlows(text string) bool {
	r.t.Helper()
	blocks, err := filepath.Glob(filepath.Join(r.dir, "jetstream", "$G", "streams", "FLOWS", "msgs", "*.blk"))
	if err != nil || len(blocks) == 0 {
		r.t.Fatal(blocks, err)
	}
	for _, path := range blocks {
		data, err := os.ReadFile(path)
		if err != nil {
			r.t.Fatal(err)
		}
		if bytes.Contains(data, []byte(text)) {
			return true
		}
	}
	return false
}

// The runs of somebody who is erased are ended, whatever they wait for, and those that
// are still to begin are not begun; nothing of them is kept, and others go on.
func TestRunsOfAnErasedProfileEnd(t *testing.T) {
	const marker = "Mnemosyne-7f3a"
	r := newRig(t, 0, longFlow)
	h := newHanging()
	defer h.free()
	r.plugin("test", h.actions())
	told := watch(r, t, "long")
	r.start()
	r.send("order", "", marker, marker, "other") // the second waits for the first
	eventually(t, "the runs to be journalled", func() bool { all, _ := r.journal(""); return all == 3 })
	if !r.inFlows(marker) {
		t.Fatal("the journal's files do not have the person")
	}
	r.erase(marker)
	about, err := r.engine.EndRuns(t.Context(), []string{r.profileID(marker), "nobody"})
	if want := r.profileID(marker); err != nil || len(about) != 2 || about[0] != want || about[1] != want {
		t.Fatalf("%v were ended, %v; want both", about, err)
	}
	if all, left := r.journal(r.profileID(marker)); all != 1 || left != 0 {
		t.Errorf("%d of %d runs in the journal are of the person", left, all)
	}
	if r.inFlows(marker) {
		t.Error("the journal's files have the person still")
	}
	if steps := told.ended(1)[0]; steps[len(steps)-1].brief() != "ended 0 stopped the profile was erased" {
		t.Errorf("it is told to have ended as %q", steps[len(steps)-1].brief())
	}
	h.free()
	r.settled()
	if got := r.trait("other", "n"); got != int64(1) {
		t.Errorf("the other's run gives %v", got)
	}
	if n := h.last.Load(); n != 1 {
		t.Errorf("the last node was asked for %d times, want once, for the other", n)
	}
	if letters := r.deadLetters(); len(letters) > 0 {
		t.Errorf("dead letters: %+v", letters)
	}
}

// A run that comes to its event, or goes on with the journal, after the erasure.
func TestARunFindsItsProfileErased(t *testing.T) {
	const marker = "Mnemosyne-7f3a"
	r := newRig(t, 0, longFlow)
	h := newHanging()
	defer h.free()
	r.plugin("test", h.actions())
	r.start()
	r.send("order", "", marker)
	eventually(t, "the run to be journalled", func() bool { all, _ := r.journal(""); return all == 1 })
	r.stopEngine()
	r.send("order", "", marker)
	r.erase(marker)
	r.start()
	began := time.Now()
	r.settled()
	if took := time.Since(began); took > lookFor/2 {
		t.Errorf("it took %s", took)
	}
	if all, _ := r.journal(""); all != 0 || r.inFlows(marker) {
		t.Errorf("%d runs are in the journal; in its files: %v", all, r.inFlows(marker))
	}
	if letters := r.deadLetters(); len(letters) > 0 {
		t.Errorf("dead letters: %+v", letters)
	}
	if n := r.engine.metrics.stopped.Get(); n != 2 {
		t.Errorf("%d runs were stopped, want 2", n)
	}
}

// A run whose node fails after the erasure leaves no dead letter of the person.
func TestWhatFailsOfAnErasedProfileIsNotKept(t *testing.T) {
	r := newRig(t, 0, strings.Replace(longFlow, "action: test/last", "action: core/fail, config: {message: no}", 1))
	h := newHanging()
	defer h.free()
	hung := make(chan struct{}, 1)
	actions := h.actions()
	actions["hang"] = func(call *wire.Call) wire.Reply {
		hung <- struct{}{}
		<-h.release
		return wire.Reply{}
	}
	r.plugin("test", actions)
	r.start()
	r.send("order", "", "u")
	<-hung
	r.erase("u")
	h.free()
	r.settled()
	if letters := r.deadLetters(); len(letters) > 0 {
		t.Errorf("dead letters: %+v", letters)
	}
}
