package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What a page's code, its browser and what stands before the server do to the
// client: none of it costs an event, or another subscription, in silence.

// A page whose storage is full stays one browser and one visit, and what does
// not fit in is sent all the same; so is what waits from before.
func TestPageWhoseStorageIsFull(t *testing.T) {
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
	page.do(`(() => { for (let n = 1 << 22; n; n >>= 1) try { for (;;) localStorage['x' + Math.random()] = 'x'.repeat(n) } catch {} })()`)
	page.visit(shop.url)
	if again := page.do("t.anonymous() + t.session()"); again != who {
		t.Errorf("with its storage full the browser is %v, before %v", again, who)
	}
	ids = append(ids, page.adds("ann", 3)...)
	line.mend()
	p.tookEffect("ann", ids)
	page.becomes(20*time.Second, queued, 0)
	page.do("t.reset()")
	page.becomes(time.Second, "t.anonymous() == t.anonymous() && t.session() == t.session()", true)
	page.becomes(time.Second, "errors.length", 0)
}

// What a page asks for in error is told, and neither thrown into its code nor
// paid for by other events; nor is what its own callback throws.
func TestPageWithFaultsOfItsOwn(t *testing.T) {
	needsClients(t)
	t.Parallel()
	p := launch(t)
	p.apply(counting)
	line := lay(t, p)
	line.cut()
	page := browse(t).open(newSite(t, line.url, "delay: 1e9").url)
	ids := page.adds("ann", 3)
	page.do(`const circle = {}; circle.circle = circle
		t.track('add', circle, {id: 'circle'}); t.track('add', {n: 1n}, {id: 'big'}); t.track('add', {text: 'x'.repeat(2e6)}, {id: 'huge'})`)
	page.becomes(time.Second, "errors.map(e => e.code + e.event.id) + ''", "malformedcircle,malformedbig,too_largehuge")
	if n := page.do(queued); n != 3.0 {
		t.Errorf("%v events wait beside one that is too large, want 3", n)
	}
	line.mend()
	// By another name of the server it has a queue of its own.
	page.do(`onerror = () => true; t.flush(); thrower = new Tributary('` + strings.Replace(line.url, "127.0.0.1", "localhost", 1) + `', {key: 'dev', delay: 0, size: 3, onerror() { thrown = (window.thrown ?? 0) + 1; throw Error('page') }})
		thrower.track('add', circle); thrower.track('add', {n: 1}, {id: 'odd', ids: {shoe: 44}})
		for (const id of ['x', 'y', 'z']) thrower.track('add', {n: 1}, {id, ids: {user: 'ann'}})`)
	ids = append(ids, "x", "y", "z")
	page.becomes(20*time.Second, queued, 0)
	page.becomes(5*time.Second, "window.thrown", 2)
	p.tookEffect("ann", ids)
	page.do(`thrower.track('add', {n: 1, at: new Date(0), nothing: undefined, ['__proto__']: 7}, {id: 'date', ids: {user: 'bob'}})`)
	p.tookEffect("bob", []string{"date"})
	p.counts("events", `event.id == "date" && event.properties.at == "1970-01-01T00:00:00.000Z" && !has(event.properties.nothing)`, 1)
}

// A proxy that names a date to come back at, or a far one, is not hammered.
func TestPageIsToldToComeBackAtADate(t *testing.T) {
	needsClients(t)
	t.Parallel()
	for _, after := range []string{"Wed, 21 Oct 2065 07:28:00 GMT", "99999999999"} {
		var asked atomic.Int32
		front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			w.Header().Set("Access-Control-Allow-Origin", "*")
			w.Header().Set("Access-Control-Expose-Headers", "retry-after")
			w.Header().Set("Retry-After", after)
			w.WriteHeader(http.StatusServiceUnavailable)
		}))
		t.Cleanup(front.Close)
		page := browse(t).open(newSite(t, front.URL, "").url)
		page.adds("ann", 1)
		time.Sleep(3 * time.Second)
		if n := asked.Load(); n < 1 || n > 12 {
			t.Errorf("with Retry-After: %s the page asked %d times in 3 s", after, n)
		}
	}
}

// A proxy that takes less than the server, and lets no page read why, gets less
// at a time, until that passes.
func TestPageBehindASmallProxy(t *testing.T) {
	needsClients(t)
	t.Parallel()
	var mu sync.Mutex
	got := map[string]int{}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var events []struct{ ID string }
		if r.ContentLength > 4000 {
			w.WriteHeader(http.StatusRequestEntityTooLarge) // without CORS: no answer, to a page
			return
		}
		if err := json.NewDecoder(r.Body).Decode(&events); err != nil {
			t.Error(err)
		}
		var results []string
		mu.Lock()
		defer mu.Unlock()
		for _, e := range events {
			got[e.ID]++
			results = append(results, fmt.Sprintf(`{"id":%q,"status":"accepted"}`, e.ID))
		}
		w.Header().Set("Access-Control-Allow-Origin", "*")
		fmt.Fprintf(w, `{"accepted":%d,"results":[%s]}`, len(events), strings.Join(results, ","))
	}))
	t.Cleanup(front.Close)
	page := browse(t).open(newSite(t, front.URL, "").url)
	ids := page.adds("ann", 50)
	page.becomes(40*time.Second, queued, 0)
	mu.Lock()
	defer mu.Unlock()
	for _, id := range ids {
		if got[id] != 1 {
			t.Errorf("event %s passed %d times", id, got[id])
		}
	}
}

// What stands before the server may take each event but one: that one is given
// up and told where it is refused, and waits behind the others where its
// connection is cut.
func TestPageWithAnEventThatNobodyTakes(t *testing.T) {
	needsClients(t)
	t.Parallel()
	var mu sync.Mutex
	var cutting atomic.Bool
	cutting.Store(true)
	got, alone := map[string]int{}, 0
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var events []struct{ ID string }
		if err := json.NewDecoder(r.Body).Decode(&events); err != nil {
			t.Error(err)
		}
		var results []string
		refused := false
		mu.Lock()
		defer mu.Unlock()
		for _, e := range events {
			if e.ID == "cut" && cutting.Load() {
				panic(http.ErrAbortHandler)
			}
			refused = refused || e.ID == "refused"
			results = append(results, fmt.Sprintf(`{"id":%q,"status":"accepted"}`, e.ID))
		}
		w.Header().Set("Access-Control-Allow-Origin", "*")
		if refused {
			if len(events) == 1 {
				alone++
			}
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, "<html>firewall</html>")
			return
		}
		for _, e := range events {
			got[e.ID]++
		}
		fmt.Fprintf(w, `{"accepted":%d,"results":[%s]}`, len(events), strings.Join(results, ","))
	}))
	t.Cleanup(front.Close)
	page := browse(t).open(newSite(t, front.URL, "size: 8").url)
	page.do(`t.track('add', {}, {id: 'cut'})`)
	ids := page.adds("ann", 5)
	page.do(`t.track('add', {}, {id: 'refused'})`)
	ids = append(ids, page.adds("ann", 5)...)
	// A network that is found again makes the page try at once.
	page.do(`setInterval(() => dispatchEvent(new Event('online')), 100)`)
	page.becomes(60*time.Second, queued, 1)
	page.becomes(5*time.Second, "errors.filter(e => e.event).map(e => e.code + e.event.id) + ''", "403refused")
	ids = append(ids, page.adds("ann", 5)...)
	page.becomes(20*time.Second, queued, 1)
	cutting.Store(false)
	page.becomes(20*time.Second, queued, 0)
	mu.Lock()
	defer mu.Unlock()
	for _, id := range append(ids, "cut") {
		if got[id] != 1 {
			t.Errorf("event %s passed %d times", id, got[id])
		}
	}
	if alone != 5 {
		t.Errorf("the event that is refused was tried by itself %d times, want 5", alone)
	}
}

// What an onerror sends may fail, too: that is told to nobody, so that it does
// not go on for ever.
func TestPageWhoseOnerrorFails(t *testing.T) {
	needsClients(t)
	t.Parallel()
	url, _ := newPeer(t)
	page := browse(t).open(newSite(t, url, "delay: 1e9").url)
	page.do(`told = []; const circle = {}; circle.circle = circle
		failing = new Tributary('` + url + `', {key: 'dev', delay: 1e9, onerror(e) { told.push(e.code); failing.track('failed', circle); failing.track('failed', {text: 'x'.repeat(2e6)}) }})
		failing.track('add', circle)`)
	time.Sleep(300 * time.Millisecond)
	page.becomes(time.Second, "told + ''", "malformed")
	page.do(`failing.track('add', {n: 1n})`)
	page.becomes(time.Second, "told + ''", "malformed,malformed")
}

// A page that the browser keeps while its user looks at another goes on where
// it was when he comes back.
func TestPageComesBackFromTheBrowsersCache(t *testing.T) {
	needsClients(t)
	t.Parallel()
	url, visits := newPeer(t)
	shop := newSite(t, url, "token: 't', delay: 1e9")
	page := browse(t).open(shop.url)
	page.do(`addEventListener('pageshow', e => kept = e.persisted); t.subscribe('events', undefined, (data, push) => got.push(push.offset))`)
	v := next(t, visits)
	v.welcomes(1, `"events"`)
	v.says(`{"id":2,"subscribed":{"channel":"events","epoch":"e","offset":7}}`, `{"push":{"channel":"events","offset":9,"data":{}}}`)
	page.becomes(5*time.Second, "got + ''", "9")
	page.visit(strings.Replace(shop.url, "127.0.0.1", "other.example", 1))
	page.do("history.back()")
	eventually(t, 10*time.Second, "the page to be back", func() bool {
		_, err := page.evaluate("got")
		on, _ := page.evaluate("window.kept")
		return err == nil && on == true
	})
	v = next(t, visits)
	v.welcomes(3, `"recover":{"offset":9,"epoch":"e"}`)
	page.becomes(time.Second, "errors.length", 0)
}
