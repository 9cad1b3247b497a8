package gateway

import (
	"context"
	"errors"
	"net/http"
	"testing"
)

const redirectResources = testResources + `---
kind: redirect
id: mail
spec:
  source: shop
  url: 'https://shop.example/sale?from={{ payload.params.from }}'
  event: {type: link-clicked, ids: {email: payload.params.e}, properties: {from: payload.params.from, n: payload.body.n}}
---
kind: redirect
id: broken
spec: {source: shop, url: 'https://shop.example/', event: {type: '{{ payload.params.type }}'}}
---
kind: redirect
id: closed
spec: {source: old, url: 'https://shop.example/', event: {type: a}}
---
kind: redirect
id: elsewhere
spec: {source: web, url: 'https://shop.example/', event: {type: a}}
`

func TestRedirects(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Resources = fixedResources{setOf(t, redirectResources)} })
	f.server.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	sale := "https://shop.example/sale?from="
	for name, c := range map[string]struct {
		method, path, body string
		header             []string
		status             int
		location           string
		stored             string
	}{
		"a click":            {"GET", "/redirect/mail?from=a", "", nil, 302, sale + "a", `link-clicked   {"from":"a"} nobody`},
		"of somebody":        {"GET", "/redirect/mail?from=b&e=A%40b.example", "", nil, 302, sale + "b", `link-clicked  email=a@b.example {"from":"b"} `},
		"session in path":    {"GET", "/redirect/mail/s-1?from=c", "", []string{"Cookie", "tracardi-session-id=s-2"}, 302, sale + "c", `link-clicked s-1  {"from":"c"} `},
		"session in cookie":  {"GET", "/redirect/mail?from=d", "", []string{"Cookie", "a=b; tracardi-session-id=s-2"}, 302, sale + "d", `link-clicked s-2  {"from":"d"} `},
		"a form":             {"POST", "/redirect/mail?from=e", "n=7", []string{"Content-Type", "application/x-www-form-urlencoded"}, 303, sale + "e", `link-clicked   {"from":"e","n":"7"} nobody`},
		"JSON":               {"POST", "/redirect/mail?from=f", `{"n":7}`, nil, 303, sale + "f", `link-clicked   {"from":"f","n":7} nobody`},
		"a hostile value":    {"GET", "/redirect/mail?from=%0d%0aSet-Cookie:%20a%3Db", "", nil, 302, sale + "%0D%0ASet-Cookie%3A+a%3Db", `link-clicked   {"from":"\r\nSet-Cookie: a=b"} nobody`},
		"no event":           {"GET", "/redirect/broken", "", nil, 302, "https://shop.example/", ""},
		"a disabled source":  {"GET", "/redirect/closed", "", nil, 302, "https://shop.example/", ""},
		"of another page":    {"GET", "/redirect/elsewhere", "", []string{"Origin", "https://evil.example"}, 302, "https://shop.example/", ""},
		"HEAD is no click":   {"HEAD", "/redirect/mail?from=g", "", nil, 302, sale + "g", ""},
		"no such":            {"GET", "/redirect/nothing", "", nil, 404, "", ""},
		"no such, with HEAD": {"HEAD", "/redirect/nothing", "", nil, 404, "", ""},
		"another method":     {"DELETE", "/redirect/mail", "", nil, 405, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(f.commands(t))
			a := f.send(t, c.method, c.path, c.body, c.header...)
			if a.status != c.status || a.header.Get("Location") != c.location || a.header.Get("Set-Cookie") != "" {
				t.Errorf("%d %s %v, want %d %s", a.status, a.text, a.header, c.status, c.location)
			}
			commands := f.commands(t)
			if (len(commands) > before) != (c.stored != "") {
				t.Fatalf("%d events more", len(commands)-before)
			}
			if c.stored == "" {
				return
			}
			found := false
			for _, command := range commands {
				e := command.Event
				got := e.Type + " " + e.Session + " " + list(e.IDs) + " " + string(e.Properties) + " "
				if e.ProfileLess {
					got += "nobody"
				}
				found = found || got == c.stored && e.Source == "shop" && string(e.Context) == `{"redirect":{"id":"mail"}}`
			}
			if !found {
				t.Errorf("no event is %s", c.stored)
			}
		})
	}
}

// fullBus takes nothing.
type fullBus struct{ nullBus }

func (fullBus) Accepting() error { return errors.New("the disk is full") }

// Visitors go on and see their images also while no event can be taken in.
func TestVisitorsGoOnWhateverBecomesOfTheEvent(t *testing.T) {
	g, err := New(Options{Bus: fullBus{nullBus{16}}, Resources: fixedResources{setOf(t, redirectResources)}})
	if err != nil {
		t.Fatal(err)
	}
	look := func() (redirect, image *discard) {
		redirect, image = &discard{header: http.Header{}}, &discard{header: http.Header{}}
		for path, w := range map[string]*discard{"/redirect/mail?from=a": redirect, "/pixel.gif?writeKey=shop-key": image} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			g.Handler().ServeHTTP(w, r)
		}
		return redirect, image
	}
	check := func(when string) {
		redirect, image := look()
		if redirect.status != 302 || redirect.header.Get("Location") != "https://shop.example/sale?from=a" {
			t.Errorf("%s: %d %v", when, redirect.status, redirect.header)
		}
		if image.status != 503 || image.header.Get("Content-Type") != "image/gif" {
			t.Errorf("%s: %d %v", when, image.status, image.header)
		}
	}
	check("the disk is full")
	if err := g.Drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	check("shutting down")
}

var _ Bus = fullBus{}
