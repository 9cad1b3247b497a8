package bus

import (
	"context"
	"time"
)

// A fullStream refuses writes for want of room, and whoever writes to it waits.
type fullStream struct {
	since, last time.Time // of the refusals
	stored      bool      // a write succeeded after the last one
	told        bool      // the log has it, and what follows is known
	bytes       uint64
	maxBytes    int64
}

// fullQuiet is how long nobody may have been refused by a full stream for a
// write to show that it has room again: whoever waits for room tries within
// retryMost, while others go on to replace what they had stored before.
const fullQuiet = 3 * retryMost

// sawRoom notes that a write had room in a stream or not. What the log says of
// it waits for the next tick. The caller holds w.mu.
func (w *watch) sawRoom(stream string, had bool) {
	f := w.full[stream]
	switch {
	case had && f != nil:
		f.stored = true
	case !had:
		if f == nil {
			f = &fullStream{since: w.now()}
			w.full[stream] = f
		}
		f.last, f.stored = w.now(), false
	}
}

// lookAtFull asks what full streams hold, and forgets those that refuse nobody
// any more.
func (w *watch) lookAtFull(ctx context.Context) {
	var list []string
	w.mu.Lock()
	for stream, f := range w.full {
		quiet := w.now().Sub(f.last)
		switch {
		case f.stored && quiet > fullQuiet:
			w.b.log.Info("the stream has room again", "stream", stream)
			delete(w.full, stream)
		case quiet > failureLasts: // given up
			delete(w.full, stream)
		default:
			list = append(list, stream)
		}
	}
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, w.patience)
	defer cancel()
	for _, stream := range list {
		info, err := w.b.info(ctx, stream)
		if err != nil {
			continue // asked again with the next tick
		}
		w.mu.Lock()
		f := w.full[stream]
		if !f.told {
			w.b.log.Warn("a stream is full: what is to be written to it waits", "stream", stream,
				"bytes", info.State.Bytes, "max_bytes", info.Config.MaxBytes, "remedy", w.remedy())
		}
		f.told, f.bytes, f.maxBytes = true, info.State.Bytes, info.Config.MaxBytes
		w.mu.Unlock()
	}
}

// remedy is the way out of a full stream.
func (w *watch) remedy() string {
	if w.b.server == nil {
		return "raise its bound with nats stream edit --max-bytes, or let its retention free space"
	}
	return "its bound is a share of the disk: restart on a larger disk, or let its retention free space"
}
