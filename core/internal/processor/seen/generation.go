package seen

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// generation is a directory with the ids that were recorded from began until the next generation began.
// Every table in memory has a sequence number in its generation, which its journal has, and later the run that covers it.
type generation struct {
	dir   string
	began time.Time
	runs  []*run // ascending, in disjoint ranges of sequence numbers
	next  uint64 // sequence number of the next journal
}

// createGeneration makes the directory of a generation that begins now, durably.
func createGeneration(root string, now time.Time, fsync func(*os.File) error) (*generation, error) {
	dir := filepath.Join(root, generationName(now))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("begin a generation: %w", err)
	}
	if err := syncDir(root, fsync); err != nil {
		return nil, fmt.Errorf("begin a generation: %w", err)
	}
	return &generation{dir: dir, began: now}, nil
}

// has looks through the runs, newest first. An error marks the run that it came from, which no later call reads.
func (g *generation) has(id *ID, prefix, rest uint64) (bool, error) {
	for i := len(g.runs) - 1; i >= 0; i-- {
		r := g.runs[i]
		if !r.mayHave(prefix, rest) || r.bad.Load() {
			continue
		}
		found, err := r.has(id, prefix)
		if err != nil && !r.bad.CompareAndSwap(false, true) {
			continue // somebody else reports it
		}
		if found || err != nil {
			return found, err
		}
	}
	return false, nil
}

func (g *generation) close() error {
	var err error
	for _, r := range g.runs {
		err = errors.Join(err, r.close())
	}
	return err
}

// expired counts the leading generations, of those that began at these times, whose newest id has left the window.
func expired(began []time.Time, window time.Duration, now time.Time) int {
	n := 0
	for n+1 < len(began) && now.Sub(began[n+1]) >= window {
		n++
	}
	return n
}

// The names of files and directories say all that there is to know about the order of things; there is no manifest.
const (
	setAside = ".bad"
	retired  = "gone-"
)

func generationName(began time.Time) string { return fmt.Sprintf("gen-%020d", began.UnixNano()) }
func journalName(seq uint64) string         { return fmt.Sprintf("journal-%08d", seq) }
func runName(lo, hi uint64) string          { return fmt.Sprintf("run-%08d-%08d", lo, hi) }

func parseGeneration(name string) (time.Time, bool) {
	var nanos int64
	if _, err := fmt.Sscanf(name, "gen-%d", &nanos); err != nil {
		return time.Time{}, false
	}
	began := time.Unix(0, nanos)
	return began, generationName(began) == name
}

func parseJournal(name string) (seq uint64, ok bool) {
	if _, err := fmt.Sscanf(name, "journal-%d", &seq); err != nil {
		return 0, false
	}
	return seq, journalName(seq) == name
}

func parseRun(name string) (lo, hi uint64, ok bool) {
	if _, err := fmt.Sscanf(name, "run-%d-%d", &lo, &hi); err != nil {
		return 0, 0, false
	}
	return lo, hi, lo <= hi && runName(lo, hi) == name
}

// removeGeneration removes a generation's directory. The new name keeps a half-removed one from being taken for whole.
func removeGeneration(dir string) error {
	gone := filepath.Join(filepath.Dir(dir), retired+filepath.Base(dir))
	if err := os.Rename(dir, gone); err != nil {
		return err
	}
	return os.RemoveAll(gone)
}

// putAside renames a damaged file, so that it is not read again and can be looked at.
func putAside(path string, why error) error {
	slog.Error("file of seen ids set aside", "file", path+setAside, "error", why)
	return os.Rename(path, path+setAside)
}

// syncDir makes the names in dir durable.
func syncDir(dir string, fsync func(*os.File) error) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(fsync(d), d.Close())
}
