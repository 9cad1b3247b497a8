package supervisor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A refusal is a failure that a repetition would not mend: it is final until
// the file has changed, or somebody asks for a restart.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// alien tells whether an answer to a question is that of something else than a
// plugin.
func alien(during string, err error) bool {
	return during == "Describe" && status.Code(err) == codes.Unimplemented
}

// noProgram tells whether the system cannot execute a file, whenever it is asked;
// else it could not start a process just then.
func noProgram(err error) bool {
	return errors.Is(err, syscall.ENOEXEC) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
}

// unmet makes a refusal of the failure of a process that was never registered,
// where whatever the file is, it is no plugin. All other failures are ends like
// any other: what a process needs may be away, or the machine be slow.
func (p *plugin) unmet(ctx context.Context, err error) error {
	var f *failure
	if errors.As(err, &f) && f.alien && !p.builtin && !p.known() && ctx.Err() == nil {
		return refusal{err}
	}
	return err
}

// awaitChange returns when the file has become another one than that which was
// refused and is not being written any more, or ctx ends, or somebody asks. Our own
// file does not change: a built-in plugin waits for an ask.
func (p *plugin) awaitChange(ctx context.Context) *ask {
	if p.builtin {
		return p.await(ctx, nil)
	}
	for last := p.looked; ; {
		if a := p.await(ctx, time.After(p.s.pace.look)); a != nil || ctx.Err() != nil {
			return a
		}
		now := lookAt(p.path)
		if now != nil && !same(now, p.looked) && same(now, last) {
			return nil
		}
		last = now
	}
}

// lookAt is what a file looks like from outside; nil where there is none.
func lookAt(path string) os.FileInfo {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	return info
}

func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && a.Mode() == b.Mode()
}
