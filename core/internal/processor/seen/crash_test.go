package seen

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

const (
	crashDir  = "TRIBUTARY_SEEN_CRASH_DIR"
	crashFrom = "TRIBUTARY_SEEN_CRASH_FROM"
)

// recordUntilKilled is the life of the process that TestKill kills: it records ids and says on its standard output up to which.
func recordUntilKilled(dir string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	n, err := strconv.ParseUint(os.Getenv(crashFrom), 10, 64)
	fail(err)
	s, err := open(dir, day, time.Now, settings{recentIDs: 512, fsync: (*os.File).Sync})
	fail(err)
	for i := 0; ; i++ {
		to := n + 1 + rand.Uint64N(60)
		fail(s.Record(idsOf(n, to)))
		n = to
		fmt.Println(n)
		if i%16 == 0 {
			fail(s.Sync())
		}
	}
}

// TestKill kills a process that records, at random moments, and looks for every id whose Record had returned.
func TestKill(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var recorded uint64
	for round := range 12 {
		child := exec.Command(self)
		child.Env = append(os.Environ(), crashDir+"="+dir, crashFrom+"="+strconv.FormatUint(recorded, 10))
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		before, killAfter := recorded, 1+rand.IntN(400)
		lines := bufio.NewScanner(out)
		for i := 0; lines.Scan(); i++ { // goes on until the pipe is empty
			if recorded, err = strconv.ParseUint(lines.Text(), 10, 64); err != nil {
				t.Fatal(err)
			}
			if i == killAfter {
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := child.Wait(); err == nil || recorded == before {
			t.Fatalf("round %d: the process ended by itself: %v, at id %d", round, err, recorded)
		}
		s := mustOpen(t, dir, time.Now, settings{recentIDs: 512, fsync: (*os.File).Sync})
		mustHave(t, s, true, idsOf(0, recorded)...)
		mustHave(t, s, false, idsOf(recorded+1000, recorded+2000)...)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
