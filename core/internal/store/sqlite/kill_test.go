package sqlite_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/core/internal/store/sqlite"
	"github.com/tributary-bus/tributary/core/internal/store/storetest"
)

const childEnv = "TRIBUTARY_TEST_STORE_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		writeForEver(path)
	}
	goleak.VerifyTestMain(m)
}

const killBatch = 50

// writeForEver goes on at the position that it finds, and prints every position
// that Apply confirmed. A batch has events and one profile, all by its number;
// every hundredth one resets the store.
func writeForEver(path string) {
	t := failing{}
	ctx := context.Background()
	s, err := sqlite.Open(ctx, sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	text, err := s.Position(ctx)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(string(text))
	for {
		if n%100 == 99 {
			if err := s.Reset(ctx); err != nil {
				t.Fatal(err)
			}
			n = 0
		}
		n++
		batch := store.Batch{Position: []byte(strconv.Itoa(n))}
		for i := range killBatch {
			batch.Put = append(batch.Put, storetest.Event(t, n*killBatch+i, nil))
		}
		batch.Put = append(batch.Put, storetest.Profile(t, "p", uint64(n), nil))
		if _, err := s.Apply(ctx, batch); err != nil {
			t.Fatal(err)
		}
		fmt.Println(n)
	}
}

// failing is the part of testing.TB that a child needs.
type failing struct{ testing.TB }

func (failing) Helper()           {}
func (failing) Fatal(args ...any) { fmt.Fprintln(os.Stderr, args...); os.Exit(1) }

// TestPositionAndDocumentsAreOne kills a writer at random moments: what it
// confirmed is there, and documents and position belong together.
func TestPositionAndDocumentsAreOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	resets := 0
	for round := range 12 {
		child := exec.Command(os.Args[0], "-test.run=^$")
		child.Env = append(os.Environ(), childEnv+"="+path)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		confirmed, lines := 0, bufio.NewScanner(out)
		for left := 1 + rand.IntN(120); left > 0 && lines.Scan(); left-- {
			n, err := strconv.Atoi(strings.TrimSpace(lines.Text()))
			if err != nil {
				t.Fatal(err)
			}
			if n < confirmed {
				resets++
			}
			confirmed = n
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it printed before it died
			if n, err := strconv.Atoi(strings.TrimSpace(lines.Text())); err == nil {
				confirmed = n
			}
		}
		if err := child.Wait(); err == nil {
			t.Fatal("the child ended by itself")
		}
		s := open(t, path)
		text, err := s.Position(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		position, _ := strconv.Atoi(string(text))
		// The kill may have come after a commit that was not printed.
		if position != confirmed && position != confirmed+1 && position > 1 {
			t.Errorf("round %d: position %d, confirmed %d", round, position, confirmed)
		}
		events, err := s.Count(t.Context(), store.Events, nil)
		if err != nil || events != uint64(position*killBatch) {
			t.Errorf("round %d: %d events, %v, at position %d want %d", round, events, err, position, position*killBatch)
		}
		if position > 0 {
			if d, err := s.Get(t.Context(), store.Profiles, "p"); err != nil || d.Version != uint64(position) {
				t.Errorf("round %d: the profile is at %d, %v, want %d", round, d.Version, err, position)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if resets == 0 {
		t.Error("no reset happened: the test shows less than it should")
	}
}
