package supervisor

import "bytes"

// maxLine bounds a line of a plugin's log; what is beyond it is cut off.
const maxLine = 4 << 10

// A lineWriter cuts a stream of bytes into lines. It holds one line at most,
// and its writes never fail. It is not safe for concurrent use.
type lineWriter struct {
	emit func(line []byte) // may keep nothing of it
	held []byte
	skip bool // the rest of a line that was too long
}

// Write implements io.Writer.
func (w *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		line, rest, whole := bytes.Cut(p, []byte{'\n'})
		p = rest
		if !w.skip {
			w.held = append(w.held, line[:min(len(line), maxLine-len(w.held))]...)
			if whole || len(w.held) == maxLine {
				w.flush()
				w.skip = !whole
			}
		} else if whole {
			w.skip = false
		}
	}
	return n, nil
}

// flush emits what stands without a line break.
func (w *lineWriter) flush() {
	if line := bytes.TrimRight(w.held, "\r"); len(line) > 0 {
		w.emit(line)
	}
	w.held = w.held[:0]
}
