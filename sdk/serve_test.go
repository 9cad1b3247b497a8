package sdk_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/control"
	"github.com/tributary-bus/tributary/sdk/sdktest"
	"github.com/tributary-bus/tributary/sdk/wire"
)

// buildHello builds the example plugin as its author would.
var buildHello = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "hello")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "hello")
	build := exec.Command("go", "build", "-o", path, ".")
	build.Dir = filepath.Join("..", "plugins", "examples", "hello")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		os.Stderr.Write(out)
		return "", err
	}
	return path, nil
})

func TestMain(m *testing.M) {
	if os.Getenv("SDK_TEST_HOST") != "" {
		beHost()
	}
	code := m.Run()
	if path, err := buildHello(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

func hello(t testing.TB) string {
	t.Helper()
	path, err := buildHello()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// A process is the example plugin, run as a supervisor does.
type process struct {
	control.PluginClient
	cmd    *exec.Cmd
	client *plugin.Client
	log    *recorder
}

func launch(t testing.TB) *process {
	t.Helper()
	p := &process{cmd: exec.Command(hello(t)), log: &recorder{}}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.client = plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: control.Handshake, Plugins: plugin.PluginSet{control.Name: &control.GRPC{}}, Cmd: p.cmd,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC}, AutoMTLS: true, SkipHostEnv: true, Stderr: p.log, Logger: hclog.NewNullLogger(),
	})
	t.Cleanup(p.client.Kill)
	protocol, err := p.client.Client()
	if err != nil {
		t.Fatalf("%v\n%s", err, p.log)
	}
	service, err := protocol.Dispense(control.Name)
	if err != nil {
		t.Fatal(err)
	}
	p.PluginClient = service.(control.PluginClient)
	return p
}

// start has the process serve on a bus.
func (p *process) start(t testing.TB, bus *sdktest.Bus) {
	t.Helper()
	r := &control.StartRequest{
		Instance: "1", Requests: "cmd.hello", Connection: bus.Connection(),
		Endpoints: []*control.Endpoint{{Action: "greet", Subject: bus.Subject("greet"), Queue: "hello"}},
	}
	if _, err := p.Start(t.Context(), r); err != nil {
		t.Fatalf("%v\n%s", err, p.log)
	}
}

func TestTheExampleIsServed(t *testing.T) {
	p := launch(t)
	manifest, err := p.Describe(t.Context(), &control.DescribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	wantSchema := `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{` +
		`"greeting":{"type":"string","description":"Word to greet with","default":"Hello"}},"additionalProperties":false}`
	a := manifest.GetActions()[0]
	if manifest.GetName() != "hello" || manifest.GetVersion() != "1.0.0" || manifest.GetSdk() != sdk.Version || a.GetName() != "greet" ||
		strings.Join(a.GetPorts(), " ") != "greeted anonymous" || string(a.GetConfigSchema()) != wantSchema {
		t.Errorf("%v", manifest)
	}
	if _, err := p.Configure(t.Context(), &control.ConfigureRequest{Config: []byte(`{"x":1}`)}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a configuration that it does not have: %v", err)
	}
	if _, err := p.Configure(t.Context(), &control.ConfigureRequest{Config: bytes.Repeat([]byte(" "), 6<<20)}); status.Code(err) == codes.ResourceExhausted {
		t.Errorf("a message of 6 MB: %v", err)
	}
	bus := sdktest.NewBus(t, "hello")
	p.start(t, bus)
	reply := bus.Call("greet", sdktest.Call{
		Config: map[string]any{"greeting": "Hi"}, Profile: map[string]any{"traits": map[string]any{"name": "Ada"}},
	})
	if reply.Error != nil || reply.Port != "greeted" || string(reply.Payload) != `{"text":"Hi, Ada"}` {
		t.Errorf("%+v, %v", reply, reply.Error)
	}
	if reply := bus.Call("greet", sdktest.Call{}); reply.Error != nil || reply.Port != "anonymous" || reply.Payload != nil {
		t.Errorf("%+v, %v", reply, reply.Error)
	}
	stream, err := p.Health(t.Context(), &control.HealthRequest{IntervalMs: 50})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // at once, then every interval
		report, err := stream.Recv()
		if err != nil || !report.GetConnected() || report.GetHandled() != 2 || report.GetProblem() != "" {
			t.Fatalf("%v, %v", report, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if r, err := p.Drain(ctx, &control.DrainRequest{}); err != nil || r.GetUnfinished() != 0 {
		t.Errorf("%v, %v", r, err)
	}
	if _, err := p.Stop(ctx, &control.StopRequest{}); err != nil {
		t.Error(err)
	}
	p.client.Kill()
	if !p.client.Exited() {
		t.Error("the process has not ended")
	}
}

func TestStartedByHandItSaysWhatItIs(t *testing.T) {
	cmd := exec.Command(hello(t))
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.HasPrefix(string(out), "hello 1.0.0 is a plugin of Tributary") || strings.Count(string(out), "\n") != 2 {
		t.Errorf("%v: %s", err, out)
	}
}

// A terminal interrupts the host and everything that it has started: only the
// host may end a plugin then. Whoever sends SIGTERM means the plugin.
func TestSignals(t *testing.T) {
	p := launch(t)
	bus := sdktest.NewBus(t, "hello")
	p.start(t, bus)
	for range 3 {
		if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(100 * time.Millisecond)
	if reply := bus.Call("greet", sdktest.Call{}); reply.Port != "anonymous" {
		t.Errorf("after an interrupt: %+v", reply)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the process to end", p.client.Exited)
	if !strings.Contains(p.log.String(), "told to end") || strings.Contains(p.log.String(), "unfinished") {
		t.Errorf("its log: %s", p.log)
	}
}

func TestAPluginEndsWithItsHost(t *testing.T) {
	host := exec.Command(os.Args[0])
	host.Env = append(os.Environ(), "SDK_TEST_HOST="+hello(t))
	out, err := host.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 64)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(line[:n])))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the plugin %d does not run: %v", pid, err)
	}
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = host.Wait() // it was killed
	t.Cleanup(func() {
		if !gone(pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	eventually(t, "the plugin to end", func() bool { return gone(pid) })
}

// gone tells whether a process has ended, waited for or not.
func gone(pid int) bool {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err != nil || strings.Contains(string(text), ") Z ")
}

// beHost is a host that is going to be killed: it starts the plugin, names its
// process and waits.
func beHost() {
	cmd := exec.Command(os.Getenv("SDK_TEST_HOST"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: control.Handshake, Plugins: plugin.PluginSet{control.Name: &control.GRPC{}}, Cmd: cmd,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC}, Logger: hclog.NewNullLogger(),
	})
	if _, err := client.Client(); err != nil {
		os.Exit(1)
	}
	os.Stdout.WriteString(strconv.Itoa(cmd.Process.Pid) + "\n")
	time.Sleep(time.Minute)
	os.Exit(1)
}

func BenchmarkCalls(b *testing.B) {
	p := launch(b)
	bus := sdktest.NewBus(b, "hello")
	p.start(b, bus)
	profile := sdk.NewProfile("p", time.Unix(0, 0))
	profile.Traits["name"] = "Ada"
	call := wire.Call{
		ID: "run:node", Attempt: 1, Timeout: 10 * time.Second, Flow: "thank-you", Node: "greet", Run: "run", Config: []byte(`{"greeting":"Hi"}`),
		Event: sdk.ViewOf(sdk.Event{ID: "1", Type: "x", Source: "dev", Properties: sdk.NewObject(map[string]any{"total": 1})}).Raw(), Profile: sdk.ViewOf(profile).Raw(),
	}
	text := call.AppendJSON(nil)
	b.Run("one at a time", func(b *testing.B) {
		for b.Loop() {
			if _, err := bus.Conn.Request(bus.Subject("greet"), text, 10*time.Second); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("pipelined", func(b *testing.B) {
		answers, err := bus.Conn.SubscribeSync("answers.*")
		if err != nil {
			b.Fatal(err)
		}
		outstanding := make(chan struct{}, 512)
		go func() {
			for i := range b.N { // each with an inbox of its own: the plugin may answer there once
				outstanding <- struct{}{}
				if err := bus.Conn.PublishRequest(bus.Subject("greet"), "answers."+strconv.Itoa(i), text); err != nil {
					b.Error(err)
				}
			}
		}()
		b.ResetTimer()
		for range b.N {
			if _, err := answers.NextMsg(10 * time.Second); err != nil {
				b.Fatal(err)
			}
			<-outstanding
		}
	})
}
