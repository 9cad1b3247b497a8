package gateway

import (
	"crypto/tls"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/config"
)

func networks(t testing.TB, list ...string) []netip.Prefix {
	t.Helper()
	h := config.HTTP{TrustedProxies: list}
	found, err := h.Proxies()
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// FuzzClient holds that whatever a client writes in front of what the nearest
// proxy says is never believed.
func FuzzClient(f *testing.F) {
	f.Add("198.51.100.1, 10.0.0.1", false)
	f.Add(`for="[2001:db8::1]:80`, true)
	f.Add(`for=203.0.113.7;host="events.shop.example";proto=https, for=10.0.0.2`, true)
	f.Add("2001:db8::7, unknown, _hidden", false)
	f.Add("events.shop.example:8443", false)
	f.Add("\",;=[]", true)
	found := networks(f, "10.0.0.0/8")
	f.Fuzz(func(t *testing.T, written string, rfc bool) {
		p, name, own := Proxies{Networks: found, Header: "x-forwarded-for"}, "X-Forwarded-For", "203.0.113.7"
		if rfc {
			p.Header, name, own = "forwarded", "Forwarded", "for=203.0.113.7"
		}
		for _, lines := range [][]string{{written + ", " + own}, {written, own}} {
			r := &http.Request{RemoteAddr: "10.0.0.1:1", Header: http.Header{name: lines}}
			if got := p.client(r); got.String() != "203.0.113.7" {
				t.Errorf("%q: %s", lines, got)
			}
		}
		p.client(&http.Request{RemoteAddr: "10.0.0.1:1", Header: http.Header{name: {written}}})
		named := &http.Request{RemoteAddr: "203.0.113.7:1", Host: "here.example", Header: http.Header{name: {written}, "X-Forwarded-Host": {written}, "X-Forwarded-Proto": {written}}}
		if host, scheme := p.askedFor(named); host != "here.example" || scheme != "http" {
			t.Errorf("a stranger that writes %q names this server %s://%s", written, scheme, host)
		}
		named.RemoteAddr = "10.0.0.1:1"
		if host, scheme := p.askedFor(named); host == "" || strings.Contains(host, ",") || scheme != "http" && scheme != "https" {
			t.Errorf("%q names this server %s://%s", written, scheme, host)
		}
	})
}

func TestClientBehindProxies(t *testing.T) {
	trusted := Proxies{Networks: networks(t, "10.0.0.0/8", "127.0.0.1", "2001:db8:ffff::/48"), Header: "x-forwarded-for"}
	rfc := Proxies{Networks: trusted.Networks, Header: "forwarded"}
	nobody := Proxies{Header: "x-forwarded-for"}
	for name, c := range map[string]struct {
		proxies Proxies
		peer    string
		headers []string
		want    string
	}{
		"no proxy":                      {trusted, "203.0.113.7:1000", nil, "203.0.113.7"},
		"a stranger pretends":           {trusted, "203.0.113.7:1000", []string{"X-Forwarded-For", "198.51.100.1"}, "203.0.113.7"},
		"nobody is trusted":             {nobody, "10.0.0.1:1000", []string{"X-Forwarded-For", "198.51.100.1"}, "10.0.0.1"},
		"a proxy":                       {trusted, "10.0.0.1:1000", []string{"X-Forwarded-For", "203.0.113.7"}, "203.0.113.7"},
		"two proxies":                   {trusted, "10.0.0.1:1000", []string{"X-Forwarded-For", "203.0.113.7, 10.0.0.2"}, "203.0.113.7"},
		"written before the proxy":      {trusted, "10.0.0.1:1000", []string{"X-Forwarded-For", "198.51.100.1, 203.0.113.7"}, "203.0.113.7"},
		"written as a proxy":            {trusted, "10.0.0.1:1000", []string{"X-Forwarded-For", "198.51.100.1, 10.9.9.9, 203.0.113.7"}, "203.0.113.7"},
		"a second line":                 {trusted, "10.0.0.1:1000", []string{"X-Forwarded-For", "198.51.100.1", "X-Forwarded-For", "203.0.113.7"}, "203.0.113.7"},
		"only proxies":                  {trusted, "10.0.0.1:1000", []string{"X-Forwarded-For", "10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		"a proxy that says nothing":     {trusted, "10.0.0.1:1000", nil, "10.0.0.1"},
		"the other header":              {trusted, "10.0.0.1:1000", []string{"Forwarded", "for=198.51.100.1"}, "10.0.0.1"},
		"the other header as well":      {trusted, "10.0.0.1:1000", []string{"Forwarded", "for=198.51.100.1", "X-Forwarded-For", "203.0.113.7"}, "203.0.113.7"},
		"a port":                        {trusted, "10.0.0.1:1000", []string{"X-Forwarded-For", "203.0.113.7:51234"}, "203.0.113.7"},
		"IPv6":                          {trusted, "[2001:db8:ffff::1]:1000", []string{"X-Forwarded-For", "2001:db8::7"}, "2001:db8::7"},
		"IPv6 and a port":               {trusted, "[2001:db8:ffff::1]:1000", []string{"X-Forwarded-For", "[2001:db8::7]:443"}, "2001:db8::7"},
		"IPv6 in brackets":              {trusted, "[::1]:1000", []string{"X-Forwarded-For", "[2001:db8::7]"}, "::1"},
		"IPv4 as IPv6":                  {trusted, "[::ffff:10.0.0.1]:1000", []string{"X-Forwarded-For", "::ffff:203.0.113.7"}, "203.0.113.7"},
		"a zone":                        {trusted, "10.0.0.1:1000", []string{"X-Forwarded-For", "fe80::1%eth0"}, "fe80::1"},
		"unknown":                       {trusted, "10.0.0.1:1000", []string{"X-Forwarded-For", "198.51.100.1, unknown"}, ""},
		"nonsense":                      {trusted, "10.0.0.1:1000", []string{"X-Forwarded-For", "198.51.100.1, <script>"}, ""},
		"empty":                         {trusted, "10.0.0.1:1000", []string{"X-Forwarded-For", ""}, ""},
		"a comma at the end":            {trusted, "10.0.0.1:1000", []string{"X-Forwarded-For", "203.0.113.7,"}, ""},
		"nonsense beyond the client":    {trusted, "10.0.0.1:1000", []string{"X-Forwarded-For", "<script>, 203.0.113.7"}, "203.0.113.7"},
		"more proxies than there are":   {trusted, "10.0.0.1:1000", []string{"X-Forwarded-For", "203.0.113.7" + strings.Repeat(", 10.0.0.2", 40)}, ""},
		"RFC 7239":                      {rfc, "10.0.0.1:1000", []string{"Forwarded", "for=203.0.113.7;proto=https;by=10.0.0.1"}, "203.0.113.7"},
		"RFC 7239, IPv6":                {rfc, "10.0.0.1:1000", []string{"Forwarded", `proto=https; For="[2001:db8::7]:4711"`}, "2001:db8::7"},
		"RFC 7239, two":                 {rfc, "10.0.0.1:1000", []string{"Forwarded", `for=198.51.100.1, for=203.0.113.7, for=10.0.0.2`}, "203.0.113.7"},
		"RFC 7239, hidden":              {rfc, "10.0.0.1:1000", []string{"Forwarded", `for=198.51.100.1, for=_hidden`}, ""},
		"RFC 7239, no for":              {rfc, "10.0.0.1:1000", []string{"Forwarded", `for=198.51.100.1, proto=https`}, ""},
		"RFC 7239, a quote left open":   {rfc, "10.0.0.1:1000", []string{"Forwarded", `for="203.0.113.7`}, ""},
		"RFC 7239, not X-Forwarded-For": {rfc, "10.0.0.1:1000", []string{"X-Forwarded-For", `198.51.100.1`}, "10.0.0.1"},
		"no peer":                       {trusted, "@", nil, ""},
	} {
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{}}
		for i := 0; i < len(c.headers); i += 2 {
			r.Header.Add(c.headers[i], c.headers[i+1])
		}
		got := c.proxies.client(r)
		if text := got.String(); got.IsValid() && text != c.want || !got.IsValid() && c.want != "" {
			t.Errorf("%s: %s, want %q", name, text, c.want)
		}
	}
}

// TestNameBehindProxies holds that only a trusted proxy is believed, in its own
// header, about how a client named this server.
func TestNameBehindProxies(t *testing.T) {
	trusted := Proxies{Networks: networks(t, "10.0.0.0/8"), Header: "x-forwarded-for"}
	rfc := Proxies{Networks: trusted.Networks, Header: "forwarded"}
	const proxy, stranger = "10.0.0.1:1000", "203.0.113.7:1000"
	told := []string{"X-Forwarded-Host", "events.shop.example", "X-Forwarded-Proto", "https"}
	standard := []string{"Forwarded", `for=203.0.113.7;host="events.shop.example";Proto=HTTPS`}
	for name, c := range map[string]struct {
		proxies Proxies
		peer    string
		tls     bool
		headers []string
		want    string
	}{
		"no proxy":                  {trusted, stranger, false, nil, "http://here.example"},
		"TLS":                       {trusted, stranger, true, nil, "https://here.example"},
		"a proxy":                   {trusted, proxy, false, told, "https://events.shop.example"},
		"a proxy that says nothing": {trusted, proxy, true, nil, "https://here.example"},
		"http before TLS":           {trusted, proxy, true, []string{"X-Forwarded-Proto", "http"}, "http://here.example"},
		"several proxies":           {trusted, proxy, false, []string{"X-Forwarded-Host", "a.example, b.example", "X-Forwarded-Proto", "https,http"}, "https://a.example"},
		"another scheme":            {trusted, proxy, false, []string{"X-Forwarded-Proto", "wss"}, "http://here.example"},
		"a stranger pretends":       {trusted, stranger, false, told, "http://here.example"},
		"nobody is trusted":         {Proxies{}, proxy, false, told, "http://here.example"},
		"no peer":                   {trusted, "@", false, told, "http://here.example"},
		"the other header":          {trusted, proxy, false, standard, "http://here.example"},
		"RFC 7239":                  {rfc, proxy, false, standard, "https://events.shop.example"},
		"RFC 7239, the other":       {rfc, proxy, false, told, "http://here.example"},
		"RFC 7239, a stranger":      {rfc, stranger, false, standard, "http://here.example"},
		"RFC 7239, several":         {rfc, proxy, false, []string{"Forwarded", "host=a.example, host=b.example;proto=https"}, "http://a.example"},
		"RFC 7239, an open quote":   {rfc, proxy, false, []string{"Forwarded", `host="a.example;proto=https`}, "https://here.example"},
	} {
		r := &http.Request{RemoteAddr: c.peer, Host: "here.example", Header: http.Header{}}
		for i := 0; i < len(c.headers); i += 2 {
			r.Header.Set(c.headers[i], c.headers[i+1])
		}
		if c.tls {
			r.TLS = &tls.ConnectionState{}
		}
		if host, scheme := c.proxies.askedFor(r); scheme+"://"+host != c.want {
			t.Errorf("%s: %s://%s, want %s", name, scheme, host, c.want)
		}
	}
}

// TestSettingsBelieveTrustedProxiesAlone holds that nobody else decides where the
// settings tell clients to send to.
func TestSettingsBelieveTrustedProxiesAlone(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Proxies = Proxies{Networks: networks(t, "10.0.0.0/8")} })
	a := f.send(t, "GET", "/v1/projects/shop-key/settings", "", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil.example")
	if a.status != 200 || strings.Contains(a.text, "evil.example") || !strings.Contains(a.text, `"protocol":"http"`) {
		t.Errorf("%d %s", a.status, a.text)
	}
}
