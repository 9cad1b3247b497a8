package seen

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// writeRun writes ids, which ascend, as the run that covers one table. Without ids there is none.
func (g *generation) writeRun(ids []ID, seq uint64, fsync func(*os.File) error) (*run, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	w, err := newRunWriter(filepath.Join(g.dir, runName(seq, seq)), int64(len(ids)), fsync)
	if err != nil {
		return nil, err
	}
	for i := range ids {
		if err := w.add(&ids[i]); err != nil {
			return nil, w.abandon(err)
		}
	}
	r, err := w.finish(seq, seq)
	if err != nil {
		return nil, w.abandon(err)
	}
	return r, nil
}

// merge writes the run that replaces two neighbours. Tables that fill up meanwhile are written in between, so that nobody waits for a merge.
func (s *Set) merge(ctx context.Context, g *generation, older, newer *run) (*run, error) {
	path := filepath.Join(g.dir, runName(older.lo, newer.hi))
	w, err := newRunWriter(path, older.count+newer.count, s.fsync)
	if err != nil {
		return nil, err
	}
	between := func() error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.wake:
			_ = s.flush() // whoever waits for it is told
		default:
		}
		return nil
	}
	if err := mergeInto(w, older, newer, between); err != nil {
		return nil, w.abandon(err)
	}
	r, err := w.finish(older.lo, newer.hi)
	if err != nil {
		return nil, w.abandon(err)
	}
	return r, nil
}

func mergeInto(w *runWriter, older, newer *run, between func() error) error {
	a, b := &cursor{run: older, between: between}, &cursor{run: newer, between: between}
	x, err := a.next()
	if err != nil {
		return err
	}
	y, err := b.next()
	if err != nil {
		return err
	}
	for x != nil || y != nil {
		var order int
		switch {
		case x == nil:
			order = 1
		case y == nil:
			order = -1
		default:
			order = bytes.Compare(x[:], y[:])
		}
		least := x
		if order > 0 {
			least = y
		}
		if err := w.add(least); err != nil {
			return err
		}
		if order <= 0 {
			if x, err = a.next(); err != nil {
				return err
			}
		}
		if order >= 0 {
			if y, err = b.next(); err != nil {
				return err
			}
		}
	}
	return nil
}

// cursor reads a run from front to end.
type cursor struct {
	run     *run
	between func() error // called between reads
	block   int64        // the next to read
	buffer  []byte       // blocks read and not yet opened
	read    []byte       // what buffer is a part of
	ids     []byte       // ids of the open block that are still to come
}

const cursorBlocks = 64

// next returns the next id, nil after the last. It is valid until the next call.
func (c *cursor) next() (*ID, error) {
	for len(c.ids) == 0 {
		if len(c.buffer) == 0 {
			if c.block == c.run.blocks {
				return nil, nil
			}
			if err := c.fill(); err != nil {
				return nil, err
			}
		}
		ids, err := openBlock(c.buffer[:page])
		if err != nil {
			return nil, c.damaged(err)
		}
		c.ids, c.buffer = ids, c.buffer[page:]
	}
	id := (*ID)(c.ids)
	c.ids = c.ids[16:]
	return id, nil
}

func (c *cursor) fill() error {
	if err := c.between(); err != nil {
		return err
	}
	if c.read == nil {
		c.read = make([]byte, min(c.run.blocks, cursorBlocks)*page)
	}
	n := min(c.run.blocks-c.block, cursorBlocks)
	c.buffer = c.read[:n*page]
	if _, err := c.run.file.ReadAt(c.buffer, c.run.blocksAt+c.block*page); err != nil {
		return c.damaged(fmt.Errorf("%w: %w", ErrDamaged, err))
	}
	c.block += n
	return nil
}

func (c *cursor) damaged(err error) error {
	c.run.bad.Store(true)
	return fmt.Errorf("read %s: %w", c.run.file.Name(), err)
}

// sorted returns a sorted copy of ids, each once. Ids are spread evenly, so after one pass by their leading bits little is left to sort.
func sorted(ids []ID) []ID {
	const groups = 1 << 16
	group := func(id *ID) int { return int(id[0])<<8 | int(id[1]) }
	var ends [groups + 1]int
	for i := range ids {
		ends[group(&ids[i])+1]++
	}
	for g := range groups {
		ends[g+1] += ends[g]
	}
	// ends[g] is now where group g begins, and becomes where it ends.
	out := make([]ID, len(ids))
	for i := range ids {
		g := group(&ids[i])
		out[ends[g]] = ids[i]
		ends[g]++
	}
	begin := 0
	for g := range groups {
		if part := out[begin:ends[g]]; len(part) > 1 {
			slices.SortFunc(part, func(a, b ID) int { return bytes.Compare(a[:], b[:]) })
		}
		begin = ends[g]
	}
	return slices.Compact(out)
}
