package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tributary-bus/tributary/sdk/client"
)

// An erasureWait waits for an erasure's end. The server may go away meanwhile and come
// back, also at another address: the erasure goes on by itself then.
type erasureWait struct {
	g      *globals
	on     *client.Client
	notes  io.Writer // is told where nothing answers
	within time.Duration
	away   error // why the server did not answer when it was asked last
}

// erasurePoll is how often an erasure is looked at that is waited for.
const erasurePoll = 200 * time.Millisecond

// erased returns the report of an erasure that has ended.
func (w *erasureWait) erased(ctx context.Context, report *client.Erasure) (*client.Erasure, error) {
	waiting, cancel := context.WithTimeout(ctx, w.within)
	defer cancel()
	for report.State != client.Erased {
		select {
		case <-time.After(erasurePoll):
		case <-waiting.Done():
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			return nil, w.late(report)
		}
		next, err := w.on.Erasure(waiting, report.Profile)
		switch {
		case err == nil:
			report = next
			w.note(nil)
		case waiting.Err() != nil: // told above
		case client.IsTemporary(err):
			w.note(w.g.explain(err))
			if again, err := w.g.connect(); err == nil {
				w.on = again
			}
		default:
			return nil, err
		}
	}
	return report, nil
}

// note says, once each time, that the server went away and that it is back.
func (w *erasureWait) note(away error) {
	switch {
	case away != nil && w.away == nil:
		fmt.Fprintf(w.notes, "%v; the profile is gone, and the rest goes on when the server is back: waiting for it\n", away)
	case away == nil && w.away != nil:
		fmt.Fprintln(w.notes, "the server is back")
	}
	w.away = away
}

// late is why it waits no longer.
func (w *erasureWait) late(report *client.Erasure) error {
	text := fmt.Sprintf("profile %s is not erased everywhere after %v", report.Profile, w.within)
	for _, p := range report.Parts {
		if p.At.IsZero() {
			text += fmt.Sprintf(": the part %q is not done", p.Name)
			if p.Error != "" {
				text += " (" + p.Error + ")"
			}
			break
		}
	}
	text += "; it goes on by itself, and `tributary profiles erasures " + report.Profile + "` shows how far it is"
	if w.away != nil {
		return fmt.Errorf("%s; at last: %w", text, w.away)
	}
	return errors.New(text)
}
