package gateway

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/live"
)

// What stands around events in a request: how its body is packed, its headers, its
// path and its query. Events themselves are those of fuzz_test.go.

// FuzzBody holds that a packed body is inflated whole, within its bound, or refused,
// and that nothing of it stays in the books.
func FuzzBody(f *testing.F) {
	for _, text := range []string{typicalEvent(1), nodeBatch, strings.Repeat(typicalEvent(2), 20)} {
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		_, _ = w.Write([]byte(text))
		_ = w.Close()
		packer, err := zstd.NewWriter(nil)
		if err != nil {
			f.Fatal(err)
		}
		for encoding, body := range map[string][]byte{"gzip": z.Bytes(), "zstd": packer.EncodeAll([]byte(text), nil), "": []byte(text)} {
			f.Add(body, encoding)
			f.Add(body[:len(body)/2], encoding)
			f.Add(slices.Concat(body, body), encoding)
		}
		_ = packer.Close()
	}
	f.Add([]byte("\x28\xb5\x2f\xfd\x00\xa8"), "zstd")
	f.Add([]byte("x"), "br")
	g, err := New(Options{Bus: nullBus{16}, Resources: fixedResources{testSet(f)}, Limits: Limits{Request: 16 << 10, Inflated: 64 << 10}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte, encoding string) {
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.Header.Set("Content-Encoding", encoding)
		l := lease{budget: &g.bodies}
		got, refused := g.readBody(r, nil, &l)
		l.end()
		switch {
		case g.bodies.used.Load() != 0:
			t.Fatalf("%d bytes stay in use", g.bodies.used.Load())
		case refused != nil && (refused.status < 400 || refused.message == ""):
			t.Fatalf("refused with %+v", refused)
		case refused == nil && len(got) > g.limits.Inflated:
			t.Fatalf("%d bytes are taken", len(got))
		case refused == nil && encoding == "" && !bytes.Equal(got, body):
			t.Fatalf("%q is read as %q", body, got)
		}
	})
}

// FuzzCloudEventHeaders is the binary mode of CloudEvents, whose attributes are
// headers.
func FuzzCloudEventHeaders(f *testing.F) {
	f.Add("1.0", "A-1", "/shop/orders", "com.example.order.completed", "userid", "17850", "application/json", []byte(`{"total":12.5}`))
	f.Add("1.0", "536808d3", "/apis/v1/namespaces/default/pingsources/ping", "dev.knative.sources.ping", "knativearrivaltime", "2026-03-01T12:00:00.5Z", "application/json; charset=utf-8", []byte(`{"message":"hi"}`))
	f.Add("1.0", "b3a7", "https://shop.example/topics/a", "Microsoft.Storage.BlobCreated", "subject", "%C3%A9t%C3%A9 %22", "text/plain", []byte("\xff\x00"))
	f.Add("0.3", "", " ", "", "Traceparent", "%zz\x00", "/", []byte(`{`))
	f.Fuzz(func(t *testing.T, version, id, source, kind, name, value, media string, body []byte) {
		r := bodyOf(string(body))
		for header, text := range map[string]string{"Specversion": version, "Id": id, "Source": source, "Type": kind, name: value} {
			r.Header.Set("Ce-"+header, text)
		}
		r.Header.Set("Content-Type", media)
		checkDialect(t, cloudEvents{}, r)
	})
}

// FuzzWebhookQuery is a webhook whose payload is its query.
func FuzzWebhookQuery(f *testing.F) {
	f.Add("order=A-1&status=paid&items[0][sku]=4711&items[0][qty]=2", "s-1", "msg_2Lh9KRb0pzN4LePd3XiA4v12Axj")
	f.Add("a.b=1&a[c][]=2&=&a=%ff&a=3", "\xff", strings.Repeat("x", 300))
	f.Fuzz(func(t *testing.T, query, session, delivery string) {
		r := bodyOf("")
		r.URL.RawQuery = query
		r.query, _ = url.ParseQuery(query)
		r.SetPathValue("type", "paid")
		r.SetPathValue("session", session)
		r.Header.Set("Webhook-Id", delivery)
		checkDialect(t, webhook{}, r)
	})
}

// FuzzCookie is a click with a browser's cookies.
func FuzzCookie(f *testing.F) {
	f.Add("a=b; tracardi-session-id=s-2")
	f.Add("_ga=GA1.2.1234567890.1700000000; ajs_anonymous_id=%22b7%22; tracardi-session-id=8d6a9f4e-0f43-4f0b-9a57-5f8d2c1b7e11")
	f.Add(`tracardi-session-id="s 2"; tracardi-session-id=`)
	f.Fuzz(func(t *testing.T, cookies string) {
		r := bodyOf("")
		r.SetPathValue("id", "mail")
		r.Header.Set("Cookie", cookies)
		checkDialect(t, redirection{}, r)
	})
}

// FuzzKey holds that a source is found by nothing but its key, and that a stream is
// opened with nothing but what was sent as its token.
func FuzzKey(f *testing.F) {
	for _, authorization := range []string{"Basic c2hvcC1rZXk6", "basic c2hvcC1rZXk", "Bearer shop-key", "Bearer shop-key:x", "Bearer", "Basic =", "Digest username=\"x\"",
		"Bearer eyJhbGciOiJIUzI1NiJ9.eyJjaGFubmVscyI6WyJldmVudHMiXX0.c2lnbmF0dXJl"} {
		f.Add(authorization, "", "")
		f.Add(authorization, "second-key", "shop-key")
	}
	f.Fuzz(func(t *testing.T, authorization, key, token string) {
		h := http.Header{"Authorization": {authorization}, "X-Write-Key": {key}}
		named := headerKey(h)
		if source, refused := fuzzRules(t).sourceOf(named); refused == nil {
			plain, _, _ := strings.Cut(named, ":")
			if !slices.Contains(source.Keys, plain) || source.Disabled {
				t.Errorf("%q finds %s", named, source.ID)
			}
		}
		switch got, refused := readerToken(h, token); {
		case refused != nil && token == "" && named == "" && refused.status == 401:
		case refused != nil && (token == "" || refused.status != 400):
			t.Errorf("%q and %q are refused with %+v", authorization, token, refused)
		case refused == nil && token != "" && got != token, refused == nil && token == "" && got != named:
			t.Errorf("%q and %q open a stream as %q", authorization, token, got)
		}
	})
}

// FuzzLastEventID holds that a place in a stream is read as it is written, or
// refused.
func FuzzLastEventID(f *testing.F) {
	for _, id := range []string{"3k9f-13", "0", "3k9f-0", "", "-1", "3k9f-18446744073709551615", "a-b-7", "3k9f", strings.Repeat("x", 300) + "-1"} {
		f.Add(id, "")
		f.Add("", id)
	}
	f.Fuzz(func(t *testing.T, header, query string) {
		from, refused := lastEventID(header, query)
		switch {
		case refused != nil && refused.status != 400, refused == nil && from == nil && header+query != "":
			t.Errorf("%q and %q: %+v, %+v", header, query, from, refused)
		case from == nil || refused != nil:
		case from.Offset > 0 && from.Epoch == "" || len(from.Epoch) > maxEpoch:
			t.Errorf("%q and %q: %+v", header, query, from)
		default:
			// What the server would write for that place leads back to it.
			start := startEvent("events", live.Start{Position: *from}, true)
			line, _, _ := strings.Cut(strings.TrimPrefix(string(start), "event: subscribed\nid: "), "\ndata: ")
			if again, refused := lastEventID(line, ""); refused != nil || *again != *from {
				t.Errorf("%q and %q are %+v, and %q is %+v, %+v", header, query, from, line, again, refused)
			}
		}
	})
}

// FuzzPath holds that a path leads to its route or nowhere, and that variables are
// never empty.
func FuzzPath(f *testing.F) {
	for _, path := range []string{"/v1/events", "/collect/paid/hook/s-1", "/redirect/mail", "/v1/projects/shop-key%3A1/settings", "/api/s/s2s/track", "/sse/profile:0197", "/collect/a%2Fb/%C3%A9t%C3%A9", "//", "/%", "/redirect//"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil {
			return
		}
		r := &http.Request{URL: u}
		one := routes.find(r)
		if one == nil {
			return
		}
		if r.Pattern != one.pattern || len(one.methods) == 0 {
			t.Errorf("%q leads to %q as %q", path, one.pattern, r.Pattern)
		}
		for _, segment := range one.segments {
			if segment[0] == '{' && r.PathValue(segment[1:len(segment)-1]) == "" {
				t.Errorf("%q: %s is empty", path, segment)
			}
		}
	})
}

// FuzzPreflight holds that what a page asks for is answered in names of headers
// alone.
func FuzzPreflight(f *testing.F) {
	f.Add("authorization,content-type,x-retry-count")
	f.Add("X-Enable-Debug, x-ip-policy,bad\r\nheader,é")
	f.Fuzz(func(t *testing.T, asked string) {
		if got := allowed(asked); strings.Trim(got, "abcdefghijklmnopqrstuvwxyz0123456789-_, ") != "" || len(got) > len(allowedHeaders)+2*maxAsked {
			t.Errorf("%q is answered %q", asked, got)
		}
	})
}

// FuzzScreen holds that what is added about a sender leaves a context valid and
// what the client said in it, and that nobody's address stays whole where it is to
// be cut.
func FuzzScreen(f *testing.F) {
	for _, context := range []string{``, `{}`, `{"page":{"url":"https://shop.example/"},"ip":"198.51.100.23"}`, `{"\u0069p":"198.51.100.23","userAgent":null}`, `{"ip":["198.51.100.23"],"a":"\\\""}`} {
		f.Add(context, firefox, "de-DE,en;q=0.5", true)
		f.Add(context, "Mozilla/5.0 (\xff\")", "\"", false)
	}
	address := netip.MustParseAddr("203.0.113.7")
	f.Fuzz(func(t *testing.T, context, agent, languages string, drop bool) {
		context = strings.TrimSpace(context) // as a dialect takes a value out of its body
		before := map[string]any{}
		if context != "" && (json.Unmarshal([]byte(context), &before) != nil || before == nil || !strings.HasPrefix(context, "{")) {
			return
		}
		source := &config.Source{ID: "shop", IP: config.IPTruncate, Bots: config.BotsMark}
		if drop {
			source.IP = config.IPDrop
		}
		limits := testLimits
		b := newBatch(testNow, &limits)
		b.sender = sender{address: address, agent: agent, languages: languages, personal: true}
		e := b.add()
		e.Type, e.Context = "x", []byte(context)
		b.screen(source)
		after := map[string]any{}
		if len(e.Context) > 0 && json.Unmarshal(e.Context, &after) != nil {
			t.Fatalf("%q becomes %q", context, e.Context)
		}
		for name := range before {
			if _, there := after[name]; !there && name != "ip" {
				t.Errorf("%q becomes %q", context, e.Context)
			}
		}
		ip, there := after["ip"]
		text, _ := ip.(string)
		if there && (drop || text == "203.0.113.7" || !strings.HasSuffix(text, ".0") && !strings.HasSuffix(text, "::")) {
			t.Errorf("%q becomes %q", context, e.Context)
		}
	})
}
