// Command tributary is the whole product in one binary: the server (run) and
// the command line for it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(execute(os.Args[1:])) }

// execute runs one command line and returns the exit code.
func execute(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once; within a second it is the same one,
	// come from the terminal and by way of the script that started the process.
	context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, stop) })
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var usage *usageError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage):
		fmt.Fprintln(os.Stderr, "tributary:", err)
		return exitUsage
	case errors.Is(err, errReported):
		return exitFailed
	}
	fmt.Fprintln(os.Stderr, "tributary:", err)
	return exitFailed
}

// errReported ends a command that has already said what failed.
var errReported = errors.New("failed")
