package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/tributary-bus/tributary/core/internal/admin"
)

// announce leaves the server's address for commands and tells people where
// everything is.
func (s *server) announce(out io.Writer) error {
	scheme := "http"
	if s.config.HTTP.TLS.Cert != "" {
		scheme = "https"
	}
	r := &running{URL: address(scheme, s.listeners[0]), NATS: s.bus.URL(), PID: os.Getpid(), Cert: s.config.HTTP.TLS.Cert}
	switch {
	case s.config.HTTP.Admin != "":
		r.Admin = address(scheme, s.listeners[1])
	case s.config.Loopback():
		r.Admin = r.URL
	}
	if err := writeRunning(s.config.Data, r); err != nil {
		return err
	}
	fmt.Fprintf(out, "Tributary %s is ready.\n", versionText())
	fmt.Fprintf(out, "  events       %s/v1/events, %s/ws\n", r.URL, r.URL)
	if r.Admin != "" {
		fmt.Fprintf(out, "  admin API    %s/api/v1, token in %s\n", r.Admin, filepath.Join(s.config.Data, admin.TokenFile))
	} else {
		fmt.Fprintln(out, "  admin API    not served: this address is not loopback; --set http.admin=127.0.0.1:8081 serves it there")
	}
	fmt.Fprintf(out, "  NATS         %s\n", s.natsHint())
	fmt.Fprintf(out, "  data         %s\n", s.config.Data)
	if err := s.bus.Accepting(); err != nil {
		fmt.Fprintf(out, "No event is accepted now: %v\n", err)
	} else if s.config.Loopback() {
		fmt.Fprintf(out, "Send a first event:\n  %s send page-view --user 17850%s\n", program(), s.dataFlag())
	}
	return nil
}

// natsHint is how to reach the streams with the nats command.
func (s *server) natsHint() string {
	credentials := s.bus.Credentials()
	switch {
	case len(s.config.Bus.URLs) == 0:
		return fmt.Sprintf("nats --server %s --nkey %s", s.bus.URL(), credentials)
	case credentials != "":
		return fmt.Sprintf("nats --server %s --creds %s", s.bus.URL(), credentials)
	}
	return "nats --server " + s.bus.URL()
}

// program is how this program is called in a terminal: by its name where the PATH
// leads to it, else as it was called to start the server.
func program() string {
	name := filepath.Base(os.Args[0])
	found, err := exec.LookPath(name)
	if err != nil {
		return os.Args[0]
	}
	a, err := os.Stat(found)
	b, err2 := os.Executable()
	if err != nil || err2 != nil {
		return os.Args[0]
	}
	if own, err := os.Stat(b); err != nil || !os.SameFile(a, own) {
		return os.Args[0]
	}
	return name
}

// dataFlag is what a command needs to find this server, in a terminal that may
// have another environment.
func (s *server) dataFlag() string {
	if home, err := os.UserHomeDir(); err == nil && standardData(home) == s.config.Data {
		return ""
	}
	return " --data " + s.config.Data
}

// address is a listener's address as a URL that works on this machine.
func address(scheme string, l net.Listener) string {
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return scheme + "://" + l.Addr().String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}
