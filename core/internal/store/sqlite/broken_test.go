package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/core/internal/store/sqlite"
	"github.com/tributary-bus/tributary/core/internal/store/storetest"
)

// made makes a store with some documents and returns its file.
func made(t *testing.T, path string, events int) {
	t.Helper()
	s := open(t, path)
	batch := store.Batch{Position: []byte("x")}
	for i := range events {
		batch.Put = append(batch.Put, storetest.Event(t, i, nil))
	}
	if _, err := s.Apply(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func script(t *testing.T, path, text string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(text); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefusesWhatIsNoStore(t *testing.T) {
	for name, place := range map[string]func(t *testing.T, path string){
		"text": func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("not a database, but long enough to be one: "+strings.Repeat("x", 200)), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"short": func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"directory": func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		},
		"of another program": func(t *testing.T, path string) { script(t, path, "CREATE TABLE theirs (a)") },
		"of another version": func(t *testing.T, path string) {
			made(t, path, 1)
			script(t, path, "PRAGMA user_version = 99")
		},
		"without a table": func(t *testing.T, path string) {
			made(t, path, 1)
			script(t, path, "DROP TABLE sessions")
		},
		"cut": func(t *testing.T, path string) {
			made(t, path, 5000)
			if err := os.Truncate(path, 300_000); err != nil {
				t.Fatal(err)
			}
		},
		"overwritten": func(t *testing.T, path string) {
			made(t, path, 5000)
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			info, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt(make([]byte, info.Size()-100), 100); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			place(t, path)
			before := content(t, path)
			s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
			if err == nil {
				_ = s.Close()
				t.Fatal("it is opened")
			}
			if got := s.Health(t.Context()); !errors.Is(got, store.ErrUnavailable) || !errors.Is(got, store.ErrBroken) {
				t.Errorf("health is %v, want ErrUnavailable and ErrBroken", got)
			}
			if !errors.Is(err, store.ErrBroken) || !strings.Contains(err.Error(), "store rebuild") || !strings.Contains(err.Error(), path) {
				t.Errorf("refused with %v; want ErrBroken, the file and `store rebuild`", err)
			}
			if content(t, path) != before {
				t.Error("what was there has changed")
			}
			if err := errors.Join(s.Reset(t.Context()), s.Health(t.Context()), s.Close()); err != nil {
				t.Fatal(err)
			}
			aside, err := filepath.Glob(path + ".broken-*")
			if err != nil || len(aside) != 1 || content(t, aside[0]) != before {
				t.Errorf("put aside: %v, %v", aside, err)
			}
			made(t, path, 1)
		})
	}
	if aside, err := sqlite.Discard(filepath.Join(t.TempDir(), "store.db"), storetest.Start); err != nil || aside != "" {
		t.Errorf("nothing is put aside as %q, %v", aside, err)
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		return err.(*os.PathError).Err.Error()
	}
	return string(text)
}

// TestRecoversByItself breaks the file under a store that runs, and repairs it.
func TestRecoversByItself(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(path string) error
		repair func(path string) error
		// kept is how many of the ten events are there afterwards.
		kept uint64
	}{
		"moved away for a directory, and back": {
			func(path string) error { return errors.Join(os.Rename(path, path+".moved"), os.Mkdir(path, 0o700)) },
			func(path string) error { return errors.Join(os.Remove(path), os.Rename(path+".moved", path)) }, 10,
		},
		"replaced by a directory for good": {
			func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
			os.Remove, 0,
		},
		"replaced by text": {
			func(path string) error {
				return errors.Join(os.Remove(path), os.WriteFile(path, []byte("text"), 0o600))
			},
			os.Remove, 0,
		},
		"directory gone": {
			func(path string) error {
				return errors.Join(os.RemoveAll(filepath.Dir(path)), os.WriteFile(filepath.Dir(path), nil, 0o600))
			},
			func(path string) error { return os.Remove(filepath.Dir(path)) }, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "inner", "store.db")
			s := open(t, path)
			for i := range 10 {
				if _, err := s.Apply(t.Context(), store.Batch{Put: []store.Document{storetest.Event(t, i, nil)}, Position: []byte("ten")}); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.damage(path); err != nil {
				t.Fatal(err)
			}
			next := store.Batch{Put: []store.Document{storetest.Event(t, 10, nil)}}
			for what, f := range map[string]func() error{
				"apply":    func() error { _, err := s.Apply(t.Context(), next); return err },
				"count":    func() error { _, err := s.Count(t.Context(), store.Events, nil); return err },
				"get":      func() error { _, err := s.Get(t.Context(), store.Events, "shop/e-000001"); return err },
				"position": func() error { _, err := s.Position(t.Context()); return err },
				"health":   func() error { return s.Health(t.Context()) },
			} {
				if err := f(); !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("%s while it is broken: %v, want ErrUnavailable", what, err)
				}
			}
			if err := c.repair(path); err != nil {
				t.Fatal(err)
			}
			if err := s.Health(t.Context()); err != nil {
				t.Fatalf("after the repair: %v", err)
			}
			if n, err := s.Count(t.Context(), store.Events, nil); err != nil || n != c.kept {
				t.Errorf("%d events, %v, want %d", n, err, c.kept)
			}
			// A new file stands at the beginning.
			if p, err := s.Position(t.Context()); err != nil || (string(p) == "ten") != (c.kept > 0) {
				t.Errorf("position is %q, %v", p, err)
			}
			if _, err := s.Apply(t.Context(), next); err != nil {
				t.Error(err)
			}
			if n, err := s.Count(t.Context(), store.Events, nil); err != nil || n != c.kept+1 {
				t.Errorf("%d events, %v, want %d", n, err, c.kept+1)
			}
		})
	}
}

func TestResetReplacesABrokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	if _, err := s.Apply(t.Context(), store.Batch{Put: []store.Document{storetest.Event(t, 1, nil)}, Position: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(path), os.WriteFile(path, []byte("text"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := s.Health(t.Context()); !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, store.ErrBroken) {
		t.Fatalf("health is %v, want ErrUnavailable and ErrBroken", err)
	}
	if err := s.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Count(t.Context(), store.Events, nil); err != nil || n != 0 {
		t.Errorf("%d events, %v", n, err)
	}
	aside, err := filepath.Glob(path + ".broken-*")
	if err != nil || len(aside) != 1 || content(t, aside[0]) != "text" {
		t.Errorf("put aside: %v, %v", aside, err)
	}
}

func TestClosed(t *testing.T) {
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "store.db"), Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := s.Health(context.Background()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("closed: %v, want ErrUnavailable", err)
	}
	if err := s.Reset(context.Background()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("reset when closed: %v, want ErrUnavailable", err)
	}
}
