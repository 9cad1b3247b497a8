package enrich

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/tributary-bus/tributary/sdk"
)

// Places tells the places of addresses, from a GeoIP database in MaxMind's
// format, such as GeoLite2-City or GeoLite2-Country. The file is held in memory:
// whatever is done to it meanwhile does no harm. It is safe for concurrent use.
type Places struct {
	path string
	log  *slog.Logger
	now  func() time.Time

	loaded atomic.Pointer[atlas]
	looked atomic.Int64 // Unix nanoseconds
	mu     sync.Mutex   // held by who looks at the file
	tried  stamp        // of the file that was last read, or could not be
}

// An atlas is one state of the file, and what was looked up in it.
type atlas struct {
	reader *maxminddb.Reader
	found  *cache[netip.Addr, []byte]
}

// A stamp tells one state of a file from another.
type stamp struct {
	changed time.Time
	size    int64
}

const (
	// lookEvery is how often the file is looked at, at most.
	lookEvery = 10 * time.Second
	// cachedPlaces is how many addresses are kept at most, of about 250 bytes.
	cachedPlaces = 8192
	// maxAtlas bounds the file, in bytes; the largest of MaxMind's is a quarter of it.
	maxAtlas = 1 << 30
)

// OpenPlaces reads a database. A file that is missing, broken or without places
// is an error that names it.
func OpenPlaces(path string, log *slog.Logger, now func() time.Time) (*Places, error) {
	p := &Places{path: path, log: log, now: now}
	p.looked.Store(now().UnixNano())
	if err := p.read(); err != nil {
		return nil, fmt.Errorf("geoip.file: %w", err)
	}
	return p, nil
}

// read reads the file where it has changed.
func (p *Places) read() error {
	info, err := os.Stat(p.path)
	if err != nil {
		return err
	}
	s := stamp{info.ModTime(), info.Size()}
	if s == p.tried {
		return nil
	}
	p.tried = s
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no file", p.path)
	case s.size > maxAtlas:
		return fmt.Errorf("%s has %d bytes; at most %d are read", p.path, s.size, maxAtlas)
	}
	file, err := os.Open(p.path)
	if err != nil {
		return err
	}
	defer file.Close()
	text := make([]byte, s.size)
	if _, err := io.ReadFull(file, text); err != nil {
		return fmt.Errorf("read %s: %w", p.path, err)
	}
	reader, err := maxminddb.OpenBytes(text)
	if err != nil {
		return fmt.Errorf("%s is no GeoIP database in MaxMind's format: %w", p.path, err)
	}
	if reader.Metadata.IPVersion != 6 && reader.Metadata.IPVersion != 4 {
		return fmt.Errorf("%s is a GeoIP database for IP version %d; want 4 or 6", p.path, reader.Metadata.IPVersion)
	}
	p.loaded.Store(&atlas{reader, newCache[netip.Addr, []byte](cachedPlaces)})
	return nil
}

// current returns what the file says, after a look at it from time to time. One
// that cannot be read leaves what it said before in use.
func (p *Places) current() *atlas {
	now, last := p.now().UnixNano(), p.looked.Load()
	if now-last < int64(lookEvery) || !p.looked.CompareAndSwap(last, now) {
		return p.loaded.Load()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.loaded.Load()
	switch err := p.read(); {
	case err != nil && !errors.Is(err, os.ErrNotExist): // which happens for a moment while it is replaced
		p.log.Error("the GeoIP file cannot be read; the old one stays in use", "error", err)
	case p.loaded.Load() != before:
		p.log.Info("the GeoIP file has changed and was read again", "file", p.path)
	}
	return p.loaded.Load()
}

// text returns the place of an address as a member of a context; nil where none
// is known.
func (p *Places) text(address netip.Addr) []byte {
	atlas := p.current()
	if text, ok := atlas.found.get(address); ok {
		return text
	}
	text := atlas.lookUp(address).text()
	atlas.found.put(address, text)
	return text
}

// A place is what a database says of an address. Names are English.
type place struct {
	Country struct {
		Code string `maxminddb:"iso_code"`
	} `maxminddb:"country"`
	Subdivisions []struct {
		Names names `maxminddb:"names"`
	} `maxminddb:"subdivisions"`
	City struct {
		Names names `maxminddb:"names"`
	} `maxminddb:"city"`
	Location struct {
		Latitude  *float64 `maxminddb:"latitude"`
		Longitude *float64 `maxminddb:"longitude"`
		TimeZone  string   `maxminddb:"time_zone"`
	} `maxminddb:"location"`
}

type names struct {
	English string `maxminddb:"en"`
}

// lookUp asks the database. An entry that cannot be decoded is none.
func (a *atlas) lookUp(address netip.Addr) (p place) {
	if address.Is6() && a.reader.Metadata.IPVersion == 4 {
		return p
	}
	if err := a.reader.Lookup(address).Decode(&p); err != nil {
		return place{}
	}
	return p
}

// text returns the member of a context.
func (p place) text() []byte {
	region := ""
	if len(p.Subdivisions) > 0 {
		region = p.Subdivisions[0].Names.English
	}
	text := member("geo", pair{"country", p.Country.Code}, pair{"region", region}, pair{"city", p.City.Names.English}, pair{"timezone", p.Location.TimeZone})
	lat, lon := p.Location.Latitude, p.Location.Longitude
	if text == nil || lat == nil || lon == nil || math.IsNaN(*lat+*lon) || math.IsInf(*lat+*lon, 0) {
		return text
	}
	text = append(text[:len(text)-1], `,"lat":`...)
	text = sdk.AppendValue(text, *lat)
	text = append(text, `,"lon":`...)
	text = sdk.AppendValue(text, *lon)
	return append(text, '}')
}
