package elastic_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

// A node is asked by tests beside the store.
type node struct {
	t   testing.TB
	url string
}

// ask sends a request and returns the status and the text of the answer.
func (n node) ask(ctx context.Context, method, path, body string) (int, string) {
	n.t.Helper()
	request, err := http.NewRequestWithContext(ctx, method, n.url+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		n.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// must is ask, for what has to work.
func (n node) must(method, path, body string) string {
	n.t.Helper()
	status, text := n.ask(n.t.Context(), method, path, body)
	if status >= 300 {
		n.t.Fatalf("%s %s: %d %s", method, path, status, text)
	}
	return text
}
