package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// A budget bounds the bytes of all bodies that are being worked on.
type budget struct {
	limit int64
	used  atomic.Int64
}

// A lease is one body's share of the budget.
type lease struct {
	budget *budget
	n      int64
}

// grow is false where the budget does not allow n bytes more.
func (l *lease) grow(n int) bool {
	if l.budget.used.Add(int64(n)) > l.budget.limit {
		l.budget.used.Add(-int64(n))
		return false
	}
	l.n += int64(n)
	return true
}

func (l *lease) end() { l.budget.used.Add(-l.n) }

var (
	errTooLarge = errors.New("larger than allowed")
	errNoRoom   = errors.New("too much is being worked on")
)

// errBusy refuses what the budget has no room for now.
var errBusy = unavailable("the gateway is busy with other requests")

// readBody reads the request's body into dst, inflated. The lease grows with
// what has come of it.
func (g *Gateway) readBody(r *http.Request, dst []byte, l *lease) ([]byte, *refusal) {
	limit := g.limits.Request
	if r.ContentLength > int64(limit) {
		return dst, refuse(http.StatusRequestEntityTooLarge, codeTooLarge,
			fmt.Sprintf("a body of %d bytes is larger than the %d that are allowed", r.ContentLength, limit))
	}
	var from io.Reader = &bounded{r: r.Body, left: limit}
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		z, _ := gzips.Get().(*gzip.Reader)
		if z == nil {
			z = new(gzip.Reader)
		}
		defer gzips.Put(z)
		if err := z.Reset(from); err != nil {
			return dst, g.bodyRefusal(err)
		}
		from, limit = z, g.limits.Inflated
	case "zstd":
		// All of it comes first: a few bytes can ask for a window of
		// megabytes, which nobody may hold while sending nothing.
		packed, err := readAll(from, nil, int(max(r.ContentLength, 512)), limit, l)
		if err != nil {
			return dst, g.bodyRefusal(err)
		}
		z, err := newZstd()
		if err != nil {
			return dst, g.bodyRefusal(err)
		}
		defer zstds.Put(z)
		if err := z.Reset(bytes.NewReader(packed)); err != nil {
			return dst, g.bodyRefusal(err)
		}
		from, limit = z, g.limits.Inflated
	default:
		return dst, refuse(http.StatusUnsupportedMediaType, codeEncoding,
			fmt.Sprintf("Content-Encoding %q is not understood; want gzip, zstd or none", clipped(encoding)))
	}
	dst, err := readAll(from, dst, int(max(r.ContentLength, 512)), limit, l)
	if err != nil {
		return dst, g.bodyRefusal(err)
	}
	return dst, nil
}

func (g *Gateway) bodyRefusal(err error) *refusal {
	switch {
	case errors.Is(err, errTooLarge), errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return refuse(http.StatusRequestEntityTooLarge, codeTooLarge,
			fmt.Sprintf("the body is larger than the %d bytes that are allowed, or the %d after inflation", g.limits.Request, g.limits.Inflated))
	case errors.Is(err, errNoRoom):
		return errBusy
	}
	return refuse(http.StatusBadRequest, codeMalformed, "the body cannot be read: "+clipped(err.Error()))
}

// firstRoom is the room that a body gets before any of it has come. An ordinary
// request fits in, so that its body is allocated once at most.
const firstRoom = 16 << 10

// readAll appends what r gives to dst, at most limit bytes. What a client
// announces counts for nothing until it comes: otherwise one that sends next to
// nothing could keep everybody else out. The lease pays for the bytes that are
// there and, beyond firstRoom, for the room that they get, which doubles. Room
// that dst brings along is paid for as it is filled.
func readAll(r io.Reader, dst []byte, expect, limit int, l *lease) ([]byte, error) {
	// One more than expected, so that the end is seen without growing.
	if first := min(expect+1, firstRoom); cap(dst) < first {
		dst = make([]byte, 0, first)
	}
	paid := 0
	for {
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if len(dst) > limit {
			return dst, errTooLarge
		}
		if more := len(dst) - paid; more > 0 {
			if !l.grow(more) {
				return dst, errNoRoom
			}
			paid += more
		}
		switch {
		case err == io.EOF:
			return dst, nil
		case err != nil:
			return dst, err
		}
		if len(dst) == cap(dst) {
			room := min(2*cap(dst), limit+1)
			if cap(dst) <= expect {
				room = min(room, expect+1)
			}
			if !l.grow(room - paid) {
				return dst, errNoRoom
			}
			paid = room
			dst = append(make([]byte, 0, room), dst...)
		}
	}
}

// bounded fails after left bytes, instead of ending like io.LimitedReader.
type bounded struct {
	r    io.Reader
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= n; b.left < 0 {
		return n, errTooLarge
	}
	return n, err
}

// Inflating readers are large, so they are used again.
var gzips, zstds sync.Pool

// maxWindow bounds what a zstd stream may make its reader allocate.
const maxWindow = 8 << 20

func newZstd() (*zstd.Decoder, error) {
	if z, ok := zstds.Get().(*zstd.Decoder); ok {
		return z, nil
	}
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
}
