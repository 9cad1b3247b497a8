package elastic

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/core/internal/store"
)

// A client asks the nodes in turn. What it tells of failures has no credentials in it.
type client struct {
	nodes     *elastictransport.Client
	transport *http.Transport
	timeout   time.Duration
	closed    context.Context
	close     func()
}

func newClient(o Options) (*client, error) {
	if len(o.URLs) == 0 {
		return nil, errors.New("no URL is given, want those of the nodes")
	}
	addresses := make([]*url.URL, len(o.URLs))
	for i, text := range o.URLs {
		u, err := url.Parse(text)
		// The text of the error would have the password that may be in it.
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, fmt.Errorf("URL %d of %d is none, want such as https://es-1.example:9200", i+1, len(o.URLs))
		}
		if u.User != nil && o.Username == "" && o.APIKey == "" {
			o.Username = u.User.Username()
			o.Password, _ = u.User.Password()
		}
		u.User = nil
		addresses[i] = u
	}
	if o.APIKey != "" && o.Username != "" {
		return nil, errors.New("both an API key and a user are given, want one of them")
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       time.Minute,
		ExpectContinueTimeout: time.Second,
		DisableCompression:    !o.Compression,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if o.CACert != "" {
		pool, err := authorities(o.CACert)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	header := http.Header{}
	if o.APIKey != "" {
		// As Elasticsearch's documents write it; the client's own way is taken by
		// Elasticsearch only, not by every gateway.
		header.Set("Authorization", "ApiKey "+o.APIKey)
	}
	options := []elastictransport.Option{
		elastictransport.WithUserAgent("tributary"), elastictransport.WithURLs(addresses...),
		elastictransport.WithHeader(header), elastictransport.WithTransport(transport),
		elastictransport.WithRetryOnError(func(r *http.Request, _ error) bool { return r.Context().Err() == nil }),
	}
	if o.Username != "" {
		options = append(options, elastictransport.WithBasicAuth(o.Username, o.Password))
	}
	if o.Compression {
		options = append(options, elastictransport.WithCompression())
	}
	nodes, err := elastictransport.NewClient(options...)
	if err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	c := &client{nodes: nodes, transport: transport, timeout: o.Timeout}
	if c.timeout == 0 {
		c.timeout = 30 * time.Second
	}
	closed, end := context.WithCancel(context.Background())
	c.closed, c.close = closed, func() { end(); transport.CloseIdleConnections() }
	return c, nil
}

// authorities reads certificates of a PEM text, or of a file that holds one.
func authorities(text string) (*x509.CertPool, error) {
	pem := []byte(text)
	if !strings.Contains(text, "-----BEGIN") {
		var err error
		if pem, err = os.ReadFile(text); err != nil {
			return nil, fmt.Errorf("read certificates of authorities: %w", err)
		}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("read certificates of authorities: there is none in PEM")
	}
	return pool, nil
}

// errProduct says that something else answers.
var errProduct = errors.New("what answers is not Elasticsearch: its answer has no header X-Elastic-Product")

// errClosed says that the store was closed.
var errClosed = fmt.Errorf("%w: it was closed", store.ErrUnavailable)

// A failure is what Elasticsearch tells of a request that failed.
type failure struct {
	status int
	kind   string // such as index_not_found_exception; empty where it does not tell
	reason string
}

// Error tells what Elasticsearch tells, in no more than some lines.
func (f *failure) Error() string {
	text := fmt.Sprintf("Elasticsearch answers %d", f.status)
	if f.status == http.StatusUnauthorized || f.status == http.StatusForbidden && f.kind == "security_exception" {
		text += ": it does not take these credentials"
	}
	if f.kind != "" {
		text += " " + f.kind + ": " + bounded(f.reason)
	}
	return text
}

// Unwrap is [store.ErrUnavailable], unless the request is wrong in itself.
func (f *failure) Unwrap() error {
	if f.status == http.StatusBadRequest || f.status == http.StatusRequestEntityTooLarge {
		return nil
	}
	return store.ErrUnavailable
}

// bounded cuts what may tell a whole document.
func bounded(text string) string {
	const most = 400
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

func params(pairs ...string) url.Values {
	values := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	return values
}

// ask sends in as JSON, nothing where it is nil, and reads the answer into out.
func (c *client) ask(ctx context.Context, method, path string, query url.Values, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("write request: %w", err)
		}
	}
	text, err := c.do(ctx, method, path, query, body)
	if err != nil || out == nil {
		return err
	}
	return readAnswer(text, out)
}

// readAnswer reads an answer. What is raw in out is the text as it came.
func readAnswer(text []byte, out any) error {
	if err := json.Unmarshal(text, out, jsontext.AllowDuplicateNames(true)); err != nil {
		return fmt.Errorf("%w: read its answer: %w", store.ErrUnavailable, err)
	}
	return nil
}

// do sends a request and returns the answer's text. An answer that is none, late or a
// refusal is [store.ErrUnavailable], but one that the request is wrong in itself.
func (c *client) do(ctx context.Context, method, path string, query url.Values, body []byte) ([]byte, error) {
	if c.closed.Err() != nil {
		return nil, errClosed
	}
	limited, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	defer context.AfterFunc(c.closed, cancel)() //nolint:contextcheck // the store's end, beside the caller's
	request, err := http.NewRequestWithContext(limited, method, path+"?"+query.Encode(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	if body == nil {
		request.Body, request.ContentLength = nil, 0
	} else {
		request.Header.Set("Content-Type", "application/json")
	}
	text, status, err := c.perform(request)
	switch {
	case err == nil && status < 300:
		return text, nil
	case err == nil:
		return nil, failureOf(status, text)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case c.closed.Err() != nil:
		return nil, errClosed
	case limited.Err() != nil:
		return nil, fmt.Errorf("%w: Elasticsearch does not answer within %s", store.ErrUnavailable, c.timeout)
	}
	return nil, fmt.Errorf("%w: ask Elasticsearch: %w", store.ErrUnavailable, err)
}

func (c *client) perform(request *http.Request) (text []byte, status int, err error) {
	response, err := c.nodes.Perform(request)
	if err != nil {
		return nil, 0, err
	}
	text, err = io.ReadAll(response.Body)
	if err == nil && response.StatusCode < 300 && response.Header.Get("X-Elastic-Product") != "Elasticsearch" {
		err = errProduct
	}
	return text, response.StatusCode, errors.Join(err, response.Body.Close())
}

// A cause is why something failed, as Elasticsearch writes it.
type cause struct {
	Kind   string  `json:"type"`
	Reason string  `json:"reason"`
	Roots  []cause `json:"root_cause"`
	By     *cause  `json:"caused_by"`
}

// deepest is the reason that says most.
func (c *cause) deepest() (kind, reason string) {
	if len(c.Roots) > 0 {
		return c.Roots[0].deepest()
	}
	kind, reason = c.Kind, c.Reason
	if c.By != nil && c.By.Reason != "" && !strings.Contains(reason, c.By.Reason) {
		reason += ": " + c.By.Reason
	}
	return kind, reason
}

func failureOf(status int, text []byte) error {
	f := &failure{status: status}
	var answer struct {
		Error cause `json:"error"`
	}
	// Something in between answers in other ways.
	if readAnswer(text, &answer) == nil {
		f.kind, f.reason = answer.Error.deepest()
	}
	return f
}
