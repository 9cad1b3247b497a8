// Package store is what the query stores have in common: the documents that
// they hold, what can be asked of them, and the errors they answer with.
//
// A store is a projection. The bus is the truth; whatever a store holds can be
// dropped and filled again from there. So a store is free to refuse for a
// while ([ErrUnavailable]) but never to answer wrongly: what it cannot answer
// exactly it refuses with the reason ([ErrUnsearchable]).
package store

import (
	"context"
	"time"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// A Store keeps documents and answers queries about them. All of its methods
// are safe for concurrent use.
type Store interface {
	Writer
	Reader
	Keeper
}

// A Writer takes documents in.
type Writer interface {
	// Apply carries out a batch: all of it, or nothing where it returns an
	// error. What it applied can be queried soon after it returns, and surely after
	// the next Refresh. Documents that the store refuses for themselves alone are
	// returned; the rest of the batch stands. A document never overwrites one of the
	// same or a higher version, so a batch may be applied again. What was deleted may
	// come back with a higher version only.
	//
	// A store without transactions writes the position last: then a crash leads
	// to a batch applied twice, never to one left out.
	Apply(ctx context.Context, batch Batch) ([]Refused, error)
	// Refresh returns when all that was applied and deleted before is what queries see.
	Refresh(ctx context.Context) error
	// Position returns the position of the last batch that was applied, nil
	// where the store is empty.
	Position(ctx context.Context) ([]byte, error)
	// Delete removes the documents of a kind that a filter matches and tells
	// how many they were, those among them that queries do not see yet. When it returns,
	// queries no longer see them. With an event goes what it tells of changes. A nil filter
	// matches all. It goes in small steps: after an error or a crash some are gone, and
	// calling it again removes the others.
	Delete(ctx context.Context, kind Kind, filter Filter) (uint64, error)
}

// A Reader answers queries.
type Reader interface {
	// Get returns one document whole, as it was applied, or [ErrNotFound].
	Get(ctx context.Context, kind Kind, id string) (Document, error)
	// Query returns one page of what a filter matches, in order.
	Query(ctx context.Context, query Query) (Page, error)
	// ProfileChanges returns one page of profiles' change logs, the last change first:
	// documents of the kind [Changes], those that events tell among them.
	ProfileChanges(ctx context.Context, query ChangesQuery) (Page, error)
	// Count tells exactly how many documents a filter matches.
	Count(ctx context.Context, kind Kind, filter Filter) (uint64, error)
	// Histogram counts the matching documents by a time field, in buckets of
	// the interval that begin at multiples of it since 1970 in UTC. Empty
	// buckets are left out, and so are documents without a time at the path.
	Histogram(ctx context.Context, query HistogramQuery) ([]Bucket, error)
	// Terms counts the matching documents by the values at a path: strings,
	// numbers and booleans, and those among the elements of a list. The most
	// frequent come first; of equally frequent ones numbers, then strings, then
	// booleans, each in ascending order.
	Terms(ctx context.Context, query TermsQuery) ([]Term, error)
	// Scan calls each for every matching document once, whole, as it was applied, in no
	// promised order, and stops at its first error. Documents that come or change meanwhile may
	// or may not be among them. It holds back no writer, however long it takes.
	Scan(ctx context.Context, kind Kind, filter Filter, each func(Document) error) error
}

// A Keeper looks after the store as a whole.
type Keeper interface {
	// Expire removes the events and changes received before the UTC day of a time,
	// and tells how many events they were. A store may keep them longer where it drops
	// whole indices.
	Expire(ctx context.Context, before time.Time) (uint64, error)
	// Reset drops all documents and the position, in one step.
	Reset(ctx context.Context) error
	// Health is nil while the store answers, and says what is wrong otherwise.
	Health(ctx context.Context) error
	// Close ends what is under way and lets go of the store.
	Close() error
}

// A Filter is a compiled condition over the kind that is asked for; nil matches
// all documents.
type Filter = *condition.Program

// A Batch is what one call of Apply changes.
type Batch struct {
	Put    []Document
	Delete []Deletion // carried out after Put
	// Position is the writer's own note of how far it has read; the store
	// keeps it together with the batch and does not look into it. Nil leaves
	// the one that is there.
	Position []byte
}

// A Deletion removes one document, where it is there.
type Deletion struct {
	Kind Kind
	ID   string
	// Version protects newer documents: only one of this version or an older
	// one is removed. 0 removes any.
	Version uint64
}

// A Refused document was not stored, because of what it is.
type Refused struct {
	Document Document
	Reason   string
}

// A Query asks for documents in order, a page at a time.
type Query struct {
	Kind   Kind
	Filter Filter // nil matches all
	// Sort is a path of the document, with a minus in front for descending
	// order, such as "-updated" or "counters.orders". Numbers come first, then
	// texts, then all that have neither there, in both directions; equal ones
	// are ordered by id. Empty is the newest first.
	Sort string
	// Limit is how many documents a page holds, at most [MaxLimit]; 0 is
	// [DefaultLimit].
	Limit int
	// Cursor is that of the page before, with the same kind, filter and sort.
	Cursor string
}

// The bounds of a page.
const (
	DefaultLimit = 100
	MaxLimit     = 10_000
)

// A Page is a part of an answer.
type Page struct {
	Documents []Document
	// Cursor asks for the next page; empty where this is the last. Paging with
	// it gives every document that does not change meanwhile exactly once; one
	// whose sort value changes may come again or be missed.
	Cursor string
}

// A HistogramQuery asks for counts over time.
type HistogramQuery struct {
	Kind     Kind
	Filter   Filter
	Field    sdk.Path
	Interval time.Duration // whole seconds
}

// MaxBuckets is how many buckets a histogram may have.
const MaxBuckets = 10_000

// A Bucket counts the documents whose time lies in [Start, Start+interval).
type Bucket struct {
	Start time.Time
	Count uint64
}

// A TermsQuery asks for the most frequent values at a path.
type TermsQuery struct {
	Kind   Kind
	Filter Filter
	Field  sdk.Path
	Size   int // how many, 1 to [MaxLimit]; 0 is 10
}

// A Term is a value and how many documents have it. The value is a string, a
// number or a boolean.
type Term struct {
	Value any
	Count uint64
}
