// Package config is what people write: the settings of a process, and the
// resources that are configuration as code. It is pure but for reading files:
// texts go in, compiled values or all that is wrong with them come out.
package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"time"
)

// Config is the configuration of one process. The tags of a field are its
// documentation and its default; its key is dotted, such as http.tls.cert, and
// TRIBUTARY_HTTP_TLS_CERT in the environment.
type Config struct {
	Data       string  `key:"data" doc:"Directory that holds everything: streams, query store, keys, tokens. One process at a time uses it. Empty: ~/.tributary."`
	HTTP       HTTP    `key:"http"`
	GeoIP      GeoIP   `key:"geoip"`
	Admin      Admin   `key:"admin"`
	Auth       Auth    `key:"auth"`
	Durability string  `key:"durability" default:"fsync" choices:"fsync,process" doc:"What an accepted event survives: fsync, a power cut; process, the end of the process. With an external NATS its own policy holds."`
	Bus        Bus     `key:"bus"`
	Plugins    Plugins `key:"plugins"`
	Store      Store   `key:"store"`
	Limits     Limits  `key:"limits"`
	Log        Log     `key:"log"`
}

// HTTP is where the product listens.
type HTTP struct {
	Addr            string   `key:"addr" default:"127.0.0.1:8080" doc:"Address of the HTTP and WebSocket listener."`
	Admin           string   `key:"admin" doc:"Address of its own for the admin API and /metrics. Empty: the same listener, but only where that is a loopback address."`
	TLS             TLS      `key:"tls"`
	TrustedProxies  []string `key:"trusted_proxies" default:"127.0.0.0/8,::1/128" doc:"Addresses and networks (CIDR) of proxies that are believed when they say whom they ask for. Empty: none."`
	ForwardedHeader string   `key:"forwarded_header" default:"x-forwarded-for" choices:"x-forwarded-for,forwarded" doc:"The header in which the trusted proxies say so. The other one is never read: whoever sends may have written it."`
}

// GeoIP is where addresses are looked up.
type GeoIP struct {
	File string `key:"file" doc:"Database that tells the place of an address, MaxMind's format (.mmdb), such as GeoLite2-City. It is held in memory and read again when it changes. Empty: events are told no place."`
}

// Proxies are the networks of the trusted proxies. The error names the one that
// is none.
func (h *HTTP) Proxies() ([]netip.Prefix, error) {
	list := make([]netip.Prefix, 0, len(h.TrustedProxies))
	for _, text := range h.TrustedProxies {
		network, err := netip.ParsePrefix(text)
		if address, err2 := netip.ParseAddr(text); err2 == nil && address.Zone() == "" {
			network, err = netip.PrefixFrom(address, address.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%q is neither an address nor a network; want such as 10.0.0.7 or 10.0.0.0/8", text)
		}
		if network.Addr().Is4In6() {
			return nil, fmt.Errorf("%q is an IPv4 address written as IPv6; write it as IPv4", text)
		}
		list = append(list, network.Masked())
	}
	return list, nil
}

// TLS is a certificate and its key; both or neither.
type TLS struct {
	Cert string `key:"cert" doc:"File of the certificate chain, PEM. Read again when it changes."`
	Key  string `key:"key" doc:"File of the certificate's private key, PEM."`
}

// Admin is who may administer.
type Admin struct {
	Token Secret `key:"token" doc:"The first admin token. Empty: one is made and kept in the data directory, in the file admin-token."`
}

// Auth is who may read the live channels, beside those with an admin token.
type Auth struct {
	JWT JWT `key:"jwt"`
}

// JWT says which JSON Web Tokens count.
type JWT struct {
	Keys     []Secret `key:"keys" doc:"Keys that tokens are verified with: PEM of RSA or Ed25519 public keys or certificates, a JWK or a JWK set, or a shared secret of 32 bytes or more for HS256. Each may be file:PATH."`
	JWKSURL  string   `key:"jwks_url" doc:"URL of a JWK set with further public keys, https or on this machine. It is fetched when it is needed, every 15 minutes at most, and for a key that is new."`
	Issuer   string   `key:"issuer" doc:"Issuer that a token has to name. Empty: any."`
	Audience string   `key:"audience" doc:"Audience that a token has to name. Empty: any."`
}

// Bus is the streams: an embedded NATS server, or an external one.
type Bus struct {
	URLs           []string `key:"urls" doc:"URLs of an external NATS; empty: the embedded server."`
	Creds          string   `key:"creds" doc:"File with the credentials for the external NATS."`
	SigningKey     Secret   `key:"signing_key" doc:"Seed of a signing key of the external NATS' account, SA…, with which a user is made for each plugin. Needs bus.creds. Empty: only the plugins that are part of the product run there."`
	Listen         string   `key:"listen" default:"127.0.0.1:0" doc:"Address of the embedded NATS server; port 0 chooses one."`
	Replicas       int      `key:"replicas" default:"1" min:"1" max:"5" doc:"Copies of each stream on an external cluster."`
	Partitions     int      `key:"partitions" default:"0" min:"0" max:"1024" doc:"Partitions of the profiles, fixed when the data directory is made. 0: 16 for a new directory, otherwise what it was made with."`
	DiskReserve    Size     `key:"disk_reserve" default:"0" doc:"Free disk below which no event is accepted. 0: 5 % of the disk, at least 1 GB."`
	IngestMaxBytes Size     `key:"ingest_max_bytes" default:"0" doc:"Bound of the events that are accepted and not processed yet. 0: 2 GB, or a tenth of the free disk where that is less."`
	EventsMaxAge   Duration `key:"events_max_age" default:"30d" min:"1h" doc:"How long processed events stay on the bus, to be read again."`
}

// Plugins is where plugins come from, and what they may use.
type Plugins struct {
	Dir              string `key:"dir" doc:"Directory of third parties' plugins: every executable in it is started as one. Empty: plugins in the data directory."`
	Memory           Size   `key:"memory" default:"512MB" min:"64MB" doc:"Resident memory of one plugin's process, on Linux. One that has more is killed and started again."`
	ShareCredentials bool   `key:"share_credentials" default:"false" doc:"On an external NATS without bus.signing_key, hand every plugin the core's own credentials, with which it may read and write everything there."`
}

// Store is the query store.
type Store struct {
	SQLite        SQLite        `key:"sqlite"`
	Elasticsearch Elasticsearch `key:"elasticsearch"`
	Retention     Retention     `key:"retention"`
}

// SQLite is the store in a file.
type SQLite struct {
	Path string `key:"path" doc:"File of the query store. Empty: store.db in the data directory."`
}

// Elasticsearch is the store in Elasticsearch 8.
type Elasticsearch struct {
	URLs        []string `key:"urls" doc:"URLs of the nodes of an Elasticsearch 8 that takes SQLite's place as the query store, such as https://es-1.example:9200. A directory whose SQLite is filled goes over to it by itself. Empty: SQLite."`
	Prefix      string   `key:"prefix" default:"tributary" doc:"How the names of all indices begin. Each node that uses the same Elasticsearch has one of its own."`
	Username    string   `key:"username" doc:"User that the nodes are asked as."`
	Password    Secret   `key:"password" doc:"The user's password."`
	APIKey      Secret   `key:"api_key" doc:"API key, in the form that Elasticsearch calls encoded, instead of a user."`
	CAFile      string   `key:"ca_file" doc:"File of the authorities that sign the nodes' certificates, PEM. Empty: those of the system."`
	Compression bool     `key:"compression" default:"false" doc:"Compress requests and answers."`
	Shards      int      `key:"shards" default:"1" min:"1" max:"1024" doc:"Primary shards of each index that is made from now on."`
	Replicas    int      `key:"replicas" default:"1" min:"0" max:"100" doc:"Copies of each index that is made from now on; 0 for a single node."`
	Timeout     Duration `key:"timeout" default:"30s" min:"1s" doc:"Longest time that a request to a node may take."`
}

// validate reports what cannot be told from one setting alone.
func (e *Elasticsearch) validate(s *settings) {
	const key = "store.elasticsearch."
	for i, text := range e.URLs {
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
			// The text may hold a password.
			s.fail(key+"urls", "URL %d is none; want such as https://es-1.example:9200", i+1)
		case u.User != nil:
			s.fail(key+"urls", "URL %d holds a user; say him with %susername and %spassword, which are not shown", i+1, key, key)
		}
	}
	switch {
	case e.APIKey != "" && e.Username != "":
		s.fail(key+"api_key", "is set beside %susername; want one of them", key)
	case e.Password != "" && e.Username == "":
		s.fail(key+"username", "missing; a password needs its user")
	}
}

// Retention is how long the query store keeps what it shows.
type Retention struct {
	Events Duration `key:"events" default:"0" doc:"How long events can be queried, in whole days by the time they were received. 0: for ever."`
}

// Limits are the bounds of what is taken in.
type Limits struct {
	Event    Size `key:"event" default:"32KB" min:"1KB" max:"1MB" doc:"One event."`
	Request  Size `key:"request" default:"500KB" min:"1KB" max:"64MB" doc:"One request as it is sent."`
	Inflated Size `key:"inflated" default:"5MB" min:"1KB" max:"256MB" doc:"One request after gzip or zstd was undone."`
	Events   int  `key:"events" default:"1000" min:"1" max:"100000" doc:"Events in one request."`
	Nesting  int  `key:"nesting" default:"64" min:"4" max:"1000" doc:"Levels of JSON in one event."`
}

// Log is how the process tells what happens.
type Log struct {
	Level  string `key:"level" default:"info" choices:"debug,info,warn,error" doc:"Least severe lines that are written."`
	Format string `key:"format" default:"text" choices:"text,json" doc:"Form of the lines, on the standard error."`
}

// Default is the configuration of which nothing was said.
func Default() Config {
	c, err := load(nil)
	if err != nil {
		panic(fmt.Sprintf("default configuration: %v", err))
	}
	return c
}

// StorePath is the file of the query store. Data must be set.
func (c *Config) StorePath() string {
	if c.Store.SQLite.Path != "" {
		return c.Store.SQLite.Path
	}
	return filepath.Join(c.Data, "store.db")
}

// PluginDir is the directory of third parties' plugins. Data must be set.
func (c *Config) PluginDir() string {
	if c.Plugins.Dir != "" {
		return c.Plugins.Dir
	}
	return filepath.Join(c.Data, "plugins")
}

// Loopback tells whether everything that takes events or commands listens on
// this machine alone.
func (c *Config) Loopback() bool {
	return isLoopback(c.HTTP.Addr) && (c.HTTP.Admin == "" || isLoopback(c.HTTP.Admin))
}

// validate reports what cannot be told from one setting alone.
func (c *Config) validate(s *settings) {
	for _, address := range []struct{ key, value string }{
		{"http.addr", c.HTTP.Addr}, {"http.admin", c.HTTP.Admin}, {"bus.listen", c.Bus.Listen},
	} {
		if address.value == "" && address.key == "http.admin" {
			continue
		}
		if message := badAddress(address.value); message != "" {
			s.fail(address.key, "%q is not an address: %s; want host:port, such as 127.0.0.1:8080", address.value, message)
		}
	}
	switch {
	case c.HTTP.TLS.Cert != "" && c.HTTP.TLS.Key == "":
		s.fail("http.tls.key", "missing; a certificate needs its key")
	case c.HTTP.TLS.Cert == "" && c.HTTP.TLS.Key != "":
		s.fail("http.tls.cert", "missing; a key needs its certificate")
	}
	if _, err := c.HTTP.Proxies(); err != nil {
		s.fail("http.trusted_proxies", "%v", err)
	}
	if u := c.Auth.JWT.JWKSURL; u != "" {
		if message := badKeysURL(u); message != "" {
			s.fail("auth.jwt.jwks_url", "%s", message)
		}
	}
	c.Store.Elasticsearch.validate(s)
	if c.Limits.Inflated < c.Limits.Request {
		s.fail("limits.inflated", "%s is less than limits.request, which is %s", c.Limits.Inflated, c.Limits.Request)
	}
	if c.Bus.Creds != "" && len(c.Bus.URLs) == 0 {
		s.fail("bus.creds", "is for an external NATS; set bus.urls too")
	}
	switch {
	case c.Bus.SigningKey != "" && len(c.Bus.URLs) == 0:
		s.fail("bus.signing_key", "is for an external NATS; set bus.urls too")
	case c.Bus.SigningKey != "" && c.Bus.Creds == "":
		s.fail("bus.signing_key", "needs bus.creds, whose user tells the account")
	}
	if c.Bus.Replicas > 1 && len(c.Bus.URLs) == 0 {
		s.fail("bus.replicas", "the embedded NATS is one server; want 1, or set bus.urls")
	}
}

func badAddress(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return "host and port cannot be told apart"
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Sprintf("%q is no port", port)
	}
	return ""
}

// badKeysURL says what is wrong with a URL that keys are taken from: whoever can
// change the answer on its way decides who may read.
func badKeysURL(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.User != nil:
		return "want a URL such as https://issuer.example/jwks.json"
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(net.JoinHostPort(u.Hostname(), "0")):
		return ""
	}
	return "want https; http only on this machine"
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// A Duration is a span of time, written as 90s, 15m, 1h30m, 7d or 2w.
type Duration time.Duration

// String writes whole days in days and everything else as Go does.
func (d Duration) String() string {
	const day = Duration(24 * time.Hour)
	if d != 0 && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	return time.Duration(d).String()
}

// A Size is a number of bytes, written as 500, 32KB, 1MB or 2GB; a KB has 1024.
type Size int64

var sizeUnits = []struct {
	suffix string
	bytes  Size
}{{"TB", 1 << 40}, {"GB", 1 << 30}, {"MB", 1 << 20}, {"KB", 1 << 10}, {"B", 1}}

// String writes the size in the largest unit that keeps it whole.
func (s Size) String() string {
	for _, unit := range sizeUnits {
		if s != 0 && s%unit.bytes == 0 && unit.bytes > 1 {
			return strconv.FormatInt(int64(s/unit.bytes), 10) + unit.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// A Secret is a text that no log line and no error shows.
type Secret string

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "(secret)"
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides the secret from encoders, those of log lines included.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
