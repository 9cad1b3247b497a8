package gateway

import "time"

// Limits bound what one request, and all of them together, may ask for. A
// zero field takes its default.
type Limits struct {
	Event    int   // bytes of one event; default 32 KB
	Request  int   // bytes of one body as sent; default 500 KB
	Inflated int   // bytes of one body after gzip or zstd; default 4 MB
	Events   int   // events of one request; default 1,000
	Nesting  int   // depth of JSON in an event; default 64
	InFlight int64 // bytes of all bodies being worked on; default 64 MB

	Connections int // WebSocket connections at once; default 20,000
	WriteQueue  int // bytes waiting for one WebSocket reader; default 1 MB

	Wait time.Duration // the longest that ?wait holds an answer; default 30 s
}

// Bounds that are part of the contract or of the stored form, and not settings.
const (
	maxType       = 128 // characters of an event's type
	maxID         = 256 // bytes of an event's id, a session id, a profile id or an identifier
	maxIDs        = 64  // identifiers of one event
	maxTags       = 64  // tags of one event
	maxTag        = 128 // bytes of a tag
	maxWriteKey   = 256 // bytes of a write key
	maxPathQuoted = 80  // bytes of a client's field name in an error
)

func (l Limits) withDefaults() Limits {
	def(&l.Event, 32<<10)
	def(&l.Request, 500<<10)
	def(&l.Inflated, 4<<20)
	def(&l.Events, 1000)
	def(&l.Nesting, 64)
	def(&l.InFlight, 64<<20)
	def(&l.Connections, 20_000)
	def(&l.WriteQueue, 1<<20)
	def(&l.Wait, 30*time.Second)
	return l
}

func def[T int | int64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}
