package bus

import (
	"bytes"
	"os"
	"strconv"
)

// idleShare measures how much of the machine's processors stood idle since the
// last look: what other processes leave. The process's own scheduler cannot
// see them.
type idleShare struct {
	idle, total uint64
}

// Below scarceIdle of idle time CPU is scarce, until there is plentyIdle.
const (
	scarceIdle = 0.1
	plentyIdle = 0.3
)

// look returns the share since the last look, from 0 to 1; false where it
// cannot be told.
func (s *idleShare) look() (share float64, ok bool) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, false
	}
	idle, total, ok := parseStat(text)
	if !ok {
		return 0, false
	}
	before := *s
	s.idle, s.total = idle, total
	if before.total == 0 || total <= before.total || idle < before.idle {
		return 0, false
	}
	return float64(idle-before.idle) / float64(total-before.total), true
}

// forget makes the next look the first one.
func (s *idleShare) forget() { *s = idleShare{} }

// parseStat reads the first line of /proc/stat: cpu, then the time spent as
// user, nice, system, idle, iowait, irq, softirq, steal, in ticks.
func parseStat(text []byte) (idle, total uint64, ok bool) {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) < 6 || string(fields[0]) != "cpu" {
		return 0, 0, false
	}
	for i, field := range fields[1:min(len(fields), 9)] {
		n, err := strconv.ParseUint(string(field), 10, 64)
		if err != nil {
			return 0, 0, false
		}
		total += n
		if i == 3 || i == 4 {
			idle += n
		}
	}
	return idle, total, true
}
