package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/sdk/client"
)

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func TestACrashedPluginIsRestarted(t *testing.T) {
	r := start(t, nil, "good")
	r.registered()
	before := r.info("good")
	kill(t, before.PID)
	after := r.until("good", "restarted", func(p client.Plugin) bool { return p.State == "running" && p.PID != before.PID && p.PID != 0 })
	if after.Restarts != 1 || after.LastEnd == nil || after.LastEnd.Reason != "ended by itself: signal: killed" {
		t.Errorf("after the crash it is %+v, %+v", after, after.LastEnd)
	}
	if _, err := r.ask("good"); err != nil {
		t.Error(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.ended, []string{"good"}) {
		t.Errorf("ends told: %v", r.ended)
	}
}

func TestAPluginThatEndsTooOftenIsQuarantined(t *testing.T) {
	r := start(t, nil, "bad.die", "good")
	r.registered()
	p := r.until("bad", "quarantined", is(quarantined))
	if p.Restarts != 3 || p.PID != 0 || p.LastEnd == nil || !strings.Contains(p.LastEnd.Reason, "exit status 2") {
		t.Errorf("it is %+v, %+v", p, p.LastEnd)
	}
	if p.LastEnd == nil || len(p.LastEnd.Output) == 0 || p.LastEnd.Output[0] != "panic: out of ideas" {
		t.Errorf("its last words are %v", p.LastEnd)
	}
	if parts := r.s.Degraded(); len(parts) != 1 || parts[0].Name != "plugin bad" || !strings.HasPrefix(parts[0].Reason, "quarantined: ") {
		t.Errorf("degraded: %v", parts)
	}
	if err := r.s.Restart(context.Background(), "bad"); err != nil {
		t.Error(err)
	}
	r.until("bad", "quarantined again", func(p client.Plugin) bool { return p.State == "quarantined" && p.Restarts == 7 })
	if p := r.info("good"); p.State != "running" || p.Restarts != 0 {
		t.Errorf("the other one suffers: %+v", p)
	}
}

func TestAHungPluginIsKilledAndRestarted(t *testing.T) {
	r := start(t, func(o *Options) { o.pace.silence = 500 * time.Millisecond }, "bad.mute", "good")
	r.registered()
	first := r.info("bad").PID
	p := r.until("bad", "restarted", func(p client.Plugin) bool { return p.Restarts > 0 })
	if alive(first) || !strings.Contains(p.LastEnd.Reason, "killed: it has not reported how it is for ") {
		t.Errorf("it is %+v, %+v", p, p.LastEnd)
	}
	// One that is stopped by a signal hangs, too.
	pid := r.info("good").PID
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	r.until("good", "restarted", func(p client.Plugin) bool { return p.Restarts > 0 && p.State == "running" })
	if alive(pid) {
		t.Error("the stopped one is there still")
	}
}

func TestMemoryIsLimited(t *testing.T) {
	r := start(t, func(o *Options) { o.Memory = 64 << 20 }, "bad.grows")
	p := r.until("bad", "killed", func(p client.Plugin) bool { return p.LastEnd != nil })
	if !strings.Contains(p.LastEnd.Reason, "MB of memory, and may have 64MB (plugins.memory)") {
		t.Errorf("it ended because %s", p.LastEnd.Reason)
	}
}

func TestGrandchildrenGoWithThePlugin(t *testing.T) {
	r := start(t, nil, "bad.forks")
	r.until("bad", "ended", func(p client.Plugin) bool { return p.LastEnd != nil })
	pid := r.toldPID("bad", "forked")
	eventually(t, 2*time.Second, "is the grandchild gone", func() bool { return !alive(pid) })
}

// toldPID is the number of a process that a plugin's log tells of.
func (r *rig) toldPID(name, message string) int {
	r.t.Helper()
	lines, err := r.s.Logs(name, 0, 1000)
	if err != nil {
		r.t.Fatal(err)
	}
	i := slices.IndexFunc(lines, func(l client.LogLine) bool { return l.Message == message })
	if i < 0 {
		r.t.Fatalf("no line says %s in %v", message, lines)
	}
	pid, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(string(lines[i].Fields), `{"pid":`), "}"))
	if err != nil {
		r.t.Fatal(err)
	}
	return pid
}

// Who announces a listener and does not answer there holds nobody up.
func TestADeafPluginIsKilled(t *testing.T) {
	r := start(t, func(o *Options) { o.pace.handshake = 3 * time.Second }, "a.deaf", "b.full", "good")
	begun := time.Now()
	for _, name := range []string{"a.deaf", "b.full"} {
		p := r.until(name, "killed", func(p client.Plugin) bool { return p.LastEnd != nil })
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("%s held us up for %v", name, took)
		}
		if p.LastEnd.Reason != "killed: it has not come up within 3s" {
			t.Errorf("%s has ended because %s", name, p.LastEnd.Reason)
		}
		if pid := r.toldPID(name, "deaf"); alive(pid) {
			t.Errorf("%s lives on", name)
		}
	}
	r.until("good", "running", is(running))
	begun = time.Now()
	r.stop() // while they try again
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("the stop took %v", took)
	}
}

func TestAFloodCostsNothing(t *testing.T) {
	r := start(t, nil, "bad.flood", "good")
	r.registered()
	time.Sleep(time.Second)
	if p := r.info("bad"); p.State != "running" || p.Restarts != 0 {
		t.Errorf("it is %+v", p)
	}
	lines, err := r.s.Logs("bad", 0, 5000)
	if err != nil || len(lines) == 0 || len(lines) > maxLines {
		t.Errorf("%d lines are kept, %v", len(lines), err)
	}
	held := 0
	for _, l := range lines {
		held += len(l.Message)
	}
	if held > maxLinesBytes || held < maxLinesBytes/2 {
		t.Errorf("%d bytes are kept", held)
	}
	if n := strings.Count(r.log.String(), "blah blah"); n > 50*(burstLines+2*linesPerSec) {
		t.Errorf("%d are passed on", n)
	}
	if !strings.Contains(r.log.String(), "writes more log lines than are shown here") {
		t.Error("nobody is told of what is left out")
	}
	if _, err := r.ask("bad"); err != nil {
		t.Errorf("it does not answer: %v", err)
	}
}

func TestLogsAreReadAndHideCredentials(t *testing.T) {
	r := start(t, nil, "good")
	r.registered()
	lines, err := r.s.Logs("good", 0, 10)
	for deadline := time.Now().Add(5 * time.Second); err == nil && len(lines) == 0 && time.Now().Before(deadline); {
		lines, err = r.s.Logs("good", 0, 10)
	}
	if err != nil || len(lines) != 1 || lines[0].Level != "WARN" || lines[0].Message != "started" ||
		string(lines[0].Fields) != `{"seed":"(secret)","calls":0}` {
		t.Fatalf("the log is %+v, %v", lines, err)
	}
	eventually(t, 5*time.Second, "in the log of the process", func() bool {
		return strings.Contains(r.log.String(), `level=WARN msg=started plugin=good seed=(secret) calls=0`)
	})
	if more, err := r.s.Logs("good", lines[0].Seq, 10); err != nil || len(more) != 0 {
		t.Errorf("after the last line: %v, %v", more, err)
	}
}

func TestViolationsAreCounted(t *testing.T) {
	r := start(t, nil, "good")
	r.registered()
	r.s.Violation("nobody", "is ignored")
	r.s.Violation("good", "publish to ingest.3")
	r.s.Violation("good", "publish to ingest.4")
	if v := r.info("good").Violations; v.Count != 2 || v.Last != "publish to ingest.4" {
		t.Errorf("violations: %+v", v)
	}
}

// hostDir makes the test binary be a host of plugins in a directory.
const hostDir = "SUPERVISOR_HOST"

func hostUntilKilled(dir string) {
	broker, err := newNATS()
	if err != nil {
		panic(err)
	}
	s := New(Options{
		Dir: filepath.Join(dir, "plugins"), Work: filepath.Join(dir, "work"), Broker: broker,
		Log: slog.New(slog.DiscardHandler),
	})
	go func() {
		<-s.Registered()
		for _, p := range s.List() {
			fmt.Println(p.PID)
		}
		os.Stdout.Close()
	}()
	panic(s.Run(context.Background()))
}

func TestNoPluginOutlivesItsHost(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "plugins"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "two", "three"} {
		if err := os.Symlink(wreck, filepath.Join(dir, "plugins", name)); err != nil {
			t.Fatal(err)
		}
	}
	host := exec.Command(os.Args[0])
	host.Env = append(os.Environ(), hostDir+"="+dir)
	host.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	said := &buffer{}
	host.Stdout = said
	host.Stderr = os.Stderr
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "up", func() bool { return strings.Count(said.String(), "\n") == 3 })
	kill(t, host.Process.Pid)
	if err := host.Wait(); err == nil {
		t.Error("the host ended well")
	}
	for _, line := range strings.Fields(said.String()) {
		pid, err := strconv.Atoi(line)
		if err != nil || pid == 0 {
			t.Fatalf("the host says %q", line)
		}
		eventually(t, 5*time.Second, "is plugin "+line+" gone", func() bool { return !alive(pid) })
	}
}
