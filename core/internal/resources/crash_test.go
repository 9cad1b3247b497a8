package resources

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// childEnv makes the test binary an installation that applies resources and
// dies of it: "directory|step".
const childEnv = "RESOURCES_CHILD"

func TestMain(m *testing.M) {
	if arguments := os.Getenv(childEnv); arguments != "" {
		dir, step, _ := strings.Cut(arguments, "|")
		if err := child(dir, step); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

const crowd = 50

func crowdOf() []config.Change {
	changes := make([]config.Change, crowd)
	for i := range changes {
		changes[i] = source(fmt.Sprintf("s%02d", i), "crowd")
	}
	return changes
}

func child(dir, step string) error {
	b, err := bus.Open(context.Background(), bus.Options{Dir: dir, DiskReserve: 1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	k := &killer{Bus: b}
	r, err := Open(context.Background(), k, config.Defaults(true), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	k.step, k.puts = step, 0
	fmt.Println("applying")
	if _, err := r.Apply(context.Background(), crowdOf(), ApplyOptions{}); err != nil {
		return err
	}
	fmt.Println("applied")
	if step != "" {
		return errors.New("the step never came")
	}
	select {} // until it is killed
}

// killer is a bus that kills its process at a step.
type killer struct {
	*bus.Bus
	step string
	puts int
}

func (k *killer) at(step string) {
	if k.step == step {
		// Nothing that the process still holds is written: it ends at once.
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

func (k *killer) AppendConfig(ctx context.Context, data []byte, expect uint64) (uint64, error) {
	k.at("append")
	seq, err := k.Bus.AppendConfig(ctx, data, expect)
	k.at("appended")
	return seq, err
}

func (k *killer) PutResource(ctx context.Context, kind, id string, data []byte) error {
	k.at("put " + strconv.Itoa(k.puts))
	k.puts++
	return k.Bus.PutResource(ctx, kind, id, data)
}

func (k *killer) PublishCommands(ctx context.Context, commands []record.Routed) error {
	k.at("publish")
	if k.step == "published half" {
		commands = commands[:len(commands)/2]
	}
	err := k.Bus.PublishCommands(ctx, commands)
	k.at("published half")
	k.at("published")
	return err
}

// An apply of 50 resources that is killed at any step has happened whole or not
// at all, and one that happened has arrived everywhere once the installation
// is up again.
func TestApplyKilledAtEveryStep(t *testing.T) {
	puts := []int{0, 1, crowd / 2, crowd - 1}
	if os.Getenv("TRIBUTARY_SOAK") != "" {
		puts = puts[:0]
		for i := range crowd {
			puts = append(puts, i)
		}
	}
	steps := []struct {
		name     string
		revision uint64
	}{{"append", 1}, {"appended", 2}, {"publish", 2}, {"published half", 2}, {"published", 2}}
	for _, i := range puts {
		steps = append(steps, struct {
			name     string
			revision uint64
		}{"put " + strconv.Itoa(i), 2})
	}
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			dir := t.TempDir()
			if out := kill(t, dir, step.name, 0); out != "applying" {
				t.Fatalf("the child said %q last", out)
			}
			if got := whole(t, dir); got != step.revision {
				t.Errorf("revision %d, want %d", got, step.revision)
			}
		})
	}
}

func TestApplyKilledAtAnyTime(t *testing.T) {
	runs := 4
	if os.Getenv("TRIBUTARY_SOAK") != "" {
		runs = 60
	}
	for range runs {
		dir := t.TempDir()
		after := time.Duration(rand.Int64N(int64(12 * time.Millisecond)))
		out := kill(t, dir, "", after)
		if got := whole(t, dir); out == "applied" && got != 2 {
			t.Errorf("killed %v after it began: answered, and revision %d", after, got)
		}
	}
}

// kill runs a child that applies, and kills it a while after it began where no
// step does. It returns what the child said last.
func kill(t *testing.T, dir, step string, after time.Duration) (said string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir+"|"+step)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var failure strings.Builder
	cmd.Stderr = &failure
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		said = lines.Text()
		if step == "" && said == "applying" {
			timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
			defer timer.Stop()
		}
	}
	if err := cmd.Wait(); err == nil || failure.Len() > 0 {
		t.Fatalf("the child ended with %v: %s", err, failure.String())
	}
	return said
}

// whole opens an installation and fails unless it is at the first revision or
// whole at the second one, everywhere; then it applies what the child applied.
func whole(t *testing.T, dir string) (revision uint64) {
	t.Helper()
	b, stop := openBus(t, dir)
	defer stop()
	r := open(t, b)
	all := []string{"dev"}
	for _, c := range crowdOf() {
		all = append(all, c.Resource.ID)
	}
	if revision = r.Current().Revision(); revision == 1 {
		want(t, r, b, 1, "dev")
	} else {
		want(t, r, b, 2, all...)
	}
	apply(t, r, crowdOf()...)
	want(t, r, b, 2, all...)
	return revision
}
