package gateway

import (
	"strings"
	"testing"
)

func TestWebhooks(t *testing.T) {
	form := "application/x-www-form-urlencoded"
	multipart := "--x\r\nContent-Disposition: form-data; name=\"a.b\"\r\n\r\n1\r\n--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"g.png\"\r\n\r\n\x89PNG\r\n--x--\r\n"
	for name, c := range map[string]struct {
		method, path, body, media string
		properties                string
	}{
		"JSON":                  {"POST", "/collect/paid/shop-key", `{"a": {"b": 1}}`, "application/json", `{"a":{"b":1}}`},
		"JSON sent as text":     {"POST", "/collect/paid/shop-key", `{"a":1}`, "text/plain", `{"a":1}`},
		"JSON sent as a form":   {"POST", "/collect/paid/shop-key", `{"a":1}`, form, `{"a":1}`},
		"a list":                {"POST", "/collect/paid/shop-key", `[1, 2]`, "application/json", `{"data":[1,2]}`},
		"no JSON":               {"POST", "/collect/paid/shop-key", `{"a":1`, "application/json", `{"data":"{\"a\":1"}`},
		"names twice":           {"POST", "/collect/paid/shop-key", `{"a":1,"a":2}`, "application/json", `{"data":"{\"a\":1,\"a\":2}"}`},
		"text":                  {"POST", "/collect/paid/shop-key", "hello", "text/plain", `{"data":"hello"}`},
		"bytes":                 {"POST", "/collect/paid/shop-key", "\xff\x00", "", `{"data_base64":"/wA="}`},
		"a form":                {"POST", "/collect/paid/shop-key", "a.b=1&a[c]=2&d=x+y", form + "; charset=UTF-8", `{"a":{"b":"1","c":"2"},"d":"x y"}`},
		"a form with files":     {"POST", "/collect/paid/shop-key", multipart, "multipart/form-data; boundary=x", `{"a":{"b":"1"},"f":"g.png"}`},
		"a query":               {"GET", "/collect/paid/shop-key?a.b=1&c=2&c=3", "", "", `{"a":{"b":"1"},"c":["2","3"]}`},
		"a query with POST":     {"POST", "/collect/paid/shop-key?a=1", "", "", `{"a":"1"}`},
		"a body beside a query": {"POST", "/collect/paid/shop-key?a=1", `{"b":2}`, "", `{"b":2}`},
		"nothing":               {"GET", "/collect/paid/shop-key", "", "", ""},
		"a keyless source":      {"GET", "/collect/paid/hook?a=1", "", "", `{"a":"1"}`},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, nil)
			a := f.send(t, c.method, c.path, c.body, "Content-Type", c.media, "Authorization", "Bearer of-the-service", "Webhook-Id", "msg-1")
			if a.status != 200 || a.text != `{"accepted":1,"results":[{"id":"msg-1","status":"accepted"}]}` {
				t.Fatalf("%d %s", a.status, a.text)
			}
			command := f.command(t)
			e := command.Event
			if e.Type != "paid" || string(e.Properties) != c.properties || !e.ProfileLess || command.Profile != "" {
				t.Errorf("%+v of %s, about %q, want the properties %s", e, e.Properties, command.Profile, c.properties)
			}
		})
	}
}

func TestWebhookRequests(t *testing.T) {
	f := newFixture(t, nil)
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		contains           string
	}{
		"no such source": {"POST", "/collect/paid/nobody", "{}", 401, codeUnauthorized},
		"id is no key":   {"POST", "/collect/paid/shop", "{}", 401, codeUnauthorized},
		"disabled":       {"GET", "/collect/paid/old-key", "", 401, codeUnauthorized},
		"long type":      {"POST", "/collect/" + strings.Repeat("x", 129) + "/shop-key", "{}", 400, "type: 129 characters"},
		"control":        {"POST", "/collect/a%0Ab/shop-key", "{}", 400, "control characters"},
		"not UTF-8":      {"POST", "/collect/%FF/shop-key", "{}", 400, "want UTF-8"},
		"long session":   {"POST", "/collect/paid/shop-key/" + strings.Repeat("x", 257), "{}", 400, "session: want"},
		"too large":      {"POST", "/collect/paid/shop-key", `{"a":"` + strings.Repeat("x", 33<<10) + `"}`, 400, codeTooLarge},
		"too deep":       {"POST", "/collect/paid/shop-key", `{"a":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, 400, codeTooDeep},
		"HEAD":           {"HEAD", "/collect/paid/shop-key", "", 200, ""},
		"PUT":            {"PUT", "/collect/paid/shop-key", "{}", 405, "GET, HEAD, OPTIONS, POST"},
	} {
		t.Run(name, func(t *testing.T) {
			if a := f.send(t, c.method, c.path, c.body); a.status != c.status || !strings.Contains(a.text, c.contains) {
				t.Errorf("%d %s, want %d %s", a.status, a.text, c.status, c.contains)
			}
		})
	}
	if n := len(f.commands(t)); n != 0 {
		t.Errorf("%d events are stored, want none", n)
	}
}

// A webhook is about somebody where its path has a session or an identification
// finds somebody in it.
func TestWhomAWebhookIsAbout(t *testing.T) {
	f := newFixture(t, nil)
	for path, body := range map[string]string{
		"/collect/a/shop-key/s-1":      `{}`,
		"/collect/b/shop-key":          `{"card":"12-34"}`,
		"/collect/identify/shop-key":   `{"email":"A@b.example"}`,
		"/collect/%C3%A9!/shop-key":    `{}`,
		"/collect/a%2Fb/shop-key/s%3A": `{}`,
	} {
		if a := f.send(t, "POST", path, body); a.status != 200 {
			t.Errorf("%s: %d %s", path, a.status, a.text)
		}
	}
	want := map[string]string{"a": "s-1 ", "b": " card=1234", "identify": ` email=a@b.example`, "é!": " ", "a/b": "s: "}
	for _, c := range f.commands(t) {
		e := c.Event
		if got := e.Session + " " + list(e.IDs); got != want[e.Type] || (c.Profile == "") != (e.Type == "é!") {
			t.Errorf("%s is about %q, profile %q, want %q", e.Type, got, c.Profile, want[e.Type])
		}
		delete(want, e.Type)
	}
	if len(want) > 0 {
		t.Errorf("not stored: %v", want)
	}
}

func TestPixel(t *testing.T) {
	f := newFixture(t, nil)
	for name, c := range map[string]struct {
		method, query string
		status        int
		stored        string
	}{
		"everything": {"GET", "writeKey=shop-key&type=email-opened&id=everything&session=s&ids.user=17850&time=2026-02-01&campaign=spring&properties[n]=1&tags=mail&utm.source=x", 200,
			`email-opened s user=17850 {"campaign":"spring","n":"1","utm":{"source":"x"}} [mail]`},
		"little":       {"GET", "writeKey=shop-key&id=little", 200, `pixel-view    []`},
		"no key":       {"GET", "id=no", 401, ""},
		"unknown kind": {"GET", "writeKey=shop-key&ids.fax=1", 400, ""},
		"HEAD":         {"HEAD", "writeKey=shop-key", 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(f.commands(t))
			a := f.send(t, c.method, "/pixel.gif?"+c.query, "")
			if a.status != c.status || a.header.Get("Content-Type") != "image/gif" || c.method == "GET" && !strings.HasPrefix(a.text, "GIF89a") || !strings.Contains(a.header.Get("Cache-Control"), "no-store") {
				t.Errorf("%d %q %v", a.status, a.text, a.header)
			}
			stored := false
			for _, command := range f.commands(t) {
				e := command.Event
				if e.ID != name {
					continue
				}
				stored = true
				got := strings.Join([]string{e.Type, e.Session, list(e.IDs), string(e.Properties), "[" + strings.Join(e.Tags, " ") + "]"}, " ")
				if got != c.stored || e.ProfileLess != (name == "little") {
					t.Errorf("%s, want %s", got, c.stored)
				}
			}
			if stored != (c.stored != "") || c.stored == "" && len(f.commands(t)) != before {
				t.Errorf("stored: %v", stored)
			}
		})
	}
}
