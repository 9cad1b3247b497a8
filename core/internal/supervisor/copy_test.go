package supervisor

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/sdk/client"
)

// copies are the copies of plugins' files that there are.
func (r *rig) copies() []string {
	r.t.Helper()
	files, err := filepath.Glob(filepath.Join(r.dir, "work", "binary-*", "*"))
	if err != nil {
		r.t.Fatal(err)
	}
	return files
}

// However often a plugin is started, and fails to, its file is copied once while it
// stays the same.
func TestAFileIsCopiedOnce(t *testing.T) {
	broker := &flaky{}
	broker.away.Store(true)
	r := start(t, func(o *Options) {
		put(t, filepath.Join(o.Dir, "good"), "")
		broker.Broker = o.Broker
		o.Broker = broker
	})
	r.registered()
	made := r.copies()
	if len(made) != 1 {
		t.Fatalf("there are the copies %v", made)
	}
	unchanged := func(when string) {
		t.Helper()
		eventually(t, 5*time.Second, "is there but one copy "+when, func() bool { return len(r.copies()) == 1 })
		if now := r.copies(); !slices.Equal(now, made) {
			t.Errorf("%s there are the copies %v, not %v", when, now, made)
		}
	}
	eventually(t, 20*time.Second, "has it failed to start three times", func() bool {
		return strings.Count(r.log.String(), `msg="plugin ended"`) >= 3
	})
	unchanged("after failed starts")
	broker.away.Store(false)
	p := r.until("good", "running", is(running))
	unchanged("at a start")
	kill(t, p.PID)
	p = r.until("good", "restarted", func(now client.Plugin) bool { return now.State == string(running) && now.PID != p.PID })
	unchanged("after a crash")
	if err := r.s.Restart(context.Background(), "good"); err != nil {
		t.Fatal(err)
	}
	unchanged("after a restart that was asked for")
	eventually(t, 5*time.Second, "is the old process gone", func() bool { return !alive(p.PID) })
	unchanged("after the drain")
}

// A process may have written to the copy that it runs as: that is not started again.
func TestACopyThatWasChangedIsMadeAnew(t *testing.T) {
	r := start(t, func(o *Options) { put(t, filepath.Join(o.Dir, "good"), "") })
	r.registered()
	before, made := r.info("good"), r.copies()
	if len(made) != 1 {
		t.Fatalf("there are the copies %v", made)
	}
	put(t, made[0], "newer")
	kill(t, before.PID)
	p := r.until("good", "restarted", func(p client.Plugin) bool { return p.State == string(running) && p.PID != before.PID })
	if p.Version != "1.0.0" || p.SHA256 != before.SHA256 {
		t.Errorf("it is %+v", p)
	}
	if now := r.copies(); len(now) != 1 || now[0] == made[0] {
		t.Errorf("there are the copies %v, and were %v", now, made)
	}
}

// A file may look the same and be another. Who asks for it as it is now gets that.
func TestARestartTakesAFileThatLooksTheSame(t *testing.T) {
	r := start(t, func(o *Options) { put(t, filepath.Join(o.Dir, "good"), "newer") })
	r.registered()
	before := r.info("good")
	looked := lookAt(before.Path)
	text, err := os.ReadFile(before.Path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, before.Path, strings.TrimSuffix(string(text), "newer\n")+"busy \n", 0o755)
	if err := os.Chtimes(before.Path, time.Time{}, looked.ModTime()); err != nil {
		t.Fatal(err)
	}
	if !same(looked, lookAt(before.Path)) {
		t.Fatal("it does not look the same")
	}
	if err := r.s.Restart(context.Background(), "good"); err != nil {
		t.Fatal(err)
	}
	if p := r.info("good"); p.Version != "1.0.0" || p.SHA256 == before.SHA256 {
		t.Errorf("it is %+v", p)
	}
}

// A process has its copy for as long as it runs, and nothing is left of that of a
// file that was replaced, or is not started any more.
func TestACopyGoesWithItsLastProcess(t *testing.T) {
	r := start(t, func(o *Options) {
		put(t, filepath.Join(o.Dir, "good"), "")
		write(t, filepath.Join(o.Dir, "never"), "#!/bin/sh\nexit 3\n", 0o755)
	})
	r.until("never", "quarantined", is(quarantined))
	first := r.copies()
	if len(first) != 1 || filepath.Base(first[0]) != "good" {
		t.Fatalf("there are the copies %v", first)
	}
	before := r.info("good")
	put(t, before.Path, "broken")
	if err := r.s.Restart(context.Background(), "good"); err == nil {
		t.Error("what is broken runs")
	}
	if now := r.copies(); !slices.Contains(now, first[0]) {
		t.Errorf("the old process, which goes on, has lost its copy: %v", now)
	}
	put(t, before.Path, "newer")
	if err := r.s.Restart(context.Background(), "good"); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "is the new copy the only one", func() bool {
		now := r.copies()
		return len(now) == 1 && now[0] != first[0]
	})
	put(t, before.Path, "")
	kill(t, r.info("good").PID)
	r.until("good", "refused", is(refused))
	if now := r.copies(); len(now) != 0 {
		t.Errorf("the copies %v are left of what was refused", now)
	}
	if err := r.s.Restart(context.Background(), "good"); err != nil {
		t.Fatal(err)
	}
	r.stop()
	if now := r.copies(); len(now) != 0 {
		t.Errorf("the copies %v are left at the end", now)
	}
}
