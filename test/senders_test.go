package test

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// placesFile makes a GeoIP database that knows one network.
func placesFile(t *testing.T) string {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "GeoLite2-City", IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	_, network, err := net.ParseCIDR("203.0.113.0/24")
	if err != nil {
		t.Fatal(err)
	}
	oslo := mmdbtype.Map{
		"country":  mmdbtype.Map{"iso_code": mmdbtype.String("NO")},
		"city":     mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String("Oslo")}},
		"location": mmdbtype.Map{"latitude": mmdbtype.Float64(59.9), "longitude": mmdbtype.Float64(10.75), "time_zone": mmdbtype.String("Europe/Oslo")},
	}
	if err := tree.Insert(network, oslo); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if _, err := tree.WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "city.mmdb")
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const sources = `
kind: source
id: web
spec: {keys: [web-key], ip: truncate, bots: refuse, types: [page-view, 'order-*']}
---
kind: source
id: passing
spec: {keys: [passing-key], ephemeral: true}
---
kind: event-type
id: order-looked-up
spec: {copy: [{to: counters.lookups, op: increment}]}
---
kind: flow
id: look-up
spec:
  trigger: {event: order-looked-up}
  nodes: {reply: {action: core/result, config: {value: {seen: true}}}}
  edges: [start -> reply]
`

const safari = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Mobile/15E148 Safari/604.1"

// TestSendersAreDescribed sends as a browser behind a proxy does and looks at what
// can be queried of it.
func TestSendersAreDescribed(t *testing.T) {
	t.Parallel()
	p := launch(t, "--set", "geoip.file="+placesFile(t))
	file := filepath.Join(t.TempDir(), "sources.yaml")
	if err := os.WriteFile(file, []byte(sources), 0o600); err != nil {
		t.Fatal(err)
	}
	p.run("apply", "-f", file)
	send := func(key, agent, body string) answer {
		t.Helper()
		a, err := p.request(http.MethodPost, "/v1/events?wait=indexed", body, "X-Write-Key", key, "User-Agent", agent,
			"X-Forwarded-For", "198.51.100.66, 203.0.113.7", "Accept-Language", "nb-NO,en;q=0.5")
		if err != nil || a.status != http.StatusOK {
			t.Fatalf("%v: %d %s", err, a.status, a.body)
		}
		return a
	}
	send("web-key", safari, `{"type":"page-view","ids":{"user":"ann"},"session":"s1","context":{"page":{"url":"https://shop.example/?utm_source=news","referrer":"https://www.google.no/"}}}`)
	for filter, documents := range map[string]string{
		`event.context.ip == "203.0.113.0"`:                                                                                        "events",
		`"nb-NO" in event.context.languages && event.context.referrer.kind == "search"`:                                            "events",
		`event.context.geo.city == "Oslo" && event.context.utm.source == "news"`:                                                   "events",
		`session.device.model == "iPhone" && session.os.name == "iOS" && session.app.name == "Safari" && session.app.bot == false`: "sessions",
		`session.geo.country == "NO" && session.geo.timezone == "Europe/Oslo" && session.utm.source == "news"`:                     "sessions",
	} {
		if n := p.count(documents, filter); n != 1 {
			t.Errorf("%d %s with %s", n, documents, filter)
		}
	}
	for body, code := range map[string]string{
		`{"type":"login","ids":{"user":"ann"}}`:                                             "invalid",
		`{"type":"page-view","ids":{"user":"ann"},"context":{"userAgent":"Googlebot/2.1"}}`: "bot",
	} {
		if a := send("web-key", safari, body); a.results()[0]["status"] != "invalid" || at(a.results()[0], "error", "code") != code {
			t.Errorf("%s: %s", body, a.body)
		}
	}
}

// TestEphemeralSource holds that events of such a source change profiles and start
// flows, and can be neither queried nor found again after a rebuild.
func TestEphemeralSource(t *testing.T) {
	t.Parallel()
	p := launch(t)
	file := filepath.Join(t.TempDir(), "sources.yaml")
	if err := os.WriteFile(file, []byte(sources), 0o600); err != nil {
		t.Fatal(err)
	}
	p.run("apply", "-f", file)
	ask := func(wait string) answer {
		t.Helper()
		a, err := p.request(http.MethodPost, "/v1/events?wait="+wait, `{"type":"order-looked-up","ids":{"user":"ann"},"session":"s1"}`, "X-Write-Key", "passing-key")
		if err != nil || a.status != http.StatusOK {
			t.Fatalf("%v: %d %s", err, a.status, a.body)
		}
		return a
	}
	if a := ask("flows"); at(a.value, "response", "look-up", "seen") != true || a.results()[0]["session"] != nil {
		t.Errorf("%s", a.body)
	}
	ask("indexed")
	for _, when := range []string{"at once", "after a rebuild"} {
		if n := p.count("profiles", "profile.counters.lookups == 2 && profile.stats.visits == 0"); n != 1 {
			t.Errorf("%s %d profiles", when, n)
		}
		if events, sessions := p.count("events", "true"), p.count("sessions", "true"); events != 0 || sessions != 0 {
			t.Errorf("%s %d events and %d sessions", when, events, sessions)
		}
		p.run("store", "rebuild")
	}
}

func TestMissingPlacesFile(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "none.mmdb")
	cmd := exec.CommandContext(t.Context(), binary, "run", "--data", t.TempDir(), "--http", "127.0.0.1:0", "--set", "geoip.file="+missing)
	cmd.Env = environment()
	begun := time.Now()
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != 1 || time.Since(begun) > 20*time.Second {
		t.Errorf("%v after %s", err, time.Since(begun))
	}
	if text := string(out); !strings.Contains(text, "geoip.file: ") || !strings.Contains(text, missing) || strings.Count(text, "\n") != 1 {
		t.Errorf("it says %q", text)
	}
}
