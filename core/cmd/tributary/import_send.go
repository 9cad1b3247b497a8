package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/tributary-bus/tributary/sdk/client"
)

// An input is a file to import, known by its content.
type input struct {
	path      string
	hash      string
	size      int64
	delimiter rune
}

// openInput reads a file once for its hash, and looks at its header.
func openInput(ctx context.Context, path string, delimiter rune) (*input, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("import %s: is no file", path)
	}
	if _, err := newCSVReader(path, f, delimiter); err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("import %s: %w", path, err)
	}
	sum := sha256.New()
	size, err := io.Copy(sum, &cancellable{ctx, f})
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", path, err)
	}
	return &input{path: path, hash: hex.EncodeToString(sum.Sum(nil)), size: size, delimiter: delimiter}, nil
}

// cancellable ends reading with the context.
type cancellable struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancellable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// A sender brings an input to a server.
type sender struct {
	input   *input
	mapping string
	globals *globals
	to      *client.Client
	errors  io.Writer
	bar     *progress
}

const (
	chunkRows  = 500
	chunkBytes = 2 << 20
)

// chunks reads the file and calls each for every stretch of its rows from the
// first one on; the last stretch, which may be empty, is marked.
func (s *sender) chunks(first uint64, each func(*client.Chunk) error) error {
	f, err := os.Open(s.input.path)
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	defer f.Close()
	rows, err := newCSVReader(s.input.path, f, s.input.delimiter)
	if err != nil {
		return err
	}
	chunk := &client.Chunk{File: s.input.hash, Name: filepath.Base(s.input.path), Columns: rows.columns, First: first}
	size := 0
	for number := uint64(1); ; number++ {
		row, err := rows.read()
		if errors.Is(err, io.EOF) {
			chunk.Last = true
			return each(chunk)
		}
		if err != nil {
			return err
		}
		if number < first {
			continue
		}
		chunk.Rows = append(chunk.Rows, row)
		size += len(row.Columns) + len(row.Text)
		if len(chunk.Rows) < chunkRows && size < chunkBytes {
			continue
		}
		if err := each(chunk); err != nil {
			return err
		}
		s.bar.set(rows.offset(), thousands(number)+" rows")
		chunk.First += uint64(len(chunk.Rows))
		chunk.Rows, size = chunk.Rows[:0], 0
	}
}

// progress asks how far the file is.
func (s *sender) progress(ctx context.Context, again bool) (at *client.ImportProgress, err error) {
	err = s.patiently(ctx, func() error {
		if again {
			at, err = s.to.RestartImport(ctx, s.mapping, s.input.hash)
		} else {
			at, err = s.to.ImportProgress(ctx, s.mapping, s.input.hash)
		}
		return err
	})
	return at, err
}

// maxSteps bounds how often a server may fall back behind what it had
// confirmed, as it may after a power cut, before the import gives up.
const maxSteps = 3

// send sends the rows from the next one on. Where the server does not have
// what it had, it goes back to where the server is.
func (s *sender) send(ctx context.Context, at *client.ImportProgress) (*client.ImportProgress, error) {
	for step := 1; ; step++ {
		err := s.chunks(at.Next, func(chunk *client.Chunk) error {
			return s.patiently(ctx, func() error {
				next, err := s.to.ImportRows(ctx, s.mapping, chunk)
				if err == nil {
					at = next
				}
				return err
			})
		})
		var answered *client.Error
		if err == nil || step == maxSteps || !errors.As(err, &answered) || answered.Code != "conflict" {
			return at, err
		}
		if at, err = s.progress(ctx, false); err != nil {
			return at, err
		}
	}
}

// settle waits until what was sent can be queried.
func (s *sender) settle(ctx context.Context) error {
	var bar *progress
	var most uint64
	defer func() {
		if bar != nil {
			bar.finish()
		}
	}()
	return s.patiently(ctx, func() error {
		return s.to.Settle(ctx, func(consumer string, left uint64) {
			if left > most || bar == nil {
				most, bar = left, newProgress(s.errors, "waiting for the "+consumer, int64(left))
			}
			bar.set(int64(most-left), thousands(left)+" left")
		})
	})
}

const (
	patience     = 2 * time.Minute
	firstRetry   = 200 * time.Millisecond
	longestRetry = 5 * time.Second
)

// patiently repeats a call that fails for the time being, as it does while the
// server restarts, for up to two minutes. The server may come back at another
// address.
func (s *sender) patiently(ctx context.Context, call func() error) error {
	pause, until := firstRetry, time.Now().Add(patience)
	for {
		err := call()
		if err == nil || !client.IsTemporary(err) {
			return s.globals.explain(err)
		}
		if time.Now().After(until) {
			return fmt.Errorf("gave up after %s; the same command goes on where it was: %w", patience, s.globals.explain(err))
		}
		if pause == firstRetry {
			s.bar.note("the server cannot take more now (%v); trying again for %s", err, patience)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return errors.New("interrupted; the same command goes on where it was")
		}
		pause = min(2*pause, longestRetry)
		if to, err := s.globals.connect(); err == nil {
			s.to = to
		}
	}
}
