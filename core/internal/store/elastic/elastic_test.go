package elastic_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/core/internal/store/elastic"
	"github.com/tributary-bus/tributary/core/internal/store/storetest"
	"github.com/tributary-bus/tributary/test/servers"
)

func TestMain(m *testing.M) { os.Exit(servers.Tests{M: m}.Run()) }

func TestStore(t *testing.T) {
	url := servers.SharedElasticsearch(t)
	storetest.Run(t, func(t *testing.T) store.Store {
		return open(t, elastic.Options{URLs: []string{url}})
	})
}

var prefixes atomic.Int64

// open makes an empty store with a prefix of the test's own, whose indices go with it.
func open(t testing.TB, o elastic.Options) *elastic.Store {
	t.Helper()
	s, err := opened(t, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func opened(t testing.TB, o elastic.Options) (*elastic.Store, error) {
	t.Helper()
	if o.Prefix == "" {
		o.Prefix = newPrefix(t)
	}
	o.Log, o.Now = slog.New(slog.DiscardHandler), func() time.Time { return storetest.Now }
	s, err := elastic.Open(t.Context(), o)
	if s != nil {
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return s, err
}

// newPrefix is one that no other test has; its indices go when the test has ended.
func newPrefix(t testing.TB) string {
	prefix := fmt.Sprintf("test-%d-%d", os.Getpid(), prefixes.Add(1))
	t.Cleanup(func() {
		n := node{t, servers.SharedElasticsearch(t)}
		ctx := context.Background()
		for _, name := range n.indices(ctx, prefix) {
			n.ask(ctx, "DELETE", "/"+name, "")
		}
		for generation := 1; generation < 9; generation++ {
			n.ask(ctx, "DELETE", fmt.Sprintf("/_index_template/%s-%06d", prefix, generation), "")
		}
	})
	return prefix
}

// indices names the indices of a prefix.
func (n node) indices(ctx context.Context, prefix string) []string {
	_, text := n.ask(ctx, "GET", "/_cat/indices/"+prefix+"-*?h=index&s=index&expand_wildcards=all", "")
	return strings.Fields(text)
}
