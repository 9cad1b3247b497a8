package supervisor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/sdk/client"
)

// A first start that fails is no verdict: the machine may have been busy, or what
// the plugin needs away.
func TestAFirstStartIsTriedAgain(t *testing.T) {
	r := start(t, func(o *Options) { o.pace.handshake, o.pace.ends = 3*time.Second, 10 }, "slow.late", "moody.fickle", "frank.talks")
	r.registered()
	for _, file := range []string{"slow", "moody", "frank"} {
		p := r.until(file, "running", is(running))
		if p.LastEnd == nil || p.Restarts != 0 {
			t.Errorf("%s is %+v", file, p)
		}
		if _, err := r.ask(file); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	if end := r.info("frank").LastEnd; end == nil || end.Reason != "ended by itself: exit status 1" || !slices.Equal(end.Output, []string{"the database is away"}) {
		t.Errorf("what is known of the end is %+v", end)
	}
	if text := r.log.String(); strings.Contains(text, "plugin refused") {
		t.Error("something was refused")
	}
}

// One that never starts is given up, as any other that ends again and again.
func TestAFileThatNeverStartsIsQuarantined(t *testing.T) {
	r := start(t, func(o *Options) { o.pace.answer = time.Second }, "d.exit", "f.hang")
	r.registered()
	for file, reason := range map[string]string{
		"d.exit": "ended by itself: exit status 3",
		"f.hang": "Describe was not answered within 1s",
	} {
		p := r.until(file, "quarantined", is(quarantined))
		if !strings.Contains(p.Reason, reason) || p.LastEnd == nil || p.PID != 0 || p.Version != "" {
			t.Errorf("%s is %+v", file, p)
		}
	}
}

func TestARefusedFileIsTriedWhenItHasChanged(t *testing.T) {
	r := start(t, func(o *Options) {
		write(t, filepath.Join(o.Dir, "text"), "#!/bin/sh\necho hello\nsleep 100\n", 0o755)
		put(t, filepath.Join(o.Dir, "good"), "")
	})
	r.registered()
	r.until("text", "refused", is(refused))
	good := r.info("good")
	put(t, good.Path, "newer")
	kill(t, good.PID)
	r.until("good", "refused", is(refused))
	time.Sleep(5 * r.s.pace.look)
	for _, name := range []string{"text", "good"} {
		if n := strings.Count(r.log.String(), "msg=\"plugin refused\" plugin="+name); n != 1 {
			t.Errorf("%d lines of the log tell of %s, which has not changed since", n, name)
		}
	}
	put(t, filepath.Join(r.dir, "plugins", "text"), "")
	r.until("text", "running", is(running))
	// What is registered runs again by itself only as it was.
	put(t, good.Path, "broken")
	r.until("good", "refused again", func(client.Plugin) bool {
		return strings.Count(r.log.String(), "msg=\"plugin refused\" plugin=good") == 2
	})
	put(t, good.Path, "")
	if p := r.until("good", "running", is(running)); p.SHA256 != good.SHA256 {
		t.Errorf("it is %+v", p)
	}
}

// A plugin whose file was put there without the right to be executed runs when it
// has it.
func TestAFileBecomesExecutable(t *testing.T) {
	r := start(t, func(o *Options) {
		path := filepath.Join(o.Dir, "good")
		put(t, path, "")
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
	})
	r.registered()
	p := r.until("good", "refused", is(refused))
	if parts := r.s.Degraded(); len(parts) > 0 {
		t.Errorf("degraded: %v", parts)
	}
	if err := os.Chmod(p.Path, 0o755); err != nil {
		t.Fatal(err)
	}
	r.until("good", "running", is(running))
}

// A built-in plugin that was refused is not started again by itself: its file is ours.
func TestARefusedBuiltInPluginWaitsForAnAsk(t *testing.T) {
	r := start(t, func(o *Options) { o.Builtin, o.Broker = []string{"profile"}, closed{} })
	r.registered()
	r.until("profile", "refused", is(refused))
	time.Sleep(10 * r.s.pace.look)
	if n := strings.Count(r.log.String(), `msg="plugin refused" plugin=profile`); n != 1 {
		t.Errorf("it was refused %d times", n)
	}
	if err := r.s.Restart(context.Background(), "profile"); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("the restart gives %v", err)
	}
}

// A closed broker makes users for nobody.
type closed struct{}

func (closed) Grant(context.Context, string, bool, []string) (Credentials, error) {
	return Credentials{}, ErrNotAllowed
}
