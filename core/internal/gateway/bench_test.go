package gateway

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// typicalEvent is what a web shop sends: 400 bytes.
func typicalEvent(n int) string {
	return fmt.Sprintf(`{"id":"01890a5d-ac96-774b-bcce-%012d","type":"order-completed","time":"2026-03-01T12:00:00.123Z","session":"s-%d","ids":{"user":"%d"},"properties":{"order":"A-%d","total":129.9,"currency":"EUR","items":[{"sku":"4711","name":"Red mug","quantity":2,"price":9.95},{"sku":"4712","name":"Blue plate","quantity":1,"price":110}],"coupon":"SPRING"},"context":{"ip":"203.0.113.9","page":{"url":"https://shop.example/checkout"}}}`, n, n, 10000+n, n)
}

func BenchmarkParseEncode(b *testing.B) {
	limits := Limits{}.withDefaults()
	r := newRules(testSet(b))
	body := []byte(typicalEvent(1))
	now := time.Now()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		in := newBatch(now, &limits)
		if err := in.parseNative(body, r, &limits); err != nil || in.events[0].problem != nil {
			b.Fatal(err, in.events[0].problem)
		}
		in.name(shopSource)
		for i := range in.events {
			e := &in.events[i]
			in.commit.put(e, &record.Command{Kind: record.KindEvent, ID: e.id, Received: in.received, Event: &e.Event})
		}
		in.release()
	}
}

func BenchmarkParseEncode100(b *testing.B) {
	limits := Limits{}.withDefaults()
	r := newRules(testSet(b))
	var list []string
	for i := range 100 {
		list = append(list, typicalEvent(i))
	}
	body := []byte("[" + strings.Join(list, ",") + "]")
	now := time.Now()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		in := newBatch(now, &limits)
		if err := in.parseNative(body, r, &limits); err != nil || len(in.events) != 100 {
			b.Fatal(err)
		}
		in.name(shopSource)
		for i := range in.events {
			e := &in.events[i]
			e.partition = i % 16
			in.commit.put(e, &record.Command{Kind: record.KindEvent, ID: e.id, Received: in.received, Event: &e.Event})
		}
		in.release()
	}
	b.ReportMetric(float64(b.N*100)/b.Elapsed().Seconds(), "events/s")
}

// nullBus takes everything at once and knows nobody.
type nullBus struct{ partitions int }

func (nullBus) Accepting() error                          { return nil }
func (nullBus) Append(context.Context, []bus.Entry) error { return nil }
func (n nullBus) Partitions() int                         { return n.partitions }
func (n nullBus) Partition(profile string) int {
	return int(xxhash.Sum64String(profile) % uint64(n.partitions))
}
func (nullBus) IdentityKey(kind, value string) bus.IdentityKey {
	return bus.IdentityKey(kind + "." + value)
}
func (nullBus) DerivedProfile(kind, value string, _ uint64) string {
	return uuid.NewSHA1(uuid.Nil, []byte(kind+value)).String()
}
func (nullBus) GetDocument(context.Context, string) ([]byte, uint64, error) {
	return nil, 0, bus.ErrNotFound
}
func (nullBus) GetIdentities(_ context.Context, keys []bus.IdentityKey) ([]bus.StoredIdentity, error) {
	return make([]bus.StoredIdentity, len(keys)), nil
}
func (nullBus) Replies(func(string, []byte)) (string, func(), error) { return "", func() {}, nil }

// discard is a ResponseWriter that keeps the status.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkHandler is what a request costs beside net/http and the bus.
func BenchmarkHandler(b *testing.B) {
	g, err := New(Options{Bus: nullBus{16}, Resources: fixedResources{testSet(b)}})
	if err != nil {
		b.Fatal(err)
	}
	body := []byte(typicalEvent(1))
	reader := bytes.NewReader(body)
	w := &discard{header: http.Header{}}
	r := httptest.NewRequest(http.MethodPost, "/v1/events", reader)
	r.Header.Set("Authorization", "Bearer shop-key")
	h := g.Handler()
	b.ReportAllocs()
	for b.Loop() {
		reader.Reset(body)
		clear(w.header)
		if h.ServeHTTP(w, r); w.status != 200 {
			b.Fatal(w.status)
		}
	}
}

// BenchmarkServer compares with a bare handler over the network.
func BenchmarkServer(b *testing.B) {
	g, err := New(Options{Bus: nullBus{16}, Resources: fixedResources{testSet(b)}})
	if err != nil {
		b.Fatal(err)
	}
	bare := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	})
	for name, h := range map[string]http.Handler{"bare": bare, "gateway": g.Handler()} {
		b.Run(name, func(b *testing.B) {
			server := httptest.NewServer(h)
			defer server.Close()
			body := typicalEvent(1)
			request := fmt.Sprintf("POST /v1/events HTTP/1.1\r\nHost: x\r\nX-Write-Key: shop-key\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			b.RunParallel(func(pb *testing.PB) {
				conn, err := net.Dial("tcp", server.Listener.Addr().String())
				if err != nil {
					b.Error(err)
					return
				}
				defer func() { _ = conn.Close() }()
				in := bufio.NewReader(conn)
				for pb.Next() {
					if _, err := io.WriteString(conn, request); err != nil {
						b.Error(err)
						return
					}
					response, err := http.ReadResponse(in, nil)
					if err != nil || response.StatusCode != http.StatusOK {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, response.Body)
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
		})
	}
}
