package test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/test/servers"
)

// answers is which store answers queries.
func (p *product) answers() string {
	p.t.Helper()
	var status struct {
		Answers struct{ Store, Place string }
	}
	if err := json.Unmarshal([]byte(p.run("store", "status", "--json")), &status); err != nil {
		p.t.Fatal(err)
	}
	return status.Answers.Store + " " + status.Answers.Place
}

// views sends so many events of as many people, who can be found then.
func (p *product) views(first, n int) {
	p.t.Helper()
	var body strings.Builder
	for i := first; i < first+n; i++ {
		fmt.Fprintf(&body, `{"id":"v%d","type":"page-view","ids":{"user":"u%d"},"session":"s%[1]d","properties":{"marker":"marker-%[1]d"}}`+"\n", i, i)
	}
	a, err := p.post("/v1/events?wait=indexed", body.String())
	if err != nil || a.status != 200 {
		p.t.Fatal(err, a.status, string(a.body))
	}
}

// A running core with a filled SQLite is given Elasticsearch while events flow: no answer
// misses an event over the change, both hold the same, a person is erased from both, and
// it answers after a restart without any settings. Then it goes back.
func TestStoreMovesToElasticsearch(t *testing.T) {
	node := servers.StartElasticsearch(t)
	p := launch(t)
	p.views(0, 200)
	var sent atomic.Int64
	sent.Store(200)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			p.views(int(sent.Load()), 10)
			n := sent.Add(10)
			if got := p.count("events", `event.type == "page-view"`); got < int(n) {
				t.Errorf("%d events are found of %d", got, n)
				return
			}
		}
	}()
	p.run("store", "rebuild", "--to", "elasticsearch", "--set", "store.elasticsearch.urls="+node.URL, "--set", "store.elasticsearch.replicas=0")
	time.Sleep(500 * time.Millisecond)
	close(stop)
	<-done
	if at := p.answers(); at != "elasticsearch tributary" {
		t.Errorf("%s answers", at)
	}
	p.counts("profiles", "true", int(sent.Load()))
	if out := p.run("store", "compare", "--sample", "10000"); !strings.Contains(out, "no difference") {
		t.Errorf("the stores differ:\n%s", out)
	}
	p.run("profiles", "delete", "user:u7", "--wait")
	p.counts("events", `event.properties.marker == "marker-7"`, 0)
	text, err := os.ReadFile(filepath.Join(p.dir, "store.db"))
	if err != nil || strings.Contains(string(text), "marker-7\"") {
		t.Errorf("the kept file has the erased person still, %v", err)
	}
	p.kill()
	p.start()
	if at := p.answers(); at != "elasticsearch tributary" {
		t.Errorf("%s answers after a restart", at)
	}
	p.views(5000, 10)
	p.counts("profiles", "true", int(sent.Load())-1+10)
	p.run("store", "rebuild", "--to", "sqlite")
	if at := p.answers(); at != "sqlite store.db" {
		t.Errorf("%s answers", at)
	}
	p.counts("profiles", "true", int(sent.Load())-1+10)
	if out := p.run("store", "compare"); !strings.Contains(out, "no difference") {
		t.Errorf("the stores differ:\n%s", out)
	}
	p.run("store", "rebuild", "--to", "elasticsearch") // its settings are known
	p.run("store", "drop")
	p.counts("profiles", "true", int(sent.Load())-1+10)
	p.stop()
}

// A fresh directory whose settings name Elasticsearch uses it at once.
func TestFreshDirectoryUsesElasticsearch(t *testing.T) {
	node := servers.StartElasticsearch(t)
	p := launch(t, "--set", "store.elasticsearch.urls="+node.URL, "--set", "store.elasticsearch.prefix=shop", "--set", "store.elasticsearch.replicas=0")
	p.views(0, 20)
	p.counts("events", `event.type == "page-view"`, 20)
	if at := p.answers(); at != "elasticsearch shop" {
		t.Errorf("%s answers", at)
	}
	if _, err := os.Stat(filepath.Join(p.dir, "store.db")); err == nil {
		t.Error("there is an SQLite file")
	}
	p.stop()
}
