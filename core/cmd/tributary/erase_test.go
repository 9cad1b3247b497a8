package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/erasure"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/client"
)

// killedAfter makes a server under test kill itself after a part of an erasure.
const killedAfter = "KILLED_AFTER"

// profileOfUser is the id of a user's profile.
func profileOfUser(t *testing.T, dir, user string) string {
	t.Helper()
	var p struct{ ID string }
	if err := json.Unmarshal([]byte(must(t, dir, "profiles", "get", "user:"+user, "-o", "json")), &p); err != nil {
		t.Fatal(err)
	}
	return p.ID
}

func TestProfilesDelete(t *testing.T) {
	dir := t.TempDir()
	run(t, dir)
	for _, user := range []string{"ann", "bob"} {
		must(t, dir, "send", "view", "--user", user, "--session", "s-"+user, "--prop", "text=marker-"+user, "--wait", "indexed")
	}
	id := profileOfUser(t, dir, "ann")
	fails(t, dir, exitFailed, `there is no profile with user "eve"`, "profiles", "delete", "user:eve")
	fails(t, dir, exitFailed, `no profile "`+id+`" was erased`, "profiles", "erasures", id)
	contains(t, "delete", must(t, dir, "profiles", "delete", "user:ann", "--wait"),
		"erased profile "+id+", as admin asked at ", "ids: "+id+"\n", "query store, again  0", "not reached:\n- Backups")
	fails(t, dir, exitFailed, `there is no profile "`+id+`"; it was erased at 2`, "profiles", "get", id)
	fails(t, dir, exitFailed, `there is no profile with user "ann"; it was erased at 2`, "profiles", "get", "user:ann")
	contains(t, "the list", must(t, dir, "profiles", "erasures"), "PROFILE", id, "erased", "admin")
	contains(t, "once more", must(t, dir, "profiles", "delete", id, "-o", "json"), `"state": "erased"`)
	if got := must(t, dir, "profiles", "count"); got != "1\n" {
		t.Errorf("%s profiles are left, want 1", got)
	}
	text, err := os.ReadFile(filepath.Join(dir, "store.db"))
	if err != nil || bytes.Contains(text, []byte("marker-ann")) {
		t.Errorf("the query store's file has the erased event still; %v", err)
	}
	must(t, dir, "send", "view", "--user", "ann", "--wait", "processed")
	if again := profileOfUser(t, dir, "ann"); again == id {
		t.Errorf("who comes later is %s again", id)
	}
}

// hangingPlugin is the name of a plugin whose action is not done before its time is
// over; the test binary is one.
const hangingPlugin = "hanging"

func serveHanging() {
	sdk.Serve(sdk.Plugin{Name: hangingPlugin, Version: "1.0.0", Actions: []sdk.Action{
		sdk.NewAction("wait", "Waits.", func(ctx context.Context, _ sdk.Input[struct{}]) (sdk.Output, error) {
			<-ctx.Done()
			return sdk.Output{}, ctx.Err()
		}),
	}})
}

// installHanging puts the plugin where the server looks for plugins.
func installHanging(t *testing.T, dir string) {
	t.Helper()
	script := "#!/bin/sh\nexec " + os.Args[0] + " " + hangingPlugin + "\n"
	err := errors.Join(os.MkdirAll(filepath.Join(dir, "plugins"), 0o700),
		os.WriteFile(filepath.Join(dir, "plugins", hangingPlugin), []byte(script), 0o700))
	if err != nil {
		t.Fatal(err)
	}
}

// filesOf are the files of a stream's messages.
func filesOf(t *testing.T, dir, stream string) []string {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(dir, "jetstream", "$G", "streams", stream, "msgs", "*.blk"))
	if err != nil || len(blocks) == 0 {
		t.Fatal(blocks, err)
	}
	return blocks
}

// hold tells whether one of the files has a text.
func hold(t *testing.T, files []string, text string) bool {
	t.Helper()
	return slices.ContainsFunc(files, func(path string) bool {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(data, []byte(text))
	})
}

// TestErasureGoesOnAfterKills kills the server after each part of an erasure, before
// that is written down.
func TestErasureGoesOnAfterKills(t *testing.T) {
	dir := t.TempDir()
	installHanging(t, dir)
	flow := filepath.Join(t.TempDir(), "flow.yaml")
	if err := os.WriteFile(flow, []byte(`
kind: flow
id: waits
spec:
  trigger: {event: order}
  nodes: {wait: {action: hanging/wait, timeout: 10m}}
  edges: [start -> wait]
`), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, part := range []string{erasure.PartTombstone, "query store", "flow runs", "commits", "events", "dead letters", "query store, again"} {
		t.Setenv(killedAfter, part)
		server := run(t, dir)
		user := fmt.Sprint("user-", i)
		for range 3 {
			must(t, dir, "send", "view", "--user", user, "--session", user, "--prop", "text=marker-"+user, "--wait", "indexed")
		}
		must(t, dir, "apply", "-f", flow)
		must(t, dir, "send", "order", "--user", user, "--prop", "text=marker-"+user, "--wait", "indexed")
		for end := time.Now().Add(30 * time.Second); !hold(t, filesOf(t, dir, "FLOWS"), "marker-"+user); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the run is not in the journal")
			}
		}
		id := profileOfUser(t, dir, user)
		cli(t, dir, "profiles", "delete", id) // it fails where the server is killed meanwhile
		select {
		case <-server.done:
		case <-time.After(30 * time.Second):
			t.Fatalf("after %q the server was not killed:\n%s", part, server.log)
		}
		t.Setenv(killedAfter, "")
		again := run(t, dir)
		var report client.Erasure
		for end := time.Now().Add(30 * time.Second); report.State != client.Erased; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("after %q it does not end: %+v", part, report)
			}
			if err := json.Unmarshal([]byte(must(t, dir, "profiles", "erasures", id, "-o", "json")), &report); err != nil {
				t.Fatal(err)
			}
		}
		for _, count := range [][]string{{"profiles", "count", fmt.Sprintf("profile.id == %q", id)}, {"profiles", "count"}} {
			if got := must(t, dir, count...); got != "0\n" {
				t.Errorf("after %q %q prints %s", part, count, got)
			}
		}
		if letters := must(t, dir, "deadletters", "list"); strings.Contains(letters, id) {
			t.Errorf("after %q there are dead letters:\n%s", part, letters)
		}
		if code := again.stop(); code != exitDone {
			t.Errorf("the server ends with %d", code)
		}
		for _, path := range append(append(filesOf(t, dir, "EVENTS"), filesOf(t, dir, "FLOWS")...), filepath.Join(dir, "store.db")) {
			if hold(t, []string{path}, "marker-"+user) {
				t.Errorf("after %q %s has it still", part, path)
			}
		}
	}
}

// Who waits for an erasure is told when the server goes away, goes on waiting, and is
// told why where that takes too long.
func TestWhoWaitsForAnErasureIsToldThatTheServerIsAway(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(killedAfter, "commits")
	server := run(t, dir)
	must(t, dir, "send", "view", "--user", "ann", "--wait", "indexed")
	id := profileOfUser(t, dir, "ann")
	fails(t, dir, exitUsage, "--timeout 0s: want a time above 0, such as 10m", "profiles", "delete", id, "--wait", "--timeout", "0s")
	for _, limit := range []string{"0", "-1", "10001"} {
		fails(t, dir, exitUsage, "--limit "+limit+": want 1 to 10000", "profiles", "erasures", "--limit", limit)
	}

	waiting := command(t.Context(), dir, "profiles", "delete", id, "--wait")
	var out, notes tail
	waiting.Stdout, waiting.Stderr = &out, &notes
	if err := waiting.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- waiting.Wait() }()
	told := func(what string) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); !strings.Contains(notes.String(), what); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("it does not say %q:\n%s", what, &notes)
			}
		}
	}
	<-server.done
	told("waiting for it\n")
	t.Setenv(killedAfter, "")
	run(t, dir) // at another address
	told("the server is back\n")
	if err := <-ended; err != nil {
		t.Fatalf("%v\n%s", err, &notes)
	}
	contains(t, "the report", out.String(), "erased profile "+id)
	if n := strings.Count(notes.String(), "waiting for it"); n != 1 {
		t.Errorf("it says %d times that it waits:\n%s", n, &notes)
	}
}

func TestWaitingForAnErasureEnds(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(killedAfter, "commits")
	server := run(t, dir)
	must(t, dir, "send", "view", "--user", "ann", "--wait", "indexed")
	id := profileOfUser(t, dir, "ann")
	code, stdout, stderr := cli(t, dir, "profiles", "delete", id, "--wait", "--timeout", "12s")
	<-server.done
	if code != exitFailed || stdout != "" {
		t.Errorf("it ends with %d and prints %s", code, stdout)
	}
	contains(t, "the error", stderr, "profile "+id+" is not erased everywhere after 12s: the part \"commits\" is not done; it goes on by itself, and `tributary profiles erasures "+
		id+"` shows how far it is; at last: ", "does not answer at")
}

// The limit of a change log's table is a number of lines, of its JSON one of entries.
func TestProfilesChangesPrintsNoMoreThanItsLimit(t *testing.T) {
	dir := t.TempDir()
	run(t, dir)
	for _, id := range []string{"1", "2"} {
		must(t, dir, "send", "identify", "--id", id, "--user", "ann", "--trait", "a="+id, "--trait", "b="+id, "--trait", "c="+id, "--wait", "indexed")
	}
	for _, limit := range []int{1, 2, 4, 5} {
		code, stdout, stderr := cli(t, dir, "profiles", "changes", "user:ann", "--limit", fmt.Sprint(limit))
		if lines := strings.Count(stdout, "\n") - 1; code != exitDone || lines != limit {
			t.Errorf("--limit %d prints %d lines:\n%s", limit, lines, stdout)
		}
		contains(t, "the note", stderr, fmt.Sprintf("the last %d; more with --limit", limit))
	}
	_, all, note := cli(t, dir, "profiles", "changes", "user:ann", "--limit", "1000")
	if strings.Count(all, "event identify 2") != 3 || note != "" {
		t.Errorf("all of it is\n%s%s", all, note)
	}
	var entries []client.Change
	if err := json.Unmarshal([]byte(must(t, dir, "profiles", "changes", "user:ann", "--limit", "1", "-o", "json")), &entries); err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || len(entries[0].Changes) != 3 {
		t.Errorf("one entry is %+v", entries)
	}
}
