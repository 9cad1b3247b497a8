package importer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/importer"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk/client"
)

const (
	hash      = "3f786850e387550fdab836ed7e6dc881de23001b3f786850e387550fdab836ed"
	otherHash = "89e6c98d92887913cadf06b2adb97f26cde4849b89e6c98d92887913cadf06b2"
)

func testSet(t *testing.T) *config.Set {
	t.Helper()
	resources, err := config.Parse("test.yaml", []byte(`
kind: source
id: shop
spec: {keys: [shop-key]}
---
kind: event-type
id: order-completed
spec:
  schema: {type: object, required: [total]}
  validators:
    - {name: sum, schema: {required: [total]}}
    - {name: card, when: profile.traits.vip != true, schema: {required: [card]}}
  when: 'event.source == "shop" && event.time < timestamp("2020-01-01T00:00:00Z")'
---
kind: import
id: orders
spec:
  source: shop
  event:
    type: order-completed
    id: row.InvoiceNo
    ids: {user: row.CustomerID}
    time: row.InvoiceDate
    properties: {total: double(row.TotalPrice)}
`))
	if err != nil {
		t.Fatal(err)
	}
	set, err := config.NewSet(1, resources)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func openBus(t *testing.T) *bus.Bus {
	t.Helper()
	b, err := bus.Open(context.Background(), bus.Options{Dir: t.TempDir(), Durability: bus.DurabilityProcess, Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return b
}

// A desk stands in for the gateway: it knows each id once.
type desk struct {
	ids    []string
	events map[string]record.Event
	// results, one a call, override what the desk says; nil lets it pass.
	results []func(n int) []importer.Submission
}

func (d *desk) submit(_ context.Context, source *config.Source, events []record.Event) ([]importer.Submission, error) {
	if source.ID != "shop" {
		return nil, fmt.Errorf("source %s", source.ID)
	}
	if d.events == nil {
		d.events = map[string]record.Event{}
	}
	var say func(int) []importer.Submission
	if len(d.results) > 0 {
		say, d.results = d.results[0], d.results[1:]
	}
	var said []importer.Submission
	if say != nil {
		said = say(len(events))
		if said == nil {
			return nil, errors.New("the bus does not answer")
		}
	}
	results := make([]importer.Submission, len(events))
	for i, e := range events {
		results[i].Status = "accepted"
		if said != nil && said[i].Status != "" {
			results[i] = said[i]
		}
		if results[i].Status != "accepted" {
			continue
		}
		if _, known := d.events[e.ID]; known {
			results[i].Status = "duplicate"
			continue
		}
		d.events[e.ID] = e
		d.ids = append(d.ids, e.ID)
	}
	return results, nil
}

func newImporter(t *testing.T, b importer.Bus, d *desk) *importer.Importer {
	set := testSet(t)
	return importer.New(importer.Options{Bus: b, Submit: d.submit, Set: func() *config.Set { return set }, Now: time.Now})
}

func row(line int, invoice, date, customer, total string) client.Row {
	return client.Row{Line: line, Columns: fmt.Appendf(nil,
		`{"InvoiceNo":%q,"InvoiceDate":%q,"CustomerID":%q,"TotalPrice":%q}`, invoice, date, customer, total)}
}

func chunk(first uint64, rows ...client.Row) *client.Chunk {
	return &client.Chunk{File: hash, Name: "orders.csv", First: first, Rows: rows}
}

func letters(t *testing.T, b *bus.Bus) []string {
	t.Helper()
	list, err := b.DeadLetters(context.Background(), importer.Origin, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	reasons := make([]string, len(list))
	for i := range list {
		reasons[i] = list[i].Reason
	}
	return reasons
}

func counts(p *client.ImportProgress) string {
	return fmt.Sprintf("next %d: %d accepted, %d duplicates, %d failed, finished %v", p.Next, p.Accepted, p.Duplicates, p.Failed, p.Finished)
}

func expect(t *testing.T, p *client.ImportProgress, err error, want string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if got := counts(p); got != want {
		t.Fatalf("progress is %s, want %s", got, want)
	}
}

func TestRowsBecomeEvents(t *testing.T) {
	b, d, ctx := openBus(t), &desk{}, context.Background()
	i := newImporter(t, b, d)
	p, err := i.Progress(ctx, "orders", hash)
	expect(t, p, err, "next 1: 0 accepted, 0 duplicates, 0 failed, finished false")
	p, err = i.Rows(ctx, "orders", chunk(1,
		row(2, "536365", "2010-12-01", "17850", "139.12"),
		row(3, "536366", "2010-12-01", "17850", "a lot"),
		client.Row{Line: 4, Error: "has 3 fields, the header has 4", Text: "1,2,3"},
		row(5, "", "2010-12-02", "13047", "22.2"),
	))
	expect(t, p, err, "next 5: 2 accepted, 0 duplicates, 2 failed, finished false")
	if want := "536365," + hash[:32] + "-4"; strings.Join(d.ids, ",") != want {
		t.Errorf("ids %v, want %s", d.ids, want)
	}
	e := d.events["536365"]
	if string(e.Properties) != `{"total":139.12}` || !e.Time.Equal(time.Date(2010, 12, 1, 0, 0, 0, 0, time.UTC)) ||
		len(e.IDs) != 1 || e.IDs[0] != (record.Identifier{Kind: "user", Value: "17850"}) || e.Type != "order-completed" {
		t.Errorf("event %+v", e)
	}
	got := letters(t, b)
	if len(got) != 2 || !strings.HasPrefix(got[0], `orders.csv:3: column TotalPrice, value "a lot": event.properties.total: `) ||
		got[1] != "orders.csv:4: has 3 fields, the header has 4" {
		t.Errorf("dead letters %q", got)
	}
}

func TestRowsComeTwice(t *testing.T) {
	b, d, ctx := openBus(t), &desk{}, context.Background()
	i := newImporter(t, b, d)
	first := chunk(1, row(2, "1", "2010-12-01", "7", "1"), row(3, "2", "2010-12-01", "7", "x"))
	_, err := i.Rows(ctx, "orders", first)
	if err != nil {
		t.Fatal(err)
	}
	// The answer was lost: the same chunk again, then one that overlaps.
	p, err := i.Rows(ctx, "orders", first)
	expect(t, p, err, "next 3: 1 accepted, 0 duplicates, 1 failed, finished false")
	overlap := chunk(2, row(3, "2", "2010-12-01", "7", "x"), row(4, "3", "2010-12-01", "7", "1"))
	overlap.Last = true
	p, err = i.Rows(ctx, "orders", overlap)
	expect(t, p, err, "next 4: 2 accepted, 0 duplicates, 1 failed, finished true")
	// A gap is refused, another file begins at its own first row.
	if _, err := i.Rows(ctx, "orders", chunk(6, row(7, "9", "2010-12-01", "7", "1"))); !errors.Is(err, importer.ErrOrder) {
		t.Errorf("a gap gives %v", err)
	}
	p, err = i.Progress(ctx, "orders", otherHash)
	expect(t, p, err, "next 1: 0 accepted, 0 duplicates, 0 failed, finished false")
	p, err = i.Restart(ctx, "orders", hash)
	expect(t, p, err, "next 1: 0 accepted, 0 duplicates, 0 failed, finished false")
	p, err = i.Rows(ctx, "orders", first)
	expect(t, p, err, "next 3: 0 accepted, 1 duplicates, 1 failed, finished false")
	if got := letters(t, b); len(got) != 2 {
		t.Errorf("%d dead letters, want one of each pass over the file: %q", len(got), got)
	}
}

// forgetful loses the progress of the next writes, as a kill before them does.
type forgetful struct {
	*bus.Bus
	lose int
}

func (f *forgetful) PutJob(ctx context.Context, key string, data []byte, expect uint64) (uint64, error) {
	if f.lose > 0 {
		f.lose--
		return 0, errors.New("killed")
	}
	return f.Bus.PutJob(ctx, key, data, expect)
}

func TestKilledBetweenDeadLetterAndProgress(t *testing.T) {
	b, d, ctx := openBus(t), &desk{}, context.Background()
	f := &forgetful{Bus: b}
	i := newImporter(t, f, d)
	if _, err := i.Rows(ctx, "orders", chunk(1, row(2, "1", "2010-12-01", "7", "1"))); err != nil {
		t.Fatal(err)
	}
	second := chunk(2, row(3, "2", "2010-12-01", "7", "x"), row(4, "3", "2010-12-01", "7", "2"))
	f.lose = 1
	if _, err := i.Rows(ctx, "orders", second); !errors.Is(err, importer.ErrUnavailable) {
		t.Fatalf("lost progress gives %v", err)
	}
	for name, again := range map[string]*importer.Importer{"same process": i, "next process": newImporter(t, f, d)} {
		f.lose = 1
		if _, err := again.Rows(ctx, "orders", second); !errors.Is(err, importer.ErrUnavailable) {
			t.Fatalf("%s: lost progress gives %v", name, err)
		}
		if got := letters(t, b); len(got) != 1 {
			t.Fatalf("%s: %d dead letters for one row: %q", name, len(got), got)
		}
	}
	p, err := i.Rows(ctx, "orders", second)
	expect(t, p, err, "next 4: 1 accepted, 1 duplicates, 1 failed, finished false")
}

func TestEventsThatTheGatewayDoesNotTake(t *testing.T) {
	b, ctx := openBus(t), context.Background()
	say := func(statuses ...string) func(int) []importer.Submission {
		return func(n int) []importer.Submission {
			if n != len(statuses) {
				t.Errorf("%d events submitted, want %d", n, len(statuses))
			}
			out := make([]importer.Submission, n)
			for i := range min(n, len(statuses)) {
				out[i] = importer.Submission{Status: statuses[i], Reason: "the reason"}
			}
			return out
		}
	}
	// The second is invalid, the third comes through at the second attempt.
	d := &desk{results: []func(int) []importer.Submission{say("", "invalid", "retry"), say("")}}
	i := newImporter(t, b, d)
	rows := chunk(1, row(2, "1", "", "7", "1"), row(3, "2", "", "7", "1"), row(4, "3", "", "7", "1"))
	p, err := i.Rows(ctx, "orders", rows)
	expect(t, p, err, "next 4: 2 accepted, 0 duplicates, 1 failed, finished false")
	if got := letters(t, b); len(got) != 1 || got[0] != "orders.csv:3: the reason" {
		t.Errorf("dead letters %q", got)
	}
	if got := strings.Join(d.ids, ","); got != "1,3" {
		t.Errorf("stored %s, want 1,3", got)
	}
	// A bus that does not answer is the caller's to try again.
	d.results = []func(int) []importer.Submission{func(int) []importer.Submission { return nil }}
	if _, err := i.Rows(ctx, "orders", chunk(4, row(5, "4", "", "7", "1"))); !errors.Is(err, importer.ErrUnavailable) {
		t.Errorf("a bus that does not answer gives %v", err)
	}
	p, err = i.Rows(ctx, "orders", chunk(4, row(5, "4", "", "7", "1")))
	expect(t, p, err, "next 5: 3 accepted, 0 duplicates, 1 failed, finished false")
}

func TestWrongCalls(t *testing.T) {
	b, ctx := openBus(t), context.Background()
	i := newImporter(t, b, &desk{})
	if _, err := i.Progress(ctx, "nothing", hash); !errors.Is(err, importer.ErrNoMapping) {
		t.Errorf("an unknown mapping gives %v", err)
	}
	for name, c := range map[string]*client.Chunk{
		"no hash":  {File: "x", First: 1},
		"row 0":    {File: hash, First: 0},
		"too many": {File: hash, First: 1, Rows: make([]client.Row, importer.MaxRows+1)},
	} {
		if _, err := i.Rows(ctx, "orders", c); !errors.Is(err, importer.ErrInvalid) {
			t.Errorf("%s gives %v", name, err)
		}
	}
}

func TestColumnsThatAFileLacks(t *testing.T) {
	b, d, ctx := openBus(t), &desk{}, context.Background()
	i := newImporter(t, b, d)
	c := chunk(1, row(2, "1", "2010-12-01", "7", "1"))
	c.Columns = []string{"InvoiceNo", "InvoiceDate", "CustomerID", "Total"}
	const want = `orders.csv: there is no column "TotalPrice", which event.properties.total of import orders reads`
	if _, err := i.Rows(ctx, "orders", c); !errors.Is(err, importer.ErrInvalid) || !strings.Contains(err.Error(), want) {
		t.Errorf("rows without a column give %v", err)
	}
	if _, err := i.Check("orders", c); !errors.Is(err, importer.ErrInvalid) || !strings.Contains(err.Error(), want) {
		t.Errorf("a check without a column gives %v", err)
	}
	if len(d.ids) > 0 {
		t.Errorf("%v were stored", d.ids)
	}
	c.Columns[3] = "TotalPrice"
	p, err := i.Rows(ctx, "orders", c)
	expect(t, p, err, "next 2: 1 accepted, 0 duplicates, 0 failed, finished false")
}

func TestEventsThatAreNotValid(t *testing.T) {
	b, ctx := openBus(t), context.Background()
	i := newImporter(t, b, &desk{})
	// The rules of the type do not hold since 2020, and what depends on the profile is
	// not asked. What fails, or is known already, does not count again.
	rows := chunk(1, row(2, "1", "2010-12-01", "7", ""), row(3, "2", "2010-12-01", "7", "1"), row(4, "3", "2020-12-01", "7", ""),
		row(5, "4", "2010-12-01", "7", "x"), row(6, "1", "2010-12-01", "7", ""))
	checks, err := i.Check("orders", rows)
	if err != nil {
		t.Fatal(err)
	}
	var invalid []int
	for n := range checks {
		if len(checks[n].Errors) > 0 {
			invalid = append(invalid, checks[n].Line)
		}
	}
	if got := fmt.Sprint(invalid, checks[0].Errors); got != "[2 6] [{properties missing property 'total'} {properties validator sum: missing property 'total'}]" {
		t.Errorf("the lines and errors of what is not valid: %s", got)
	}
	p, err := i.Rows(ctx, "orders", rows)
	expect(t, p, err, "next 6: 3 accepted, 1 duplicates, 1 failed, finished false")
	if p.Invalid != 1 {
		t.Errorf("%d are not valid, want 1", p.Invalid)
	}
}

func TestCheckStoresNothing(t *testing.T) {
	b, d := openBus(t), &desk{}
	i := newImporter(t, b, d)
	checks, err := i.Check("orders", chunk(1, row(2, "1", "2010-12-01", "7", "1.5"), row(3, "2", "yesterday", "7", "1")))
	if err != nil {
		t.Fatal(err)
	}
	const event = `{"id":"1","ids":{"user":"7"},"properties":{"total":1.5},"time":"2010-12-01T00:00:00.000Z","type":"order-completed"}`
	if len(checks) != 2 || string(checks[0].Event) != event {
		t.Fatalf("checks %+v", checks)
	}
	if c := checks[1]; c.Line != 3 || c.Column != "InvoiceDate" || c.Value != "yesterday" || !strings.Contains(c.Error, "is not a time") {
		t.Errorf("check %+v", c)
	}
	if len(d.ids) > 0 || len(letters(t, b)) > 0 {
		t.Errorf("something was stored")
	}
}
