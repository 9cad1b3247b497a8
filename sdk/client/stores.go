package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
)

// A StoreStatus tells which query store answers.
type StoreStatus struct {
	Answers *StoreAt `json:"answers"`
	// UnderWay is what is being done with a store, in words, empty: nothing; Done of
	// Total messages and documents are done.
	UnderWay string `json:"under_way,omitzero"`
	Done     uint64 `json:"done,omitzero"`
	Total    uint64 `json:"total,omitzero"`
	// Filling is the store that answers once it is filled, and Lag how far it is behind.
	Filling *StoreAt  `json:"filling,omitzero"`
	Lag     *StoreLag `json:"lag,omitzero"`
	// Kept is the store that answered before, until it is dropped. It takes in nothing
	// new.
	Kept *StoreAt `json:"kept,omitzero"`
}

// A StoreAt is a store: what it is, and where.
type StoreAt struct {
	Store string `json:"store"`
	Place string `json:"place"`
	Error string `json:"error,omitzero"` // why it does not answer, or is not filled
}

// String names the store.
func (s *StoreAt) String() string { return s.Store + " " + s.Place }

// A StoreLag is how far a store is behind the bus.
type StoreLag struct {
	Events  uint64  `json:"events"`
	Seconds float64 `json:"seconds"`
}

// A StoreComparison holds the store that answers against the one that is kept.
type StoreComparison struct {
	// Stores are the two, the one that answers first.
	Stores []StoreAt `json:"stores"`
	// Kinds tell of each kind what was compared.
	Kinds []KindComparison `json:"kinds"`
	// Differences are the first ones that were found, More how many others.
	Differences []StoreDifference `json:"differences"`
	More        uint64            `json:"more,omitzero"`
}

// Equal tells whether no difference was found.
func (c *StoreComparison) Equal() bool { return len(c.Differences) == 0 }

// A KindComparison is what was compared of a kind.
type KindComparison struct {
	Kind      string   `json:"kind"`
	Documents []uint64 `json:"documents"` // in each of the stores
	Days      int      `json:"days"`      // whose counts were compared
	Sampled   int      `json:"sampled"`   // documents that were compared byte by byte
}

// A StoreDifference is one between two stores.
type StoreDifference struct {
	Kind string `json:"kind"`
	ID   string `json:"id,omitzero"`
	Day  string `json:"day,omitzero"` // UTC, of a count
	What string `json:"what"`
}

// StoreStatus tells which query store answers.
func (c *Client) StoreStatus(ctx context.Context) (*StoreStatus, error) {
	status := &StoreStatus{}
	r := c.admin(http.MethodGet, "store")
	r.out = status
	return status, c.do(ctx, r)
}

// A Rebuild says which store is to be filled.
type Rebuild struct {
	// To is what it is, such as sqlite; empty: the store that answers, which is emptied
	// first.
	To string `json:"to,omitzero"`
	// Settings are those of the store, by their keys, such as store.sqlite.path.
	Settings map[string]string `json:"settings,omitzero"`
}

// RebuildStore drops the query store and fills it again from the bus, or fills another
// one, which then answers. It returns when that is done and calls report, unless nil, as
// it goes, with messages and documents.
func (c *Client) RebuildStore(ctx context.Context, what Rebuild, report func(done, total uint64)) error {
	r := c.admin(http.MethodPost, "store", "rebuild")
	r.body = what
	response, err := c.open(ctx, r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		var step struct {
			Done     uint64 `json:"done"`
			Total    uint64 `json:"total"`
			Finished bool   `json:"finished"`
			Error    string `json:"error"`
		}
		if err := decode(lines.Bytes(), &step); err != nil {
			return fmt.Errorf("read the progress of the rebuild: %w", err)
		}
		switch {
		case step.Error != "":
			return errors.New(step.Error)
		case step.Finished:
			return nil
		case report != nil:
			report(step.Done, step.Total)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read the progress of the rebuild: %w", err)
	}
	return errors.New("the server ended before the rebuild did; it goes on where it was when the server is back")
}

// CompareStores holds the store that answers against the one that is kept: the counts of
// each kind and day, and so many documents of each kind, byte by byte.
func (c *Client) CompareStores(ctx context.Context, sample int) (*StoreComparison, error) {
	compared := &StoreComparison{}
	r := c.admin(http.MethodPost, "store", "compare")
	r.body, r.out = map[string]int{"sample": sample}, compared
	return compared, c.do(ctx, r)
}

// DropStore removes the store that does not answer, with what is in it: the one that is
// being filled, or else the one that answered before. It returns which one that was. With
// force it is forgotten also where it cannot be emptied.
func (c *Client) DropStore(ctx context.Context, force bool) (*StoreAt, error) {
	dropped := &StoreAt{}
	r := c.admin(http.MethodPost, "store", "drop")
	r.body, r.out = map[string]bool{"force": force}, dropped
	return dropped, c.do(ctx, r)
}
