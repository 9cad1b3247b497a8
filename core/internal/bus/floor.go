package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
)

// A Floor says up to which sequence streams were durable when this process
// began: as of the last checkpoint. What lay above it may have been lost with
// the power, and its sequences may be used again; a reader whose own position
// is higher reads again from the floor.
type Floor struct {
	Events    uint64 `json:"events"`
	Documents uint64 `json:"documents"`
}

// everything is the floor where nothing is lost with the power, or nothing is
// promised for it.
var everything = Floor{Events: math.MaxUint64, Documents: math.MaxUint64}

// Floor returns up to where the streams were durable when the bus was opened.
func (b *Bus) Floor() Floor { return b.floor }

// floorFile keeps the floor of the last checkpoint, in the data directory.
const floorFile = "checkpoint.json"

// openFloor reads the floor of the last checkpoint. Where durability is not
// fsync there is none to keep.
func (b *Bus) openFloor(ctx context.Context) error {
	b.floor = everything
	path := filepath.Join(b.options.Dir, floorFile)
	if b.sync == nil {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forget the last checkpoint: %w", err)
		}
		return nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		// Opening made durable all that there is.
		floor, err := b.ends(ctx)
		if err != nil {
			return err
		}
		return b.keepFloor(floor)
	}
	if err != nil {
		return fmt.Errorf("read the last checkpoint: %w", err)
	}
	if err := json.Unmarshal(text, &b.floor); err != nil {
		return fmt.Errorf("read the last checkpoint, %s: %w; without the file all is read again", path, err)
	}
	return nil
}

// ends is where the streams of a floor end.
func (b *Bus) ends(ctx context.Context) (f Floor, err error) {
	if f.Events, err = b.EventsLast(ctx); err != nil {
		return f, err
	}
	f.Documents, err = b.DocumentsLast(ctx)
	return f, err
}

// keepFloor writes the floor and makes it durable.
func (b *Bus) keepFloor(f Floor) error {
	if f == b.kept {
		return nil
	}
	text, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("write the checkpoint: %w", err)
	}
	path := filepath.Join(b.options.Dir, floorFile)
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return fmt.Errorf("write the checkpoint: %w", err)
	}
	s := syncer{fsync: b.sync.fsync}
	if err := b.sync.check(s.syncPath(path + ".new")); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write the checkpoint: %w", err)
	}
	if err := b.sync.check(s.syncDir(b.options.Dir)); err != nil {
		return err
	}
	b.kept = f
	return nil
}

// EventsLast is the sequence of the last event that EVENTS keeps, 0 where it
// keeps none.
func (b *Bus) EventsLast(ctx context.Context) (uint64, error) {
	m, err := b.last(ctx, streamEvents, prefixEvents+">")
	if err != nil && !errors.Is(err, ErrNotFound) {
		return 0, fmt.Errorf("last event: %w", err)
	}
	return m.seq, nil
}

// ScanEvents reads what EVENTS keeps after a sequence up to another one, which
// is that of a message it keeps. Unlike a reader it passes nothing over, so it
// shows what a power cut left in disorder.
func (b *Bus) ScanEvents(ctx context.Context, after, last uint64, each func(StoredEvent)) error {
	f := b.feed(streamEvents, "", after)
	defer f.close()
	for f.next <= last {
		list, err := f.fetch(ctx, pullMessages, pullBytes, 0)
		if err != nil {
			return fmt.Errorf("scan %s: %w", streamEvents, err)
		}
		for _, m := range list {
			if e, err := storedEvent(m); err == nil && m.seq <= last {
				each(e)
			}
		}
	}
	return nil
}

// DeleteEvents takes events out of EVENTS.
func (b *Bus) DeleteEvents(ctx context.Context, sequences []uint64) error {
	for _, seq := range sequences {
		var reply struct {
			Error *refusedError `json:"error"`
		}
		request := map[string]any{"seq": seq, "no_erase": true}
		if err := b.manage(ctx, "$JS.API.STREAM.MSG.DELETE."+streamEvents, request, &reply); err != nil {
			return fmt.Errorf("delete event %d: %w", seq, err)
		}
		if reply.Error != nil {
			return fmt.Errorf("delete event %d: %w", seq, reply.Error)
		}
	}
	return nil
}

// Of returns the mark of a partition, the zero Mark where there is none.
func (m Marks) Of(partition int) Mark {
	if partition < len(m) {
		return m[partition]
	}
	return Mark{}
}
