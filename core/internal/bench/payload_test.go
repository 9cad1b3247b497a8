package bench

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tributary-bus/tributary/core/internal/enrich"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

type sentEvent struct {
	ID   string            `json:"id"`
	Type string            `json:"type"`
	IDs  map[string]string `json:"ids"`
}

func TestPayloadNeverRepeatsAnID(t *testing.T) {
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	seen, people := map[string]bool{}, map[string]int{}
	for block := range uint64(3) {
		for _, events := range []int{1, 20, 100} {
			p := newPayload(requestText("127.0.0.1:1", "/v1/events", "dev", browserHeaders, browsed(eventsText(at, events, 1))), block*10+uint64(events), 50)
			if len(p.events) != events {
				t.Fatalf("found %d events, want %d", len(p.events), events)
			}
			for range 30 {
				for _, e := range parseRequest(t, string(p.next()), events) {
					if seen[e.ID] {
						t.Fatalf("the id %s was sent twice", e.ID)
					}
					seen[e.ID] = true
					people[e.IDs["user"]]++
					if e.IDs["email"] != e.IDs["user"]+"@mail.example" || len(e.IDs["user"]) != len(userMark) {
						t.Fatalf("identifiers %v", e.IDs)
					}
				}
			}
		}
	}
	if len(people) != 50 {
		t.Errorf("the events are about %d users, want 50", len(people))
	}
}

func TestPayloadTakesUsersInTurn(t *testing.T) {
	for _, users := range []int{users, manyProfiles} {
		p := newPayload(eventsText(time.Now(), 100, 20), 7, users)
		people := map[string]bool{}
		for range users / 100 {
			text := p.next()
			for _, e := range p.events {
				people[string(text[e.people[0]:e.people[0]+len(userMark)])] = true
			}
		}
		if len(people) != users {
			t.Errorf("%d events are about %d users", users, len(people))
		}
	}
}

func TestEventSize(t *testing.T) {
	if n := len(eventText(time.Now())); n < 380 || n > 420 {
		t.Errorf("an event has %d bytes, want about 400", n)
	}
}

// What a browser tells is what the product adds to: all of its kinds.
func TestBrowserIsEnriched(t *testing.T) {
	text := requestText("127.0.0.1:1", "/v1/events", "dev", browserHeaders, browsed(eventText(time.Now())))
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(body); n > 520 {
		t.Errorf("an event has %d bytes, want about 500", n)
	}
	if !enrich.Personal(r.UserAgent()) || r.Header.Get("X-Forwarded-For") == "" {
		t.Errorf("%v", r.Header)
	}
	context, ok := sdk.RawView(body).Map("context")
	if !ok {
		t.Fatalf("%s", body)
	}
	context["userAgent"], context["languages"] = r.UserAgent(), r.Header.Get("Accept-Language")
	e := record.Event{Context: sdk.AppendValue(nil, context)}
	enrich.New(nil).Event(&e, nil)
	for _, name := range []string{"device", "os", "app", "utm", "referrer"} {
		if !sdk.RawView(e.Context).Exists(name) {
			t.Errorf("%s: nothing is known of %s", e.Context, name)
		}
	}
	if list, _ := sdk.RawView(e.Context).List("languages"); len(list) != 3 {
		t.Errorf("%s: the languages are no list", e.Context)
	}
}

func parseRequest(t *testing.T, text string, events int) (list []sentEvent) {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(body)) != r.ContentLength || r.Header.Get("Authorization") != "Bearer dev" {
		t.Fatalf("request %s", text)
	}
	if events == 1 {
		list = make([]sentEvent, 1)
		err = json.Unmarshal(body, &list[0])
	} else {
		err = json.Unmarshal(body, &list)
	}
	if err != nil {
		t.Fatal(err)
	}
	return list
}
