package sdk

import (
	"context"
	"log/slog"

	"github.com/tributary-bus/tributary/sdk/wire"
)

// An Input is what an action is called with: its node's config and a view of
// what the flow's run is about. Config is shared between calls; neither it nor
// the views may be changed. They are valid after the call too.
type Input[C any] struct {
	Config  C
	Event   View // that the flow runs for
	Profile View // as the run sees it; not there for an event about nobody
	Session View // not there where the event has none
	Payload View // what the node before handed on
	Call    Call
	// Log writes to the plugin's log, with the names of flow, node and run.
	Log *slog.Logger
}

// A Call says which call of an action this is.
type Call struct {
	// ID is the idempotency key: the same on every attempt of the same node of
	// the same run, and on no other call. A service that takes such a key does
	// the work once, however often it is asked.
	ID      string
	Attempt int // 1, 2, …
	Flow    string
	Node    string
	Run     string
}

// Logger is the log of the call that a context belongs to, the same as
// Input.Log; of any other context the plugin's own.
func Logger(ctx context.Context) *slog.Logger {
	if log, ok := ctx.Value(loggerKey{}).(*slog.Logger); ok {
		return log
	}
	return slog.Default()
}

type loggerKey struct{}

// withLogger is a context that [Logger] finds a log in.
func withLogger(ctx context.Context, call *wire.Call, log *slog.Logger) (context.Context, *slog.Logger) {
	log = slog.New(&callLog{Handler: log.Handler(), call: call})
	return context.WithValue(ctx, loggerKey{}, log), log
}

// A callLog adds the names of a call to what is logged during it. Most calls
// log nothing, so the names are not put into a form before something is.
type callLog struct {
	slog.Handler
	call *wire.Call
}

func (h *callLog) named() slog.Handler {
	return h.Handler.WithAttrs([]slog.Attr{
		slog.String("flow", h.call.Flow), slog.String("node", h.call.Node), slog.String("run", h.call.Run),
	})
}

// Handle implements slog.Handler.
func (h *callLog) Handle(ctx context.Context, r slog.Record) error { return h.named().Handle(ctx, r) }

// WithAttrs implements slog.Handler.
func (h *callLog) WithAttrs(attrs []slog.Attr) slog.Handler { return h.named().WithAttrs(attrs) }

// WithGroup implements slog.Handler.
func (h *callLog) WithGroup(name string) slog.Handler { return h.named().WithGroup(name) }
