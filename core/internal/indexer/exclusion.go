package indexer

import "github.com/tributary-bus/tributary/core/internal/store"

// An exclusion keeps what is of erased profiles out of the store: a batch that was
// read before they were erased, or events that the bus still keeps for a moment. The
// ids of erased profiles never come back, so none is ever let in again.
type exclusion map[string]struct{}

// Exclude keeps the profiles of the ids, their events and their sessions out of the
// store from now on: when it returns, no batch is under way that holds any of them.
// What the store has already is not touched. It holds for as long as the process
// lives, also for a rebuild.
func (x *Indexer) Exclude(ids []string) {
	x.applying.Lock()
	defer x.applying.Unlock()
	if x.excluded == nil {
		x.excluded = exclusion{}
	}
	for _, id := range ids {
		x.excluded[id] = struct{}{}
	}
}

// without returns the documents that are of nobody excluded; the list is changed.
func (e exclusion) without(docs []store.Document) []store.Document {
	if len(e) == 0 {
		return docs
	}
	kept := docs[:0]
	for i := range docs {
		if _, out := e[profileOf(&docs[i])]; !out {
			kept = append(kept, docs[i])
		}
	}
	return kept
}

// profileOf is the profile that a document is of, or that a not valid event was sent
// to; empty for another event about nobody.
func profileOf(d *store.Document) string {
	if d.Sender != "" {
		return d.Sender
	}
	for i, column := range d.Kind.Columns() {
		if column == "profile" {
			return d.Column(i)
		}
	}
	return d.ID
}
