package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tributary-bus/tributary/sdk/control"
)

const (
	// maxMessage bounds one message of the control service, in either direction.
	maxMessage = 16 << 20
	// concurrency is how many calls a plugin may work on at a time.
	concurrency = 64
	// maxSocketDir is how long the path of a directory may be for the sockets
	// in it to have a name that the system takes.
	maxSocketDir = 60
)

// A process is one process of a plugin, from its handshake to its end.
type process struct {
	pace     pace
	instance string // its name among all processes
	work     string // its directory, removed at its end
	release  func() // what it executes, at its end; once
	journal  *journal
	child    *child
	client   *goplugin.Client
	address  net.Addr        // where it listens
	line     context.Context // of the connections to it
	hangUp   func()          // ends line; nothing waits for the process then
	api      control.PluginClient
	started  time.Time
	revoke   func()    // its user of NATS; nil: it has none yet
	renew    time.Time // when another process should take its place; zero: never

	watching sync.WaitGroup
	mu       sync.Mutex
	report   *control.HealthReport // the last one; nil: none yet
	reported time.Time
	memory   int64
}

// launch starts a process and shakes hands with it. Where that fails, nothing
// is left of it, and the binary is released.
func (p *plugin) launch(ctx context.Context, b *binary) (*process, error) {
	s := p.s
	r := &process{pace: s.pace, instance: uuid.NewString(), release: sync.OnceFunc(b.release), journal: p.journal, started: time.Now()}
	r.line, r.hangUp = context.WithCancel(context.WithoutCancel(ctx))
	r.work = filepath.Join(s.o.Work, p.label+"-"+r.instance[:8])
	if err := os.Mkdir(r.work, 0o700); err != nil {
		r.release()
		return nil, fmt.Errorf("make a working directory: %w", err)
	}
	env := environment(s.o.host, r.work, s.o.Memory)
	if !p.builtin {
		env = append(env, fileVariable+"="+p.path)
	}
	r.child = newChild(b.path, p.args, env, r.work, s.forker, p.journal)
	r.client = goplugin.NewClient(r.settings())
	defer context.AfterFunc(ctx, func() { r.end("the server stops") })()
	late := time.AfterFunc(r.pace.handshake, func() {
		r.end(fmt.Sprintf("killed: it has not come up within %v", r.pace.handshake))
	})
	defer late.Stop()
	var err error
	if r.address, err = r.client.Start(); err != nil {
		return nil, r.unstarted(err)
	}
	// It asks for a stream already: whoever listens there may leave it at that.
	protocol, err := r.client.Client()
	if err == nil {
		var raw any
		if raw, err = protocol.Dispense(control.Name); err == nil {
			r.api = raw.(control.PluginClient)
			return r, nil
		}
	}
	return nil, r.failed("", err)
}

// end kills the process with what it has started, and has nobody wait for its
// answer. The first reason is kept.
func (r *process) end(reason string) {
	r.child.kill(reason)
	r.hangUp()
}

// dial connects to the process, in the place of go-plugin's own dialer, which
// nothing ends but the system's patience of minutes.
func (r *process) dial(ctx context.Context, _ string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.line, cancel)() //nolint:contextcheck // either ends it
	conn, err := (&net.Dialer{}).DialContext(ctx, r.address.Network(), r.address.String())
	if err != nil {
		return nil, fmt.Errorf("connect to the plugin: %w", err)
	}
	stop := context.AfterFunc(r.line, func() { conn.Close() }) //nolint:contextcheck // gRPC's ends with the dialling
	return &lineConn{Conn: conn, stop: stop}, nil
}

// A lineConn is a connection to a process. Closed, it leaves nothing behind: gRPC
// may connect again as often as it likes while the process runs.
type lineConn struct {
	net.Conn
	stop func() bool // what would close it with the line
}

// Close implements net.Conn.
func (c *lineConn) Close() error {
	c.stop()
	return c.Conn.Close()
}

// settings are how go-plugin runs the process.
func (r *process) settings() *goplugin.ClientConfig {
	// What the plugin prints reaches us through gRPC once the handshake is done.
	out := &lineWriter{emit: func(text []byte) { r.journal.write(text) }}
	problems := &lineWriter{emit: func(text []byte) { r.child.remember(r.journal.write(text)) }}
	sockets := r.work
	if len(sockets) > maxSocketDir {
		sockets = "" // that of the system
	}
	return &goplugin.ClientConfig{
		HandshakeConfig:  control.Handshake,
		VersionedPlugins: map[int]goplugin.PluginSet{control.ProtocolVersion: {control.Name: service{}}},
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, _ string) (runner.Runner, error) {
			r.child.env = append(r.child.env, cmd.Env...)
			return r.child, nil
		},
		SkipHostEnv: true, AutoMTLS: true,
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		GRPCDialOptions: []grpc.DialOption{grpc.WithContextDialer(r.dial), grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage))},
		StartTimeout: 2 * r.pace.handshake, // ours comes first
		SyncStdout:   out, SyncStderr: problems,
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: sockets},
		// All that there is to say we say ourselves.
		Logger: hclog.NewNullLogger(),
	}
}

// service is the control service as go-plugin dispenses it to a host.
type service struct {
	goplugin.NetRPCUnsupportedPlugin
}

var _ goplugin.GRPCPlugin = service{}

// GRPCServer implements goplugin.GRPCPlugin; a host serves nothing.
func (service) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error {
	return errors.New("the host of plugins serves none")
}

// GRPCClient implements goplugin.GRPCPlugin.
func (service) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return control.NewPluginClient(c), nil
}

// describe asks the process what it offers.
func (r *process) describe(ctx context.Context) (*control.Manifest, error) {
	ctx, cancel := context.WithTimeout(ctx, r.pace.answer)
	defer cancel()
	m, err := r.api.Describe(ctx, &control.DescribeRequest{})
	if err != nil {
		return nil, r.failed("Describe", err)
	}
	return m, nil
}

// begin configures the process and has it answer calls.
func (r *process) begin(ctx context.Context, c *Credentials) error {
	configuring, cancel := context.WithTimeout(ctx, r.pace.answer)
	defer cancel()
	if _, err := r.api.Configure(configuring, &control.ConfigureRequest{Config: []byte("{}")}); err != nil {
		return r.failed("Configure", err)
	}
	request := &control.StartRequest{
		Instance: r.instance, Requests: c.Requests, Concurrency: concurrency,
		Connection: &control.Connection{Urls: c.URLs, Jwt: c.JWT, Seed: c.Seed, Inbox: c.Inbox},
	}
	for _, e := range c.Endpoints {
		request.Endpoints = append(request.Endpoints, &control.Endpoint{Action: e.Action, Subject: e.Subject, Queue: e.Queue})
	}
	starting, cancel := context.WithTimeout(ctx, r.pace.answer)
	defer cancel()
	if _, err := r.api.Start(starting, request); err != nil {
		return r.failed("Start", err)
	}
	return nil
}

// retire drains the process until ctx ends, stops it, and returns when it is
// gone; clean tells whether it has answered all its calls.
func (r *process) retire(ctx context.Context) (clean bool) {
	answer, err := r.api.Drain(ctx, &control.DrainRequest{})
	clean = err == nil && answer.GetUnfinished() == 0
	late := time.AfterFunc(r.pace.stop, func() { r.end("it did not end when it was asked to") })
	defer late.Stop()
	// Its answer changes nothing; where none comes, the process is killed.
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.pace.stop)
	defer cancel()
	_, _ = r.api.Stop(stopping, &control.StopRequest{})
	r.client.Kill() // asks it to end, and waits for that
	r.close()
	return clean
}

// close ends the process, if it has not ended, and removes what is left of it.
func (r *process) close() {
	r.end("")
	r.client.Kill()
	r.watching.Wait()
	r.journal.hide(r.instance, "")
	// What cannot be removed now is tried again at the next start.
	_ = removeAll(r.work)
	r.release()
}

// removeAll removes a directory that a plugin has worked in, also where the plugin
// has made directories in it that nothing can be removed from.
func removeAll(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil {
		return nil
	}
	root, open := os.OpenRoot(dir)
	if open != nil {
		return err
	}
	defer root.Close()
	_ = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, _ error) error {
		if d != nil && d.IsDir() {
			_ = root.Chmod(path, 0o700) // else RemoveAll says why
		}
		return nil
	})
	return os.RemoveAll(dir)
}

// A failure is why a process did not come up.
type failure struct {
	during string // the question that it did not answer; empty: the handshake
	ended  bool   // the process has ended, or was killed for what it did
	alien  bool   // it is no plugin: it would fail so again
	reason string
	output []string
	err    error
}

func (f *failure) Error() string { return f.reason }
func (f *failure) Unwrap() error { return f.err }

// unstarted says why a process has not shaken hands, and ends it.
func (r *process) unstarted(err error) error {
	switch {
	case r.child.pid() == 0:
		r.close()
		if !noProgram(err) {
			return err // of this machine: the plugin is not to blame
		}
		reason := oneLine(err)
		if errors.Is(err, fs.ErrPermission) {
			reason += "; plugins run as copies in the data directory: the file system there has to allow that (noexec)"
		}
		return &failure{alien: true, reason: reason, err: err}
	case r.child.spoke():
		said := r.journal.redact(oneLine(err))
		r.close()
		failed := r.child.failed()
		reason, output := r.child.explain()
		if failed {
			// A plugin may say so when it lacks what it needs.
			return &failure{ended: true, reason: reason, output: output, err: err}
		}
		return &failure{alien: true, reason: said, output: output, err: err}
	}
	return r.failed("", err)
}

// failed ends the process and says why: where it has ended by itself, that is
// the reason, whatever it looked like from here.
func (r *process) failed(during string, err error) error {
	if during != "" {
		// An end is seen on the connection a moment before the process is gone.
		select {
		case <-r.child.exited:
		case <-time.After(100 * time.Millisecond):
		}
	}
	said, answer := r.journal.redact(oneLine(err)), r.journal.redact(oneLine(errors.New(status.Convert(err).Message())))
	r.close()
	reason, output := r.child.explain()
	f := &failure{during: during, ended: reason != "", reason: reason, output: output, err: err}
	if !f.ended {
		f.alien = alien(during, err)
		switch {
		case during == "":
			f.reason = said
		case status.Code(err) == codes.DeadlineExceeded:
			f.reason = fmt.Sprintf("%s was not answered within %v", during, r.pace.answer)
		default:
			f.reason = during + " was answered: " + answer
		}
	}
	return f
}

func oneLine(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	return text[:min(len(text), 1000)]
}
