// Package elastic is the query store in Elasticsearch 8, for more documents than one
// machine holds and for people who look at them with tools of their own.
//
// Documents of one id and a version are written with that version as Elasticsearch's own,
// so a batch may arrive twice, late, or out of order. The position is written last: after
// a crash a batch is applied again.
package elastic

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tributary-bus/tributary/core/internal/store"
)

// Options say where the store lies, and how it is reached.
type Options struct {
	// URLs are those of the nodes, such as https://es-1.example:9200. They are asked in
	// turn; one that does not answer is left out for a while.
	URLs []string
	// Prefix begins the name of every index, alias and template of the store; empty is
	// tributary.
	Prefix string
	// Username and Password are sent with each request, or else APIKey, in the form that
	// Elasticsearch calls encoded. A user in a URL is the same as Username and Password.
	Username, Password, APIKey string
	// CACert is the PEM text of the authorities that sign the nodes' certificates, or the
	// path of its file; empty: those of the system.
	CACert string
	// Compression has requests and answers compressed.
	Compression bool
	// Shards and Replicas are those of each index that is made from now on; 0 shards are 1.
	Shards, Replicas int
	// Timeout bounds each request; 0 is 30 s.
	Timeout time.Duration
	Log     *slog.Logger
	// Now tells conditions what now is; nil: [time.Now].
	Now func() time.Time
}

// A Store is a [store.Store] in Elasticsearch. While no node answers, every method answers
// [store.ErrUnavailable]; each call tries again, so it recovers by itself.
type Store struct {
	client   *client
	prefix   string
	names    *regexp.Regexp // of indices
	shards   int
	replicas int
	log      *slog.Logger
	now      func() time.Time

	preparing sync.Mutex
	prepared  atomic.Bool
	refreshes refreshes
}

var _ store.Store = (*Store)(nil)

var prefixes = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,99}$`)

// Open makes the indices where there are none, and finishes what a crash has left half
// done. Where no node answers, or refuses for now, the error is [store.ErrUnavailable], and
// the store comes back all the same: it works once they do. Options that are wrong, and
// nodes of another version than 8, are errors without a store.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Prefix == "" {
		o.Prefix = "tributary"
	}
	if !prefixes.MatchString(o.Prefix) {
		return nil, fmt.Errorf("open store in Elasticsearch: prefix is %q, want lower-case letters, digits, - and _, at most 100", o.Prefix)
	}
	if o.Shards < 0 || o.Replicas < 0 {
		return nil, fmt.Errorf("open store in Elasticsearch: %d shards and %d replicas, want none below 0", o.Shards, o.Replicas)
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c, err := newClient(o)
	if err != nil {
		return nil, fmt.Errorf("open store in Elasticsearch: %w", err)
	}
	s := &Store{
		client: c, prefix: o.Prefix, shards: max(o.Shards, 1), replicas: o.Replicas, log: o.Log, now: o.Now,
		names: regexp.MustCompile(`^` + regexp.QuoteMeta(o.Prefix) + `-(\d{6})-(events|profiles|sessions|changes|state)(?:-(\d{4}\.\d{2}))?$`),
	}
	err = s.ready(ctx)
	if err != nil && (!errors.Is(err, store.ErrUnavailable) || errors.Is(err, errVersion)) {
		return nil, errors.Join(fmt.Errorf("open store in Elasticsearch: %w", err), s.Close())
	}
	if err != nil {
		err = fmt.Errorf("open store in Elasticsearch: %w", err)
	}
	return s, err
}

// Close implements [store.Keeper].
func (s *Store) Close() error {
	s.client.close()
	return nil
}

// ready makes sure that the nodes are of a version that is known and the indices there,
// once; it does so again after one was missed.
func (s *Store) ready(ctx context.Context) error {
	if s.prepared.Load() {
		return nil
	}
	s.preparing.Lock()
	defer s.preparing.Unlock()
	if s.prepared.Load() {
		return nil
	}
	if err := s.checkVersion(ctx); err != nil {
		return err
	}
	if err := s.prepare(ctx); err != nil {
		return fmt.Errorf("prepare indices: %w", err)
	}
	s.prepared.Store(true)
	return nil
}

// errVersion says that this is a version of Elasticsearch that the store does not know.
var errVersion = errors.New("another version of Elasticsearch")

// wantedVersion is how the versions begin that the store knows.
const wantedVersion = "8."

func (s *Store) checkVersion(ctx context.Context) error {
	var answer struct {
		Nodes map[string]struct {
			Name    string `json:"name"`
			Version string `json:"version"`
		} `json:"nodes"`
	}
	if err := s.client.ask(ctx, "GET", "/_nodes", params("filter_path", "nodes.*.version,nodes.*.name"), nil, &answer); err != nil {
		return fmt.Errorf("ask for the version: %w", err)
	}
	for _, node := range answer.Nodes {
		if len(node.Version) < len(wantedVersion) || node.Version[:len(wantedVersion)] != wantedVersion {
			return fmt.Errorf("%w: %w: node %s has version %s, want %sx", store.ErrUnavailable, errVersion, node.Name, node.Version, wantedVersion)
		}
	}
	if len(answer.Nodes) == 0 {
		return fmt.Errorf("%w: the answer names no node", store.ErrUnavailable)
	}
	return nil
}

// Health implements [store.Keeper]: nil while every primary shard of the store's indices is
// there.
func (s *Store) Health(ctx context.Context) error {
	if err := s.ready(ctx); err != nil {
		return fmt.Errorf("health of the store in Elasticsearch: %w", err)
	}
	var answer struct {
		Status     string `json:"status"`
		Unassigned int    `json:"unassigned_shards"`
	}
	err := s.ask(ctx, "GET", "/_cluster/health/"+s.aliases(kinds), nil, nil, &answer)
	if err != nil {
		return fmt.Errorf("health of the store in Elasticsearch: %w", err)
	}
	if answer.Status == "red" {
		return fmt.Errorf("%w: Elasticsearch's health of its indices is %s: %d shards are not assigned", store.ErrUnavailable, answer.Status, answer.Unassigned)
	}
	return nil
}

// ask is the client's, for what goes by the store's aliases: where one is not there, the
// next call makes it.
func (s *Store) ask(ctx context.Context, method, path string, query url.Values, in, out any) error {
	err := s.client.ask(ctx, method, path, query, in, out)
	if f := (*failure)(nil); errors.As(err, &f) && f.kind == "index_not_found_exception" {
		s.prepared.Store(false)
	}
	return err
}
