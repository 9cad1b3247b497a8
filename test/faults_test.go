package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// refused waits until events are refused as they should be: 503 within a
// second, with a Retry-After, and /readyz agreeing.
func (p *product) refused() {
	p.t.Helper()
	eventually(p.t, 15*time.Second, "events to be refused", func() bool {
		begun := time.Now()
		a, err := p.post("/v1/events", `{"type":"probe","ids":{"user":"x"}}`)
		if err != nil {
			p.t.Fatal(err)
		}
		if took := time.Since(begun); took > time.Second {
			p.t.Errorf("the answer %d took %s", a.status, took)
		}
		if a.status != http.StatusServiceUnavailable {
			return false
		}
		if after, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || after < 1 {
			p.t.Errorf("Retry-After is %q", a.header.Get("Retry-After"))
		}
		return true
	})
	eventually(p.t, 5*time.Second, "/readyz to say so", func() bool {
		a, err := p.request(http.MethodGet, "/readyz", "")
		return err == nil && a.status == http.StatusServiceUnavailable
	})
}

// accepted waits until events are accepted again, without anybody's help.
func (p *product) accepted(within time.Duration) {
	p.t.Helper()
	n := 0
	eventually(p.t, within, "events to be accepted", func() bool {
		n++
		a, err := p.post("/v1/events", fmt.Sprintf(`{"id":"after-%d-%d","type":"other","ids":{"user":"y"}}`, time.Now().UnixNano(), n))
		return err == nil && a.status == http.StatusOK && a.results()[0]["status"] == "accepted"
	})
	eventually(p.t, 5*time.Second, "/readyz to say so", func() bool {
		a, err := p.request(http.MethodGet, "/readyz", "")
		return err == nil && a.status == http.StatusOK
	})
}

// adds sends events of one user and returns how many were accepted.
func (p *product) adds(name string, events int) (accepted int) {
	p.t.Helper()
	for i := range events {
		if err := p.sendHTTP(fmt.Sprintf(`{"id":"%s-%d","type":"add","ids":{"user":"u"},"properties":{"n":1}}`, name, i)); err != nil {
			p.t.Fatal(err)
		}
	}
	return events
}

func TestTheBrokerStops(t *testing.T) {
	t.Parallel()
	b := launchBroker(t)
	p := launch(t, "--set", "bus.urls="+b.url())
	p.apply(counting)
	sent := p.adds("before", 50)
	for range 2 {
		b.kill()
		p.refused()
		b.start()
		p.accepted(20 * time.Second)
	}
	sent += p.adds("after", 50)
	p.counts("profiles", fmt.Sprintf(`"u" in profile.identities.user && profile.counters.events == %d`, sent), 1)
	p.counts("events", `event.type == "add"`, sent)
}

// The disk fills up, first below the reserve and then to the last byte.
func TestTheDiskIsFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=200m"); err != nil {
		t.Fatalf("mount a small disk (this test needs to be root): %v", err)
	}
	p := &product{t: t, dir: dir, args: []string{"--set", "bus.disk_reserve=40MB", "--set", "bus.ingest_max_bytes=64MB"}}
	t.Cleanup(func() {
		if p.done != nil {
			_ = p.cmd.Process.Kill()
			<-p.done
		}
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	p.start()
	p.apply(counting)
	sent := p.adds("before", 50)
	for round, leave := range []int64{20 << 20, 0} {
		filler := filepath.Join(dir, "filler")
		fill(t, filler, dir, leave)
		p.refused()
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		p.accepted(90 * time.Second)
		sent += p.adds(fmt.Sprint("after-", round), 50)
	}
	p.counts("profiles", fmt.Sprintf(`"u" in profile.identities.user && profile.counters.events == %d`, sent), 1)
	p.counts("events", `event.type == "add"`, sent)
}

// fill writes a file until so many bytes are free.
func fill(t *testing.T, path, dir string, leave int64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	chunk := make([]byte, 1<<20)
	for {
		var s syscall.Statfs_t
		if err := syscall.Statfs(dir, &s); err != nil {
			t.Fatal(err)
		}
		free := int64(s.Bavail) * s.Bsize
		if free <= leave {
			return
		}
		if _, err := f.Write(chunk[:min(int64(len(chunk)), free-leave)]); err != nil {
			return // full
		}
	}
}

// The query store breaks: events are taken in and folded all the same, queries
// say why they cannot be answered, and when the store is whole again so is
// what it holds.
func TestTheStoreBreaks(t *testing.T) {
	t.Parallel()
	p := launch(t)
	p.apply(counting)
	sent := p.adds("before", 50)
	p.counts("events", `event.type == "add"`, sent)

	file := filepath.Join(p.dir, "store.db")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(file + suffix); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	sent += p.adds("during", 50)
	eventually(t, 20*time.Second, "queries to be refused", func() bool {
		a := p.api(http.MethodPost, "/api/v1/events/count", `{"filter":"true"}`)
		return a.status == http.StatusServiceUnavailable && strings.Contains(string(a.body), "error")
	})
	a, err := p.request(http.MethodGet, "/readyz", "")
	if err != nil || a.status != http.StatusOK || !strings.Contains(string(a.body), "store") {
		t.Errorf("/readyz: %d %s, %v", a.status, a.body, err)
	}
	eventually(t, 10*time.Second, "all events to be folded while the store is broken", func() bool {
		events, _ := at(p.profile("user:u"), "counters", "events").(float64)
		return int(events) == sent
	})

	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	p.counts("events", `event.type == "add"`, sent)
	p.counts("profiles", fmt.Sprintf(`profile.counters.events == %d`, sent), 1)
}

// The broker is gone when the operator stops the product: it stops all the
// same, and what was accepted is there when both are back.
func TestStoppingWithoutTheBroker(t *testing.T) {
	t.Parallel()
	b := launchBroker(t)
	p := launch(t, "--set", "bus.urls="+b.url())
	p.apply(counting)
	sent := p.adds("before", 50)
	b.kill()
	p.stop()
	b.start()
	p.start()
	sent += p.adds("after", 50)
	p.counts("profiles", fmt.Sprintf("profile.counters.events == %d", sent), 1)
}
