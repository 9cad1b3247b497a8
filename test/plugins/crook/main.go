// Command crook is a plugin without the SDK, whose process is sound and whose
// calls are not: it speaks the control service and the wire by hand, answers
// against the rules of the wire, and reaches for subjects that are not its own.
// Tests of the product start it. Processes that go wrong are those of the
// supervisor's testdata/wreck, and of rascal, which is built with the SDK.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-plugin"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"google.golang.org/grpc"

	"github.com/tributary-bus/tributary/sdk/control"
	"github.com/tributary-bus/tributary/sdk/wire"
)

func main() {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: control.Handshake,
		Plugins:         plugin.PluginSet{control.Name: &control.GRPC{Service: &crook{}}},
		GRPCServer:      plugin.DefaultGRPCServer,
	})
}

// misdeeds are its actions.
var misdeeds = []string{"garbage", "twice", "other", "unknown-port", "honest", "burgle"}

type crook struct {
	control.UnimplementedPluginServer
	conn    *nats.Conn
	request *control.StartRequest

	mu    sync.Mutex
	other *nats.Msg // the call that came first, whose answer goes to another
}

func (c *crook) Describe(context.Context, *control.DescribeRequest) (*control.Manifest, error) {
	m := &control.Manifest{Name: "crook", Version: "0.0.1", Sdk: "none"}
	for _, name := range misdeeds {
		m.Actions = append(m.Actions, &control.Action{Name: name, Ports: []string{"done"}})
	}
	return m, nil
}

func (c *crook) Configure(context.Context, *control.ConfigureRequest) (*control.ConfigureResponse, error) {
	return &control.ConfigureResponse{}, nil
}

func (c *crook) Start(_ context.Context, r *control.StartRequest) (*control.StartResponse, error) {
	c.request = r
	options := []nats.Option{nats.CustomInboxPrefix(strings.TrimSuffix(r.Connection.Inbox, ".")), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		fmt.Fprintln(os.Stderr, err)
	})}
	sign := func(nonce []byte) ([]byte, error) {
		pair, err := nkeys.FromSeed([]byte(r.Connection.Seed))
		if err != nil {
			return nil, err
		}
		return pair.Sign(nonce)
	}
	if r.Connection.Jwt != "" {
		options = append(options, nats.UserJWT(func() (string, error) { return r.Connection.Jwt, nil }, sign))
	} else {
		pair, err := nkeys.FromSeed([]byte(r.Connection.Seed))
		if err != nil {
			return nil, err
		}
		user, err := pair.PublicKey()
		if err != nil {
			return nil, err
		}
		options = append(options, nats.Nkey(user, sign))
	}
	var err error
	if c.conn, err = nats.Connect(strings.Join(r.Connection.Urls, ","), options...); err != nil {
		return nil, err
	}
	for _, e := range r.Endpoints {
		if _, err := c.conn.QueueSubscribe(e.Subject, e.Queue, func(m *nats.Msg) { c.answer(e.Action, m) }); err != nil {
			return nil, err
		}
	}
	return &control.StartResponse{}, c.conn.Flush()
}

func (c *crook) answer(action string, m *nats.Msg) {
	call, err := wire.ParseCall(m.Data)
	if err != nil {
		panic(err)
	}
	reply := func(id, port string) []byte { return (&wire.Reply{ID: id, Port: port}).AppendJSON(nil) }
	respond := func(data []byte) {
		if err := m.Respond(data); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	switch action {
	case "honest":
		respond(reply(call.ID, "done"))
	case "garbage":
		respond([]byte(`{"id":`))
	case "unknown-port":
		respond(reply(call.ID, "moon"))
	case "twice":
		respond((&wire.Reply{ID: call.ID, Port: "done", Patches: []wire.Patch{{Op: wire.OpIncrement, Path: "counters.twice", Value: []byte("1")}}}).AppendJSON(nil))
		respond((&wire.Reply{ID: call.ID, Port: "done", Patches: []wire.Patch{{Op: wire.OpIncrement, Path: "counters.twice", Value: []byte("100")}}}).AppendJSON(nil))
	case "other":
		// The answers of two calls change places.
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.other == nil {
			c.other = m
			return
		}
		first, err := wire.ParseCall(c.other.Data)
		if err != nil {
			panic(err)
		}
		respond(reply(first.ID, "done"))
		if err := c.other.Respond(reply(call.ID, "done")); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		c.other = nil
	case "burgle":
		c.burgle(call)
		respond(reply(call.ID, "done"))
	}
}

// burgle tries to publish to, and read, the subjects that the event names.
func (c *crook) burgle(call *wire.Call) {
	for _, s := range burglary(string(call.Event)) {
		err := c.conn.Publish(s, []byte(`{}`))
		if err == nil {
			_, err = c.conn.SubscribeSync(s)
		}
		if err == nil {
			err = c.conn.Flush()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

// burglary are the subjects that the event's property subjects lists, separated
// by spaces.
func burglary(event string) []string {
	_, rest, _ := strings.Cut(event, `"subjects":"`)
	list, _, _ := strings.Cut(rest, `"`)
	return strings.Fields(list)
}

func (c *crook) Health(r *control.HealthRequest, stream grpc.ServerStreamingServer[control.HealthReport]) error {
	tick := time.NewTicker(time.Duration(max(r.IntervalMs, 100)) * time.Millisecond)
	defer tick.Stop()
	for {
		if err := stream.Send(&control.HealthReport{Connected: c.conn.IsConnected()}); err != nil {
			return err
		}
		select {
		case <-stream.Context().Done():
			return nil
		case <-tick.C:
		}
	}
}

func (c *crook) Drain(context.Context, *control.DrainRequest) (*control.DrainResponse, error) {
	return &control.DrainResponse{}, c.conn.Drain()
}

func (c *crook) Stop(context.Context, *control.StopRequest) (*control.StopResponse, error) {
	return &control.StopResponse{}, nil
}
