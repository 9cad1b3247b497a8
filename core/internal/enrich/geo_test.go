package enrich

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// city and country are the forms of MaxMind's databases.
var (
	city = map[string]mmdbtype.Map{
		"81.2.69.0/24": {
			"country":      mmdbtype.Map{"iso_code": mmdbtype.String("GB"), "names": mmdbtype.Map{"en": mmdbtype.String("United Kingdom")}},
			"subdivisions": mmdbtype.Slice{mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String("England")}}, mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String("West Berkshire")}}},
			"city":         mmdbtype.Map{"names": mmdbtype.Map{"de": mmdbtype.String("London!"), "en": mmdbtype.String("London")}},
			"location":     mmdbtype.Map{"latitude": mmdbtype.Float64(51.5142), "longitude": mmdbtype.Float64(-0.0931), "time_zone": mmdbtype.String("Europe/London"), "accuracy_radius": mmdbtype.Uint16(10)},
		},
		"2001:db8::/32": {"country": mmdbtype.Map{"iso_code": mmdbtype.String("NO")}},
		"192.0.2.0/24":  {"country": mmdbtype.String("not an object")},
	}
	moved = map[string]mmdbtype.Map{"81.2.69.0/24": {"country": mmdbtype.Map{"iso_code": mmdbtype.String("FR")}}}
)

// write makes a database at a path, under another name first.
func write(t testing.TB, path string, networks map[string]mmdbtype.Map) {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "GeoLite2-City", RecordSize: 24, IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	for network, value := range networks {
		_, n, err := net.ParseCIDR(network)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(n, value); err != nil {
			t.Fatal(err)
		}
	}
	var text bytes.Buffer
	if _, err := tree.WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// A clock is a time that a test moves on.
type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(0, c.ns.Load()) }

func openPlaces(t testing.TB, networks map[string]mmdbtype.Map) *Places {
	t.Helper()
	path := filepath.Join(t.TempDir(), "city.mmdb")
	write(t, path, networks)
	places, err := OpenPlaces(path, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return places
}

const london = `"geo":{"country":"GB","region":"England","city":"London","timezone":"Europe/London","lat":51.5142,"lon":-0.0931}`

func TestPlaces(t *testing.T) {
	e := New(openPlaces(t, city))
	for name, c := range map[string]struct{ context, keep, want string }{
		"a city":               {`{"ip":"81.2.69.160"}`, "keep", `{"ip":"81.2.69.160",` + london + `}`},
		"written as IPv6":      {`{"ip":"::ffff:81.2.69.160"}`, "keep", `{"ip":"::ffff:81.2.69.160",` + london + `}`},
		"a country":            {`{"ip":"2001:db8::1"}`, "keep", `{"ip":"2001:db8::1","geo":{"country":"NO"}}`},
		"then truncated":       {`{"ip":"81.2.69.160"}`, "truncate", `{"ip":"81.2.69.0",` + london + `}`},
		"then dropped":         {`{"ip":"81.2.69.160"}`, "drop", `{` + london + `}`},
		"the client's own":     {`{"ip":"81.2.69.160","geo":{"city":"Rome"}}`, "keep", `{"ip":"81.2.69.160","geo":{"city":"Rome"}}`},
		"an unknown address":   {`{"ip":"198.51.100.1"}`, "keep", `{"ip":"198.51.100.1"}`},
		"no address":           {`{"ip":"81.2.69"}`, "keep", `{"ip":"81.2.69"}`},
		"an entry that is odd": {`{"ip":"192.0.2.1"}`, "keep", `{"ip":"192.0.2.1"}`},
	} {
		for range 2 { // from the file, from the cache
			event := record.Event{Context: []byte(c.context)}
			if e.Event(&event, &config.Source{IP: c.keep}); string(event.Context) != c.want {
				t.Errorf("%s:\n got %s\nwant %s", name, event.Context, c.want)
			}
			valid(t, string(event.Context))
		}
	}
}

func TestPlacesThatCannotBeOpened(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.mmdb")
	if err := os.WriteFile(broken, []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none.mmdb"): "no such file",
		broken:                          "is no GeoIP database in MaxMind's format",
		dir:                             "is no file",
	} {
		_, err := OpenPlaces(path, slog.New(slog.DiscardHandler), time.Now)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) || !strings.HasPrefix(err.Error(), "geoip.file: ") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestPlacesFollowTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "city.mmdb")
	write(t, path, city)
	var clock clock
	var log bytes.Buffer
	places, err := OpenPlaces(path, slog.New(slog.NewTextHandler(&log, nil)), clock.now)
	if err != nil {
		t.Fatal(err)
	}
	e := New(places)
	country := func(want string) {
		t.Helper()
		event := record.Event{Context: []byte(`{"ip":"81.2.69.160"}`)}
		if e.Event(&event, nil); !strings.Contains(string(event.Context), `"country":"`+want+`"`) {
			t.Errorf("%s, want the country %s; log:\n%s", event.Context, want, log.String())
		}
	}
	country("GB")
	write(t, path, moved)
	country("GB") // it is not looked at that often
	clock.ns.Add(int64(lookEvery))
	country("FR")

	// Written over in place, and half of it: the old one stays.
	if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	clock.ns.Add(int64(lookEvery))
	country("FR")
	clock.ns.Add(int64(lookEvery))
	country("FR")
	if n := strings.Count(log.String(), "cannot be read"); n != 1 {
		t.Errorf("the broken file is told %d times:\n%s", n, log.String())
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	clock.ns.Add(int64(lookEvery))
	country("FR")
	write(t, path, city)
	clock.ns.Add(int64(lookEvery))
	country("GB")
}

func TestPlacesWhileTheFileChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "city.mmdb")
	write(t, path, city)
	var clock clock
	places, err := OpenPlaces(path, slog.New(slog.NewTextHandler(io.Discard, nil)), clock.now)
	if err != nil {
		t.Fatal(err)
	}
	e := New(places)
	var group sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				event := record.Event{Context: []byte(`{"ip":"81.2.69.160"}`)}
				if e.Event(&event, nil); !strings.Contains(string(event.Context), `"country"`) {
					t.Errorf("%s", event.Context)
				}
				clock.ns.Add(int64(lookEvery) / 100)
			}
		})
	}
	for i := range 20 {
		write(t, path, []map[string]mmdbtype.Map{moved, city}[i%2])
		time.Sleep(time.Millisecond)
	}
	close(stop)
	group.Wait()
}

// FuzzPlaces holds that a file which is no database, or a broken one, is refused or
// tells valid places, whatever is asked.
func FuzzPlaces(f *testing.F) {
	path := filepath.Join(f.TempDir(), "seed.mmdb")
	for _, networks := range []map[string]mmdbtype.Map{city, moved} {
		write(f, path, networks)
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, address := range []string{"81.2.69.1", "2001:db8::1", "192.0.2.1", "10.0.0.1"} {
			f.Add(text, address)
		}
		f.Add(text[:len(text)/2], "81.2.69.1")
		f.Add(text[len(text)/2:], "81.2.69.1")
	}
	f.Add([]byte("\xab\xcd\xefMaxMind.com"), "::")
	f.Fuzz(func(t *testing.T, text []byte, address string) {
		asked, err := netip.ParseAddr(address)
		if err != nil {
			return
		}
		path := filepath.Join(t.TempDir(), "city.mmdb")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		places, err := OpenPlaces(path, slog.New(slog.DiscardHandler), time.Now)
		if err != nil {
			if !strings.Contains(err.Error(), path) {
				t.Errorf("%v does not name the file", err)
			}
			return
		}
		if member := places.text(asked.Unmap()); len(member) > 0 {
			valid(t, "{"+string(member)+"}")
		}
	})
}
