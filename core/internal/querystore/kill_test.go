package querystore

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// The environment of a process that is killed in a directory when a step is done, the
// n-th time: "step n".
const (
	killedIn    = "TRIBUTARY_TEST_KILLED_IN"
	killedAfter = "TRIBUTARY_TEST_KILLED_AFTER"
)

// fillUntilKilled goes on with a fill, or begins it, until this process kills itself.
func fillUntilKilled(dir, step string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	ctx := context.Background()
	b, err := openBus(dir)
	fail(err)
	o := options(dir, b, first)
	seen := map[string]int{}
	o.Reached = func(reached string) {
		seen[reached]++
		if fmt.Sprintf("%s %d", reached, seen[reached]) == step {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // it does not return
		}
	}
	s, err := Open(ctx, o)
	fail(err)
	go func() { fail(s.Run(ctx)) }()
	job, err := s.Rebuild(ctx, second)
	fail(err)
	fail(job.Wait(ctx, func(_, _ uint64) {}))
	fail(fmt.Errorf("it was not killed after %s", step))
}

// Killed at any step, the fill goes on with the next start, and in the end the store
// holds what it holds after an undisturbed fill.
func TestFillGoesOnAfterAKill(t *testing.T) {
	origin := t.TempDir()
	r := newRig(t, origin)
	r.run()
	r.send(1500)
	r.settled()
	r.letGo(1000)
	r.stop()
	r.closeBus()

	undisturbed := t.TempDir()
	if err := os.CopyFS(undisturbed, os.DirFS(origin)); err != nil {
		t.Fatal(err)
	}
	calm := newRig(t, undisturbed)
	calm.run()
	calm.rebuild(second)
	want := content(t, calm.store.answering.store)
	if len(want) != 1500+150+1500+people {
		t.Fatalf("%d documents after an undisturbed fill", len(want))
	}
	calm.stop()
	calm.closeBus()

	for _, step := range []string{"noted 1", "emptied 1", "put 1", "copied 1", "copied 2", "put 2", "copied 7", "copied 9", "copied all 1", "caught up 1", "kept 1", "switched 1"} {
		t.Run(step, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(origin)); err != nil {
				t.Fatal(err)
			}
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
			child.Env = append(os.Environ(), killedIn+"="+dir, killedAfter+"="+step)
			child.Stderr = os.Stderr
			err := child.Run()
			if status, ok := child.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
				t.Fatalf("it ended by itself: %v", err)
			}
			r := newRig(t, dir)
			copied := 0
			r.reached = func(step string) {
				if step == "copied" {
					copied++
				}
			}
			r.run()
			eventually(t, "the other store answers", func() bool { return r.store.Status(t.Context()).Answers.Place == second.Place })
			r.settled()
			same(t, content(t, r.store.answering.store), want)
			// What was copied is not copied again.
			if step == "copied all 1" || step == "caught up 1" {
				if copied > 0 {
					t.Errorf("%d days were copied again", copied)
				}
			}
		})
	}
}
