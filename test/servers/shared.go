package servers

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
)

// Tests runs the tests of a package that share servers, and stops those
// afterwards. A package's TestMain passes it on:
//
//	func TestMain(m *testing.M) { os.Exit(servers.Tests{M: m}.Run()) }
type Tests struct {
	M interface{ Run() int }
}

var shared struct {
	running atomic.Bool // Tests.Run stops what is started
	node    *Elasticsearch
}

// Run is M's Run; its result is 1 where a shared server did not stop.
func (t Tests) Run() int {
	shared.running.Store(true)
	defer shared.running.Store(false)
	code := t.M.Run()
	node := shared.node
	if node == nil || node.process == nil {
		return code
	}
	err := node.stop()
	if err == nil {
		err = os.RemoveAll(node.Dir)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "stop the shared Elasticsearch: %v\n", err)
		return max(code, 1)
	}
	return code
}

// SharedElasticsearch returns the URL of the node that the tests of this
// process share: it is started for the first that asks and stopped after the
// last, so it costs its start once. Tests keep to indices of names of their
// own and to what one may do to a server that others use. The package's
// TestMain runs [Tests].
func SharedElasticsearch(t testing.TB) string {
	t.Helper()
	NeedsElasticsearch(t)
	if !shared.running.Load() {
		t.Fatal("the package's TestMain does not run servers.Tests, which stops what is shared")
	}
	url, err := startShared()
	if err != nil {
		t.Fatalf("start the shared Elasticsearch: %v", err)
	}
	return url
}

var startShared = sync.OnceValues(func() (string, error) {
	node, err := newElasticsearch(func() (string, error) { return os.MkdirTemp("", "tributary-elasticsearch-") })
	if err != nil {
		return "", err
	}
	if !node.foreign {
		if err := node.start(); err != nil {
			_ = os.RemoveAll(node.Dir)
			return "", err
		}
	}
	shared.node = node
	return node.URL, nil
})
