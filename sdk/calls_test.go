package sdk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/grpc"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/control"
	"github.com/tributary-bus/tributary/sdk/sdktest"
	"github.com/tributary-bus/tributary/sdk/wire"
)

type none struct{}

func pluginOf(actions ...sdk.Action) sdk.Plugin {
	return sdk.Plugin{Name: "test", Version: "1.0.0", Actions: actions}
}

func answer(string) func(context.Context, sdk.Input[none]) (sdk.Output, error) {
	return func(context.Context, sdk.Input[none]) (sdk.Output, error) { return sdk.Output{}, nil }
}

// A recorder is a log to look into.
type recorder struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func (r *recorder) log() *slog.Logger { return slog.New(slog.NewJSONHandler(r, nil)) }

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

// health asks the control service once.
func health(t *testing.T, s control.PluginServer) *control.HealthReport {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	stream := &reports{ctx: ctx, cancel: cancel}
	if err := s.Health(&control.HealthRequest{}, stream); err != nil {
		t.Fatal(err)
	}
	return stream.first
}

type reports struct {
	grpc.ServerStream
	ctx    context.Context
	cancel context.CancelFunc
	first  *control.HealthReport
}

func (s *reports) Context() context.Context { return s.ctx }
func (s *reports) Send(r *control.HealthReport) error {
	s.first = r
	s.cancel()
	return nil
}

func TestAnActionGetsItsCall(t *testing.T) {
	type config struct {
		Greeting string `json:"greeting" default:"Hello"`
	}
	var log recorder
	host := sdktest.Start(t, pluginOf(sdk.NewAction("greet", "", func(ctx context.Context, in sdk.Input[config]) (sdk.Output, error) {
		in.Log.Info("greeting", "word", in.Config.Greeting)
		sdk.Logger(ctx).With("x", 1).Info("the same log")
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > 3*time.Second {
			return sdk.Output{}, errors.New("no deadline")
		}
		return sdk.Reply("", map[string]any{
			"config": in.Config.Greeting, "event": in.Event, "profile": in.Profile, "session": in.Session, "payload": in.Payload,
			"call": fmt.Sprintf("%+v", in.Call),
		}).Set("traits.greeted", true).Emit("greeted", nil), nil
	})), sdktest.Log(log.log()))
	reply := host.Call("greet", sdktest.Call{
		ID: "run:node", Attempt: 2, Timeout: 3 * time.Second, Event: map[string]any{"type": "x"}, Profile: sdk.NewProfile("p", time.Unix(0, 0)), Payload: 7,
	})
	if reply.Error != nil || reply.Port != "done" || len(reply.Patches) != 1 || len(reply.Events) != 1 {
		t.Fatalf("%+v, %v", reply, reply.Error)
	}
	var got map[string]any
	if err := json.Unmarshal(reply.Payload, &got); err != nil {
		t.Fatal(err)
	}
	profile, _ := got["profile"].(map[string]any)
	if got["config"] != "Hello" || fmt.Sprint(got["event"]) != "map[type:x]" || profile["id"] != "p" || got["session"] != nil || got["payload"] != 7.0 ||
		got["call"] != "{ID:run:node Attempt:2 Flow:flow Node:node Run:run}" {
		t.Errorf("the action got %v", got)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	for i, want := range []string{`"msg":"greeting","flow":"flow","node":"node","run":"run","word":"Hello"`, `"msg":"the same log","flow":"flow","node":"node","run":"run","x":1`} {
		if len(lines) != 2 || !strings.Contains(lines[i], want) {
			t.Fatalf("the log is %q, want %s", lines, want)
		}
	}
	if h := health(t, host.Control); !h.GetConnected() || h.GetHandled() != 1 || h.GetFailed() != 0 || h.GetProblem() != "" {
		t.Errorf("%v", h)
	}
}

func TestWhatFailsIsAnErrorReply(t *testing.T) {
	type config struct {
		How string `json:"how" required:"true"`
	}
	var log recorder
	host := sdktest.Start(t, pluginOf(sdk.NewAction("fail", "", func(ctx context.Context, in sdk.Input[config]) (sdk.Output, error) {
		switch in.Config.How {
		case "panic":
			panic("out of luck")
		case "goexit":
			runtime.Goexit()
		case "error":
			return sdk.Output{}, errors.New("no")
		case "temporary":
			return sdk.Output{}, fmt.Errorf("ask: %w", sdk.Temporary(errors.New("away")))
		case "deadline":
			<-ctx.Done()
			return sdk.Output{}, ctx.Err()
		case "port":
			return sdk.Reply("elsewhere", nil), nil
		case "large":
			return sdk.Reply("done", strings.Repeat("x", wire.MaxReply)), nil
		case "nothing":
			return sdk.Output{}, errors.New("")
		}
		return sdk.Output{}, nil
	})), sdktest.Log(log.log()))
	for how, want := range map[string]wire.Error{
		"panic":     {Message: "the action fail panicked: out of luck"},
		"goexit":    {Message: "the action fail ended its goroutine"},
		"error":     {Message: "no"},
		"temporary": {Message: "ask: away", Temporary: true},
		"port":      {Message: `the action has no port "elsewhere"; it has "done"`},
		"large":     {Message: "the answer of the action fail has 1048"},
		"nothing":   {Message: "the action failed and did not say why"},
	} {
		reply := host.Call("fail", sdktest.Call{Config: config{how}})
		if reply.Error == nil || !strings.HasPrefix(reply.Error.Message, want.Message) || reply.Error.Temporary != want.Temporary {
			t.Errorf("%s: %+v, %v; want %v", how, reply, reply.Error, want)
		}
	}
	if reply := host.Call("fail", sdktest.Call{Config: config{"deadline"}, Timeout: 50 * time.Millisecond}); reply.Error == nil || reply.Error.Temporary || !strings.Contains(reply.Error.Message, "within 50ms") {
		t.Errorf("deadline: %+v", reply)
	}
	if reply := host.Call("fail", sdktest.Call{Config: map[string]any{"who": 1}}); reply.Error == nil || reply.Error.Temporary ||
		reply.Error.Message != `config: who: there is no such field; want "how"` {
		t.Errorf("a config that does not fit: %v", reply.Error)
	}
	if reply := host.Call("fail", sdktest.Call{Config: config{"not at all"}}); reply.Error != nil {
		t.Errorf("after all that: %v", reply.Error)
	}
	if !strings.Contains(log.String(), "calls_test.go") || !strings.Contains(log.String(), `"panic":"out of luck"`) {
		t.Errorf("the log has no stack of the panic: %s", log.String())
	}
	eventually(t, "the health to tell of ten calls, nine of them failed, none under way", func() bool {
		h := health(t, host.Control) // a call gives its place back after its answer
		return h.GetHandled() == 10 && h.GetFailed() == 9 && h.GetInFlight() == 0
	})
}

func TestGarbageIsAnsweredAndHarmsNobody(t *testing.T) {
	host := sdktest.Start(t, pluginOf(sdk.NewAction("do", "", answer("done"))))
	for _, text := range []string{"", "\x00\xff", "{", "[]", `{"id":1}`, `{"id":"1","config":[]}`, strings.Repeat("[", 20_000), `{"id":"` + strings.Repeat("x", 2<<20) + `"}`} {
		m, err := host.Conn.Request(host.Subject("do"), []byte(text), 5*time.Second)
		if err != nil {
			t.Fatalf("%.20q: %v", text, err)
		}
		if reply, err := wire.ParseReply(m.Data); err != nil || reply.Error == nil || reply.Error.Temporary {
			t.Errorf("%.20q: %.200s, %v", text, m.Data, err)
		}
	}
	if err := host.Conn.Publish(host.Subject("do"), []byte(`{"id":"nobody waits"}`)); err != nil {
		t.Fatal(err)
	}
	if reply := host.Call("do", sdktest.Call{}); reply.Error != nil {
		t.Error(reply.Error)
	}
}

// A call whose action does not heed its context is answered in time, keeps its
// slot until the action returns, and is answered once.
func TestAnOverrunIsAnsweredOnce(t *testing.T) {
	var log recorder
	release := make(chan struct{})
	host := sdktest.Start(t, pluginOf(sdk.NewAction("sleep", "", func(context.Context, sdk.Input[none]) (sdk.Output, error) {
		<-release
		return sdk.Output{}, nil
	})), sdktest.Concurrency(1), sdktest.Log(log.log()))
	answers, err := host.Conn.SubscribeSync("answers")
	if err != nil {
		t.Fatal(err)
	}
	call := wire.Call{ID: "1", Attempt: 1, Timeout: 100 * time.Millisecond}
	if err := host.Conn.PublishRequest(host.Subject("sleep"), "answers", call.AppendJSON(nil)); err != nil {
		t.Fatal(err)
	}
	m, err := answers.NextMsg(5 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := wire.ParseReply(m.Data)
	if err != nil || reply.ID != "1" || reply.Error == nil || reply.Error.Temporary || reply.Error.Message != "the action sleep did not answer within 100ms" {
		t.Fatalf("%s, %v", m.Data, err)
	}
	if h := health(t, host.Control); h.GetInFlight() != 1 {
		t.Errorf("%v", h)
	}
	eventually(t, "the overrun to be logged", func() bool { return strings.Contains(log.String(), "goes on after its time-out") })
	close(release)
	eventually(t, "the slot to be free", func() bool { return health(t, host.Control).GetInFlight() == 0 })
	if m, err := answers.NextMsg(200 * time.Millisecond); err == nil {
		t.Errorf("answered again: %s", m.Data)
	}
	if n := strings.Count(log.String(), "goes on after its time-out"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	if h := health(t, host.Control); h.GetHandled() != 1 || h.GetProblem() != "" {
		t.Errorf("%v", h)
	}
}

func TestNoMoreCallsAtATimeThanAllowed(t *testing.T) {
	var running, most atomic.Int64
	gate := make(chan struct{})
	host := sdktest.Start(t, pluginOf(sdk.NewAction("wait", "", func(context.Context, sdk.Input[none]) (sdk.Output, error) {
		now := running.Add(1)
		defer running.Add(-1)
		for {
			if seen := most.Load(); now <= seen || most.CompareAndSwap(seen, now) {
				break
			}
		}
		<-gate
		return sdk.Output{}, nil
	})), sdktest.Concurrency(3))
	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() {
			if reply := host.Call("wait", sdktest.Call{}); reply.Error != nil {
				t.Error(reply.Error)
			}
		})
	}
	eventually(t, "three calls to run", func() bool { return running.Load() == 3 })
	time.Sleep(50 * time.Millisecond)
	close(gate)
	callers.Wait()
	if most.Load() != 3 {
		t.Errorf("%d calls ran at a time, want 3", most.Load())
	}
}

// What was taken is answered, what comes afterwards is not taken, and Drain
// returns when the last answer is out.
func TestDrainFinishesWhatIsBegun(t *testing.T) {
	t.Run("all of it runs", func(t *testing.T) { drainWhatIsBegun(t, 10) })
	t.Run("some of it waits in the client", func(t *testing.T) { drainWhatIsBegun(t, 2) })
}

func drainWhatIsBegun(t *testing.T, concurrency int) {
	started := make(chan struct{}, 10)
	gate := make(chan struct{})
	host := sdktest.Start(t, pluginOf(sdk.NewAction("wait", "", func(context.Context, sdk.Input[none]) (sdk.Output, error) {
		started <- struct{}{}
		<-gate
		return sdk.Output{}, nil
	})), sdktest.Concurrency(concurrency))
	answers, err := host.Conn.SubscribeSync("answers.*")
	if err != nil {
		t.Fatal(err)
	}
	const calls = 5
	for i := range calls {
		call := wire.Call{ID: strconv.Itoa(i), Attempt: 1, Timeout: 10 * time.Second}
		if err := host.Conn.PublishRequest(host.Subject("wait"), "answers."+call.ID, call.AppendJSON(nil)); err != nil {
			t.Fatal(err)
		}
	}
	if err := host.Conn.Flush(); err != nil {
		t.Fatal(err)
	}
	for range min(calls, concurrency) {
		<-started
	}
	drained := make(chan *control.DrainResponse, 1)
	go func() {
		r, err := host.Control.Drain(t.Context(), &control.DrainRequest{})
		if err != nil {
			t.Error(err)
		}
		drained <- r
	}()
	eventually(t, "new calls to be refused", func() bool {
		_, err := host.Conn.Request(host.Subject("wait"), []byte(`{"id":"late"}`), time.Second)
		return errors.Is(err, nats.ErrNoResponders)
	})
	select {
	case <-drained:
		t.Fatal("drained while calls were worked on")
	case <-time.After(50 * time.Millisecond):
	}
	close(gate)
	if r := <-drained; r.GetUnfinished() != 0 {
		t.Errorf("%d calls unfinished", r.GetUnfinished())
	}
	for range calls {
		m, err := answers.NextMsg(5 * time.Second)
		if err != nil {
			t.Fatalf("a call was not answered: %v", err)
		}
		if reply, err := wire.ParseReply(m.Data); err != nil || reply.Error != nil {
			t.Errorf("%s, %v", m.Data, err)
		}
	}
}

func TestDrainTellsWhatIsUnfinishedAtTheDeadline(t *testing.T) {
	started := make(chan struct{})
	host := sdktest.Start(t, pluginOf(sdk.NewAction("wait", "", func(ctx context.Context, _ sdk.Input[none]) (sdk.Output, error) {
		close(started)
		<-ctx.Done() // Stop ends it
		return sdk.Output{}, ctx.Err()
	})))
	call := wire.Call{ID: "1", Attempt: 1, Timeout: time.Minute}
	if err := host.Conn.PublishRequest(host.Subject("wait"), "answers", call.AppendJSON(nil)); err != nil {
		t.Fatal(err)
	}
	<-started
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	r, err := host.Control.Drain(ctx, &control.DrainRequest{})
	if err != nil || r.GetUnfinished() != 1 || ctx.Err() != nil {
		t.Errorf("%v, %v, %v", r, err, ctx.Err())
	}
}

func TestTheServiceIsAnnounced(t *testing.T) {
	host := sdktest.Start(t, pluginOf(sdk.NewAction("do", "", answer("done")), sdk.NewAction("undo", "", answer("done"))))
	host.Call("do", sdktest.Call{})
	m, err := host.Conn.Request("$SRV.STATS.test", nil, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var stats struct {
		Name, Version string
		Metadata      map[string]string
		Endpoints     []struct {
			Name, Subject string
			QueueGroup    string `json:"queue_group"`
			Data          map[string]int
		}
	}
	if err := json.Unmarshal(m.Data, &stats); err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, e := range stats.Endpoints {
		names = append(names, fmt.Sprint(e.Name, e.Subject, e.QueueGroup, e.Data["handled"]))
	}
	if want := []string{"doaction.test.dotest1", "undoaction.test.undotest0"}; stats.Name != "test" || stats.Metadata["instance"] != "test" || !slices.Equal(names, want) {
		t.Errorf("%s", m.Data)
	}
}

func TestStartRefusesWhatDoesNotFit(t *testing.T) {
	s, err := pluginOf(sdk.NewAction("do", "", answer("done"))).Server(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		request *control.StartRequest
		want    string
	}{
		{&control.StartRequest{}, "0 endpoints were given for the action do; want one"},
		{&control.StartRequest{Endpoints: []*control.Endpoint{{Action: "do", Subject: "a"}, {Action: "x", Subject: "b"}}}, "2 endpoints were given for 1 actions"},
		{&control.StartRequest{
			Endpoints: []*control.Endpoint{{Action: "do", Subject: "a"}}, Connection: &control.Connection{Urls: []string{"127.0.0.1:1"}},
		}, "start the plugin test: connect to NATS at 127.0.0.1:1"},
		{&control.StartRequest{
			Endpoints: []*control.Endpoint{{Action: "do", Subject: "a"}}, Connection: &control.Connection{Urls: []string{"127.0.0.1:1"}, Seed: "SECRET"},
		}, "the seed of the connection is no nkey seed"},
	} {
		if _, err := s.Start(t.Context(), c.request); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	if _, err := s.Configure(t.Context(), &control.ConfigureRequest{Config: []byte(`{"a":1}`)}); err == nil || !strings.Contains(err.Error(), "takes no configuration") {
		t.Error(err)
	}
	if h := health(t, s); h.GetConnected() || h.GetProblem() == "" {
		t.Errorf("%v", h)
	}
}
