package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
)

// shadowDir names the directory in which the product under test notes what
// was made durable.
const shadowDir = "CLI_UNDER_TEST_SHADOW"

// A note is one fsync: of a file, how long it was, or of a directory, what was
// in it.
type note struct {
	Path  string
	Inode uint64
	Size  int64
	Dir   bool
	Names []string
}

// keepShadow returns a function that notes each fsync in a directory: a line in
// its journal, and a link that keeps the file's content when its name goes.
func keepShadow(dir string) func(path string) {
	journal, err := os.OpenFile(filepath.Join(dir, "journal"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	return func(path string) {
		info, err := os.Stat(path)
		if err != nil {
			return // gone again
		}
		n := note{Path: path, Inode: info.Sys().(*syscall.Stat_t).Ino, Size: info.Size(), Dir: info.IsDir()}
		if n.Dir {
			n.Names = names(path)
		} else if err := os.Link(path, held(dir, n.Inode)); err != nil && !errors.Is(err, fs.ErrExist) {
			return
		}
		line, err := json.Marshal(n)
		if err != nil {
			panic(err)
		}
		if _, err := journal.Write(append(line, '\n')); err != nil {
			panic(err)
		}
	}
}

func held(dir string, inode uint64) string {
	return filepath.Join(dir, strconv.FormatUint(inode, 10))
}

func names(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	out := make([]string, len(entries))
	for i, e := range entries {
		out[i] = e.Name()
	}
	return out
}

// cutPower leaves below tree what a power cut may leave: each file at random
// as it is or as of its last fsync, files that were removed too unless their
// directory was fsynced since. It returns how many files it put back.
func cutPower(t *testing.T, tree, shadow string) (changed int) {
	t.Helper()
	files, removed := readShadow(t, shadow)
	paths := map[string]bool{}
	err := filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			paths[path] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for path := range files {
		paths[path] = true
	}
	sorted := make([]string, 0, len(paths))
	for path := range paths {
		sorted = append(sorted, path)
	}
	slices.Sort(sorted)
	for _, path := range sorted {
		if rand.IntN(2) == 0 {
			continue
		}
		n, synced := files[path]
		_, err := os.Stat(path)
		exists := err == nil
		switch {
		case !synced && exists:
			err = os.Remove(path)
		case !synced || !exists && removed[path]:
			continue
		default:
			err = putBack(path, held(shadow, n.Inode), n.Size)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		changed++
	}
	return changed
}

// readShadow returns the last note of each file, and the files whose removal
// was made durable.
func readShadow(t *testing.T, shadow string) (files map[string]note, removed map[string]bool) {
	t.Helper()
	f, err := os.Open(filepath.Join(shadow, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	files, removed = map[string]note{}, map[string]bool{}
	inDir := map[string][]string{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var n note
		if err := json.Unmarshal(lines.Bytes(), &n); err != nil {
			continue // cut off by the kill
		}
		if !n.Dir {
			files[n.Path] = n
			dir := filepath.Dir(n.Path)
			inDir[dir] = append(inDir[dir], n.Path)
			delete(removed, n.Path)
			continue
		}
		for _, path := range inDir[n.Path] {
			removed[path] = !slices.Contains(n.Names, filepath.Base(path))
		}
	}
	return files, removed
}

// putBack makes the file at path what the first bytes of another one are.
func putBack(path, from string, size int64) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	text := make([]byte, size)
	if _, err := io.ReadFull(in, text); err != nil {
		return fmt.Errorf("%s was cut in place since its fsync: %w", path, err)
	}
	// A new file: the old one may be one that the shadow holds.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}
