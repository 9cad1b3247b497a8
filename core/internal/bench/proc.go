package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// tick is the unit of CPU times in /proc, which Linux fixes for programs at a
// hundredth of a second on every architecture that Go knows.
const tick = 10 * time.Millisecond

// cpuOf is the CPU time that a process, with all of its threads, has used.
func cpuOf(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read the CPU time of process %d: %w", pid, err)
	}
	used, err := parseStat(text)
	if err != nil {
		return 0, fmt.Errorf("read the CPU time of process %d: %w", pid, err)
	}
	return used, nil
}

// cpuOfAll is that of a process and of those that it has started.
func cpuOfAll(pid int) (time.Duration, error) {
	all, err := cpuOf(pid)
	if err != nil {
		return 0, err
	}
	children, err := childrenOf(pid)
	for _, child := range children {
		if used, err := cpuOf(child); err == nil { // else it has ended
			all += used
		}
	}
	return all, err
}

// childrenOf lists the processes that a process has started.
func childrenOf(pid int) (list []int, err error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	parent := []byte(strconv.Itoa(pid))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
		if len(fields) < 2 || !bytes.Equal(fields[1], parent) {
			continue
		}
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		list = append(list, child)
	}
	return list, nil
}

// anonymousOf is the anonymous memory of a process that is resident, in bytes:
// what it shares with no file, such as its own binary.
func anonymousOf(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read the memory of process %d: %w", pid, err)
	}
	_, rest, _ := bytes.Cut(text, []byte("RssAnon:"))
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		return 0, fmt.Errorf("read the memory of process %d: no RssAnon", pid)
	}
	n, err := strconv.ParseInt(string(fields[0]), 10, 64)
	return n * 1024, err
}

// parseStat reads utime and stime, fields 14 and 15 of proc_pid_stat(5). The
// second field is a name in parentheses, which may hold anything.
func parseStat(text []byte) (time.Duration, error) {
	end := bytes.LastIndexByte(text, ')')
	fields := bytes.Fields(text[end+1:])
	if end < 0 || len(fields) < 13 {
		return 0, fmt.Errorf("%.100q is no process statistic", text)
	}
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%.100q is no process statistic: %w", text, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// A memory is the resident memory of a process, in bytes.
type memory struct{ now, peak int64 }

func memoryOf(pid int) (memory, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, fmt.Errorf("read the memory of process %d: %w", pid, err)
	}
	m, err := parseStatus(text)
	if err != nil {
		return memory{}, fmt.Errorf("read the memory of process %d: %w", pid, err)
	}
	return m, nil
}

// parseStatus reads VmRSS and VmHWM of proc_pid_status(5).
func parseStatus(text []byte) (m memory, err error) {
	for name, to := range map[string]*int64{"VmRSS": &m.now, "VmHWM": &m.peak} {
		_, rest, found := bytes.Cut(text, []byte(name+":"))
		fields := bytes.Fields(rest)
		if !found || len(fields) < 2 || string(fields[1]) != "kB" {
			return memory{}, fmt.Errorf("no %s in kB", name)
		}
		if *to, err = strconv.ParseInt(string(fields[0]), 10, 64); err != nil {
			return memory{}, fmt.Errorf("%s: %w", name, err)
		}
		*to *= 1024
	}
	return m, nil
}
