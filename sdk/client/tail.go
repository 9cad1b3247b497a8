package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/gorilla/websocket"
)

// maxFrame bounds one frame from the server.
const maxFrame = 16 << 20

// A frame is what the server sends on a WebSocket, one JSON object.
type frame struct {
	Ping       *struct{} `json:"ping"`
	Connected  *struct{} `json:"connected"`
	Subscribed *struct{} `json:"subscribed"`
	Push       *struct {
		Data jsontext.Value `json:"data"`
	} `json:"push"`
	Error *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// A call is what a client sends.
type call struct {
	ID        int        `json:"id,omitzero"`
	Connect   *connect   `json:"connect,omitzero"`
	Subscribe *subscribe `json:"subscribe,omitzero"`
	Pong      *struct{}  `json:"pong,omitzero"`
}

type connect struct {
	Token string `json:"token,omitzero"`
}

type subscribe struct {
	Channel string `json:"channel"`
	Filter  string `json:"filter,omitzero"`
}

// Subscription is what [Client.Tail] listens to.
type Subscription struct {
	Channel string // such as "events"
	Filter  string // a condition; empty for all
	// Ready, unless nil, is called once the subscription stands: what happens
	// from then on is pushed.
	Ready func()
}

// Tail calls each with what is pushed on a channel, live, until ctx ends, each
// returns an error, or the connection breaks. It returns nil where ctx ended.
func (c *Client) Tail(ctx context.Context, s Subscription, each func(data jsontext.Value) error) error {
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	// A read from a WebSocket knows no context: closing ends it.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	err = c.tail(conn, s, each)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (c *Client) dial(ctx context.Context) (*websocket.Conn, error) {
	target := c.base.JoinPath("ws")
	target.Scheme = map[string]string{"http": "ws", "https": "wss"}[target.Scheme]
	// The token follows in the first frame: in the handshake's header it would
	// be taken for a write key.
	dialer := *websocket.DefaultDialer
	if transport, ok := c.http.Transport.(*http.Transport); ok {
		dialer.TLSClientConfig = transport.TLSClientConfig
	}
	conn, response, err := dialer.DialContext(ctx, target.String(), nil)
	if response != nil {
		defer response.Body.Close()
	}
	if errors.Is(err, websocket.ErrBadHandshake) {
		return nil, parseError(response)
	}
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(maxFrame)
	return conn, nil
}

func (c *Client) tail(conn *websocket.Conn, s Subscription, each func(data jsontext.Value) error) error {
	if err := write(conn, call{ID: 1, Connect: &connect{c.token}}); err != nil {
		return err
	}
	for {
		_, reader, err := conn.NextReader()
		if err != nil {
			return fmt.Errorf("the connection ended: %w", err)
		}
		dec := jsontext.NewDecoder(reader)
		for dec.PeekKind() != 0 {
			var f frame
			if err := json.UnmarshalDecode(dec, &f); err != nil {
				return fmt.Errorf("read a frame: %w", err)
			}
			if err := handle(conn, s, &f, each); err != nil {
				return err
			}
		}
	}
}

func handle(conn *websocket.Conn, s Subscription, f *frame, each func(data jsontext.Value) error) error {
	switch {
	case f.Error != nil:
		return &Error{Status: http.StatusBadRequest, Code: f.Error.Code, Message: f.Error.Message}
	case f.Ping != nil:
		return write(conn, call{Pong: &struct{}{}})
	case f.Connected != nil:
		return write(conn, call{ID: 2, Subscribe: &subscribe{s.Channel, s.Filter}})
	case f.Subscribed != nil && s.Ready != nil:
		s.Ready()
	case f.Push != nil:
		return each(f.Push.Data)
	}
	return nil
}

func write(conn *websocket.Conn, c call) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := conn.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	return conn.WriteMessage(websocket.TextMessage, text)
}
