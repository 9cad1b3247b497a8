package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/tributary-bus/tributary/sdk"
)

// A Row is one row of a file that is imported.
type Row struct {
	Line int `json:"line"` // where it stands in the file, from 1
	// Columns is a JSON object: the row's values by column.
	Columns jsontext.Value `json:"columns,omitzero"`
	// Error says why the row could not be read; Text is then what it holds.
	Error string `json:"error,omitzero"`
	Text  string `json:"text,omitzero"`
}

// A Chunk is a stretch of rows. Rows are sent in order; what the server has
// already taken in is skipped, so that a chunk may be sent again.
type Chunk struct {
	File string `json:"file"` // SHA-256 of the whole file, in hexadecimal
	Name string `json:"name"` // how people know the file
	// Columns are those of the file, where it has a header: a mapping that reads
	// another one is refused.
	Columns []string `json:"columns,omitzero"`
	First   uint64   `json:"first"` // number of the first row, from 1
	Rows    []Row    `json:"rows"`
	Last    bool     `json:"last,omitzero"` // no row follows
}

// An ImportProgress tells how far the import of a file is. A row counts once
// under accepted, duplicates or failed.
type ImportProgress struct {
	Mapping    string `json:"mapping"`
	File       string `json:"file"`
	Name       string `json:"name"`
	Pass       uint64 `json:"pass"` // how often the file was begun
	Next       uint64 `json:"next"` // the row to send next, from 1
	Accepted   uint64 `json:"accepted"`
	Duplicates uint64 `json:"duplicates"`
	Failed     uint64 `json:"failed"`
	// Invalid counts those of accepted that break the schema of their type: they
	// are kept, and change nothing. What a condition on the profile decides is not
	// among them.
	Invalid  uint64 `json:"invalid"`
	Finished bool   `json:"finished"`
	Started  Time   `json:"started"`
	Updated  Time   `json:"updated"`
}

// ImportProgress returns the progress of a file by its SHA-256. A file that
// was never begun is at row 1.
func (c *Client) ImportProgress(ctx context.Context, mapping, file string) (*ImportProgress, error) {
	return c.progress(ctx, http.MethodGet, mapping, file)
}

// RestartImport forgets the progress of a file, so that it can be imported
// again from its first row.
func (c *Client) RestartImport(ctx context.Context, mapping, file string) (*ImportProgress, error) {
	return c.progress(ctx, http.MethodDelete, mapping, file)
}

func (c *Client) progress(ctx context.Context, method, mapping, file string) (*ImportProgress, error) {
	progress := &ImportProgress{}
	r := c.admin(method, "import", mapping, "progress")
	r.query, r.out = url.Values{"file": {file}}, progress
	return progress, c.do(ctx, r)
}

// ImportRows sends a chunk and returns after its events are stored durably and
// the rows that failed are kept as dead letters.
func (c *Client) ImportRows(ctx context.Context, mapping string, chunk *Chunk) (*ImportProgress, error) {
	progress := &ImportProgress{}
	r := c.admin(http.MethodPost, "import", mapping, "rows")
	r.body, r.out = chunk, progress
	return progress, c.do(ctx, r)
}

// A Check is what a row would become: an event, or an error. The event may be not
// valid, see [ImportProgress]: Errors then say why.
type Check struct {
	Line   int            `json:"line"`
	Event  jsontext.Value `json:"event,omitzero"`
	Column string         `json:"column,omitzero"`
	Value  string         `json:"value,omitzero"`
	Error  string         `json:"error,omitzero"`

	Errors []sdk.FieldError `json:"errors,omitzero"`
}

// CheckRows maps a chunk's rows and stores nothing.
func (c *Client) CheckRows(ctx context.Context, mapping string, chunk *Chunk) ([]Check, error) {
	var answer struct {
		Rows []Check `json:"rows"`
	}
	r := c.admin(http.MethodPost, "import", mapping, "rows")
	r.query, r.body, r.out = url.Values{"dry-run": {"true"}}, chunk, &answer
	return answer.Rows, c.do(ctx, r)
}
