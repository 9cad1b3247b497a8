package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// builtPlugins has each test plugin's binary, built once, by name.
var builtPlugins sync.Map

// pluginBinary builds a plugin: rascal and crook of this directory, or hello, a
// module of its own.
func pluginBinary(t *testing.T, name string) string {
	t.Helper()
	build, _ := builtPlugins.LoadOrStore(name, sync.OnceValues(func() (string, error) {
		path := filepath.Join(filepath.Dir(binary), "plugin-"+name)
		dir, source := ".", "./plugins/"+name
		if name == "hello" {
			dir, source = "../plugins/examples/hello", "."
		}
		cmd := exec.Command("go", "build", "-o", path, source)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build plugin %s: %w\n%s", name, err, out)
		}
		return path, nil
	}))
	path, err := build.(func() (string, error))()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// pluginDir is a plugin directory with the plugins of the names.
func pluginDir(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		text, err := os.ReadFile(pluginBinary(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// plugin asks for one plugin.
func (p *product) plugin(name string) map[string]any {
	p.t.Helper()
	a := p.api(http.MethodGet, "/api/v1/plugins/"+name, "")
	if a.status != http.StatusOK {
		p.t.Fatalf("plugin %s: %d %s\n%s", name, a.status, a.body, p.log)
	}
	return a.value
}

// running waits until a plugin runs and returns its process.
func (p *product) running(name string) int {
	p.t.Helper()
	pid := 0
	eventually(p.t, 20*time.Second, "plugin "+name+" to run", func() bool {
		one := p.plugin(name)
		n, _ := one["pid"].(float64)
		pid = int(n)
		return one["state"] == "running" && pid > 0
	})
	return pid
}

// descendants are the processes that a process has started, and those that they
// have, as long as their parents live.
func descendants(t *testing.T, pid int) (list []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			list = append(append(list, child), descendants(t, child)...)
		}
	}
	return list
}

// alive are those of the processes that have not ended.
func alive(list []int) []int {
	return slices.DeleteFunc(slices.Clone(list), func(pid int) bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return true
		}
		after := string(text[strings.LastIndexByte(string(text), ')')+1:])
		return strings.HasPrefix(strings.TrimSpace(after), "Z")
	})
}

// The core is killed, and within 5 seconds no process of a plugin is left, nor what
// one has started.
func TestNoPluginOutlivesTheCore(t *testing.T) {
	t.Parallel()
	p := launch(t, "--plugin-dir", pluginDir(t, "rascal"))
	for _, name := range []string{"profile", "event", "segment", "rascal"} {
		p.running(name)
	}
	list := descendants(t, p.cmd.Process.Pid)
	if len(list) < 5 {
		t.Fatalf("%d processes of plugins and of what they have started, want 5 or more", len(list))
	}
	p.kill()
	eventually(t, 5*time.Second, "the plugins to end with the core", func() bool { return len(alive(list)) == 0 })
}

// The core is stopped while an action is at work: the action ends its work, what
// it wants is committed, and then the processes end.
func TestPluginsAreDrainedBeforeTheCoreStops(t *testing.T) {
	t.Parallel()
	noted := filepath.Join(t.TempDir(), "calls")
	p := launch(t, "--plugin-dir", pluginDir(t, "rascal"))
	p.running("rascal")
	p.apply(flowOf("slow", "rascal/slow", `{file: "`+noted+`"}`))
	if _, err := p.post("/v1/events", `{"type":"slow","ids":{"user":"u"},"properties":{"ms":1000}}`); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the action to be called", func() bool { return lines(t, noted) == 1 })
	list := descendants(t, p.cmd.Process.Pid)
	p.stop()
	if left := alive(list); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
	p.start()
	eventually(t, 10*time.Second, "the profile", func() bool { return p.profile("user:u") != nil })
	if n := at(p.profile("user:u"), "counters", "slow"); n != 1.0 {
		t.Errorf("counters.slow is %v", n)
	}
	if n := lines(t, noted); n != 1 {
		t.Errorf("the action was called %d times, want once: it was not drained", n)
	}
}

// flowOf is a flow of one action, run for events of its own id, that answers with
// what the action hands on.
func flowOf(id, action, config string) string {
	return fmt.Sprintf(`
kind: flow
id: %s
spec:
  trigger: {event: %s}
  nodes:
    work: {action: %s, config: %s, timeout: 2s}
    reply: {action: core/result, config: {value: '{{ payload }}'}}
    failed: {action: core/result, config: {value: 'failed: {{ payload.error.message }}'}}
  edges: [start -> work, 'work:done -> reply', 'work:error -> failed']
`, id, id, action, config)
}

// lines counts those of a file that may not be there yet.
func lines(t *testing.T, path string) int {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Count(string(text), "\n")
}

// ask sends one event and returns what the flow of its type answered.
func (p *product) ask(event string) any {
	p.t.Helper()
	a, err := p.post("/v1/events?wait=flows", event)
	if err != nil {
		p.t.Fatal(err)
	}
	if a.status != http.StatusOK || a.value["waited"] == false {
		p.t.Fatalf("%s: %d %s\n%s", event, a.status, a.body, p.log)
	}
	var sent struct{ Type string }
	if err := json.Unmarshal([]byte(event), &sent); err != nil {
		p.t.Fatal(err)
	}
	return at(a.value, "response", sent.Type)
}

// What a plugin does wrong is its node's failure, which the flow handles; the
// core and the other plugins go on.
func TestAPluginMisbehaves(t *testing.T) {
	t.Parallel()
	for name, arguments := range everyBus {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			misbehave(t, arguments(t))
		})
	}
}

func misbehave(t *testing.T, arguments []string) {
	noted := t.TempDir()
	file := func(name string) string { return filepath.Join(noted, name) }
	p := launch(t, append(arguments, "--plugin-dir", pluginDir(t, "rascal", "crook", "hello"))...)
	for _, name := range []string{"rascal", "crook", "hello"} {
		p.running(name)
	}
	for _, c := range []struct{ id, action, config string }{
		{"panic", "rascal/panic", "{}"}, {"hang", "rascal/hang", "{}"}, {"exit", "rascal/exit", `{file: "` + file("exit") + `"}`},
		{"flood", "rascal/flood", "{}"}, {"fail", "rascal/fail", "{}"}, {"flaky", "rascal/flaky", `{file: "` + file("flaky") + `"}`},
		{"garbage", "crook/garbage", "{}"}, {"twice", "crook/twice", "{}"}, {"other", "crook/other", "{}"},
		{"moon", "crook/unknown-port", "{}"}, {"honest", "crook/honest", "{}"},
	} {
		p.apply(flowOf(c.id, c.action, c.config))
	}
	// The other plugins' and the core's work, all the while.
	p.apply(`
kind: flow
id: steady
spec:
  trigger: {event: steady}
  nodes: {count: {action: profile/set, config: {set: {traits.n: '{{ event.properties.n }}'}}}}
  edges: [start -> count]
`)
	stop, steady := make(chan struct{}), make(chan int, 1)
	go func() {
		n := 0
		for ; ; n++ {
			select {
			case <-stop:
				steady <- n
				return
			default:
			}
			began := time.Now()
			a, err := p.post("/v1/events?wait=flows", fmt.Sprintf(`{"type":"steady","ids":{"user":"steady"},"properties":{"n":%d}}`, n))
			if err != nil || a.status != http.StatusOK || a.value["waited"] == false || time.Since(began) > 3*time.Second {
				t.Errorf("beside it, event %d took %s: %d %s %v", n, time.Since(began), a.status, a.body, err)
				steady <- n
				return
			}
		}
	}()
	for _, c := range []struct{ id, want string }{
		{"panic", "failed: the action panic panicked: the roof falls in"},
		{"hang", "failed: rascal/hang did not answer within 2s"},
		{"exit", "survived"},
		{"flood", "flooded"},
		{"fail", "failed: it is Sunday"},
		{"flaky", "at last"},
		{"garbage", "failed: crook/garbage answered what is no reply"},
		{"moon", `failed: crook/unknown-port answered on the port "moon", which it does not have`},
	} {
		got, _ := p.ask(fmt.Sprintf(`{"type":%q,"ids":{"user":%q}}`, c.id, c.id)).(string)
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: answered %q, want %q", c.id, got, c.want)
		}
	}
	// The second answer is nobody's.
	p.ask(`{"type":"twice","ids":{"user":"twice"}}`)
	if n := at(p.profile("user:twice"), "counters", "twice"); n != 1.0 {
		t.Errorf("counters.twice is %v: the second answer counted", n)
	}
	// Two answers change places: both calls fail.
	var both sync.WaitGroup
	for _, user := range []string{"a", "b"} {
		both.Go(func() {
			a, err := p.post("/v1/events?wait=flows", fmt.Sprintf(`{"type":"other","ids":{"user":%q}}`, user))
			if got, _ := at(a.value, "response", "other").(string); err != nil || got != "failed: crook/other answered for another call" {
				t.Errorf("other: answered %q (%v)", a.body, err)
			}
		})
	}
	both.Wait()
	checkAttempts(t, file("flaky"), 3)
	checkAttempts(t, file("exit"), 2)
	close(stop)
	n := <-steady
	if n < 10 {
		t.Errorf("%d events beside it, want 10 or more", n)
	}
	if got := at(p.profile("user:steady"), "traits", "n"); got != float64(n-1) {
		t.Errorf("traits.n is %v, want %d", got, n-1)
	}
	if out := p.run("plugin", "logs", "rascal", "-n", "5"); !strings.Contains(out, "spam") {
		t.Errorf("plugin logs: %.500s", out)
	}
	if restarts, _ := p.plugin("rascal")["restarts"].(float64); restarts != 1 {
		t.Errorf("rascal was restarted %v times, want once", restarts)
	}
	if restarts, _ := p.plugin("crook")["restarts"].(float64); restarts != 0 {
		t.Errorf("crook was restarted %v times", restarts)
	}
	// Without a way on from the error, the event is a dead letter with the reason.
	p.apply(`
kind: flow
id: doomed
spec:
  trigger: {event: doomed}
  nodes: {work: {action: rascal/fail}}
  edges: [start -> work]
`)
	p.ask(`{"type":"doomed","ids":{"user":"doomed"}}`)
	if out := p.run("deadletters", "list"); !strings.Contains(out, "it is Sunday") {
		t.Errorf("deadletters list: %s", out)
	}
	p.stop()
}

// checkAttempts wants so many calls noted in a file, all with the same key, their
// attempts counted. An attempt that reached no process leaves no note.
func checkAttempts(t *testing.T, file string, want int) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	list := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(list) != want {
		t.Errorf("%s: %d calls, want %d:\n%s", filepath.Base(file), len(list), want, text)
	}
	key, _, _ := strings.Cut(list[0], " ")
	last := 0
	for i, line := range list {
		other, number, _ := strings.Cut(line, " ")
		attempt, err := strconv.Atoi(number)
		if err != nil || other != key || attempt <= last {
			t.Errorf("%s: call %d is %q, want the key %s and an attempt after %d", filepath.Base(file), i, line, key, last)
		}
		last = attempt
	}
}

// The core dies between the plugin's answer and the commit of what it wants, or
// close to it. The action is called again, with the same key, and patches once.
func TestKilledBetweenAnswerAndCommit(t *testing.T) {
	t.Parallel()
	noted := filepath.Join(t.TempDir(), "calls")
	p := launch(t, "--plugin-dir", pluginDir(t, "rascal"))
	p.running("rascal")
	p.apply(flowOf("shot", "rascal/assassin", `{file: "`+noted+`"}`))
	again := 0
	for i, us := range []int{0, 50, 100, 200, 400, 800} {
		victim := fmt.Sprint("e", i)
		event := fmt.Sprintf(`{"id":%q,"type":"shot","ids":{"user":%q},"properties":{"us":%d}}`, victim, victim, us)
		_, _ = p.post("/v1/events", event) // the core may be gone before it answers
		select {
		case <-p.done:
		case <-time.After(20 * time.Second):
			t.Fatal("the core was not killed")
		}
		p.start()
		if _, err := p.post("/v1/events", event); err != nil {
			t.Fatal(err)
		}
		eventually(t, 20*time.Second, "the flow to have run", func() bool {
			return at(p.profile("user:"+victim), "counters", "shots") != nil
		})
		text, err := os.ReadFile(noted + "-" + victim)
		if err != nil {
			t.Fatal(err)
		}
		calls := strings.Split(strings.TrimSpace(string(text)), "\n")
		if len(calls) > 2 || calls[0] != calls[len(calls)-1] {
			t.Errorf("%s: calls, by key and attempt:\n%s\nwant one, or the same twice", victim, text)
		}
		again += len(calls) - 1
	}
	if again == 0 {
		t.Error("no call was made again: the core was never killed before the commit")
	}
	time.Sleep(time.Second)
	for i := range 6 {
		if n := at(p.profile(fmt.Sprint("user:e", i)), "counters", "shots"); n != 1.0 {
			t.Errorf("e%d: counters.shots is %v", i, n)
		}
	}
}

// A plugin tries what was not granted to it: the broker refuses, and it shows.
func TestAPluginUserIsConfined(t *testing.T) {
	t.Parallel()
	for name, arguments := range everyBus {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := launch(t, append(arguments(t), "--plugin-dir", pluginDir(t, "rascal", "crook"))...)
			p.running("crook")
			p.running("rascal")
			p.apply(flowOf("burgle", "crook/burgle", "{}"))
			forbidden := []string{
				"ingest.0", "event.0.x", "commit.0", "$JS.ACK.EVENTS.other.1.1.1.1.1", "$JS.API.STREAM.INFO.EVENTS", "$KV.profiles.0.x",
				"$KV.config.source.dev", "_INBOX.plugin.rascal.x", "action.rascal.echo", "cmd.rascal", "$SYS.REQ.SERVER.PING",
			}
			if got := p.ask(fmt.Sprintf(`{"type":"burgle","ids":{"user":"u"},"properties":{"subjects":%q}}`, strings.Join(forbidden, " "))); got != nil {
				t.Errorf("answered %v", got)
			}
			logs := p.run("plugin", "logs", "crook")
			for _, subject := range forbidden {
				for _, what := range []string{"publish", "subscription"} {
					if !strings.Contains(strings.ToLower(logs), strings.ToLower(fmt.Sprintf("permissions violation for %s to %q", what, subject))) {
						t.Errorf("%s to %s was not refused", what, subject)
					}
				}
			}
			if name == "embedded" {
				if n, _ := at(p.plugin("crook"), "violations", "count").(float64); n < float64(len(forbidden)) {
					t.Errorf("plugin info shows %v violations, want %d or more: %v", n, len(forbidden), p.plugin("crook")["violations"])
				}
			}
		})
	}
}

// The plugin's process is killed and the core tells it within a moment: the call
// is made again by the next process.
func TestAPluginProcessIsKilledDuringACall(t *testing.T) {
	t.Parallel()
	noted := filepath.Join(t.TempDir(), "calls")
	p := launch(t, "--plugin-dir", pluginDir(t, "rascal"))
	pid := p.running("rascal")
	p.apply(strings.Replace(flowOf("slow", "rascal/slow", `{file: "`+noted+`"}`), "timeout: 2s", "timeout: 60s", 1))
	answered := make(chan any, 1)
	began := time.Now()
	go func() { answered <- p.ask(`{"type":"slow","ids":{"user":"u"},"properties":{"ms":700}}`) }()
	eventually(t, 10*time.Second, "the action to be called", func() bool { return lines(t, noted) == 1 })
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if got := <-answered; got != nil || time.Since(began) > 10*time.Second {
		t.Errorf("answered %v after %s", got, time.Since(began))
	}
	checkAttempts(t, noted, lines(t, noted))
	if n := at(p.profile("user:u"), "counters", "slow"); n != 1.0 {
		t.Errorf("counters.slow is %v", n)
	}
}
