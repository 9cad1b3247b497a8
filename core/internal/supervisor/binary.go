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
	"sync/atomic"
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
//
// A copy is made once for all starts of a file, as long as that looks the same:
// what cannot start for want of something else costs no writing. It is there for
// as long as anybody holds it.
type binary struct {
	path  string
	sum   string       // SHA-256, in hexadecimal
	dir   string       // of the copy; empty: there is none
	file  os.FileInfo  // the file, as it looked before it was copied
	holds atomic.Int64 // the plugin for its next start, and each process
}

// hold has the copy stay until there was a release for this hold, too.
func (b *binary) hold() *binary {
	b.holds.Add(1)
	return b
}

// release ends a hold. With the last one the copy is removed.
func (b *binary) release() {
	if b.holds.Add(-1) == 0 && b.dir != "" {
		// What cannot be removed now is tried again at the next start.
		_ = os.RemoveAll(b.dir)
	}
}

// intact tells whether the copy is still what it was when it was made: plugins
// run as the same user, and may have written to it.
func (b *binary) intact() bool {
	sum, err := sumOf(b.path)
	return err == nil && sum == b.sum
}

// take makes what a process of the plugin executes, for its caller to release.
// Its hash must be the registered one or, from when somebody asked for a start of
// what the file is now, that.
func (p *plugin) take(anew bool) (*binary, error) {
	if p.builtin {
		// Our own cannot change: it runs.
		sum, err := p.s.own()
		return (&binary{path: p.path, sum: sum}).hold(), err
	}
	p.looked = lookAt(p.path)
	if !p.known() && mayNotRun(p.looked) {
		return nil, refusal{fmt.Errorf("it is not executable: chmod +x %s", p.path)}
	}
	if !p.fits(anew) {
		p.letGo()
		b, err := copyOf(p.path, p.s.o.Work)
		if err != nil {
			err = fmt.Errorf("copy its binary: %w", err)
			if errors.Is(err, errNoBinary) {
				err = refusal{err}
			}
			return nil, err
		}
		b.file, p.copied = p.looked, b.hold()
	}
	p.mu.Lock()
	known, sum := p.sum, p.copied.sum
	p.mu.Unlock()
	if anew {
		p.accepted = sum
	}
	if known != "" && sum != known && sum != p.accepted {
		return nil, refusal{fmt.Errorf(
			"its binary has changed: registered with sha256 %s, now %s; `tributary plugin restart %s` takes the new one",
			known, sum, p.name())}
	}
	return p.copied.hold(), nil
}

// fits tells whether the copy that there is can be executed in the place of the
// file. Who asks for the file as it is now gets that, also where it looks the same.
func (p *plugin) fits(anew bool) bool {
	if p.copied == nil || p.looked == nil || !same(p.looked, p.copied.file) || !p.copied.intact() {
		return false
	}
	if !anew {
		return true
	}
	sum, err := sumOf(p.path)
	return err == nil && sum == p.copied.sum
}

// letGo ends the plugin's own hold of its copy, where there is one: it is not
// started by itself any more, or has another one.
func (p *plugin) letGo() {
	if p.copied != nil {
		p.copied.release()
		p.copied = nil
	}
}

// copyOf copies an executable into a new directory below work, under its own name.
// The error is errNoBinary where the file is what it must not be. Where there is an
// error, nothing is left.
func copyOf(file, work string) (*binary, error) {
	from, err := open(file)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	dir, err := os.MkdirTemp(work, "binary-")
	if err != nil {
		return nil, err
	}
	b := &binary{path: filepath.Join(dir, filepath.Base(file)), dir: dir}
	if b.sum, err = copyTo(b.path, from); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return b, nil
}

// copyTo copies an executable into a new file, and returns the SHA-256 of what it
// has copied.
func copyTo(path string, from io.Reader) (string, error) {
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o500)
	if err != nil {
		return "", err
	}
	sum, err := hash(io.TeeReader(from, to))
	return sum, errors.Join(err, to.Close())
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
