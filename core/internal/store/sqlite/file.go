package sqlite

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/tributary-bus/tributary/core/internal/store"
)

// How much memory a store may take, in KiB of page cache, and how many queries
// run at once.
const (
	writerCache = 16 << 10
	readerCache = 4 << 10
	readers     = 4
)

// A file is the store's file, open: one connection that writes, and a few that
// read beside it.
type file struct {
	path    string
	info    os.FileInfo
	writes  chan *writer // holds the one writer while nobody uses it
	db      *sql.DB      // of the writer
	readers *sql.DB
	broken  atomic.Bool // open it again before the next use
}

func openFile(ctx context.Context, path string) (_ *file, err error) {
	fresh, err := inspect(path)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	f := &file{path: path, writes: make(chan *writer, 1)}
	defer func() {
		if err == nil {
			return
		}
		var answer *driver.Error
		if errors.As(err, &answer) && answer.Code() == lib.SQLITE_ERROR { // no such table, or column
			err = fmt.Errorf("%w: %s: %w; %s", store.ErrBroken, path, err, rebuildInstead)
		}
		err = errors.Join(f.explain(ctx, "open store", err), f.close())
	}()
	// What is deleted is overwritten: an erasure must leave nothing in the file.
	f.db, err = sql.Open("sqlite", dsn(path, writerCache, "secure_delete(ON)", "synchronous(NORMAL)", "page_size(8192)", "wal_autocheckpoint(16000)", "journal_size_limit(134217728)"))
	if err != nil {
		return f, err
	}
	f.db.SetMaxOpenConns(1)
	conn, err := f.db.Conn(ctx)
	if err != nil {
		return f, err
	}
	w := &writer{conn: conn, partSize: partSize}
	f.writes <- w
	if fresh {
		// Before the switch to WAL, so that the file's own header says whose it is.
		if err := w.transact(ctx, func() error { return w.exec(ctx, createSchema) }); err != nil {
			return f, err
		}
	}
	if err := w.exec(ctx, "PRAGMA journal_mode = WAL"); err != nil {
		return f, err
	}
	if err := w.prepare(ctx); err != nil {
		return f, err
	}
	if f.readers, err = sql.Open("sqlite", dsn(path, readerCache, "query_only(1)")); err != nil {
		return f, err
	}
	f.readers.SetMaxOpenConns(readers)
	f.readers.SetMaxIdleConns(readers)
	// Both ends of every table: what is damaged there is found now.
	for _, kind := range store.Kinds {
		var first, last sql.NullInt64
		if err := f.readers.QueryRowContext(ctx, "SELECT min(rowid), max(rowid) FROM "+string(kind)).Scan(&first, &last); err != nil {
			return f, err
		}
	}
	f.info, err = os.Stat(path)
	return f, err
}

func dsn(path string, cache int, pragmas ...string) string {
	pragmas = append(pragmas, fmt.Sprintf("cache_size(-%d)", cache), "busy_timeout(5000)", "trusted_schema(0)")
	query := url.Values{"_pragma": pragmas}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}).String()
}

const rebuildInstead = "`tributary store rebuild` puts it aside and makes a new one from the bus, or set store.sqlite.path to another file"

// inspect looks at the header of what lies at the path, and changes nothing.
// It tells whether a new store is to be made there.
func inspect(path string) (fresh bool, err error) {
	const (
		header        = 100
		magic         = "SQLite format 3\x00"
		atPageSize    = 16
		atPages       = 28
		atUserVersion = 60
		atApplication = 68
	)
	in, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("open store: %w", err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return false, fmt.Errorf("open store: %w", err)
	}
	if !info.Mode().IsRegular() {
		return false, fmt.Errorf("open store: %w: %s is no file; %s", store.ErrBroken, path, rebuildInstead)
	}
	if info.Size() == 0 {
		return true, nil
	}
	b := make([]byte, header)
	if _, err := io.ReadFull(in, b); err != nil || !strings.HasPrefix(string(b), magic) {
		return false, fmt.Errorf("open store: %w: %s is no SQLite file, or damaged; %s", store.ErrBroken, path, rebuildInstead)
	}
	if got := binary.BigEndian.Uint32(b[atApplication:]); got != applicationID {
		return false, fmt.Errorf("open store: %w: %s is a SQLite file of another program (application id %#x); %s", store.ErrBroken, path, got, rebuildInstead)
	}
	if got := binary.BigEndian.Uint32(b[atUserVersion:]); got != schemaVersion {
		return false, fmt.Errorf("open store: %w: %s has schema version %d, this Tributary reads %d; %s", store.ErrBroken, path, got, schemaVersion, rebuildInstead)
	}
	// While there is a log it may hold what the file itself does not have yet.
	if log, err := os.Stat(path + "-wal"); err != nil || log.Size() == 0 {
		pageSize, pages := int64(binary.BigEndian.Uint16(b[atPageSize:])), int64(binary.BigEndian.Uint32(b[atPages:]))
		if pageSize == 1 {
			pageSize = 1 << 16
		}
		if info.Size() < pageSize*pages {
			return false, fmt.Errorf("open store: %w: %s is cut: %d bytes of %d; %s", store.ErrBroken, path, info.Size(), pageSize*pages, rebuildInstead)
		}
	}
	return false, nil
}

// usable tells whether the file is still the one at its path.
func (f *file) usable() bool {
	if f.broken.Load() {
		return false
	}
	info, err := os.Stat(f.path)
	return err == nil && os.SameFile(info, f.info)
}

func (f *file) close() error {
	var errs []error
	if f.readers != nil {
		errs = append(errs, f.readers.Close())
	}
	select {
	case w := <-f.writes:
		errs = append(errs, w.close())
	default:
	}
	if f.db != nil {
		errs = append(errs, f.db.Close())
	}
	return errors.Join(errs...)
}

// explain wraps what SQLite answered: whose fault it is, and whether the file
// has to be opened again.
func (f *file) explain(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", doing, ctx.Err())
	}
	var answer *driver.Error
	if !errors.As(err, &answer) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	switch answer.Code() & 0xff {
	case lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB:
		f.broken.Store(true)
		return fmt.Errorf("%s: %w: %w: %s: %w; %s", doing, store.ErrUnavailable, store.ErrBroken, f.path, err, rebuildInstead)
	case lib.SQLITE_IOERR, lib.SQLITE_CANTOPEN, lib.SQLITE_READONLY, lib.SQLITE_PERM, lib.SQLITE_PROTOCOL:
		f.broken.Store(true)
		fallthrough
	case lib.SQLITE_FULL, lib.SQLITE_BUSY, lib.SQLITE_LOCKED, lib.SQLITE_NOMEM:
		return fmt.Errorf("%s: %w: %s: %w", doing, store.ErrUnavailable, f.path, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
