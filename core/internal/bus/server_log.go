package bus

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/time/rate"
)

// serverLog passes on what the embedded server warns of.
type serverLog struct {
	log  *slog.Logger
	gate *gate // is told what plugins tried
	pace *rate.Limiter
	left atomic.Int64 // lines that were not logged

	mu   sync.Mutex
	last string
}

var _ server.Logger = (*serverLog)(nil)

func (l *serverLog) Noticef(string, ...any) {}
func (l *serverLog) Debugf(string, ...any)  {}
func (l *serverLog) Tracef(string, ...any)  {}

func (l *serverLog) Warnf(format string, v ...any) {
	l.say(slog.LevelWarn, fmt.Sprintf(format, v...))
}

func (l *serverLog) Errorf(format string, v ...any) {
	line := fmt.Sprintf(format, v...)
	if client, text, ok := violation(line); ok && l.gate.saw(client, text) {
		return
	}
	l.say(slog.LevelError, line)
}

// say logs a line, unless there are too many: a client can cause some.
func (l *serverLog) say(level slog.Level, line string) {
	if !l.pace.Allow() {
		l.left.Add(1)
		return
	}
	args := []any{"message", line}
	if left := l.left.Swap(0); left > 0 {
		args = append(args, "not_logged", left)
	}
	l.log.Log(context.Background(), level, "NATS server", args...)
}

// Of what the server has to say so many lines are logged a second, after so many
// at once.
const (
	serverLines = 10
	serverBurst = 100
)

func (l *serverLog) Fatalf(format string, v ...any) {
	l.mu.Lock()
	l.last = fmt.Sprintf(format, v...)
	l.mu.Unlock()
}

func (l *serverLog) fatal() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}
