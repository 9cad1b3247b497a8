package supervisor

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// maxBinary bounds what is copied and hashed before a start, in bytes.
const maxBinary = 1 << 30

var errNoBinary = fmt.Errorf("want a regular file of at most %d bytes that may be executed", maxBinary)

// A binary is what a process executes. That of a third party is a copy of its
// file, in a directory of its own that no other user may enter: what was hashed is
// what runs, whatever becomes of the file meanwhile. Executing the open file would
// not do: its inode can still be written to, a script cannot be run so, and the
// process would be called by the number of a descriptor.
type binary struct {
	path string
	dir  string // of the copy; empty: there is none
}

// remove removes the copy. What executes it still has it.
func (b binary) remove() {
	if b.dir != "" {
		// What cannot be removed now is tried again at the next start.
		_ = os.RemoveAll(b.dir)
	}
}

// take makes what a process of the plugin executes, and returns its SHA-256, in
// hexadecimal. That must be the registered one or, from when somebody asked for a
// start of what the file is now, that.
func (p *plugin) take(anew bool) (binary, string, error) {
	if p.builtin {
		// Our own cannot change: it runs.
		sum, err := p.s.own()
		return binary{path: p.path}, sum, err
	}
	p.looked = lookAt(p.path)
	b, sum, err := copyOf(p.path, p.s.o.Work)
	if err != nil {
		err = fmt.Errorf("copy its binary: %w", err)
		if errors.Is(err, errNoBinary) {
			err = refusal{err}
		}
		return b, "", err
	}
	p.mu.Lock()
	known := p.sum
	p.mu.Unlock()
	if anew {
		p.accepted = sum
	}
	if known != "" && sum != known && sum != p.accepted {
		b.remove()
		return b, "", refusal{fmt.Errorf(
			"its binary has changed: registered with sha256 %s, now %s; `tributary plugin restart %s` takes the new one",
			known, sum, p.name())}
	}
	return b, sum, nil
}

// copyOf copies an executable into a new directory below work, under its own name,
// and returns the SHA-256 of what it has copied. The error is errNoBinary where
// the file is what it must not be. Where there is an error, nothing is left.
func copyOf(file, work string) (b binary, sum string, err error) {
	from, err := open(file)
	if err != nil {
		return b, "", err
	}
	defer from.Close()
	if b.dir, err = os.MkdirTemp(work, "binary-"); err != nil {
		return b, "", err
	}
	defer func() {
		if err != nil {
			b.remove()
		}
	}()
	b.path = filepath.Join(b.dir, filepath.Base(file))
	to, err := os.OpenFile(b.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o500)
	if err != nil {
		return b, "", err
	}
	sum, err = hash(io.TeeReader(from, to))
	return b, sum, errors.Join(err, to.Close())
}

// sumOf is the SHA-256 of an executable.
func sumOf(file string) (string, error) {
	f, err := open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return hash(f)
}

// open opens an executable. The error is errNoBinary where it is none, or is not
// there for us.
func open(file string) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would wait for a writer
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w: %w", errNoBinary, err)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxBinary || info.Mode()&0o111 == 0) {
		err = fmt.Errorf("%w: it is %s of %d", errNoBinary, info.Mode(), info.Size())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func hash(r io.Reader) (string, error) {
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(r, maxBinary+1))
	if err == nil && n > maxBinary {
		err = errNoBinary // it has grown since
	}
	return hex.EncodeToString(h.Sum(nil)), err
}
