package bench

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// The ceilings are what the product could reach if it did nothing: a bare
// net/http handler that discards the body, a bare WebSocket that answers each
// frame, and a bare responder on NATS. They run in a process of their own, as the
// product and its plugins do.
const (
	ceilingBody = `{"accepted":1,"results":[{"id":"00000000000000000000","status":"accepted"}]}`
	ceilingAck  = `{"id":2,"ack":{"results":[{"id":"00000000000000000000","status":"accepted"}]}}`
)

// ServeCeiling serves the ceilings on a port of its own, writes its address as
// host:port on a line to out, and returns when in ends: with its parent,
// however that ended. A line "answer URL SEED SUBJECT" on in has it answer requests
// on NATS with what they hold; it says "ready" then.
func ServeCeiling(in io.Reader, out io.Writer) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not wait
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	bare := &http.Server{Handler: ceiling(), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- bare.Serve(listener) }()
	_, err = fmt.Fprintln(out, listener.Addr())
	if err == nil {
		err = follow(in, out)
	}
	bare.Close()
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// follow does what it is told by line, until in ends.
func follow(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var url, seed, subject string
		if _, err := fmt.Sscanf(lines.Text(), "answer %s %s %s", &url, &seed, &subject); err != nil {
			return fmt.Errorf("told %q: %w", lines.Text(), err)
		}
		login, err := seedLogin(seed)
		if err != nil {
			return err
		}
		conn, err := nats.Connect(url, login)
		if err != nil {
			return fmt.Errorf("connect to NATS: %w", err)
		}
		defer conn.Close()
		_, err = conn.QueueSubscribe(subject, "ceiling", func(m *nats.Msg) {
			// Nobody to tell; the call then fails.
			_ = m.Respond(m.Data)
		})
		if err == nil {
			err = conn.Flush()
		}
		if err == nil {
			_, err = fmt.Fprintln(out, "ready")
		}
		if err != nil {
			return fmt.Errorf("answer on NATS: %w", err)
		}
	}
	return lines.Err()
}

// seedLogin logs in to NATS with the seed of a user's key.
func seedLogin(seed string) (nats.Option, error) {
	pair, err := nkeys.FromSeed([]byte(seed))
	if err != nil {
		return nil, fmt.Errorf("log in to NATS: %w", err)
	}
	user, err := pair.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("log in to NATS: %w", err)
	}
	return nats.Nkey(user, pair.Sign), nil
}

func ceiling() http.Handler {
	mux := http.NewServeMux()
	body := []byte(ceilingBody)
	mux.HandleFunc("POST /v1/events", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	})
	mux.HandleFunc("GET /ws", ceilingSocket)
	return mux
}

func ceilingSocket(w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{ReadBufferSize: 4 << 10, WriteBufferSize: 4 << 10}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	ack := []byte(ceilingAck)
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			return
		}
		if err := conn.WriteMessage(websocket.TextMessage, ack); err != nil {
			return
		}
	}
}

// anyBody accepts what the bare handler answers.
func anyBody([]byte, int) bool { return true }

// A ceilingProcess serves the ceilings until it is stopped.
type ceilingProcess struct {
	server
	process *exec.Cmd
	input   io.WriteCloser
	output  *bufio.Reader
}

// CeilingCommand is the argument with which the binary serves the ceilings.
const CeilingCommand = "bench-ceiling"

func startCeiling(binary string) (*ceilingProcess, error) {
	// Not CommandContext: it ends with its standard input.
	c := &ceilingProcess{process: exec.Command(binary, CeilingCommand)} //nolint:noctx
	c.process.SysProcAttr = dyingWithParent()
	c.process.Stderr = os.Stderr
	input, err := c.process.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the ceiling: %w", err)
	}
	output, err := c.process.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the ceiling: %w", err)
	}
	if err := c.process.Start(); err != nil {
		return nil, fmt.Errorf("start the ceiling: %w", err)
	}
	c.input, c.output = input, bufio.NewReader(output)
	line, err := c.output.ReadString('\n')
	if err != nil {
		c.stop()
		return nil, fmt.Errorf("start the ceiling: it does not tell its address: %w", err)
	}
	c.server = server{address: strings.TrimSpace(line), pid: c.process.Process.Pid}
	return c, nil
}

// answer has it answer requests on NATS.
func (c *ceilingProcess) answer(url, seed, subject string) error {
	_, err := fmt.Fprintln(c.input, "answer", url, seed, subject)
	if err == nil {
		_, err = c.output.ReadString('\n')
	}
	if err != nil {
		return fmt.Errorf("have the ceiling answer on NATS: %w", err)
	}
	return nil
}

func (c *ceilingProcess) stop() {
	c.input.Close()
	// It has done what it was for; how it ends is of no interest.
	_ = c.process.Wait()
}
