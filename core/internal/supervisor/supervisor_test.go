package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/sdk/client"
)

func TestPluginsComeUpAndAnswer(t *testing.T) {
	begun := time.Now()
	r := start(t, func(o *Options) { o.Builtin = []string{"profile", "segment", "event"} }, "hello")
	r.registered()
	t.Logf("four plugins were up after %v", time.Since(begun))
	if took := time.Since(begun); took > 8*time.Second {
		t.Errorf("four plugins took %v", took)
	}
	for _, name := range []string{"event", "hello", "profile", "segment"} {
		p := r.info(name)
		answer, err := r.ask(name)
		if err != nil || answer.PID != p.PID || p.State != "running" || p.Version != "1.0.0" || len(p.SHA256) != 64 ||
			p.Builtin != (name != "hello") || len(p.Actions) != 1 || p.Actions[0].ID != name+"/ask" {
			t.Errorf("%s answers %v with %v: %+v", name, answer.PID, err, p)
		}
	}
	if spec, ok := r.s.Catalogue().Action("hello/ask"); !ok || spec.Config == nil || !slices.Equal(spec.Ports, []string{"told"}) {
		t.Errorf("the catalogue has %+v, %v", spec, ok)
	}
	if ids := r.s.Catalogue().ActionIDs(); strings.Join(ids, " ") != "event/ask hello/ask profile/ask segment/ask" {
		t.Errorf("the catalogue has %v", ids)
	}
	if parts := r.s.Degraded(); len(parts) != 0 {
		t.Errorf("degraded: %v", parts)
	}
	if r.until("hello", "tells its calls", func(p client.Plugin) bool { return p.Handled == 1 }).MemoryBytes == 0 {
		t.Error("no memory is told")
	}
}

func TestRefusals(t *testing.T) {
	reasons := map[string]string{
		"a.name":    `its name is "Bad_Name"`,
		"b.core":    "its name, core, is reserved",
		"c.schema":  "schema of its config: not a JSON Schema",
		"e.version": "ncompatible API version",
		"f.no":      "Describe was answered: not here",
		"greets":    "it does not speak the plugin protocol",
		"junk":      "exec format error",
		"segment":   "its name, segment, is reserved",
		"text":      "it does not speak the plugin protocol",
		"z.twin":    "its name, good, is that of ",
	}
	files := []string{"good"}
	for file := range reasons {
		if file != "text" && file != "greets" && file != "junk" {
			files = append(files, file)
		}
	}
	r := start(t, func(o *Options) {
		write(t, filepath.Join(o.Dir, "text"), "#!/bin/sh\necho hello\nsleep 100\n", 0o755)
		write(t, filepath.Join(o.Dir, "greets"), "#!/bin/sh\necho hello\n", 0o755)
		write(t, filepath.Join(o.Dir, "junk"), "\x00\x01\x02", 0o755)
		write(t, filepath.Join(o.Dir, "README"), "no program", 0o644)
		write(t, filepath.Join(o.Dir, ".note"), "no program", 0o644)
		if err := os.Mkdir(filepath.Join(o.Dir, "old"), 0o755); err != nil {
			t.Fatal(err)
		}
	}, files...)
	r.registered()
	if p := r.info("good"); p.State != "running" || p.Path != filepath.Join(r.dir, "plugins", "good") {
		t.Errorf("good is %+v", p)
	}
	for file, reason := range reasons {
		p := r.info(file)
		if p.State != "refused" || !strings.Contains(p.Reason, reason) || strings.Contains(p.Reason, "\n") || p.PID != 0 {
			t.Errorf("%s is %s: %s; want %s", file, p.State, p.Reason, reason)
		}
		if n := strings.Count(r.log.String(), "plugins/"+file+" "); n != 1 {
			t.Errorf("%d lines of the log tell of %s", n, file)
		}
	}
	if got := r.s.List(); len(got) != len(files)+4 {
		t.Errorf("%d plugins are listed, want %d", len(got), len(files)+4)
	}
	if p := r.info("README"); p.State != "refused" || p.Reason != "it is not executable: chmod +x "+p.Path || strings.Count(r.log.String(), "plugins/README ") != 1 {
		t.Errorf("README is %s: %s", p.State, p.Reason)
	}
	if ids := r.s.Catalogue().ActionIDs(); strings.Join(ids, " ") != "good/ask" {
		t.Errorf("the catalogue has %v", ids)
	}
	if parts := r.s.Degraded(); len(parts) != len(reasons) {
		t.Errorf("degraded: %v", parts)
	}
	if _, err := r.s.Info("nobody"); !errors.Is(err, ErrUnknown) {
		t.Errorf("nobody gives %v", err)
	}
}

func TestWhoHasANameDoesNotDependOnSpeed(t *testing.T) {
	r := start(t, nil, "a.twin", "good")
	r.registered()
	if p := r.info("good"); p.Path != filepath.Join(r.dir, "plugins", "a.twin") {
		t.Errorf("good is %s", p.Path)
	}
}

func TestTheEnvironmentIsClean(t *testing.T) {
	host := []string{"PATH=/usr/bin:/bin", "TZ=UTC", "TRIBUTARY_ADMIN_TOKEN=secret", "AWS_SECRET_ACCESS_KEY=secret", "HOME=/root"}
	r := start(t, func(o *Options) { o.host = host }, "good")
	r.registered()
	answer, err := r.ask("good")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, v := range answer.Env {
		name, value, _ := strings.Cut(v, "=")
		names = append(names, name)
		if strings.Contains(value, "secret") {
			t.Errorf("the plugin sees %s", v)
		}
	}
	slices.Sort(names)
	want := "GOMEMLIMIT HOME PATH PLUGIN_CLIENT_CERT PLUGIN_FILE PLUGIN_MAX_PORT PLUGIN_MIN_PORT PLUGIN_PROTOCOL_VERSIONS " +
		"PLUGIN_UNIX_SOCKET_DIR TMPDIR TRIBUTARY_PLUGIN TZ"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("the plugin sees\n%s, want\n%s", got, want)
	}
	if !strings.HasPrefix(answer.Dir, filepath.Join(r.dir, "work", "good-")) || !slices.Contains(answer.Env, "HOME="+answer.Dir) ||
		!slices.Contains(answer.Env, "GOMEMLIMIT=402653184") {
		t.Errorf("it works in %s with %v", answer.Dir, answer.Env)
	}
	r.stop()
	if _, err := os.Stat(answer.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory is left: %v", err)
	}
}

func TestDrainComesBeforeStop(t *testing.T) {
	r := start(t, nil, "good", "other.stubborn")
	r.registered()
	pid := r.info("other").PID
	r.stop()
	for _, name := range []string{"good", "other"} {
		lines, err := r.s.Logs(name, 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		var said []string
		for _, l := range lines {
			said = append(said, l.Message)
		}
		if got := strings.Join(said, ", "); got != "started, drain begins, drain ends, stop" {
			t.Errorf("%s says %s", name, got)
		}
		if p := r.info(name); p.State != "stopped" {
			t.Errorf("%s is %s", name, p.State)
		}
	}
	if alive(pid) {
		t.Error("the stubborn one lives on")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ended) != 0 {
		t.Errorf("calls of %v are given up, though all were answered", r.ended)
	}
}

// However many processes of a plugin there are when the server stops, they have
// the time of one.
func TestAStopDuringARestartDrainsOnce(t *testing.T) {
	r := start(t, nil, "good.busy")
	r.registered()
	if err := r.s.Restart(context.Background(), "good"); err != nil {
		t.Fatal(err)
	}
	second := make(chan error, 1)
	go func() { second <- r.s.Restart(context.Background(), "good") }()
	eventually(t, 5*time.Second, "drains the first process", func() bool {
		lines, err := r.s.Logs("good", 0, 100)
		return err == nil && slices.ContainsFunc(lines, func(l client.LogLine) bool { return l.Message == "drain begins" })
	})
	time.Sleep(100 * time.Millisecond) // the second restart waits for that
	begun := time.Now()
	r.stop()
	// Two seconds to drain, half a second to stop, and what a busy machine adds.
	if took := time.Since(begun); took > 3800*time.Millisecond {
		t.Errorf("the stop took %v", took)
	}
	if err := <-second; err == nil || !strings.Contains(err.Error(), "the server stops") {
		t.Errorf("the second restart gives %v", err)
	}
	if p := r.info("good"); p.Restarts != 1 || p.State != "stopped" {
		t.Errorf("it is %+v", p)
	}
}

func TestRestartLeavesNoGap(t *testing.T) {
	r := start(t, nil, "good")
	r.registered()
	before := r.info("good")
	var stop atomic.Bool
	failures := make(chan error, 1)
	go func() {
		var first error
		for !stop.Load() {
			if _, err := r.ask("good"); err != nil && first == nil {
				first = err
			}
		}
		failures <- first
	}()
	if err := r.s.Restart(context.Background(), "good"); err != nil {
		t.Error(err)
	}
	after := r.info("good")
	eventually(t, 5*time.Second, "is the old process gone", func() bool { return !alive(before.PID) })
	stop.Store(true)
	if err := <-failures; err != nil {
		t.Errorf("a call was not answered: %v", err)
	}
	if after.PID == before.PID || after.Restarts != 1 || after.State != "running" || after.LastEnd != nil {
		t.Errorf("after the restart it is %+v", after)
	}
	eventually(t, 5*time.Second, "is the old process's user of NATS gone", func() bool { return r.broker.left() == 1 })
}

func TestAProcessIsReplacedBeforeItsUserExpires(t *testing.T) {
	r := start(t, func(o *Options) { o.Broker.(*natsBroker).lasts = 2 * time.Second }, "good")
	r.registered()
	first := r.info("good").PID
	p := r.until("good", "replaced", func(p client.Plugin) bool { return p.Restarts > 0 })
	if p.PID == first || p.LastEnd != nil || p.State != "running" {
		t.Errorf("it is %+v", p)
	}
}

func TestAPluginThatMayNotConnectIsRefused(t *testing.T) {
	r := start(t, func(o *Options) { o.Broker = strict{o.Broker} }, "good")
	r.registered()
	if p := r.info("good"); p.State != "refused" || !strings.Contains(p.Reason, "not allowed here: set a key") {
		t.Errorf("it is %+v", p)
	}
}

// strict makes users for what is ours only.
type strict struct{ Broker }

func (s strict) Grant(ctx context.Context, plugin string, builtin bool, actions []string) (Credentials, error) {
	if !builtin {
		return Credentials{}, fmt.Errorf("%w: set a key", ErrNotAllowed)
	}
	return s.Broker.Grant(ctx, plugin, builtin, actions)
}

func TestAChangedBinaryIsRefusedUntilARestart(t *testing.T) {
	r := start(t, func(o *Options) {
		if err := os.MkdirAll(o.Dir, 0o700); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(wreck)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(o.Dir, "good"), string(text), 0o755)
	})
	r.registered()
	before := r.info("good")
	file := filepath.Join(r.dir, "plugins", "good")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	write(t, file, string(text)+"changed", 0o755)
	kill(t, before.PID)
	p := r.until("good", "refused", is(refused))
	sum, err := sumOf(file)
	if err != nil || !strings.Contains(p.Reason, before.SHA256) || !strings.Contains(p.Reason, sum) {
		t.Errorf("it is refused because %s; want both sums, %s and %s", p.Reason, before.SHA256, sum)
	}
	if err := r.s.Restart(context.Background(), "good"); err != nil {
		t.Fatal(err)
	}
	if p := r.info("good"); p.State != "running" || p.SHA256 != sum {
		t.Errorf("after the restart it is %+v", p)
	}
	// One that does not come up leaves the old process where it is.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	write(t, file, "#!/bin/sh\nexit 7\n", 0o755)
	pid := r.info("good").PID
	if err := r.s.Restart(context.Background(), "good"); err == nil || !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("the restart gives %v", err)
	}
	if p := r.info("good"); p.PID != pid || p.State != "running" || p.SHA256 != sum {
		t.Errorf("after the failed restart it is %+v", p)
	}
}

func write(t *testing.T, file, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}
