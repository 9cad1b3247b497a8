package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/go-json-experiment/json"
	"github.com/tributary-bus/tributary/core/internal/admin"
	"github.com/tributary-bus/tributary/sdk/client"
)

// serverFile is the name of the file, in the data directory, by which commands
// on the same machine find the server that runs on it.
const serverFile = "server.json"

// running is what a server leaves in its data directory while it runs.
type running struct {
	URL   string `json:"url"`   // of ingest
	Admin string `json:"admin"` // of the admin API
	NATS  string `json:"nats"`
	PID   int    `json:"pid"`
	// Cert is the file of its certificate, where it speaks TLS: a command on
	// the same machine trusts that one, whatever name it is for.
	Cert string `json:"cert,omitzero"`
}

// dataDir is the data directory that the flags and the environment name.
func (g *globals) dataDir() (string, error) {
	if g.data != "" {
		return g.data, nil
	}
	if dir := os.Getenv("TRIBUTARY_DATA"); dir != "" {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the data directory: %w; say --data DIR", err)
	}
	return standardData(home), nil
}

// standardData is the data directory where none is named.
func standardData(home string) string { return filepath.Join(home, ".tributary") }

// found is a server to talk to.
type found struct {
	ingest string // its address for events
	admin  string // its address for everything else
	token  string
	pid    int // 0 where it was named and not found
	cert   string
}

// find returns the server and the token by flag, environment or data
// directory, in this order.
func (g *globals) find() (*found, error) {
	dir, err := g.dataDir()
	if err != nil {
		return nil, err
	}
	f := &found{ingest: g.server, admin: g.server, token: g.token}
	if f.admin == "" {
		address := os.Getenv("TRIBUTARY_SERVER")
		f.ingest, f.admin = address, address
	}
	if f.token == "" {
		f.token = os.Getenv("TRIBUTARY_ADMIN_TOKEN")
	}
	if f.admin == "" {
		r, err := readRunning(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("no server runs on %s; start it with `tributary run`, name its directory with --data, or its address with --server", dir)
		}
		if err != nil {
			return nil, err
		}
		f.ingest, f.admin, f.pid, f.cert = r.URL, r.Admin, r.PID, r.Cert
	}
	if f.token == "" {
		// A command that needs the token is told so by the server.
		f.token, _ = admin.ReadToken(dir)
	}
	return f, nil
}

func readRunning(dir string) (*running, error) {
	path := filepath.Join(dir, serverFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("find the server: %w", err)
	}
	r := &running{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("find the server: %s: %w", path, err)
	}
	return r, nil
}

// writeRunning leaves what commands need to find this server.
func writeRunning(dir string, r *running) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, serverFile)
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("keep the server's address: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("keep the server's address: %w", err)
	}
	return nil
}

// connect returns a client for the admin API.
func (g *globals) connect() (*client.Client, error) {
	f, err := g.find()
	if err != nil {
		return nil, err
	}
	if f.admin == "" {
		return nil, errors.New("this server has no admin API: it listens beyond loopback, and http.admin is not set; start it with --set http.admin=127.0.0.1:8081")
	}
	return f.client(f.admin, client.Token(f.token))
}

// client returns a client of one of the server's addresses.
func (f *found) client(address string, option client.Option) (*client.Client, error) {
	options := []client.Option{option}
	if f.cert != "" {
		trust, err := trustOnly(f.cert)
		if err != nil {
			return nil, err
		}
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.TLSClientConfig = trust
		options = append(options, client.HTTP(&http.Client{Transport: transport}))
	}
	c, err := client.New(address, options...)
	if err != nil {
		return nil, usagef("%v", err)
	}
	return c, nil
}

// explain adds the way out to what went wrong with a call.
func (g *globals) explain(err error) error {
	if err == nil {
		return nil
	}
	var answered *client.Error
	if errors.As(err, &answered) {
		return err
	}
	var network *net.OpError
	if !errors.As(err, &network) || network.Op != "dial" {
		return err
	}
	f, findErr := g.find()
	if findErr != nil {
		return findErr
	}
	if f.pid > 0 {
		return fmt.Errorf("the server (pid %d) does not answer at %s; `tributary run` starts it: %w", f.pid, f.admin, network.Err)
	}
	return fmt.Errorf("no server answers at %s: %w", f.admin, network.Err)
}
