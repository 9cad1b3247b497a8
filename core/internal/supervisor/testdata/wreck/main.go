// Command wreck is a plugin whose process goes wrong as its file name says,
// NAME.MODE, or what was appended to its file, a line "wreck:MODE": it does not
// start, hangs, dies, floods its log. It speaks the control service by hand, and the
// supervisor's tests start it. Plugins whose answers to calls are wrong are in
// test/plugins.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tributary-bus/tributary/sdk/control"
)

func main() {
	name, mode, _ := strings.Cut(filepath.Base(os.Args[0]), ".")
	if len(os.Args) > 1 {
		name, mode = os.Args[len(os.Args)-1], "" // plugin serve NAME
	}
	if appended := appendix(); appended != "" {
		mode = appended
	}
	switch mode {
	case "exit":
		fmt.Fprintln(os.Stderr, "no, thanks")
		os.Exit(3)
	case "late":
		if first() {
			time.Sleep(time.Minute)
		}
	case "fickle":
		if first() {
			fmt.Fprintln(os.Stderr, "not now")
			os.Exit(3)
		}
	case "talks":
		if first() {
			fmt.Println("the database is away")
			os.Exit(1)
		}
	case "deaf":
		deaf("unix", filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "deaf"))
	case "full":
		deaf("tcp", "127.0.0.1:0")
	case "version":
		fmt.Println("1|9|unix|/nowhere|grpc")
		time.Sleep(time.Minute)
	}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig:  control.Handshake,
		VersionedPlugins: map[int]plugin.PluginSet{control.ProtocolVersion: {control.Name: served{server: &wreck{name: name, mode: mode}}}},
		GRPCServer:       plugin.DefaultGRPCServer,
		Logger:           hclog.NewNullLogger(),
	})
}

// appendix is the mode that was appended to the file of this process.
func appendix() string {
	text, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return ""
	}
	last := text[bytes.LastIndexByte(bytes.TrimSuffix(text, []byte("\n")), '\n')+1:]
	mode, ok := strings.CutPrefix(strings.TrimSpace(string(last)), "wreck:")
	if !ok {
		return ""
	}
	return mode
}

// deaf announces a listener that takes no connection: on TCP those who want one
// wait for a place in its queue, on a Unix socket for an answer.
func deaf(network, address string) {
	l, err := net.Listen(network, address)
	if err != nil {
		panic(err)
	}
	if tcp, ok := l.(*net.TCPListener); ok {
		raw, err := tcp.SyscallConn()
		if err != nil {
			panic(err)
		}
		if err := raw.Control(func(fd uintptr) { _ = syscall.Listen(int(fd), 0) }); err != nil {
			panic(err)
		}
		for range 4 { // more than have a place
			go func() { _, _ = net.Dial(network, l.Addr().String()) }()
		}
		time.Sleep(100 * time.Millisecond)
	}
	fmt.Fprintf(os.Stderr, `{"level":"INFO","msg":"deaf","pid":%d}`+"\n", os.Getpid())
	fmt.Printf("1|%d|%s|%s|grpc\n", control.ProtocolVersion, network, l.Addr())
	time.Sleep(time.Minute)
}

// first tells whether this is the first process of the file.
func first() bool {
	f, err := os.OpenFile(os.Args[0]+".tried", os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

type served struct {
	plugin.NetRPCUnsupportedPlugin
	server control.PluginServer
}

func (s served) GRPCServer(_ *plugin.GRPCBroker, g *grpc.Server) error {
	control.RegisterPluginServer(g, s.server)
	return nil
}

func (served) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, nil
}

type wreck struct {
	control.UnimplementedPluginServer
	name, mode string
	conn       *nats.Conn
	handled    atomic.Uint64
}

func (c *wreck) Describe(context.Context, *control.DescribeRequest) (*control.Manifest, error) {
	m := &control.Manifest{
		Name: c.name, Version: "1.0.0", Sdk: "none", Description: "Misbehaves.",
		Actions: []*control.Action{{Name: "ask", Description: "Tells of its process.", Ports: []string{"told"}, ConfigSchema: []byte(`{"type":"object"}`)}},
	}
	switch c.mode {
	case "hang":
		select {} // an answer at the very end of the call could still be in time
	case "no":
		return nil, status.Error(codes.Unimplemented, "not here")
	case "name":
		m.Name = "Bad_Name"
	case "core":
		m.Name = "core"
	case "twin":
		m.Name = "good"
	case "newer", "broken":
		m.Version = "2.0.0"
		m.Actions = append(m.Actions, &control.Action{Name: "more"})
	case "schema":
		m.Actions[0].ConfigSchema = []byte(`{"type":"nonsense"}`)
	}
	return m, nil
}

func (c *wreck) Configure(context.Context, *control.ConfigureRequest) (*control.ConfigureResponse, error) {
	return &control.ConfigureResponse{}, nil
}

func (c *wreck) Start(_ context.Context, r *control.StartRequest) (*control.StartResponse, error) {
	if c.mode == "broken" {
		return nil, errors.New("it is broken")
	}
	key, err := nkeys.FromSeed([]byte(r.Connection.Seed))
	if err != nil {
		return nil, err
	}
	public, _ := key.PublicKey()
	c.conn, err = nats.Connect(strings.Join(r.Connection.Urls, ","), nats.Nkey(public, key.Sign), nats.CustomInboxPrefix(r.Connection.Inbox))
	if err != nil {
		return nil, err
	}
	for _, e := range r.Endpoints {
		if _, err := c.conn.QueueSubscribe(e.Subject, e.Queue, c.answer); err != nil {
			return nil, err
		}
	}
	if err := c.conn.Flush(); err != nil {
		return nil, err
	}
	// As a plugin must not, and a careless one does.
	fmt.Fprintf(os.Stderr, `{"level":"WARN","msg":"started","seed":%q,"calls":0}`+"\n", r.Connection.Seed)
	c.misbehave()
	return &control.StartResponse{}, nil
}

func (c *wreck) misbehave() {
	switch c.mode {
	case "die":
		go func() {
			time.Sleep(30 * time.Millisecond)
			panic("out of ideas")
		}()
	case "forks":
		grandchild := exec.Command("sleep", "600")
		if err := grandchild.Start(); err != nil {
			panic(err)
		}
		fmt.Fprintf(os.Stderr, `{"level":"INFO","msg":"forked","pid":%d}`+"\n", grandchild.Process.Pid)
		go func() {
			time.Sleep(100 * time.Millisecond)
			os.Exit(0)
		}()
	case "flood":
		text := []byte(strings.Repeat("blah ", 100) + "\n")
		raw := os.NewFile(2, "stderr")
		go func() {
			for {
				_, _ = raw.Write(text)
			}
		}()
		go func() {
			for {
				_, _ = os.Stderr.Write(text)
			}
		}()
	case "grows":
		go func() {
			var hoard [][]byte
			for {
				b := make([]byte, 1<<20)
				for i := range b {
					b[i] = 1
				}
				hoard = append(hoard, b)
				time.Sleep(time.Millisecond)
			}
		}()
	}
}

func (c *wreck) answer(m *nats.Msg) {
	c.handled.Add(1)
	dir, _ := os.Getwd()
	text, _ := json.Marshal(map[string]any{"pid": os.Getpid(), "env": os.Environ(), "dir": dir})
	_ = m.Respond(text)
}

func (c *wreck) Health(r *control.HealthRequest, stream grpc.ServerStreamingServer[control.HealthReport]) error {
	if c.mode == "mute" {
		<-stream.Context().Done()
		return nil
	}
	for {
		if err := stream.Send(&control.HealthReport{Connected: true, Handled: c.handled.Load()}); err != nil {
			return err
		}
		select {
		case <-stream.Context().Done():
			return nil
		case <-time.After(time.Duration(r.IntervalMs) * time.Millisecond):
		}
	}
}

func (c *wreck) Drain(ctx context.Context, _ *control.DrainRequest) (*control.DrainResponse, error) {
	fmt.Fprintln(os.Stderr, "drain begins")
	if c.mode == "busy" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if c.conn != nil {
		_ = c.conn.Drain()
	}
	time.Sleep(100 * time.Millisecond)
	fmt.Fprintln(os.Stderr, "drain ends")
	time.Sleep(20 * time.Millisecond)
	return &control.DrainResponse{}, nil
}

func (c *wreck) Stop(context.Context, *control.StopRequest) (*control.StopResponse, error) {
	fmt.Fprintln(os.Stderr, "stop")
	time.Sleep(20 * time.Millisecond)
	if c.mode == "stubborn" {
		select {}
	}
	return &control.StopResponse{}, nil
}
