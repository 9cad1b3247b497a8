package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/tributary-bus/tributary/core/internal/config"
)

// certificate is the server's certificate, read again when its file changes.
type certificate struct {
	files config.TLS
	log   *slog.Logger

	mu      sync.Mutex
	loaded  *tls.Certificate
	changed time.Time // of the files that were loaded
	looked  time.Time
}

// lookEvery is how often the files are looked at, at most.
const lookEvery = time.Second

// serverTLS returns nil where no certificate is configured.
func serverTLS(files config.TLS, log *slog.Logger) (*tls.Config, error) {
	if files.Cert == "" {
		return nil, nil
	}
	c := &certificate{files: files, log: log}
	if err := c.load(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current(), nil },
	}, nil
}

// trustOnly is the other side: it trusts the certificate in a file and no
// other.
func trustOnly(file string) (*tls.Config, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("trust the server: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("trust the server: %s holds no certificate", file)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("trust the server: %s: %w", file, err)
	}
	trust := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
	trust.RootCAs.AddCert(leaf)
	switch {
	case len(leaf.DNSNames) > 0:
		trust.ServerName = leaf.DNSNames[0]
	case len(leaf.IPAddresses) > 0:
		trust.ServerName = leaf.IPAddresses[0].String()
	}
	return trust, nil
}

func (c *certificate) load() error {
	changed, err := c.lastChange()
	if err != nil {
		return err
	}
	loaded, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return fmt.Errorf("http.tls: %w", err)
	}
	c.loaded, c.changed = &loaded, changed
	return nil
}

func (c *certificate) lastChange() (last time.Time, err error) {
	for _, file := range []string{c.files.Cert, c.files.Key} {
		info, err := os.Stat(file)
		if err != nil {
			return last, fmt.Errorf("http.tls: %w", err)
		}
		if info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last, nil
}

// current returns the certificate, after a look at its files. One that cannot
// be read leaves the old one in use.
func (c *certificate) current() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < lookEvery {
		return c.loaded
	}
	c.looked = time.Now()
	changed, err := c.lastChange()
	if err == nil && changed.Equal(c.changed) {
		return c.loaded
	}
	if err == nil {
		err = c.load()
	}
	if err != nil {
		c.log.Error("the certificate cannot be read; the old one stays in use", "error", err)
	}
	return c.loaded
}
