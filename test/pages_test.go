package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Events of the browser's client, from pages in a real browser: each arrives,
// and takes effect once, whatever happens to page, network and server.

// adds has the page track n events about a user and returns their ids.
func (p *tab) adds(user string, n int) []string {
	p.t.Helper()
	text := p.do(fmt.Sprintf(`JSON.stringify([...Array(%d)].map((_, i) => t.track('add', {n: 1, place: i}, {ids: {user: %q}})))`, n, user))
	var ids []string
	if err := json.Unmarshal(fmt.Append(nil, text), &ids); err != nil || len(ids) != n {
		p.t.Fatalf("tracked %v: %v", text, err)
	}
	return ids
}

// queued is a script that counts the events that wait in the browser.
const queued = `Object.keys(localStorage).filter(k => k.startsWith('tributary[') && k.includes(']q')).length`

// tookEffect waits until a user's profile has seen events, in any order, and
// holds it to each of them once.
func (p *product) tookEffect(user string, ids []string) {
	p.t.Helper()
	var seen []string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline) && len(seen) < len(ids); time.Sleep(20 * time.Millisecond) {
		list, _ := at(p.profile("user:"+user), "data", "seen").([]any)
		seen = seen[:0]
		for _, id := range list {
			seen = append(seen, fmt.Sprint(id))
		}
	}
	slices.Sort(seen)
	if want := slices.Sorted(slices.Values(ids)); !slices.Equal(seen, want) {
		p.t.Errorf("%s has the effects of %d events, want those of %d, once each:\n%v\n%v", user, len(seen), len(want), seen, want)
	}
	p.counts("events", fmt.Sprintf(`event.profile == %q && event.source != "system"`, at(p.profile("user:"+user), "id")), len(ids))
}

func TestPageSendsWhatHappenedOffline(t *testing.T) {
	needsClients(t)
	t.Parallel()
	p := launch(t)
	p.apply(counting)
	line := lay(t, p)
	page := browse(t).open(newSite(t, line.url, "").url)

	page.offline(true)
	page.becomes(5*time.Second, "navigator.onLine", false)
	ids := page.adds("ann", 120)
	time.Sleep(300 * time.Millisecond) // more than it takes to send them
	if n := page.do(queued); n != 120.0 {
		t.Errorf("%v events wait while the page is offline, want 120", n)
	}
	page.offline(false)
	page.becomes(20*time.Second, queued, 0)
	p.tookEffect("ann", ids)

	// The browser does not notice that the network behind it is gone.
	line.cut()
	ids = append(ids, page.adds("ann", 7)...)
	time.Sleep(300 * time.Millisecond)
	line.mend()
	page.becomes(30*time.Second, queued, 0)
	p.tookEffect("ann", ids)
	if order, want := fmt.Sprint(at(p.profile("user:ann"), "data", "seen")), fmt.Sprint(ids); order != want {
		t.Errorf("the events took effect as %s, want %s", order, want)
	}
	page.becomes(time.Second, "errors.length", 0)
}

func TestPageIsReloadedWithEventsThatWait(t *testing.T) {
	needsClients(t)
	t.Parallel()
	p := launch(t)
	p.apply(counting)
	line := lay(t, p)
	shop := newSite(t, line.url, "")
	page := browse(t).open(shop.url)

	line.cut()
	ids := page.adds("ann", 3)
	who := page.do("t.anonymous() + t.session()")
	page.visit(shop.url)
	if again := page.do("t.anonymous() + t.session()"); again != who {
		t.Errorf("after a reload %v, before %v", again, who)
	}
	if n := page.do(queued); n != 3.0 {
		t.Errorf("%v events wait after a reload, want 3", n)
	}
	line.mend()
	page.becomes(30*time.Second, queued, 0)
	p.tookEffect("ann", ids)
}

// What a page has queued when its user leaves goes along at once, and is sent
// again by the next page only as a repetition, if at all.
func TestPageEndsWithEventsThatWait(t *testing.T) {
	needsClients(t)
	t.Parallel()
	p := launch(t)
	p.apply(counting)
	shop := newSite(t, lay(t, p).url, "delay: 1e9")
	b := browse(t)
	page, other := b.open(shop.url), b.open("about:blank")
	ids := page.adds("ann", 4)
	page.close()
	p.tookEffect("ann", ids)

	other.visit(shop.url)
	other.becomes(20*time.Second, queued, 0)
	p.tookEffect("ann", ids)

	// The server would not know it any more.
	other.do(`t.track('add', {n: 1}, {id: 'lost', ids: {user: 'ann'}}); t.track('add', {n: 1}, {id: 'kept', ids: {user: 'ann'}})`)
	other.do(`for (const k of Object.keys(localStorage)) {
		if (k.includes(']q')) localStorage[k] = Date.now() - (localStorage[k].includes('lost') ? 24 : 22) * 36e5 + localStorage[k] }`)
	other.do("t.flush()")
	other.becomes(20*time.Second, queued, 0)
	p.tookEffect("ann", append(ids, "kept"))
}

func TestPagesShareWhatWaits(t *testing.T) {
	needsClients(t)
	t.Parallel()
	p := launch(t)
	p.apply(counting)
	line := lay(t, p)
	shop := newSite(t, line.url, "")
	b := browse(t)
	one, two := b.open(shop.url), b.open(shop.url)
	// Chromium tells a tab a moment later what another one stores.
	eventually(t, 20*time.Second, "two tabs to be one browser and one visit", func() bool {
		return one.do("t.anonymous() + t.session()") == two.do("t.anonymous() + t.session()")
	})
	// Both at once, with the network up and down.
	var ids []string
	for range 5 {
		ids = append(ids, one.adds("ann", 30)...)
		line.cut()
		ids = append(ids, two.adds("ann", 30)...)
		ids = append(ids, one.adds("ann", 30)...)
		line.mend()
		ids = append(ids, two.adds("ann", 30)...)
	}
	line.cut()
	ids = append(ids, two.adds("ann", 30)...)
	two.close() // the other one sends for it
	line.mend()
	one.becomes(60*time.Second, queued, 0)
	p.tookEffect("ann", ids)
	one.becomes(time.Second, "errors.length", 0)
}

// A page without HTTPS has neither crypto.randomUUID nor locks between tabs,
// and one in a frame without rights has no storage.
func TestPageOfAnOldOrigin(t *testing.T) {
	needsClients(t)
	t.Parallel()
	p := launch(t)
	p.apply(counting)
	shop := newSite(t, p.url, "")
	b := browse(t)
	plain := strings.Replace(shop.url, "127.0.0.1", "shop.example", 1)
	one, two := b.open(plain), b.open(plain)
	one.becomes(time.Second, "!crypto.randomUUID && !navigator.locks", true)
	ids := append(one.adds("ann", 60), two.adds("ann", 60)...)
	one.becomes(20*time.Second, queued, 0)
	p.tookEffect("ann", ids)

	framed := b.open(shop.url)
	framed.do(`new Promise(loaded => {
		const frame = document.createElement('iframe')
		frame.sandbox = 'allow-scripts'
		frame.srcdoc = '<script src="` + shop.url + `/tributary.js"></script><script>new Tributary("` + p.url + `", {key: "dev", delay: 0}).track("add", {n: 1}, {id: "framed", ids: {user: "bob"}})</script>'
		frame.onload = loaded
		document.body.append(frame)
	})`)
	p.tookEffect("bob", []string{"framed"})
}

func TestPageKeepsABoundedQueue(t *testing.T) {
	needsClients(t)
	t.Parallel()
	p := launch(t)
	p.apply(counting)
	line := lay(t, p)
	line.cut()
	page := browse(t).open(newSite(t, line.url, "room: 20000").url)
	ids := page.adds("ann", 100)
	held := page.do(`Object.keys(localStorage).filter(k => k.includes(']q')).reduce((n, k) => n + localStorage[k].length, 0)`).(float64)
	if held > 20_000 || held < 18_000 {
		t.Errorf("%v bytes wait, want nearly 20,000", held)
	}
	page.becomes(time.Second, "errors.every(e => e.code == 'dropped') && errors.length > 0", true)
	n := int(page.do(queued).(float64))
	line.mend()
	page.becomes(30*time.Second, queued, 0)
	p.tookEffect("ann", ids[len(ids)-n:]) // the newest
}

// A busy server is left alone as long as it asks for, an event that can never
// be taken in costs no other, and a key that is refused loses nothing.
func TestPageHeedsTheServer(t *testing.T) {
	needsClients(t)
	t.Parallel()
	p := launch(t)
	p.apply(counting)
	target, err := url.Parse(p.url)
	if err != nil {
		t.Fatal(err)
	}
	var until atomic.Int64 // Unix milliseconds
	var early, asked atomic.Int32
	through := httputil.NewSingleHostReverseProxy(target)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := time.Now().UnixMilli()
		if now < until.Load() {
			early.Add(1)
		}
		if n := asked.Add(1); n <= 2 {
			until.Store(now + 2000)
			w.Header().Set("Access-Control-Allow-Origin", "*")
			w.Header().Set("Access-Control-Expose-Headers", "retry-after")
			w.Header().Set("Retry-After", "2")
			if n == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			w.WriteHeader(http.StatusTooManyRequests)
			fmt.Fprint(w, `{"error":{"code":"too_many_requests","message":"source shop may send 500 events in 1s"}}`)
			return
		}
		through.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	b := browse(t)
	page := b.open(newSite(t, front.URL, "size: 10").url)
	ids := page.adds("ann", 30)
	page.do(`t.track('add', {n: 1, text: 'x'.repeat(40000)}, {id: 'large'}); t.track('add', {n: 1}, {id: 'odd', ids: {shoe: '44'}})`)
	page.becomes(20*time.Second, queued, 0)
	if n := early.Load(); n > 0 {
		t.Errorf("%d requests came before the time that the server asked for", n)
	}
	p.tookEffect("ann", ids)
	page.becomes(time.Second, "errors.map(e => e.code + (e.event?.id ?? '')) + ''", "503,too_many_requests,too_largelarge,unknown_kindodd")

	wrong := b.open(newSite(t, p.url, "key: 'nobody'").url)
	wrong.adds("ann", 2)
	wrong.becomes(10*time.Second, "errors[0]?.code", "unauthorized")
	if n := wrong.do(queued); n != 2.0 {
		t.Errorf("%v events wait for the right key, want 2", n)
	}
}

func TestPageIdentifiesAndForgets(t *testing.T) {
	needsClients(t)
	t.Parallel()
	p := launch(t)
	page := browse(t).open(newSite(t, p.url, "").url)
	page.do(`t.page({section: 'home'}); t.identify(17, {firstName: 'Ann'}); t.track('looked', {sku: 'a'}, {tags: ['x']})
		t.identify({email: 'ann@shop.example'}, {lastName: 'Lee'})`)
	first := page.do("t.anonymous()")
	page.do("t.reset(); t.track('looked', {sku: 'b'}); t.flush()")
	p.counts("events", `event.source != "system"`, 5)
	ann := p.profile("user:17")
	for path, want := range map[string]any{
		"traits.firstName": "Ann", "traits.lastName": "Lee", "identities.anonymous": []any{first}, "identities.email": []any{"ann@shop.example"},
	} {
		if got := at(ann, strings.Split(path, ".")...); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
	p.counts("events", fmt.Sprintf(`event.profile == %q && event.source != "system"`, ann["id"]), 4)
	p.counts("events", `event.type == "page-view" && event.properties.section == "home" && event.properties.title == "Shop" && event.context.page.title == "Shop"`, 1)
	if second := page.do("t.anonymous()"); second == first || p.profile(fmt.Sprint("anonymous:", second))["id"] == ann["id"] {
		t.Errorf("after reset the browser is still %v", second)
	}
	// A visit goes on for 30 minutes.
	page.do(`name = Object.keys(localStorage).find(k => k.endsWith('session')); ago = m => localStorage[name] = 's ' + (Date.now() - m * 6e4)`)
	page.becomes(time.Second, `ago(29), t.session()`, "s")
	page.becomes(time.Second, `+localStorage[name].split(' ')[1] > Date.now() - 6e4`, true)
	page.becomes(time.Second, `ago(31), t.session() != 's'`, true)
}

// reading is what a page needs to listen: the admin token, from a function.
func reading(t *testing.T, p *product) string {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(p.dir, "admin-token"))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("token: async () => (window.tokens = (window.tokens ?? 0) + 1, %q)", strings.TrimSpace(string(token)))
}

// A page listens and sends over one socket, and goes on by itself when the
// server was stopped and started.
func TestPageListensAndSendsOverOneSocket(t *testing.T) {
	needsClients(t)
	t.Parallel()
	p := launch(t)
	p.apply(counting)
	line := lay(t, p)
	page := browse(t).open(newSite(t, line.url, reading(t, p)).url)
	page.do(`end = t.subscribe('events', 'event.type == "add"', (event, {offset}) => got.push(event.id))`)
	page.becomes(10*time.Second, "window.tokens", 1)
	time.Sleep(500 * time.Millisecond) // it has subscribed
	ids := page.adds("ann", 5)
	page.becomes(10*time.Second, "got + ''", strings.Join(ids, ","))
	if n := line.connections(); n != 1 {
		t.Errorf("%d connections, want one for both", n)
	}
	p.stop()
	ids = append(ids, page.adds("ann", 5)...)
	p.start()
	page.becomes(30*time.Second, queued, 0)
	p.tookEffect("ann", ids)
	page.becomes(30*time.Second, "window.tokens > 1", true)
	// Who listens no more comes back for nothing.
	page.do("end()")
	line.staysQuiet(t, func() { line.cut(); line.mend() })
}

// After a code that says so a page does not come back.
func TestPageThatIsRefusedStaysAway(t *testing.T) {
	needsClients(t)
	t.Parallel()
	p := launch(t)
	line := lay(t, p)
	page := browse(t).open(newSite(t, line.url, "token: 'wrong'").url)
	page.do(`t.subscribe('events', '', e => got.push(e))`)
	page.becomes(10*time.Second, "errors.at(-1)?.code", 3500)
	line.staysQuiet(t, func() {})
}

// A connection that is cut again and again, under events, leaves no gap in
// what the page hears, and repeats nothing.
func TestPageResumesItsSubscription(t *testing.T) {
	needsClients(t)
	t.Parallel()
	p := launch(t)
	p.apply(counting)
	line := lay(t, p)
	page := browse(t).open(newSite(t, line.url, reading(t, p)).url)
	page.do(`t.subscribe('events', 'event.type == "add"', event => got.push(event.id))`)
	page.becomes(10*time.Second, "window.tokens", 1)
	time.Sleep(500 * time.Millisecond) // it has subscribed
	const n = 400
	var want []string
	for i := range n {
		id := fmt.Sprintf("e-%d", i)
		want = append(want, id)
		// One profile: its events have an order.
		eventually(t, 10*time.Second, id+" to be accepted", func() bool {
			a, err := p.post("/v1/events", fmt.Sprintf(`{"id":%q,"type":"add","ids":{"user":"ann"},"properties":{"n":1}}`, id))
			return err == nil && a.value["accepted"] == 1.0
		})
		switch i % 80 {
		case 20:
			line.cut()
		case 50:
			line.mend()
		case 79:
			page.becomes(60*time.Second, "got.length > "+fmt.Sprint(i-10), true)
		}
	}
	page.becomes(60*time.Second, "got.length", n)
	if got := page.do("got + ''"); got != strings.Join(want, ",") {
		t.Errorf("the page heard %v", got)
	}
	page.becomes(time.Second, "errors + ''", "")
}

// The example's page, opened as its README says, shows in every window what
// happens in one, and what happened while the server was away.
func TestPageOfTheLiveExample(t *testing.T) {
	needsClients(t)
	t.Parallel()
	p := launch(t)
	p.run("apply", "-f", "../configs/examples/live")
	line := lay(t, p)
	file, err := filepath.Abs("../configs/examples/live/index.html")
	if err != nil {
		t.Fatal(err)
	}
	token, err := os.ReadFile(filepath.Join(p.dir, "admin-token"))
	if err != nil {
		t.Fatal(err)
	}
	address := "file://" + file + "#server=" + line.url + "&token=" + strings.TrimSpace(string(token))
	b := browse(t)
	one := b.open(address)
	const shown = `[...document.querySelectorAll('#events b')].map(b => b.textContent) + ''`
	// Its own page-view may come before it listens.
	press := func(page *tab, name string) {
		page.do(`[...document.querySelectorAll('button')].find(b => b.textContent == '` + name + `').click()`)
	}
	eventually(t, 20*time.Second, "the page to hear itself", func() bool {
		press(one, "Look")
		time.Sleep(500 * time.Millisecond)
		return strings.Contains(fmt.Sprint(one.do(shown)), "page-view")
	})
	two := b.open(address)
	time.Sleep(time.Second)
	press(two, "Order")
	one.becomes(10*time.Second, `document.querySelector('#events b').textContent`, "order-completed")
	two.becomes(10*time.Second, `document.querySelector('#events b').textContent`, "order-completed")
	p.stop()
	press(one, "Add to cart")
	p.start()
	p.counts("events", `event.type == "added-to-cart"`, 1)
	one.becomes(60*time.Second, "("+shown+").split('added-to-cart').length", 2)
	one.becomes(time.Second, `document.querySelector('#problem').textContent`, "")
}

// The page about the browser is run, in one: its blocks in order, against a
// server that is where it says.
func TestPageOfTheDocs(t *testing.T) {
	needsClients(t)
	t.Parallel()
	p := launch(t)
	there := func(text string) string { return strings.ReplaceAll(text, "http://127.0.0.1:8080", p.url) }
	var html string
	var scripts []string
	for _, b := range blocks(t) {
		switch {
		case b.page != "docs/browser.md":
		case b.language == "html":
			html = there(b.text)
		case b.language == "js":
			scripts = append(scripts, there(b.text))
		}
	}
	if html == "" || len(scripts) < 3 {
		t.Fatalf("the page shows %q and %d scripts", html, len(scripts))
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(html))
	}))
	t.Cleanup(server.Close)
	page := browse(t).open(server.URL)
	for _, script := range scripts {
		page.do(script + "\n;tributary.flush()")
	}
	p.counts("events", `event.type == "page-view"`, 2)
	p.counts("events", `event.type == "added-to-cart" && event.properties.sku == "a-17"`, 1)
	p.counts("events", `event.id == "order-4711"`, 1)
	tells(t, "Ann", p.profile("user:17850"), map[string]any{"traits.firstName": "Ann", "traits.lastName": "Lee", "identities.email": []string{"ann@shop.example"}})
}
