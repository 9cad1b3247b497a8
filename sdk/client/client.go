// Package client talks to a Tributary server over HTTP and WebSocket: it sends
// events, reads profiles, and does what the admin API offers.
//
//	c, err := client.New("http://127.0.0.1:8080", client.Key("shop-key"))
//	…
//	reply, err := c.Send(ctx, []client.Event{{
//		ID: "536365", Type: "order-completed",
//		IDs:        map[string]string{"user": "17850"},
//		Properties: map[string]any{"total": 139.12},
//	}}, client.Wait(client.Processed))
//
// Sending needs a source's write key, everything else an admin token. Every
// error that the server answers is an [*Error].
package client

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// A Client is safe for concurrent use.
type Client struct {
	base  *url.URL
	key   string
	token string
	http  *http.Client
}

// An Option changes how a client works.
type Option func(*Client)

// Key is the write key of the source that events are sent as.
func Key(key string) Option { return func(c *Client) { c.key = key } }

// Token is the bearer token for the admin API.
func Token(token string) Option { return func(c *Client) { c.token = token } }

// HTTP replaces the HTTP client, whose time-out must leave room for streams.
func HTTP(h *http.Client) Option { return func(c *Client) { c.http = h } }

// New returns a client of the server at the address, such as
// http://127.0.0.1:8080; a bare host:port is taken as http.
func New(server string, options ...Option) (*Client, error) {
	if !strings.Contains(server, "://") {
		server = "http://" + server
	}
	base, err := url.Parse(server)
	if err != nil {
		return nil, fmt.Errorf("server address %q: %w", server, err)
	}
	if base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("server address %q: want http://HOST:PORT or https://HOST:PORT", server)
	}
	c := &Client{base: base, http: &http.Client{}}
	for _, option := range options {
		option(c)
	}
	return c, nil
}

// Server is the address that the client talks to.
func (c *Client) Server() string { return c.base.String() }

// maxReply bounds a reply that is read whole.
const maxReply = 64 << 20

// request is one call: its answer is decoded into out, unless that is nil.
type request struct {
	method string
	path   []string // escaped one by one
	query  url.Values
	body   any // encoded as JSON, unless nil
	header http.Header
	auth   string
	out    any
}

func (c *Client) do(ctx context.Context, r request) error {
	response, err := c.open(ctx, r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if r.out == nil {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxReply))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.base.Host, err)
	}
	if err := json.Unmarshal(text, r.out); err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.base.Host, err)
	}
	return nil
}

// open performs the call and returns its answer, which the caller closes.
func (c *Client) open(ctx context.Context, r request) (*http.Response, error) {
	var body io.Reader
	if r.body != nil {
		text, err := json.Marshal(r.body)
		if err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		body = bytes.NewReader(text)
	}
	target := c.base.JoinPath(escape(r.path)...)
	target.RawQuery = r.query.Encode()
	request, err := http.NewRequestWithContext(ctx, r.method, target.String(), body)
	if err != nil {
		return nil, err
	}
	for name, values := range r.header {
		request.Header[name] = values
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if r.auth != "" {
		request.Header.Set("Authorization", "Bearer "+r.auth)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= 300 {
		defer response.Body.Close()
		return nil, parseError(response)
	}
	return response, nil
}

func escape(path []string) []string {
	out := make([]string, len(path))
	for i, element := range path {
		out[i] = url.PathEscape(element)
	}
	return out
}

// admin is a call of the admin API.
func (c *Client) admin(method string, path ...string) request {
	return request{method: method, path: append([]string{"api", "v1"}, path...), auth: c.token}
}

// Healthy waits at most a second for the server to say that it is up.
func (c *Client) Healthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return c.do(ctx, request{method: http.MethodGet, path: []string{"healthz"}})
}
