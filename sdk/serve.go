package sdk

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/tributary-bus/tributary/sdk/control"
	"github.com/tributary-bus/tributary/sdk/internal/process"
)

const (
	// maxControlMessage bounds a message of the control service, in bytes;
	// gRPC's own bound is half of it.
	maxControlMessage = 8 << 20
	// lastDrain is how long the process goes on with what is begun when it is
	// told to end by somebody else than its host.
	lastDrain = 5 * time.Second
)

// Serve runs the plugin until the process that started it has it stop. It does
// not return: the process exits with 0, with 1 where nobody serves it, such as
// somebody who starts it by hand, and with 2 where the plugin is not made right.
//
// The log, that of [slog.Default] too, is JSON lines on standard error.
func Serve(p Plugin) {
	os.Exit(serve(p, os.Stderr))
}

func serve(p Plugin, stderr io.Writer) int {
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	s, err := p.Server(log)
	if err != nil {
		fmt.Fprintf(stderr, "this plugin cannot be served:\n%v\n", err)
		return 2
	}
	if os.Getenv(control.Handshake.MagicCookieKey) != control.Handshake.MagicCookieValue {
		fmt.Fprintf(stderr, "%s %s is a plugin of Tributary, which starts it by itself: there is nothing to be done by hand.\n"+
			"Put this file into the plugin directory, plugins in the data directory, and see `tributary plugin list`.\n", p.Name, p.Version)
		return 1
	}
	process.CollectSeldom()
	slog.SetDefault(log)
	go untilTold(s, log)
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: control.Handshake,
		Plugins:         plugin.PluginSet{control.Name: &control.GRPC{Service: s}},
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(options, grpc.MaxRecvMsgSize(maxControlMessage), grpc.MaxSendMsgSize(maxControlMessage))...)
		},
		Logger: hclog.New(&hclog.LoggerOptions{Name: p.Name, Level: hclog.Error, Output: stderr, JSONFormat: true}),
	})
	return 0
}

// untilTold ends the process when somebody else than the host wants it to, or
// when the host is gone. It goes on for as long as the process.
func untilTold(s control.PluginServer, log *slog.Logger) {
	reason, orphaned := process.UntilTold()
	if orphaned {
		process.KillGroup()
		os.Exit(1)
	}
	log.Info("the plugin ends", "reason", reason)
	leave(s, log)
	os.Exit(0)
}

// leave finishes what is begun, within lastDrain, and closes the connection.
func leave(s control.PluginServer, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), lastDrain)
	defer cancel()
	if r, err := s.Drain(ctx, &control.DrainRequest{}); err != nil || r.GetUnfinished() > 0 {
		log.Warn("calls were left unfinished", "calls", r.GetUnfinished(), "error", err)
	}
	if _, err := s.Stop(ctx, &control.StopRequest{}); err != nil {
		log.Warn("stop", "error", err)
	}
}
