package sdk

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"

	"github.com/tributary-bus/tributary/sdk/wire"
)

// Version is that of this SDK, in the manifest of every plugin built with it.
const Version = "0.1.0"

// A Plugin is what a plugin's process serves.
type Plugin struct {
	Name        string // [a-z][a-z0-9-]{0,31}
	Version     string // semantic version
	Description string
	Actions     []Action
}

// An Action is what a node of a flow can ask for, as plugin/name. [NewAction]
// makes one.
type Action struct {
	name, description string
	ports             []string
	schema            []byte // of a node's config
	pure              bool
	run               func(context.Context, *wire.Call, *wire.Reply, *slog.Logger) error
	err               error // what is wrong with its making
}

// NewAction makes an action of a function. C is the config that a node gives:
// a struct, whose tags say what it may hold, or a map. The tags of a field are
//
//	json:"greeting"    its name
//	doc:"Word …"       what it is for
//	default:"Hello"    what it is where the node says nothing
//	required:"true"    the node has to say something
//	enum:"a,b"         the values allowed
//	min:"1" max:"9"    bounds of a number, or of how long a text, a list or a map is
//
// Where a tag holds a value it is written in JSON, but for a text, which is
// written as it is. A [time.Duration] is a text such as "90s" or "7d", a
// [time.Time] one as [ParseTime] reads it.
//
// fn is called for every call of the action, many times at once. Its error, or
// its panic, leads the run to the port "error"; see [Temporary]. What it does
// beyond its output it should do once for each [Call.ID].
func NewAction[C any](name, description string, fn func(context.Context, Input[C]) (Output, error), options ...ActionOption) Action {
	a := Action{name: name, description: description, ports: []string{"done"}}
	for _, option := range options {
		option(&a)
	}
	typ, err := newConfigType(reflect.TypeFor[C]())
	if err != nil {
		a.err = err
		return a
	}
	if fn == nil {
		a.err = fmt.Errorf("it has no function")
		return a
	}
	a.schema = typ.schema()
	configs := &configCache[C]{typ: typ}
	ports := a.ports
	a.run = func(ctx context.Context, call *wire.Call, reply *wire.Reply, log *slog.Logger) error {
		config, err := configs.get(call.Config)
		if err != nil {
			return err
		}
		ctx, log = withLogger(ctx, call, log)
		out, err := fn(ctx, Input[C]{
			Config: config, Event: View{call.Event}, Profile: View{call.Profile}, Session: View{call.Session}, Payload: View{call.Payload},
			Call: Call{ID: call.ID, Attempt: call.Attempt, Flow: call.Flow, Node: call.Node, Run: call.Run}, Log: log,
		})
		if err != nil {
			return err
		}
		return out.reply(reply, ports)
	}
	return a
}

// An ActionOption says more about an action.
type ActionOption func(*Action)

// Ports names the ports on which an action lets a run go on; without it there
// is one, "done". Every action has a port "error" beside them.
func Ports(names ...string) ActionOption {
	return func(a *Action) { a.ports = names }
}

// Pure says that an action only computes its output from its input and waits for
// nothing: no network, no file, no sleep. Its calls are worked on where they
// arrive, one after the other, and answered sooner for it. One that waits all
// the same holds up the process's other calls of the action, and one that ends
// its goroutine ends the process.
func Pure() ActionOption {
	return func(a *Action) { a.pure = true }
}

// handle is the action as the worker calls it.
func (a *Action) handle(log *slog.Logger) func(context.Context, *wire.Call, *wire.Reply) {
	return func(ctx context.Context, call *wire.Call, reply *wire.Reply) {
		err := a.run(ctx, call, reply, log)
		if err == nil {
			return
		}
		*reply = wire.Reply{ID: call.ID, Error: &wire.Error{Message: err.Error(), Temporary: IsTemporary(err)}}
		if reply.Error.Message == "" {
			reply.Error.Message = "the action failed and did not say why"
		}
	}
}
