package config

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// file writes a configuration file and returns its path.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tributary.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaults(t *testing.T) {
	c := Default()
	want := Config{
		HTTP:       HTTP{Addr: "127.0.0.1:8080", TrustedProxies: []string{"127.0.0.0/8", "::1/128"}, ForwardedHeader: "x-forwarded-for"},
		Durability: "fsync",
		Bus:        Bus{Listen: "127.0.0.1:0", Replicas: 1, EventsMaxAge: Duration(30 * 24 * time.Hour)},
		Plugins:    Plugins{Memory: 512 << 20},
		Store:      Store{Elasticsearch: Elasticsearch{Prefix: "tributary", Shards: 1, Replicas: 1, Timeout: Duration(30 * time.Second)}},
		Limits: Limits{
			Event: 32 << 10, Request: 500 << 10, Inflated: 5 << 20, Events: 1000, Nesting: 64,
		},
		Log: Log{Level: "info", Format: "text"},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	c.Data = "here"
	if got := c.StorePath(); got != filepath.Join("here", "store.db") {
		t.Errorf("store in %s", got)
	}
	if !c.Loopback() {
		t.Error("the defaults listen on more than loopback")
	}
}

func TestLoadOrder(t *testing.T) {
	path := file(t, `
http: {addr: "127.0.0.1:1", admin: "127.0.0.1:2"}
bus.urls: ["nats://${USER_NAME}@a:4222", nats://b:4222]
limits:
  event: 64KB
  events: 50
log:
plugins.share_credentials: true
store: {retention: {events: 2w}}
`)
	c, err := Load(path, []string{
		"HOME=/root", "USER_NAME=ada", "TRIBUTARY_HTTP_ADDR=127.0.0.1:3", "TRIBUTARY_LIMITS_EVENTS=60",
		"TRIBUTARY_BUS_EVENTS_MAX_AGE=1d12h", "TRIBUTARY_SERVER=http://x", "TRIBUTARY_SERVICE_HOST=10.0.0.1", "TRIBUTARY_PORT=tcp://10.0.0.1:80",
	}, []string{"limits.events=70", "http.addr=127.0.0.1:4", "limits.events=80", "log.level=debug"})
	if err != nil {
		t.Fatal(err)
	}
	for _, check := range []struct{ name, got, want string }{
		{"set over env over file", c.HTTP.Addr, "127.0.0.1:4"},
		{"file over default", c.HTTP.Admin, "127.0.0.1:2"},
		{"list", strings.Join(c.Bus.URLs, " "), "nats://ada@a:4222 nats://b:4222"},
		{"size", c.Limits.Event.String(), "64KB"},
		{"last set wins", fmt.Sprint(c.Limits.Events), "80"},
		{"duration in env", c.Bus.EventsMaxAge.String(), "36h0m0s"},
		{"weeks", c.Store.Retention.Events.String(), "14d"},
		{"set alone", c.Log.Level, "debug"},
		{"default", c.Log.Format, "text"},
		{"a switch", fmt.Sprint(c.Plugins.ShareCredentials), "true"},
	} {
		if check.got != check.want {
			t.Errorf("%s: got %s, want %s", check.name, check.got, check.want)
		}
	}
	if c, err = Load("", nil, []string{"bus.urls=nats://a, nats://b"}); err != nil || strings.Join(c.Bus.URLs, "|") != "nats://a|nats://b" {
		t.Errorf("a list in set: %v, %v", c.Bus.URLs, err)
	}
}

func TestLoadNamesWhatIsWrong(t *testing.T) {
	for _, test := range []struct {
		name, file string
		env, set   []string
		want       string
	}{
		{name: "unknown key", file: "http:\n  adr: x\n", want: `FILE:2: http.adr: unknown setting; did you mean "http.addr"?`},
		{name: "unknown section", file: "\nhtpp: {addr: x}\n", want: "FILE:2: htpp: unknown setting; want one of data, http.addr"},
		{name: "unknown below", file: "http: {port: 80}\n", want: "FILE:1: http.port: unknown setting; want one of http.addr, http.admin, http.tls.cert, http.tls.key, http.trusted_proxies, http.forwarded_header"},
		{name: "twice", file: "data: a\ndata: b\n", want: `FILE:2: field "data" is written twice, first on line 1; remove one of them`},
		{name: "twice in two ways", file: "http: {addr: a}\nhttp.addr: b\n", want: "FILE:2: http.addr: is set twice, first on line 1; remove one of them"},
		{name: "syntax", file: "a: b: c\n", want: "FILE:1: not YAML: mapping values are not allowed in this context"},
		{name: "two documents", file: "data: a\n---\ndata: b\n", want: "FILE:3: a second document; a configuration is one document"},
		{name: "a list", file: "- a\n", want: "FILE:1: want an object of settings, got an array"},
		{name: "object for a value", file: "data: {a: b}\n", want: "FILE:1: data: want a value, got an object"},
		{name: "list for a value", file: "data: [a]\n", want: "FILE:1: data: want a value, got a list"},
		{name: "a number", file: "limits.events: many\n", want: `FILE:1: limits.events: "many" is not a whole number`},
		{name: "a size", file: "limits.event: 32 KiB\n", want: `FILE:1: limits.event: "32 KiB" is not a size; want a number of bytes, such as 500, 32KB, 1MB or 2GB`},
		{name: "a huge size", set: []string{"limits.event=99999999999TB"}, want: `--set limits.event: "99999999999TB" is not a size; want a number of bytes, such as 500, 32KB, 1MB or 2GB`},
		{name: "a duration", file: "bus.events_max_age: 30\n", want: `FILE:1: bus.events_max_age: "30" is not a duration: want a number with a unit, such as "90s", "15m", "1h30m", "7d" or "2w"`},
		{name: "a negative duration", file: "bus.events_max_age: -1d\n", want: `FILE:1: bus.events_max_age: "-1d" is negative; want a span of time, such as 30d`},
		{name: "too little", file: "bus.events_max_age: 1m\n", want: "FILE:1: bus.events_max_age: 1m is too little; want at least 1h"},
		{name: "out of range", env: []string{"TRIBUTARY_LIMITS_EVENTS=0"}, want: "TRIBUTARY_LIMITS_EVENTS: limits.events: 0 is out of range; want 1 to 100000"},
		{name: "choice", set: []string{"durability=disk"}, want: `--set durability: unknown value "disk"; want one of fsync, process`},
		{name: "unknown set", set: []string{"htp.addr=x"}, want: `--set htp.addr: unknown setting; did you mean "http.addr"?`},
		{name: "no value", set: []string{"data"}, want: "--set data: want key=value, such as --set http.addr=127.0.0.1:8080"},
		{name: "unknown variable", env: []string{"TRIBUTARY_HTTP_ADRR=x"}, want: `TRIBUTARY_HTTP_ADRR: unknown setting; did you mean "TRIBUTARY_HTTP_ADDR"?`},
		{name: "reference", file: "data: ${NOWHERE}\n", want: `FILE:1: data: the environment has no variable "NOWHERE", which ${NOWHERE} stands for`},
		{name: "reference in a list", file: "bus.urls: [a, '${NOWHERE}']\n", want: `FILE:1: bus.urls: the environment has no variable "NOWHERE", which ${NOWHERE} stands for`},
		{name: "empty element", set: []string{"bus.urls=a,,b"}, want: "--set bus.urls: element 2 of the list is empty"},
		{name: "secret file", file: "admin.token: file:/nowhere\n", want: "FILE:1: admin.token: open /nowhere: no such file or directory"},
		{name: "address", set: []string{"http.addr=8080"}, want: `--set http.addr: "8080" is not an address: host and port cannot be told apart; want host:port, such as 127.0.0.1:8080`},
		{name: "port", set: []string{"bus.listen=a:b"}, want: `--set bus.listen: "a:b" is not an address: "b" is no port; want host:port, such as 127.0.0.1:8080`},
		{name: "half a certificate", file: "http.tls.cert: a.pem\n", want: "http.tls.key: missing; a certificate needs its key"},
		{name: "limits", set: []string{"limits.inflated=100KB"}, want: "--set limits.inflated: 100KB is less than limits.request, which is 500KB"},
		{name: "replicas", set: []string{"bus.replicas=3"}, want: "--set bus.replicas: the embedded NATS is one server; want 1, or set bus.urls"},
		{name: "a switch", file: "plugins.share_credentials: yes\n", want: `FILE:1: plugins.share_credentials: unknown value "yes"; want one of true, false`},
		{name: "signing key of no server", set: []string{"bus.signing_key=SA"}, want: "--set bus.signing_key: is for an external NATS; set bus.urls too"},
		{name: "signing key without creds", set: []string{"bus.signing_key=SA", "bus.urls=nats://a"}, want: "--set bus.signing_key: needs bus.creds, whose user tells the account"},
		{name: "creds", set: []string{"bus.creds=a"}, want: "--set bus.creds: is for an external NATS; set bus.urls too"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := ""
			if test.file != "" {
				path = file(t, test.file)
			}
			_, err := Load(path, test.env, test.set)
			if err == nil {
				t.Fatal("accepted")
			}
			got := err.Error()
			if path != "" {
				got = strings.ReplaceAll(got, path, "FILE")
			}
			if strings.HasSuffix(test.want, "http.addr") {
				got = got[:min(len(got), len(test.want))]
			}
			if got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
	if _, err := Load("/nowhere.yaml", nil, nil); err == nil || err.Error() != "read configuration: open /nowhere.yaml: no such file or directory" {
		t.Errorf("a missing file: %v", err)
	}
}

func TestLoadTellsAllAtOnce(t *testing.T) {
	_, err := Load(file(t, "dat: a\n"), []string{"TRIBUTARY_NONSENSE_OF_ALL=1"}, []string{"limits.events=x"})
	if p := problemsOf(err); len(p) != 3 {
		t.Errorf("got %d problems, want 3: %v", len(p), err)
	}
}

func TestSecretsStayHidden(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load("", nil, []string{"admin.token=file:" + token, "auth.jwt.keys=file:" + token + ", hunter2 too"})
	if err != nil || string(c.Admin.Token) != "hunter2" || len(c.Auth.JWT.Keys) != 2 || string(c.Auth.JWT.Keys[0]) != "hunter2" {
		t.Fatalf("the token is %q: %v", string(c.Admin.Token), err)
	}
	var logged strings.Builder
	for _, handler := range []slog.Handler{slog.NewTextHandler(&logged, nil), slog.NewJSONHandler(&logged, nil)} {
		slog.New(handler).Info("started", "config", c, "token", c.Admin.Token)
	}
	fmt.Fprintf(&logged, "%v %+v %#v %s", c, c, c, c.Admin.Token)
	if strings.Contains(logged.String(), "hunter2") {
		t.Errorf("the token is shown:\n%s", logged.String())
	}
	if !strings.Contains(logged.String(), "(secret)") {
		t.Errorf("nothing says that there is a token:\n%s", logged.String())
	}
}

func TestKeysURL(t *testing.T) {
	for u, good := range map[string]bool{
		"https://issuer.example/jwks.json": true, "http://127.0.0.1:8081/keys": true, "http://localhost/keys": true, "http://[::1]:1/k": true,
		"http://issuer.example/jwks.json": false, "ftp://x/y": false, "jwks.json": false, "https://": false, "https://u:p@x/": false,
	} {
		if _, err := Load("", nil, []string{"auth.jwt.jwks_url=" + u}); (err == nil) != good {
			t.Errorf("%s: %v", u, err)
		}
	}
}

func TestLoopback(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:80": true, "127.9.9.9:80": true, "[::1]:80": true, "localhost:80": true, "[::ffff:127.0.0.1]:80": true,
		":80": false, "0.0.0.0:80": false, "[::]:80": false, "192.168.0.1:80": false, "shop.example:80": false,
	} {
		c := Default()
		if c.HTTP.Addr = addr; c.Loopback() != want {
			t.Errorf("%s: loopback %v", addr, !want)
		}
		c = Default()
		if c.HTTP.Admin = addr; c.Loopback() != want {
			t.Errorf("admin on %s: loopback %v", addr, !want)
		}
	}
}

// Every setting can be written as its reference says.
func TestSettingsAreComplete(t *testing.T) {
	variables := map[string]string{}
	for _, s := range allSettings {
		if s.doc == "" {
			t.Errorf("%s has no documentation", s.key)
		}
		if other, ok := variables[s.env()]; ok {
			t.Errorf("%s and %s share the variable %s", s.key, other, s.env())
		}
		if variables[s.env()] = s.key; foreignVariable(s.env()) {
			t.Errorf("%s is never read: its variable is taken for a foreign one", s.key)
		}
		if _, most := s.bounds(); most < 1 {
			t.Errorf("%s has no values", s.key)
		}
	}
	if len(variables) < 20 {
		t.Errorf("only %d settings", len(variables))
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte("http: {addr: ':1'}\nbus.urls: [a]\nlimits: {event: 1KB}\nlog:\n"), "limits.events=5")
	f.Add([]byte(`{"data": "${HOME}"}`), "admin.token=file:")
	f.Add([]byte("- x"), "=")
	f.Fuzz(func(t *testing.T, text []byte, set string) {
		if len(text) > 1<<16 || strings.Contains(set, "file:") || strings.Contains(string(text), "file:") {
			return
		}
		s := &settings{env: map[string]string{"HOME": "/root"}}
		s.file("f.yaml", text)
		if _, err := load(s); err != nil && len(problemsOf(err)) == 0 {
			t.Fatalf("an error that says nothing: %#v", err)
		}
		if _, err := Load("", nil, []string{set}); err != nil && len(problemsOf(err)) == 0 {
			t.Fatalf("an error that says nothing: %#v", err)
		}
	})
}
