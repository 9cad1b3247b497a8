package supervisor

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/tributary-bus/tributary/sdk/client"
)

// The bounds of what is kept of a plugin's log, and of how much of it goes on
// to the log of this process.
const (
	maxLines      = 1000
	maxLinesBytes = 256 << 10
	burstLines    = 200
	linesPerSec   = 50
	tellDropped   = 10 * time.Second
)

// A journal keeps the last lines of a plugin's log and passes them on to the
// log of this process, no more of them than an operator can read. A plugin
// that floods it costs no memory and is never held up.
type journal struct {
	release *rate.Limiter

	mu      sync.Mutex
	log     *slog.Logger
	ring    [maxLines]line
	first   int // of ring
	count   int
	bytes   int
	next    uint64            // number of the next line
	secrets map[string][]byte // by the process that they were given to
	dropped uint64            // lines not passed on, in all
	untold  uint64            // of them, those of which the log does not know
	told    time.Time
}

type line struct {
	seq  uint64
	at   time.Time
	text []byte
}

func newJournal(log *slog.Logger) *journal {
	return &journal{log: log, release: rate.NewLimiter(linesPerSec, burstLines), next: 1, secrets: map[string][]byte{}}
}

// hide keeps secrets that a process was given out of every line.
func (j *journal) hide(instance string, secret string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if secret == "" {
		delete(j.secrets, instance)
		return
	}
	j.secrets[instance] = []byte(secret)
}

// redact returns a text without the secrets.
func (j *journal) redact(text string) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, secret := range j.secrets {
		text = strings.ReplaceAll(text, string(secret), "(secret)")
	}
	return text
}

// write takes a line in and returns it without the secrets.
func (j *journal) write(text []byte) []byte {
	now := time.Now()
	j.mu.Lock()
	text = bytes.Clone(text)
	for _, secret := range j.secrets {
		text = bytes.ReplaceAll(text, secret, []byte("(secret)"))
	}
	j.keep(line{j.next, now, text})
	j.next++
	pass := j.release.AllowN(now, 1)
	if !pass {
		j.dropped++
		j.untold++
	}
	log := j.log
	j.mu.Unlock()
	if pass {
		passOn(log, parseLine(text))
	}
	return text
}

// passOn writes a line to the log of this process, at the level that it has.
func passOn(log *slog.Logger, p parsedLine) {
	attrs := make([]any, len(p.attrs))
	for i, a := range p.attrs {
		attrs[i] = a
	}
	switch {
	case p.level >= slog.LevelError:
		log.Error(p.message, attrs...)
	case p.level >= slog.LevelWarn:
		log.Warn(p.message, attrs...)
	case p.level >= slog.LevelInfo:
		log.Info(p.message, attrs...)
	default:
		log.Debug(p.message, attrs...)
	}
}

// named has the lines passed on under the name that the plugin turned out to have.
func (j *journal) named(log *slog.Logger) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.log = log
}

// keep puts a line into the ring, over the oldest where there is no room.
func (j *journal) keep(l line) {
	for j.count > 0 && (j.count == maxLines || j.bytes+len(l.text) > maxLinesBytes) {
		oldest := &j.ring[j.first]
		j.bytes -= len(oldest.text)
		*oldest = line{}
		j.first = (j.first + 1) % maxLines
		j.count--
	}
	j.ring[(j.first+j.count)%maxLines] = l
	j.count++
	j.bytes += len(l.text)
}

// tell says, now and then, how many lines were not passed on.
func (j *journal) tell(now time.Time) {
	j.mu.Lock()
	n := j.untold
	if n == 0 || now.Sub(j.told) < tellDropped {
		j.mu.Unlock()
		return
	}
	j.untold, j.told = 0, now
	log := j.log
	j.mu.Unlock()
	log.Warn("the plugin writes more log lines than are shown here; `tributary plugin logs` has the last ones", "left_out", n)
}

// lines returns the last n lines after a number, the oldest first.
func (j *journal) lines(after uint64, n int) []client.LogLine {
	j.mu.Lock()
	var found []line
	for i := j.count - 1; i >= 0 && len(found) < n; i-- {
		l := j.ring[(j.first+i)%maxLines]
		if l.seq <= after {
			break
		}
		found = append(found, l)
	}
	j.mu.Unlock()
	out := make([]client.LogLine, len(found))
	for i, l := range found {
		p := parseLine(l.text)
		out[len(found)-1-i] = client.LogLine{
			Seq: l.seq, Time: client.Time{Time: l.at}, Level: p.level.String(), Message: p.message, Fields: p.fields(),
		}
	}
	return out
}

// droppedLines is how many lines were not passed on.
func (j *journal) droppedLines() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.dropped
}
