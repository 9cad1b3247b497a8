package supervisor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/sdk/client"
)

// put makes a wreck the file of a plugin, by renaming, as an upgrade does; what it
// does follows its mode.
func put(t *testing.T, file, mode string) {
	t.Helper()
	text, err := os.ReadFile(wreck)
	if err != nil {
		t.Fatal(err)
	}
	if mode != "" {
		text = append(text, "\nwreck:"+mode+"\n"...)
	}
	write(t, file+".new", string(text), 0o755)
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// A flaky broker has no user for anybody while it is away.
type flaky struct {
	Broker
	away atomic.Bool
}

func (f *flaky) Grant(ctx context.Context, plugin string, builtin bool, actions []string) (Credentials, error) {
	if f.away.Load() {
		return Credentials{}, errors.New("NATS is away")
	}
	return f.Broker.Grant(ctx, plugin, builtin, actions)
}

// What an upgrade that does not come up says of itself is nobody's business: the
// old process goes on, and is what flows are checked against.
func TestAFailedUpgradeChangesNothing(t *testing.T) {
	r := start(t, func(o *Options) { put(t, filepath.Join(o.Dir, "good"), "") })
	r.registered()
	before := r.info("good")
	put(t, before.Path, "broken")
	if err := r.s.Restart(context.Background(), "good"); err == nil || !strings.Contains(err.Error(), "it is broken") {
		t.Errorf("the upgrade gives %v", err)
	}
	after := r.info("good")
	if after.Version != "1.0.0" || after.SHA256 != before.SHA256 || after.PID != before.PID || len(after.Actions) != 1 {
		t.Errorf("after the failed upgrade it is %+v", after)
	}
	if ids := r.s.Catalogue().ActionIDs(); strings.Join(ids, " ") != "good/ask" {
		t.Errorf("the catalogue has %v", ids)
	}
	// When the old process ends, nobody has accepted the new file.
	kill(t, before.PID)
	r.until("good", "refused", func(p client.Plugin) bool {
		return p.State == string(refused) && strings.Contains(p.Reason, "its binary has changed")
	})
	put(t, before.Path, "newer")
	if err := r.s.Restart(context.Background(), "good"); err != nil {
		t.Fatal(err)
	}
	if p := r.info("good"); p.Version != "2.0.0" || p.SHA256 == before.SHA256 || len(p.Actions) != 2 {
		t.Errorf("after the upgrade it is %+v", p)
	}
	if ids := r.s.Catalogue().ActionIDs(); strings.Join(ids, " ") != "good/ask good/more" {
		t.Errorf("the catalogue has %v", ids)
	}
}

// A new binary that was asked for, and cannot run yet, is still asked for.
func TestAnUpgradeWaitsForWhatItNeeds(t *testing.T) {
	broker := &flaky{}
	r := start(t, func(o *Options) {
		put(t, filepath.Join(o.Dir, "good"), "")
		broker.Broker = o.Broker
		o.Broker = broker
	})
	r.registered()
	before := r.info("good")
	put(t, before.Path, "newer")
	kill(t, before.PID)
	r.until("good", "refused", is(refused))
	broker.away.Store(true)
	if err := r.s.Restart(context.Background(), "good"); err == nil || !strings.Contains(err.Error(), "NATS is away") {
		t.Errorf("the upgrade gives %v", err)
	}
	r.until("good", "waiting", is(backoff))
	if p := r.info("good"); p.Version != "1.0.0" {
		t.Errorf("it has not run yet, and is %+v", p)
	}
	broker.away.Store(false)
	if p := r.until("good", "running", is(running)); p.Version != "2.0.0" || p.SHA256 == before.SHA256 {
		t.Errorf("it is %+v", p)
	}
}

// A process that ends while it waits to be replaced has ended: nobody waits for the
// one before it to drain, and whoever asked for another process has it.
func TestACrashIsNoticedWhileARestartWaits(t *testing.T) {
	r := start(t, func(o *Options) {
		o.pace.drain = time.Minute
		put(t, filepath.Join(o.Dir, "good"), "busy")
	})
	r.registered()
	if err := r.s.Restart(context.Background(), "good"); err != nil {
		t.Fatal(err)
	}
	crashed := r.info("good")
	put(t, crashed.Path, "newer")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	second := make(chan error, 1)
	go func() { second <- r.s.Restart(ctx, "good") }()
	time.Sleep(200 * time.Millisecond) // it waits for the drain of the first
	kill(t, crashed.PID)
	if err := <-second; err != nil {
		t.Errorf("the second restart gives %v", err)
	}
	p := r.info("good")
	if p.State != "running" || p.PID == crashed.PID || p.Version != "2.0.0" || p.Restarts != 2 ||
		p.LastEnd == nil || p.LastEnd.Reason != "ended by itself: signal: killed" {
		t.Errorf("it is %+v, %+v", p, p.LastEnd)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.ended, []string{"good"}) {
		t.Errorf("ends told: %v", r.ended)
	}
}
