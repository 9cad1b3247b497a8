// Command rascal is a plugin, built with the SDK, whose actions do what actions
// had better not: tests of the product start it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/control"
)

// A note is where an action leaves word of its calls: a file, a line a call.
type note struct {
	File string `json:"file" doc:"File that each call is noted in"`
}

func main() {
	if os.Getenv(control.Handshake.MagicCookieKey) != "" {
		// A process of its own, which ends with its group only.
		_ = exec.Command("sleep", "600").Start() //nolint:noctx // nothing else is to end it
	}
	sdk.Serve(sdk.Plugin{
		Name: "rascal", Version: "1.0.0", Description: "Misbehaves.",
		Actions: []sdk.Action{
			sdk.NewAction("echo", "Answers with its payload.", echo),
			sdk.NewAction("panic", "Panics.", func(context.Context, sdk.Input[struct{}]) (sdk.Output, error) { panic("the roof falls in") }),
			sdk.NewAction("hang", "Never answers.", hang),
			sdk.NewAction("exit", "Ends the process, the first time.", exit),
			sdk.NewAction("flood", "Writes 100,000 lines and answers.", flood),
			sdk.NewAction("fail", "Fails for good.", func(context.Context, sdk.Input[struct{}]) (sdk.Output, error) {
				return sdk.Output{}, errors.New("it is Sunday")
			}),
			sdk.NewAction("flaky", "Fails twice, then succeeds.", flaky),
			sdk.NewAction("assassin", "Answers, and kills the core right after, the first time.", assassin),
			sdk.NewAction("slow", "Takes its time.", slow),
		},
	})
}

func echo(_ context.Context, in sdk.Input[struct{}]) (sdk.Output, error) {
	properties, _ := in.Event.Value("properties")
	return sdk.Reply("done", properties), nil
}

func hang(context.Context, sdk.Input[struct{}]) (sdk.Output, error) { select {} }

func exit(_ context.Context, in sdk.Input[note]) (sdk.Output, error) {
	if first(in.Config.File, in.Call.ID, in.Call.Attempt) {
		os.Exit(3)
	}
	return sdk.Reply("done", "survived"), nil
}

func flood(context.Context, sdk.Input[struct{}]) (sdk.Output, error) {
	line := strings.Repeat("spam ", 40)
	for range 100_000 {
		fmt.Fprintln(os.Stderr, line)
	}
	return sdk.Reply("done", "flooded"), nil
}

func flaky(_ context.Context, in sdk.Input[note]) (sdk.Output, error) {
	first(in.Config.File, in.Call.ID, in.Call.Attempt)
	if in.Call.Attempt < 3 {
		return sdk.Output{}, sdk.Temporary(fmt.Errorf("503 on attempt %d", in.Call.Attempt))
	}
	return sdk.Reply("done", "at last"), nil
}

func assassin(_ context.Context, in sdk.Input[note]) (sdk.Output, error) {
	victim, _ := in.Event.String("id")
	if first(in.Config.File+"-"+victim, in.Call.ID, in.Call.Attempt) {
		core := os.Getppid()
		us, _ := in.Event.Int("properties.us")
		time.AfterFunc(time.Duration(us)*time.Microsecond, func() { _ = syscall.Kill(core, syscall.SIGKILL) })
	}
	return sdk.Reply("done", nil).Increment("counters.shots", 1), nil
}

// Slow takes the milliseconds that the event says.
func slow(ctx context.Context, in sdk.Input[note]) (sdk.Output, error) {
	first(in.Config.File, in.Call.ID, in.Call.Attempt)
	ms, _ := in.Event.Int("properties.ms")
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
	case <-ctx.Done():
		return sdk.Output{}, ctx.Err()
	}
	return sdk.Reply("done", nil).Increment("counters.slow", 1), nil
}

// first notes a call and tells whether it is the first one in the file.
func first(file, id string, attempt int) bool {
	_, err := os.Stat(file)
	f, openErr := os.OpenFile(filepath.Clean(file), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if openErr != nil {
		panic(openErr)
	}
	defer f.Close()
	if _, err := fmt.Fprintln(f, id, attempt); err != nil {
		panic(err)
	}
	return errors.Is(err, os.ErrNotExist)
}
