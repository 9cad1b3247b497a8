package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/sdk/client"
)

const numbered = `
kind: event-type
id: add
spec:
  copy:
    - {to: counters.events, op: increment}
    - {to: data.seen, from: event.id, op: append}
`

// The power is cut at twenty random moments. Nothing that was acknowledged is
// lost, and nothing is doubled.
func TestPowerCuts(t *testing.T) {
	dir := t.TempDir()
	var acked sync.Map // event id → user
	fresh := true
	for cut := range 20 {
		shadow := t.TempDir()
		t.Setenv(shadowDir, shadow)
		p := run(t, dir, "--set", "durability=fsync")
		if fresh {
			file := filepath.Join(t.TempDir(), "add.yaml")
			if err := os.WriteFile(file, []byte(numbered), 0o600); err != nil {
				t.Fatal(err)
			}
			must(t, dir, "apply", "-f", file)
			fresh = false
		}
		checkAcknowledged(t, dir, p, &acked, cut)
		stop := load(t, p.url, cut, &acked)
		time.Sleep(time.Duration(50+rand.IntN(700)) * time.Millisecond)
		p.kill()
		<-p.done
		stop()
		cutPower(t, filepath.Join(dir, "jetstream"), shadow)
	}
	t.Setenv(shadowDir, "")
	p := run(t, dir, "--set", "durability=fsync")
	checkAcknowledged(t, dir, p, &acked, 20)
	// What the bus kept gives the same store.
	must(t, dir, "store", "rebuild")
	checkAcknowledged(t, dir, p, &acked, 21)
}

const powerUsers = 30

// load sends events until it is stopped, and notes those acknowledged.
func load(t *testing.T, url string, cut int, acked *sync.Map) (stop func()) {
	t.Helper()
	var group sync.WaitGroup
	for sender := range 8 {
		group.Go(func() {
			for i := 0; ; i++ {
				var body strings.Builder
				ids := make([]string, 1+i%4)
				for j := range ids {
					ids[j] = fmt.Sprintf("%d-%d-%d-%d", cut, sender, i, j)
					fmt.Fprintf(&body, `{"id":"%s","type":"add","ids":{"user":"u%d"}}`+"\n", ids[j], (sender*7+i+j)%powerUsers)
				}
				results, err := postEvents(url, body.String())
				if err != nil {
					return // the power is off
				}
				for j, status := range results {
					if status == "accepted" {
						acked.Store(ids[j], fmt.Sprint("u", (sender*7+i+j)%powerUsers))
					}
				}
			}
		})
	}
	return group.Wait
}

func postEvents(url, body string) ([]string, error) {
	request, err := http.NewRequest(http.MethodPost, url+"/v1/events", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("X-Write-Key", "dev")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	var reply struct{ Results []struct{ Status string } }
	if err := json.Unmarshal(text, &reply); err != nil {
		return nil, err
	}
	out := make([]string, len(reply.Results))
	for i, r := range reply.Results {
		out[i] = r.Status
	}
	return out, nil
}

// checkAcknowledged holds the profiles to hold each acknowledged event, and
// every event once, in the profile and in the query store.
func checkAcknowledged(t *testing.T, dir string, p *process, acked *sync.Map, cut int) {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(dir, "admin-token"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(p.url, client.Token(string(bytes.TrimSpace(token))))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.Settle(ctx, func(string, uint64) {}); err != nil {
		t.Fatalf("cut %d: %v", cut, err)
	}
	total := 0
	has := map[string]bool{}
	for u := range powerUsers {
		text, err := c.Profile(ctx, fmt.Sprint("user:u", u))
		if err != nil {
			if !client.IsNotFound(err) {
				t.Fatal(err)
			}
			continue
		}
		var profile struct {
			Counters struct{ Events int }
			Data     struct{ Seen []string }
		}
		if err := json.Unmarshal(text, &profile); err != nil {
			t.Fatal(err)
		}
		if profile.Counters.Events != len(profile.Data.Seen) {
			t.Errorf("cut %d: user u%d: %d events applied, %d different ones", cut, u, profile.Counters.Events, len(profile.Data.Seen))
		}
		for _, id := range profile.Data.Seen {
			has[fmt.Sprint("u", u, "/", id)] = true
		}
		total += profile.Counters.Events
	}
	lost, acknowledged := []string{}, 0
	acked.Range(func(id, user any) bool {
		acknowledged++
		if !has[fmt.Sprint(user, "/", id)] {
			lost = append(lost, id.(string))
		}
		return true
	})
	if len(lost) > 0 {
		t.Errorf("cut %d: %d of %d acknowledged events lost, such as %s", cut, len(lost), acknowledged, lost[0])
	}
	counted, err := c.Count(ctx, "events", `event.type == "add"`)
	if err != nil {
		t.Fatal(err)
	}
	if counted != int64(total) {
		t.Errorf("cut %d: %d events in the store, %d applied", cut, counted, total)
	}
	if t.Failed() {
		t.FailNow()
	}
}
