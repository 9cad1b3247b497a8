package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// A progress shows how far something is: as a bar on a terminal, else as a line
// every few seconds.
type progress struct {
	w     io.Writer
	what  string
	total int64
	bar   *progressbar.ProgressBar // nil where w is no terminal
	told  time.Time
}

// lineEvery is how often progress is told where there is no terminal.
const lineEvery = 3 * time.Second

func newProgress(w io.Writer, what string, total int64) *progress {
	p := &progress{w: w, what: what, total: total, told: time.Now()}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what), progressbar.OptionSetWidth(30),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(),
			progressbar.OptionSetPredictTime(true))
	}
	return p
}

// set tells that so much of the total is done; detail says it in the words of
// what is done.
func (p *progress) set(done int64, detail string) {
	done = min(done, p.total)
	if p.bar != nil {
		p.bar.Describe(p.what + "  " + detail)
		// A terminal that cannot be written to shows no bar; the work goes on.
		_ = p.bar.Set64(done)
		return
	}
	if time.Since(p.told) < lineEvery {
		return
	}
	p.told = time.Now()
	percent := int64(100)
	if p.total > 0 {
		percent = done * 100 / p.total
	}
	fmt.Fprintf(p.w, "%s: %d %%, %s\n", p.what, percent, detail)
}

// grow says that the total has become more.
func (p *progress) grow(total int64) {
	if total <= p.total {
		return
	}
	p.total = total
	if p.bar != nil {
		p.bar.ChangeMax64(total)
	}
}

// note writes a line between the bar's.
func (p *progress) note(format string, args ...any) {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	fmt.Fprintf(p.w, format+"\n", args...)
}

// finish removes the bar.
func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}
