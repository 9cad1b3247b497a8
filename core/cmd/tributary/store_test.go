package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/core/internal/store/sqlite"
	"github.com/tributary-bus/tributary/sdk/client"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// killedAfterStep names, in the environment, the step of a fill after which the server
// is killed.
const killedAfterStep = "CLI_KILLED_AFTER_STEP"

// storeStatus asks which store answers.
func storeStatus(t *testing.T, dir string) (status client.StoreStatus) {
	t.Helper()
	if err := json.Unmarshal([]byte(must(t, dir, "store", "status", "--json")), &status); err != nil {
		t.Fatal(err)
	}
	return status
}

// answered waits until a store answers and nothing is under way.
func answered(t *testing.T, dir, place string) client.StoreStatus {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		status := storeStatus(t, dir)
		if status.Answers.Place == place && status.UnderWay == "" {
			return status
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not answer: %+v", place, status)
		}
	}
}

// The settings, or a command, name another store: it is filled while the one that there
// is answers, then it answers, after a restart too; the two are compared, a person is
// erased from both, and the old one is dropped.
func TestStoreMoves(t *testing.T) {
	dir := t.TempDir()
	other, third := filepath.Join(dir, "stores", "other.db"), filepath.Join(dir, "stores", "third.db")
	server := run(t, dir)
	for i := range 5 {
		must(t, dir, "send", "view", "--user", fmt.Sprint(i), "--session", fmt.Sprint(i), "--prop", fmt.Sprintf("text=marker-%d", i), "--wait", "indexed")
	}
	contains(t, "the status", must(t, dir, "store", "status"), "answers  sqlite store.db\n")
	fails(t, dir, exitFailed, "there is one store alone", "store", "compare")
	fails(t, dir, exitFailed, "there is none beside the one that answers", "store", "drop")
	fails(t, dir, exitUsage, "say --to elasticsearch or --to sqlite too", "store", "rebuild", "--set", "store.sqlite.path="+other)
	fails(t, dir, exitUsage, "store.sqlite.", "store", "rebuild", "--to", "sqlite", "--set", "store.retention.events=7d")
	fails(t, dir, exitUsage, "--to postgres: want elasticsearch or sqlite", "store", "rebuild", "--to", "postgres")
	fails(t, dir, exitFailed, "say --set store.elasticsearch.urls=https://…", "store", "rebuild", "--to", "elasticsearch")
	fails(t, dir, exitFailed, "store.elasticsearch.urls", "store", "rebuild", "--to", "elasticsearch", "--set", "store.elasticsearch.urls=https://elastic:hunter2@es-1:9200")
	fails(t, dir, exitFailed, "rebuild store: ", "store", "rebuild", "--to", "elasticsearch", "--set", "store.elasticsearch.urls=http://127.0.0.1:1", "--set", "store.elasticsearch.username=u", "--set", "store.elasticsearch.password=hunter2")
	if status := storeStatus(t, dir); status.Filling != nil || strings.Contains(server.log.String(), "hunter2") {
		t.Errorf("after a store that does not answer the status is %+v", status)
	}
	server.stop()

	move := []string{"--set", "store.sqlite.path=" + other}
	server = run(t, dir, move...)
	contains(t, "the log", server.log.String(), "queries are answered by one store until another one is filled")
	if status := answered(t, dir, other); status.Kept == nil || status.Kept.Place != "store.db" {
		t.Errorf("the status is %+v", status)
	}
	must(t, dir, "send", "view", "--user", "5", "--wait", "indexed")
	contains(t, "the comparison", must(t, dir, "store", "compare"), "no difference", "KIND      DAYS  sqlite "+other+"  sqlite store.db  SAMPLED\n", "profiles  1     6  ")
	must(t, dir, "profiles", "delete", "user:3", "--wait")
	for _, path := range []string{other, filepath.Join(dir, "store.db")} {
		if text, err := os.ReadFile(path); err != nil || strings.Contains(string(text), "marker-3") {
			t.Errorf("%s has the erased person still; %v", path, err)
		}
	}
	contains(t, "compared after it", must(t, dir, "store", "compare", "--json"), `"differences": []`)

	var moved rebuilt
	text := must(t, dir, "store", "rebuild", "--to", "sqlite", "--set", "store.sqlite.path="+third, "--json")
	if err := json.Unmarshal([]byte(text), &moved); err != nil || moved.Answers.Place != third || moved.Kept.Place != other {
		t.Errorf("the rebuild says %s", text)
	}
	if _, err := os.Stat(filepath.Join(dir, "store.db")); err == nil {
		t.Error("the store before the last one is there still")
	}
	if info, err := os.Stat(filepath.Join(dir, "store.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("store.json: %v %v", info, err)
	}
	server.stop()

	// What a command said holds while the settings stay the same.
	damage(t, other)
	server = run(t, dir, move...)
	if status := answered(t, dir, third); status.Kept == nil || status.Kept.Place != other {
		t.Errorf("the status after a restart is %+v", status)
	}
	if got := must(t, dir, "profiles", "count"); got != "5\n" {
		t.Errorf("%s profiles, want 5", got)
	}
	code, stdout, stderr := cli(t, dir, "store", "compare")
	if code != exitFailed || !strings.Contains(stdout, "is missing in sqlite "+other) || !strings.Contains(stderr, "the stores differ in ") {
		t.Errorf("a comparison with a damaged store ends with %d\n%s%s", code, stdout, stderr)
	}
	contains(t, "drop", must(t, dir, "store", "drop"), "removed sqlite "+other)
	if _, err := os.Stat(other); err == nil {
		t.Error("the dropped store is there still")
	}
	server.stop()

	// The settings name the standard one again.
	run(t, dir)
	answered(t, dir, "store.db")
	if got := must(t, dir, "profiles", "count"); got != "5\n" {
		t.Errorf("%s profiles, want 5", got)
	}
}

// damage takes events out of a store that no server has open.
func damage(t *testing.T, path string) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	filter, err := condition.CompileCondition(`event.properties.text == "marker-1"`, condition.EventScope)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.Delete(t.Context(), store.Events, filter); err != nil || n != 1 {
		t.Fatalf("%d deleted, %v", n, err)
	}
}

// Whoever hangs up, and whatever kills the server: the fill goes on.
func TestStoreMovesAcrossKills(t *testing.T) {
	dir := t.TempDir()
	server := run(t, dir)
	for i := range 3 {
		must(t, dir, "send", "view", "--user", fmt.Sprint(i), "--wait", "indexed")
	}
	server.stop()
	t.Setenv(killedAfterStep, "copied all")
	server = run(t, dir)
	cli(t, dir, "store", "rebuild", "--to", "sqlite", "--set", "store.sqlite.path="+filepath.Join(dir, "next.db")) // it fails where the server is killed meanwhile
	select {
	case <-server.done:
	case <-time.After(30 * time.Second):
		t.Fatal("the server was not killed")
	}
	t.Setenv(killedAfterStep, "")
	run(t, dir)
	answered(t, dir, filepath.Join(dir, "next.db"))
	contains(t, "compared", must(t, dir, "store", "compare"), "no difference")

	// A caller that hangs up at once.
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	r, err := readRunning(dir)
	if err != nil {
		t.Fatal(err)
	}
	token, err := os.ReadFile(filepath.Join(dir, "admin-token"))
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.Admin+"/api/v1/store/rebuild", strings.NewReader(`{"to":"sqlite"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	if response, err := http.DefaultClient.Do(request); err == nil {
		response.Body.Close()
	}
	answered(t, dir, "store.db")
	if got := must(t, dir, "profiles", "count"); got != "3\n" {
		t.Errorf("%s profiles, want 3", got)
	}
}
