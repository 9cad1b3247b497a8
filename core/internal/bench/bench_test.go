package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tributary-bus/tributary/core/internal/config"
)

// behaviour, in the environment, says how the product that this test binary
// plays misbehaves.
const behaviour = "FAKE_PRODUCT"

func TestMain(m *testing.M) {
	var err error
	switch {
	case len(os.Args) == 2 && os.Args[1] == CeilingCommand:
		err = ServeCeiling(os.Stdin, os.Stdout)
	case len(os.Args) == 3 && os.Args[1] == parent:
		err = parentOf(os.Args[2])
	case len(os.Args) > 3 && os.Args[1] == "run":
		err = fakeProduct(os.Args[3], os.Getenv(behaviour))
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// fakeProduct answers what the benchmark asks of the product, and nothing else.
func fakeProduct(dir, behaviour string) error {
	if behaviour == "dies" {
		return errors.New("the disk is on fire")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f := &fake{behaviour: behaviour, people: map[string]bool{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &http.Server{Handler: f.handler()}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(listener) }()
	address := "http://" + listener.Addr().String()
	about := fmt.Sprintf(`{"url":%q,"admin":%q,"pid":%d}`, address, address, os.Getpid())
	// As the product does: whoever finds server.json finds the token.
	for _, file := range [...]struct{ name, text string }{{"admin-token", "secret\n"}, {"server.json", about}} {
		if err := os.WriteFile(filepath.Join(dir, file.name), []byte(file.text), 0o600); err != nil {
			return err
		}
	}
	<-ctx.Done()
	s.Close()
	<-ended
	return nil
}

type fake struct {
	behaviour string
	mu        sync.Mutex
	events    int
	requests  int
	people    map[string]bool
}

var userText = regexp.MustCompile(`"user":"(\d+)"`)

func (f *fake) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /v1/events", f.ingest)
	mux.HandleFunc("GET /ws", f.socket)
	admin := func(pattern string, answer func() string) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer secret" {
				http.Error(w, `{"error":{"code":"unauthorised"}}`, http.StatusUnauthorized)
				return
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			io.WriteString(w, answer())
		})
	}
	admin("POST /api/v1/apply", func() string { return `{"revision":2,"differences":[]}` })
	admin("POST /api/v1/profiles/count", func() string { return fmt.Sprintf(`{"count":%d}`, len(f.people)) })
	admin("POST /api/v1/events/count", func() string { return fmt.Sprintf(`{"count":%d}`, f.events) })
	admin("GET /api/v1/status", func() string {
		return fmt.Sprintf(`{"lag":[{"consumer":"indexer","stream":"EVENTS","position":%d,"end":%d}]}`, f.events, f.events)
	})
	return mux
}

// socket takes tracks in over WebSocket.
func (f *fake) socket(w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	for {
		_, text, err := conn.ReadMessage()
		if err != nil {
			return
		}
		answer := `{"id":1,"connected":{}}`
		if bytes.Contains(text, []byte(`"track"`)) {
			answer = ceilingAck
			f.mu.Lock()
			f.events += bytes.Count(text, []byte(`"type":"order-completed"`))
			f.mu.Unlock()
			if f.behaviour == "browsers" && plain(r, text) {
				answer = `{"id":2,"error":{"code":"plain"}}`
			}
		}
		if err := conn.WriteMessage(websocket.TextMessage, []byte(answer)); err != nil {
			return
		}
	}
}

// plain tells whether an event is sent by no browser.
func plain(r *http.Request, text []byte) bool {
	return !strings.HasPrefix(r.UserAgent(), "Mozilla/5.0 ") || !bytes.Contains(text, []byte("utm_source="))
}

func (f *fake) ingest(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	n := bytes.Count(body, []byte(`"type":"order-completed"`))
	f.mu.Lock()
	f.requests++
	late := f.requests > users/100 // the profiles are made
	refuse := late && f.behaviour == "refuses" && f.requests%2 == 0
	if !refuse && (!late || f.behaviour != "loses" || f.requests%5 > 0) {
		f.events += n
		for _, m := range userText.FindAllSubmatch(body, -1) {
			f.people[string(m[1])] = true
		}
	}
	f.mu.Unlock()
	if late && f.behaviour == "browsers" && (plain(r, body) || r.Header.Get("Authorization") != "Bearer dev") {
		http.Error(w, "plain", http.StatusBadRequest)
		return
	}
	if refuse {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if late && f.behaviour == "ends" {
		fmt.Fprintln(os.Stderr, "the roof falls in")
		os.Exit(1)
	}
	status := "accepted"
	if late && f.behaviour == "knows" {
		status = "duplicate"
	}
	answer := `{"results":[` + strings.TrimSuffix(strings.Repeat(`{"status":"`+status+`"},`, n), ",") + `]}`
	w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
	io.WriteString(w, answer)
}

func measure(t *testing.T, behave string, scenarios ...string) (*Report, string, error) {
	t.Helper()
	t.Setenv(behaviour, behave)
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("TRIBUTARY_DATA", "/nowhere") // settings that are not the benchmark's
	var progress bytes.Buffer
	report, err := Run(t.Context(), Options{
		Binary: os.Args[0], Version: "test", Scenarios: scenarios, Duration: 40 * time.Millisecond, Progress: &progress,
	})
	left, globErr := filepath.Glob(filepath.Join(os.TempDir(), "*"))
	if globErr != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, globErr)
	}
	return report, progress.String(), err
}

func TestRunMeasuresProductAgainstCeiling(t *testing.T) {
	report, progress, err := measure(t, "", "ingest-single", "ingest-batch")
	if err != nil {
		t.Fatal(err)
	}
	for _, scenario := range []string{"ingest-single", "ingest-batch"} {
		for _, setting := range []string{"process", "fsync"} {
			accepted := find(t, report, scenario, setting, "accepted")
			bare := find(t, report, scenario, setting, "the ceiling")
			if accepted.Value <= 0 || bare.Value <= 0 || accepted.Ratio <= 0 || accepted.OK == nil {
				t.Errorf("%s, %s: %+v against %+v", scenario, setting, accepted, bare)
			}
			if refused := find(t, report, scenario, setting, "answered 503"); refused.Value != 0 || !*refused.OK {
				t.Errorf("%s, %s: %+v", scenario, setting, refused)
			}
			if peak := find(t, report, scenario, setting, "peak memory"); peak.Value < 1 {
				t.Errorf("%s, %s: %+v", scenario, setting, peak)
			}
		}
	}
	if !strings.Contains(progress, "ingest-batch, fsync: turn 3 of 3:") {
		t.Errorf("progress: %s", progress)
	}
}

// TestSinglesAreABrowsers holds that the scenarios of single events send what the
// product looks at: a key, a browser's headers, and a page with a campaign.
func TestSinglesAreABrowsers(t *testing.T) {
	report, _, err := measure(t, "browsers", "ingest-single", "websocket")
	if err != nil {
		t.Fatal(err)
	}
	for _, setting := range []string{"process", "fsync"} {
		if slow := find(t, report, "ingest-single", setting, "answer, 99 of 100"); slow.Target == nil || *slow.Target != *atMost(10) {
			t.Errorf("%s: %+v", setting, slow)
		}
	}
	_, _, err = measure(t, "browsers", "ingest-batch")
	if err == nil || !strings.Contains(err.Error(), "plain") {
		t.Errorf("nobody looked: %v", err)
	}
}

func TestWebSocketIsComparedToHTTP(t *testing.T) {
	report, _, err := measure(t, "", "websocket")
	if err != nil {
		t.Fatal(err)
	}
	single := find(t, report, "websocket", "fsync", "one event a request over HTTP")
	times := find(t, report, "websocket", "fsync", "accepted, to that over HTTP")
	if single.Value <= 0 || times.Value <= 0 || times.Target == nil || *times.Target != *atLeast(1.5) || times.OK == nil || *times.OK != (times.Value >= 1.5) {
		t.Errorf("%+v, %+v", single, times)
	}
}

func TestRunCountsWhatIsRefused(t *testing.T) {
	report, _, err := measure(t, "refuses", "ingest-single")
	if err != nil {
		t.Fatal(err)
	}
	if refused := find(t, report, "ingest-single", "fsync", "answered 503"); refused.Value == 0 || *refused.OK {
		t.Errorf("half of the requests were refused: %+v", refused)
	}
}

func TestRunFindsWhatIsWrong(t *testing.T) {
	for behave, want := range map[string]string{
		"loses": "can be queried",
		"knows": `"status":"duplicate"`,
		"dies":  "the disk is on fire",
		"ends":  "the roof falls in",
	} {
		_, _, err := measure(t, behave, "ingest-single")
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "ingest-single: ") {
			t.Errorf("%s: error %v, want one that says %q", behave, err, want)
		}
	}
}

func TestRunRefusesAnUnknownScenario(t *testing.T) {
	_, _, err := measure(t, "", "idle", "ingest-singel")
	if !errors.Is(err, ErrNoScenario) || !strings.Contains(err.Error(), "ingest-single") {
		t.Errorf("error %v, want one that names the scenarios", err)
	}
}

func TestPacedFollowsTheLag(t *testing.T) {
	t.Setenv(behaviour, "")
	r := &run{options: Options{Binary: os.Args[0], Duration: 200 * time.Millisecond, Progress: io.Discard}, dir: t.TempDir()}
	err := r.withProduct(t.Context(), "fsync", func(p *product) error {
		result, samples, err := paced(t.Context(), r, p, 5000, 1)
		if err != nil {
			return err
		}
		last := samples[len(samples)-1]
		if last.indexed <= 0 || last.indexed+last.behind > float64(result.all) {
			t.Errorf("%d events were sent, the last sample is %+v", result.all, last)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestStartProductIgnoresWhereAnEarlierOneListened(t *testing.T) {
	dir := t.TempDir()
	for _, text := range []string{`{"url":"http://127.0.0.1:1","admin":"http://127.0.0.1:1","pid":1}`, `{"url":`} {
		if err := os.WriteFile(filepath.Join(dir, "server.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if at := readRunning(dir, os.Getpid()); at != nil {
			t.Errorf("%s is taken for a product of this process: %+v", text, at)
		}
		p, err := startProduct(t.Context(), os.Args[0], dir, "fsync")
		if err != nil {
			t.Fatal(err)
		}
		if p.address == "127.0.0.1:1" {
			t.Error("the product was found where an earlier one listened")
		}
		if _, err := p.stop(); err != nil {
			t.Error(err)
		}
	}
}

func TestEnvironmentLeavesSettingsOut(t *testing.T) {
	got := environment([]string{"PATH=/bin", "TRIBUTARY_DATA=/x", "TRIBUTARY_HTTP_ADDR=:1", "HOME=/root"})
	if !slices.Equal(got, []string{"PATH=/bin", "HOME=/root"}) {
		t.Errorf("%q", got)
	}
}

// The schema and the copy rules must hold for what the generator sends.
func TestOrderTypeFitsTheEvents(t *testing.T) {
	text := `{"kind":"event-type","id":"order-completed","spec":` + orderType + `}`
	resources, err := config.Parse("order-completed.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	set, err := config.NewSet(1, resources)
	if err != nil {
		t.Fatal(err)
	}
	event, err := jsonschema.UnmarshalJSON(strings.NewReader(eventText(time.Now())))
	if err != nil {
		t.Fatal(err)
	}
	if err := set.EventType("order-completed").Validators[0].Validate(event.(map[string]any)["properties"]); err != nil {
		t.Error(err)
	}
}

func find(t *testing.T, r *Report, scenario, setting, name string) Figure {
	t.Helper()
	i := slices.IndexFunc(r.Figures, func(f Figure) bool {
		return f.Scenario == scenario && f.Setting == setting && f.Name == name
	})
	if i < 0 {
		t.Fatalf("no figure %q of %s, %s", name, scenario, setting)
	}
	return r.Figures[i]
}
