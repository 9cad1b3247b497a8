package config

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/sdk"
)

const mapping = `
kind: import
id: m
spec:
  source: shop
  event:
    type: 'order-{{ lower(row.State) }}'
    id: row.Id
    session: row.Session
    profile: row.Profile
    time: row.Time
    ids: {user: row.User, email: row.Email}
    properties:
      total: double(row.Total)
      constant: 7
      nested: {list: [row.A, '"b"', 'null'], at: timestamp(row.Time)}
    traits: row.Traits
    context: {page: {url: row.Url}}
    tags: ['"imported"', row.State]
`

func TestMap(t *testing.T) {
	i, _ := newSet(t, shop+"---"+mapping).Import("m")
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	got, err := i.Map(map[string]any{
		"State": "Paid", "Id": json.Number("123456789012345678901"), "Session": "s", "Profile": "p", "Time": "2010-12-01 08:26:00",
		"User": int64(17850), "Email": "", "Total": "139.12", "A": true, "Traits": map[string]any{"a": nil},
	}, now)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC)
	want := Mapped{
		Type: "order-paid", Source: "shop", ID: "123456789012345678901", Session: "s", Profile: "p", Time: at,
		IDs: []Identifier{{"user", "17850"}},
		Properties: map[string]any{
			"total": 139.12, "constant": int64(7),
			"nested": map[string]any{"list": []any{true, "b", nil}, "at": sdk.FormatTime(at)},
		},
		Traits: map[string]any{"a": nil}, Context: map[string]any{"page": map[string]any{}},
		Tags: []string{"imported", "Paid"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestMapOfAnEmptyRow(t *testing.T) {
	i, _ := newSet(t, shop+"---\nkind: import\nid: m\nspec: {source: shop, event: {type: a, id: row.x, time: row.t, ids: {user: row.u}, properties: {total: double(row.n)}}}\n").Import("m")
	for _, row := range []map[string]any{nil, {"x": "", "t": "", "u": "", "n": ""}} {
		got, err := i.Map(row, time.Now())
		if want := (Mapped{Type: "a", Source: "shop", Properties: map[string]any{}}); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v: got %+v, %v", row, got, err)
		}
	}
}

func TestMapNamesTheField(t *testing.T) {
	list := func(event string) *Import {
		i, ok := newSet(t, shop+"---\nkind: import\nid: m\nspec: {source: shop, event: "+event+"}\n").Import("m")
		if !ok {
			t.Fatal("no import")
		}
		return i
	}
	for _, test := range []struct{ event, want string }{
		{"{type: '{{ row.none }}'}", "event.type: is empty; want the type of the event"},
		{"{type: '{{ row.list }}'}", "event.type: want text, got an array\nevent.type: is empty; want the type of the event"},
		{"{type: a, id: row.list}", "event.id: want text or a number, got an array"},
		{"{type: a, ids: {user: row.flag}}", "event.ids.user: want text or a number, got a boolean"},
		{"{type: a, time: row.text}", `event.time: "abc" is not a time: want RFC 3339, such as 2026-01-31T12:00:00Z, or a date`},
		{"{type: a, time: row.number}", "event.time: want a time as text, such as 2026-01-31T12:00:00Z, got a number"},
		{"{type: a, properties: row.text}", "event.properties: want an object, got a string"},
		{"{type: a, tags: row.text}", "event.tags: want a list of texts, got a string"},
		{"{type: a, tags: [row.number]}", "event.tags: want a list of texts, one is a number"},
	} {
		_, err := list(test.event).Map(map[string]any{"list": []any{}, "flag": true, "text": "abc", "number": int64(1)}, time.Now())
		if err == nil || err.Error() != test.want {
			t.Errorf("%s: got %v, want %s", test.event, err, test.want)
		}
	}
	_, err := list("{type: a, properties: {a: {b: ['double(row.text)']}}}").Map(map[string]any{"text": "abc"}, time.Now())
	if p := new(FieldProblem); !errors.As(err, &p) || p.Path != "event.properties.a.b[0]" {
		t.Errorf("a run-time error: %v", err)
	}
}

func BenchmarkMap(b *testing.B) {
	i, _ := newSet(b, shop+"---\nkind: import\nid: m\nspec: {source: shop, event: {type: order-completed, id: row.InvoiceNo, ids: {user: row.CustomerID}, time: row.InvoiceDate, properties: {total: double(row.TotalPrice)}}}\n").Import("m")
	row := map[string]any{"InvoiceNo": "536365", "InvoiceDate": "2010-12-01", "CustomerID": "17850", "TotalPrice": "139.12"}
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := i.Map(row, now); err != nil {
			b.Fatal(err)
		}
	}
}
