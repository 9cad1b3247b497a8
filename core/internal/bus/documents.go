package bus

import (
	"context"
	"fmt"
	"time"
)

// GetDocument returns a profile's document and its revision in the bucket, or
// ErrNotFound.
func (b *Bus) GetDocument(ctx context.Context, profile string) (data []byte, revision uint64, err error) {
	list, err := b.GetDocuments(ctx, []string{profile})
	if err != nil {
		return nil, 0, err
	}
	if list[0].Seq == 0 {
		return nil, 0, fmt.Errorf("profile %s: %w", profile, ErrNotFound)
	}
	return list[0].Data, list[0].Seq, nil
}

// Document is GetDocument without a question to the server where this node has
// written the document lately and nobody else can have: on the embedded server.
// The data must not be changed.
func (b *Bus) Document(ctx context.Context, profile string) (data []byte, revision uint64, err error) {
	if b.server != nil {
		if d, ok := b.newChanges.last(profile); ok {
			return d.Data, d.Seq, nil
		}
	}
	return b.GetDocument(ctx, profile)
}

// GetDocuments returns the documents of many profiles at once; Seq, their
// revision, is 0 where there is none.
func (b *Bus) GetDocuments(ctx context.Context, profiles []string) ([]StoredDocument, error) {
	subjects := make([]string, len(profiles))
	for i, profile := range profiles {
		subjects[i] = subjectDocument(b.Partition(profile), profile)
	}
	list, err := b.lastOf(ctx, streamProfiles, subjects)
	if err != nil {
		return nil, fmt.Errorf("get documents: %w", err)
	}
	out := make([]StoredDocument, len(list))
	for i, m := range list {
		if m.seq > 0 && !m.deleted() {
			out[i] = StoredDocument{Seq: m.seq, Profile: profiles[i], Data: m.data, Time: m.time}
		}
	}
	return out, nil
}

// A DocumentPut asks for a profile's document to be replaced.
type DocumentPut struct {
	Profile string
	Data    []byte
	Expect  uint64 // the revision it replaces; 0: there is none
}

// A PutResult is the new revision of a document, or that it was not at the
// expected one.
type PutResult struct {
	Revision uint64
	Conflict bool
}

// PutDocuments replaces documents, each provided that it is at the expected
// revision. Where no answer comes it finds out what became of a put, and tries
// until the context ends. The data must not change any more.
func (b *Bus) PutDocuments(ctx context.Context, puts []DocumentPut) ([]PutResult, error) {
	items := make([]conditionalPut, len(puts))
	for i, p := range puts {
		items[i] = conditionalPut{subject: subjectDocument(b.Partition(p.Profile), p.Profile), data: p.Data, expect: p.Expect}
	}
	results, err := b.putAll(ctx, b.effects, streamProfiles, items)
	if err != nil {
		for _, p := range puts { // it may have been put all the same
			b.newChanges.forget(p.Profile)
		}
		return nil, fmt.Errorf("put documents: %w", err)
	}
	now := time.Now().UTC()
	for i, r := range results {
		if r.Conflict { // with what this node has not heard of
			b.newChanges.forget(puts[i].Profile)
		} else {
			b.newChanges.add(r.Revision, len(puts[i].Data), StoredDocument{
				Seq: r.Revision, Profile: puts[i].Profile, Data: puts[i].Data, Time: now,
			})
		}
	}
	return results, nil
}

// A StoredDocument is a change in the profiles bucket, the latest of its
// profile.
type StoredDocument struct {
	Seq     uint64 // also the document's revision in the bucket
	Profile string
	Data    []byte
	Deleted bool
	Time    time.Time
}

// ReadDocuments reads the profiles bucket from the first change after a
// sequence. Of changes to one profile a slow reader sees only the latest.
func (b *Bus) ReadDocuments(_ context.Context, after uint64) (*DocumentReader, error) {
	seq := func(d *StoredDocument) uint64 { return d.Seq }
	return &DocumentReader{follow(b.feed(streamProfiles, "", after), b.newChanges, storedDocument, seq)}, nil
}

// DocumentsOf calls each with the documents that a partition has at the time of the
// call. Of what is changed meanwhile it may give the later one, or both.
func (b *Bus) DocumentsOf(ctx context.Context, partition int, each func(StoredDocument) error) error {
	f := b.feed(streamProfiles, subjectDocuments(partition), 0)
	err := f.rest(ctx, func(m stored) error {
		d, err := storedDocument(m)
		if err != nil {
			return err
		}
		return each(d)
	})
	if err != nil {
		return fmt.Errorf("documents of partition %d: %w", partition, err)
	}
	return nil
}

// DocumentsLast is the sequence of the last change in the profiles bucket.
func (b *Bus) DocumentsLast(ctx context.Context) (uint64, error) {
	state, err := b.state(ctx, streamProfiles)
	return state.LastSeq, err
}

// A DocumentReader reads the changes of the profiles bucket in order. One
// goroutine uses it at a time.
type DocumentReader struct{ from *follower[StoredDocument] }

// Next waits for a change, at most wait (0: for ever), then takes what is there
// at once, up to limit. It returns nothing where the wait was over.
func (r *DocumentReader) Next(ctx context.Context, limit int, wait time.Duration) ([]StoredDocument, error) {
	return r.from.fetch(ctx, limit, readBytes, wait)
}

// Crowded tells whether so many changes wait that it is time to read them.
func (r *DocumentReader) Crowded() bool { return r.from.crowded() }

// Waiting is how many changes can be read at once, at least.
func (r *DocumentReader) Waiting() int { return r.from.waiting() }

func storedDocument(m stored) (StoredDocument, error) {
	profile, err := profileOf(m.subject)
	if err != nil {
		return StoredDocument{}, fmt.Errorf("document at %d: %w", m.seq, err)
	}
	return StoredDocument{Seq: m.seq, Profile: profile, Data: m.data, Deleted: m.deleted(), Time: m.time}, nil
}

// Close lets go of the reader.
func (r *DocumentReader) Close() { r.from.close() }
