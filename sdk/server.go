package sdk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tributary-bus/tributary/sdk/control"
	"github.com/tributary-bus/tributary/sdk/internal/worker"
)

// Server is the plugin's side of the control service. [Serve] serves it in a
// process; a test may call it in its own.
func (p Plugin) Server(log *slog.Logger) (control.PluginServer, error) {
	manifest, err := p.Manifest()
	if err != nil {
		return nil, err
	}
	return &server{plugin: p, manifest: manifest, log: log, stopped: make(chan struct{})}, nil
}

// A server answers the supervisor.
type server struct {
	control.UnimplementedPluginServer
	plugin   Plugin
	manifest *control.Manifest
	log      *slog.Logger

	mu      sync.Mutex
	worker  *worker.Worker // once started
	stop    sync.Once
	stopped chan struct{}
}

const (
	defaultHealthInterval = time.Second
	leastHealthInterval   = 50 * time.Millisecond
	// drainMargin is kept of a deadline, for telling what is unfinished.
	drainMargin = 100 * time.Millisecond
)

// Describe implements control.PluginServer.
func (s *server) Describe(context.Context, *control.DescribeRequest) (*control.Manifest, error) {
	return s.manifest, nil
}

// Configure implements control.PluginServer. The plugin has no configuration of
// its own, so nothing can be said.
func (s *server) Configure(_ context.Context, r *control.ConfigureRequest) (*control.ConfigureResponse, error) {
	object, err := ParseObject(r.GetConfig())
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "the configuration of the plugin %s: %v", s.plugin.Name, err)
	}
	if len(object) > 0 {
		return nil, status.Errorf(codes.InvalidArgument, "the plugin %s takes no configuration; its nodes do", s.plugin.Name)
	}
	return &control.ConfigureResponse{}, nil
}

// Start implements control.PluginServer.
func (s *server) Start(ctx context.Context, r *control.StartRequest) (*control.StartResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.worker != nil {
		return nil, status.Errorf(codes.FailedPrecondition, "the plugin %s was started before", s.plugin.Name)
	}
	endpoints, err := s.endpoints(r)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	c := r.GetConnection()
	w, err := worker.Start(ctx, worker.Options{
		Name: s.plugin.Name, Version: s.plugin.Version, Description: s.plugin.Description, Instance: r.GetInstance(),
		Connection: worker.Connection{URLs: c.GetUrls(), JWT: c.GetJwt(), Seed: c.GetSeed(), Inbox: c.GetInbox()},
		Endpoints:  endpoints, Concurrency: int(r.GetConcurrency()), Fatal: func() { os.Exit(1) }, Log: s.log,
	})
	if err != nil {
		return nil, status.Errorf(codes.Unavailable, "start the plugin %s: %v", s.plugin.Name, err)
	}
	s.worker = w
	return &control.StartResponse{}, nil
}

// endpoints finds the actions' endpoints: one each.
func (s *server) endpoints(r *control.StartRequest) ([]worker.Endpoint, error) {
	var list []worker.Endpoint
	for i := range s.plugin.Actions {
		a := &s.plugin.Actions[i]
		n := len(list)
		for _, e := range r.GetEndpoints() {
			if e.GetAction() == a.name {
				list = append(list, worker.Endpoint{
					Action: a.name, Subject: e.GetSubject(), Queue: e.GetQueue(), Handle: a.handle(s.log), Inline: a.pure,
				})
			}
		}
		if len(list) != n+1 {
			return nil, fmt.Errorf("%d endpoints were given for the action %s; want one", len(list)-n, a.name)
		}
	}
	if len(list) != len(r.GetEndpoints()) {
		return nil, fmt.Errorf("%d endpoints were given for %d actions", len(r.GetEndpoints()), len(list))
	}
	return list, nil
}

// Health implements control.PluginServer.
func (s *server) Health(r *control.HealthRequest, stream grpc.ServerStreamingServer[control.HealthReport]) error {
	interval := defaultHealthInterval
	if ms := r.GetIntervalMs(); ms > 0 {
		interval = max(time.Duration(ms)*time.Millisecond, leastHealthInterval)
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := stream.Send(s.report()); err != nil {
			return fmt.Errorf("report the plugin's health: %w", err)
		}
		select {
		case <-stream.Context().Done():
			return nil
		case <-s.stopped:
			return nil
		case <-tick.C:
		}
	}
}

func (s *server) report() *control.HealthReport {
	w := s.started()
	if w == nil {
		return &control.HealthReport{Problem: "it was not started yet"}
	}
	h := w.Health()
	return &control.HealthReport{
		Connected: h.Connected, InFlight: uint32(h.InFlight), Handled: h.Handled, Failed: h.Failed, Problem: h.Problem,
	}
}

// Drain implements control.PluginServer.
func (s *server) Drain(ctx context.Context, _ *control.DrainRequest) (*control.DrainResponse, error) {
	w := s.started()
	if w == nil {
		return &control.DrainResponse{}, nil
	}
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-min(drainMargin, time.Until(deadline)/10)))
		defer cancel()
	}
	unfinished, err := w.Drain(ctx)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, status.Errorf(codes.Internal, "drain the plugin %s: %v", s.plugin.Name, err)
	}
	return &control.DrainResponse{Unfinished: uint32(unfinished)}, nil
}

// Stop implements control.PluginServer.
func (s *server) Stop(context.Context, *control.StopRequest) (*control.StopResponse, error) {
	if w := s.started(); w != nil {
		w.Close()
	}
	s.stop.Do(func() { close(s.stopped) })
	return &control.StopResponse{}, nil
}

func (s *server) started() *worker.Worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.worker
}
