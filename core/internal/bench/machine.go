package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// A Machine is where something was measured. What it does not tell of itself
// is "unknown", or 0.
type Machine struct {
	Processor  string `json:"processor"`
	Cores      int    `json:"cores"`
	Memory     int64  `json:"memory"` // bytes
	Kernel     string `json:"kernel"`
	Filesystem string `json:"filesystem"` // type of that of the data
	Go         string `json:"go"`
}

const unknown = "unknown"

// thisMachine describes the machine with data in the directory.
func thisMachine(dir string) Machine {
	// A file that cannot be read is an empty one: the fact is unknown.
	read := func(path string) []byte { text, _ := os.ReadFile(path); return text }
	m := Machine{
		Processor: valueOf(read("/proc/cpuinfo"), "model name"),
		Cores:     runtime.NumCPU(), Go: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH,
		Kernel: unknown, Filesystem: filesystemOf(read("/proc/self/mountinfo"), dir),
	}
	if release := bytes.TrimSpace(read("/proc/sys/kernel/osrelease")); len(release) > 0 {
		m.Kernel = "Linux " + string(release)
	}
	if kilobytes, found := strings.CutSuffix(valueOf(read("/proc/meminfo"), "MemTotal"), " kB"); found {
		n, _ := strconv.ParseInt(kilobytes, 10, 64)
		m.Memory = n * 1024
	}
	return m
}

// valueOf is the value of the first line "name : value".
func valueOf(text []byte, name string) string {
	for line := range bytes.Lines(text) {
		key, value, _ := bytes.Cut(line, []byte(":"))
		if string(bytes.TrimSpace(key)) == name {
			return string(bytes.TrimSpace(value))
		}
	}
	return unknown
}

// filesystemOf is the type of the filesystem that holds the directory, by
// mountinfo of proc_pid_mountinfo(5): the innermost mount, and of those at the
// same place the last.
func filesystemOf(mounts []byte, dir string) string {
	found, depth := unknown, -1
	for line := range bytes.Lines(mounts) {
		place, kind, _ := strings.Cut(string(line), " - ")
		places, kinds := strings.Fields(place), strings.Fields(kind)
		if len(places) < 5 || len(kinds) < 1 {
			continue
		}
		point := places[4]
		rest, err := filepath.Rel(point, dir)
		if err != nil || rest == ".." || strings.HasPrefix(rest, "../") || len(point) < depth {
			continue
		}
		found, depth = kinds[0], len(point)
	}
	return found
}

// Commit is that of the checkout which holds the directory.
func Commit(ctx context.Context, dir string) (string, error) {
	out, err := exec.CommandContext(ctx, "git", "-C", dir, "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "", fmt.Errorf("ask git for the commit of %s: %w", dir, err)
	}
	return string(bytes.TrimSpace(out)), nil
}
