package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/config"
)

func TestRunTakesItsDirectoryAlone(t *testing.T) {
	dir := t.TempDir()
	first := run(t, dir)
	fails(t, dir, exitFailed, fmt.Sprintf("%s is in use by another server (pid %d)", dir, first.cmd.Process.Pid), "run", "--http", "127.0.0.1:0")
	// The refused one leaves the first one's address where it is.
	must(t, dir, "get", "source")
	address := strings.TrimPrefix(first.url, "http://")
	fails(t, t.TempDir(), exitFailed, "listen on "+address, "run", "--http", address)
	// A lock dies with its process.
	first.kill()
	run(t, dir)
}

func TestStopLosesNothing(t *testing.T) {
	dir := t.TempDir()
	server := run(t, dir)
	for i := range 10 {
		must(t, dir, "send", "view", "--user", fmt.Sprint(i))
	}
	began := time.Now()
	if code := server.stop(); code != exitDone {
		t.Fatalf("the server ends with %d:\n%s", code, server.log)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("stopping took %s", took)
	}
	if _, err := readRunning(dir); err == nil {
		t.Error("a stopped server leaves its address")
	}
	fails(t, dir, exitFailed, "no server runs on "+dir, "profiles", "count")
	run(t, dir)
	// The query store had its share of the time to stop.
	if got := must(t, dir, "profiles", "count"); got != "10\n" {
		t.Errorf("%s profiles after a restart, want 10", strings.TrimSpace(got))
	}
}

func TestBrokenStoreLeavesIngestUnharmed(t *testing.T) {
	dir := t.TempDir()
	first := run(t, dir)
	must(t, dir, "send", "view", "--user", "1", "--wait", "indexed")
	first.stop()
	for _, name := range []string{"store.db", "store.db-wal", "store.db-shm"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "store.db"), []byte(strings.Repeat("no store of ours ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	second := run(t, dir)
	status, text := get(t, second.url+"/readyz")
	if status != 200 || !strings.Contains(text, `"status":"degraded"`) || !strings.Contains(text, `"name":"store","state":"down"`) {
		t.Errorf("readyz is %d %s", status, text)
	}
	must(t, dir, "send", "view", "--user", "2", "--wait", "processed")
	contains(t, "the profile", must(t, dir, "profiles", "get", "user:2"), "views: ")
	fails(t, dir, exitFailed, "store", "profiles", "count")
	must(t, dir, "store", "rebuild")
	if got := must(t, dir, "profiles", "count"); got != "2\n" {
		t.Errorf("%s profiles after the rebuild, want 2", strings.TrimSpace(got))
	}
	if status, text = get(t, second.url+"/readyz"); status != 200 || !strings.Contains(text, `"status":"ok"`) {
		t.Errorf("readyz is %d %s after the rebuild", status, text)
	}
}

// Where the ids seen cannot be kept nothing is processed, so the server does not
// start; the error names what is in the way.
func TestRunEndsWhereTheProcessorCannotOpen(t *testing.T) {
	dir := t.TempDir()
	first := run(t, dir)
	must(t, dir, "send", "view", "--user", "1", "--id", "v-1", "--wait", "processed")
	first.stop()
	seen := filepath.Join(dir, "seen")
	if err := os.RemoveAll(seen); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(seen, []byte("in the way"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := cli(t, dir, "run", "--http", "127.0.0.1:0")
	if code != exitFailed || stdout != "" {
		t.Errorf("it ends with %d, want %d, and says %q", code, exitFailed, stdout)
	}
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "tributary: ") || !strings.HasSuffix(last, seen+": not a directory") {
		t.Errorf("the error is\n%swant a last line that names %s", stderr, seen)
	}
	if _, err := readRunning(dir); err == nil {
		t.Error("a server that did not start leaves its address")
	}
	if err := os.Remove(seen); err != nil {
		t.Fatal(err)
	}
	run(t, dir)
	contains(t, "the repetition", must(t, dir, "send", "view", "--user", "1", "--id", "v-1"), "duplicate")
}

// The first command that the server tells of works in another terminal, which
// has neither its PATH nor its environment.
func TestTheFirstCommandThatIsToldOf(t *testing.T) {
	dir := t.TempDir()
	p := run(t, dir)
	p.stop()
	contains(t, "the server's first words", p.log.String(), "Send a first event:\n  "+os.Args[0]+" send page-view --user 17850 --data "+dir+"\n")
}

func TestDirectoryKeepsItsPartitions(t *testing.T) {
	dir := t.TempDir()
	run(t, dir, "--set", "bus.partitions=32").stop()
	run(t, dir)
}

func TestStartBelowTheDiskReserve(t *testing.T) {
	p := run(t, t.TempDir(), "--set", "bus.disk_reserve=1000TB")
	if code := p.stop(); code != exitDone {
		t.Errorf("the server ends with %d", code)
	}
	if text := p.log.String(); !strings.Contains(text, "No event is accepted now: ") || strings.Contains(text, "Send a first event") {
		t.Errorf("the server says\n%s", text)
	}
}

func TestDataDirectory(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	for _, test := range []struct{ name, file, env, flag, want string }{
		{"none", "", "", "", filepath.Join(home, ".tributary")},
		{"in the file", "data: /f/tributary-data", "", "", "/f/tributary-data"},
		{"in the environment", "data: /f", "/e", "", "/e"},
		{"as a flag", "data: /f", "/e", "/g", "/g"},
	} {
		t.Setenv("TRIBUTARY_DATA", test.env)
		if test.env == "" {
			os.Unsetenv("TRIBUTARY_DATA")
		}
		f := runFlags{config: file(t, "tributary.yaml", test.file)}
		if c, err := f.settings(&globals{data: test.flag}); err != nil || c.Data != test.want {
			t.Errorf("%s: %v (%v), want %s", test.name, c, err, test.want)
		}
	}
}

func TestAdminIsNotServedBeyondLoopback(t *testing.T) {
	dir := t.TempDir()
	open := run(t, dir, "--http", "0.0.0.0:0")
	for path, want := range map[string]int{"/api/v1/source": 404, "/metrics": 404, "/healthz": 200, "/readyz": 200} {
		if status, text := get(t, open.url+path); status != want {
			t.Errorf("%s is %d %s, want %d", path, status, text, want)
		}
	}
	// Nor is there a source whose key anybody knows.
	fails(t, dir, exitFailed, "unknown write key", "send", "view")
	fails(t, dir, exitFailed, "this server has no admin API", "get", "source")
	open.stop()
	run(t, dir, "--http", "0.0.0.0:0", "--set", "http.admin=127.0.0.1:0")
	must(t, dir, "get", "source")
	r, err := readRunning(dir)
	if err != nil {
		t.Fatal(err)
	}
	if status, text := get(t, r.Admin+"/metrics"); status != 200 || !strings.Contains(text, "process_resident_memory_bytes") {
		t.Errorf("metrics are %d %.100s", status, text)
	}
	if status, _ := get(t, r.URL+"/metrics"); status != 404 {
		t.Errorf("metrics at the open address are %d, want 404", status)
	}
}

func TestAdminTokenCanBeGiven(t *testing.T) {
	dir := t.TempDir()
	run(t, dir, "--set", "admin.token=a-token-of-mine")
	must(t, dir, "get", "source", "--token", "a-token-of-mine")
	must(t, dir, "get", "source")
	info, err := os.Stat(filepath.Join(dir, "admin-token"))
	if err != nil || info.Mode() != fs.FileMode(0o600) {
		t.Errorf("admin-token is %v (%v)", info, err)
	}
}

// issue writes a new certificate for a name to files.
func issue(t *testing.T, files config.TLS, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		files.Cert: {Type: "CERTIFICATE", Bytes: cert}, files.Key: {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	files := config.TLS{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	log := slog.New(slog.DiscardHandler)
	if _, err := serverTLS(files, log); err == nil {
		t.Error("a certificate that is not there is taken")
	}
	issue(t, files, "first.example")
	c := &certificate{files: files, log: log}
	if err := c.load(); err != nil {
		t.Fatal(err)
	}
	serves := func(want string) {
		t.Helper()
		c.looked = time.Time{}
		if got := c.current().Leaf.DNSNames[0]; got != want {
			t.Errorf("serves the certificate of %s, want %s", got, want)
		}
	}
	serves("first.example")
	issue(t, files, "second.example")
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(files.Cert, later, later); err != nil {
		t.Fatal(err)
	}
	serves("second.example")
	if err := os.WriteFile(files.Key, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(files.Key, later.Add(time.Hour), later.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	serves("second.example")
}

func TestServesTLS(t *testing.T) {
	dir := t.TempDir()
	files := config.TLS{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	issue(t, files, "bus.example")
	server := run(t, dir, "--set", "http.tls.cert="+files.Cert, "--set", "http.tls.key="+files.Key)
	host, ok := strings.CutPrefix(server.url, "https://")
	if !ok {
		t.Fatalf("the server is at %s", server.url)
	}
	// Commands on the same machine trust the certificate, whatever its name.
	must(t, dir, "send", "view", "--user", "1", "--wait", "processed")
	must(t, dir, "get", "source", "--json")
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", host, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if name := conn.ConnectionState().PeerCertificates[0].DNSNames[0]; name != "bus.example" {
		t.Errorf("the certificate is that of %s", name)
	}
}
