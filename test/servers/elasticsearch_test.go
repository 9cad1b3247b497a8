package servers

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"
	"github.com/elastic/go-elasticsearch/v8/esapi"
)

func TestMain(m *testing.M) { os.Exit(Tests{M: m}.Run()) }

func client(t *testing.T, address string) *esapi.API {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	c, err := elastictransport.NewClient(elastictransport.WithURLs(u))
	if err != nil {
		t.Fatal(err)
	}
	return esapi.New(c)
}

// answer is an answer's body, which must be of the status.
func answer(t *testing.T, want int, res *esapi.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != want {
		t.Fatalf("%v %s, want %d (%v)", res.StatusCode, body, want, err)
	}
	return string(body)
}

// What was acknowledged is there after the node was killed, with its version.
func TestElasticsearchComesBackWithItsDataAfterAKill(t *testing.T) {
	e := StartElasticsearch(t)
	c := client(t, e.URL)
	index := func(version int) (*esapi.Response, error) {
		return c.Index("kept", strings.NewReader(`{"name":"Ada"}`),
			c.Index.WithDocumentID("a"), c.Index.WithVersion(version), c.Index.WithVersionType("external"))
	}
	res, err := index(7)
	answer(t, http.StatusCreated, res, err)
	pid := e.process.cmd.Process.Pid
	e.Kill()
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d after a kill: %v", pid, err)
	}
	if res, err := c.Cluster.Health(); err == nil {
		t.Errorf("a killed node answers: %v", res)
	}
	e.Start()
	res, err = c.Get("kept", "a")
	if body := answer(t, http.StatusOK, res, err); !strings.Contains(body, `"_version":7`) || !strings.Contains(body, `{"name":"Ada"}`) {
		t.Errorf("after the kill: %s", body)
	}
	res, err = index(7)
	answer(t, http.StatusConflict, res, err)
	e.Stop()
	if res, err := c.Cluster.Health(); err == nil {
		t.Errorf("a stopped node answers: %v", res)
	}
}

func TestElasticsearchIsSharedByTheTestsOfAProcess(t *testing.T) {
	at := SharedElasticsearch(t)
	if again := SharedElasticsearch(t); again != at {
		t.Errorf("asked twice: %s, then %s", at, again)
	}
	res, err := client(t, at).Cluster.Health()
	answer(t, http.StatusOK, res, err)
}

// A node that cannot start says why, in the words of its log.
func TestElasticsearchThatCannotStartTellsWhatItsLogSays(t *testing.T) {
	e := NewElasticsearch(t)
	e.own("start") // it is the test's own
	e.Settings = map[string]string{"no.such.setting": "1"}
	start := time.Now()
	err := e.start()
	if err == nil || !strings.Contains(err.Error(), "unknown setting [no.such.setting]") || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("started with a setting that there is not: %v", err)
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("told after %v", took)
	}
	if err := e.stop(); err == nil {
		t.Error("stopped what is not running")
	}
}

// A test that wants to kill a node of others is skipped; one that talks to it is not.
func TestAnElasticsearchThatIsThereIsNotKilled(t *testing.T) {
	t.Setenv(asked, "1")
	t.Setenv(there, "http://127.0.0.1:1")
	var after atomic.Int32
	for name, do := range map[string]func(*Elasticsearch){"kill": (*Elasticsearch).Kill, "stop": (*Elasticsearch).Stop, "start": (*Elasticsearch).Start} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if !t.Skipped() {
					t.Errorf("%s of a node of others", name)
				}
			}()
			e := StartElasticsearch(t)
			if e.URL != "http://127.0.0.1:1" {
				t.Errorf("at %s", e.URL)
			}
			do(e)
			after.Add(1)
		})
	}
	if after.Load() > 0 {
		t.Error("a test went on after it")
	}
}

func TestATestIsSkippedWhereElasticsearchWasNotAskedFor(t *testing.T) {
	t.Setenv(asked, "")
	t.Run("", func(t *testing.T) {
		defer func() {
			if !t.Skipped() {
				t.Error("it is not skipped")
			}
		}()
		NeedsElasticsearch(t)
	})
}
