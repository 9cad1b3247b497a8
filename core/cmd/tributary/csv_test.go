package main

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/client"
)

func readAll(t *testing.T, text string, delimiter rune) ([]client.Row, error) {
	t.Helper()
	r, err := newCSVReader("orders.csv", strings.NewReader(text), delimiter)
	if err != nil {
		return nil, err
	}
	var rows []client.Row
	for {
		row, err := r.read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return rows, err
		}
		rows = append(rows, row)
	}
}

func TestCSVRows(t *testing.T) {
	tests := []struct {
		name, text string
		delimiter  rune
		want       []client.Row
	}{
		{"plain", "a,b\n1,2\n3,4\n", ',', []client.Row{
			{Line: 2, Columns: []byte(`{"a":"1","b":"2"}`)}, {Line: 3, Columns: []byte(`{"a":"3","b":"4"}`)},
		}},
		{"byte order mark", "\ufeffa\n1\n", ',', []client.Row{{Line: 2, Columns: []byte(`{"a":"1"}`)}}},
		{"semicolons", "a;b\n1;2,5\n", ';', []client.Row{{Line: 2, Columns: []byte(`{"a":"1","b":"2,5"}`)}}},
		{"quoted newline", "a,b\n\"x\ny\",2\n3,4\n", ',', []client.Row{
			{Line: 2, Columns: []byte(`{"a":"x\ny","b":"2"}`)}, {Line: 4, Columns: []byte(`{"a":"3","b":"4"}`)},
		}},
		{"carriage returns and no last newline", "a,b\r\n1,2\r\n3,4", ',', []client.Row{
			{Line: 2, Columns: []byte(`{"a":"1","b":"2"}`)}, {Line: 3, Columns: []byte(`{"a":"3","b":"4"}`)},
		}},
		{"ragged rows go on", "a,b\n1\n1,2,3\n5,6\n", ',', []client.Row{
			{Line: 2, Text: "1", Error: "has 1 fields, the header has 2"},
			{Line: 3, Text: "1,2,3", Error: "has 3 fields, the header has 2"},
			{Line: 4, Columns: []byte(`{"a":"5","b":"6"}`)},
		}},
		{"bare quote goes on", "a,b\nx\"y,2\n5,6\n", ',', []client.Row{
			{Line: 2, Error: "bare \" in non-quoted-field, at column 2"},
			{Line: 3, Columns: []byte(`{"a":"5","b":"6"}`)},
		}},
		{"not UTF-8", "a,b\n\xff,2\n", ',', []client.Row{{Line: 2, Text: "\ufffd,2", Error: "column a is not UTF-8"}}},
		{"header alone", "a,b\n", ',', nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := readAll(t, test.text, test.delimiter)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(test.want) {
				t.Fatalf("%d rows, want %d: %+v", len(got), len(test.want), got)
			}
			for i, want := range test.want {
				if got[i].Line != want.Line || got[i].Error != want.Error || got[i].Text != want.Text || string(got[i].Columns) != string(want.Columns) {
					t.Errorf("row %d is %+v, want %+v", i, got[i], want)
				}
			}
		})
	}
}

func TestCSVErrors(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"empty", "", "orders.csv: is empty; want a first line with the names of the columns"},
		{"UTF-16", "\xff\xfea\x00", "orders.csv: is UTF-16; save it as UTF-8"},
		{"same column twice", "a,b,a\n1,2,3\n", `orders.csv:1: columns 1 and 3 have the same name "a"`},
		{"column without a name", "a,,b\n", "orders.csv:1: column 2 has no name"},
		{"other delimiter", "a;b\n1;2\n", `say --delimiter ";"`},
		{"quote never closed", "a,b\n\"x,2\n" + strings.Repeat("3,4\n", maxRecord/2), "is a closing quote missing?"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := readAll(t, test.text, ',')
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error %v, want %q", err, test.want)
			}
		})
	}
}

func FuzzCSV(f *testing.F) {
	for _, seed := range []string{"a,b\n1,2\n", "\ufeffa\n\"x\ny\"\n", "a,b\n\"x\n", "a;b\n1;2\n", "a,a\n", "a\n\xff\n", "\"\"\"\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := newCSVReader("f.csv", strings.NewReader(text), ',')
		if err != nil {
			return
		}
		for last := 0; ; {
			row, err := r.read()
			if err != nil {
				return
			}
			if row.Line <= last {
				t.Fatalf("line %d after line %d", row.Line, last)
			}
			last = row.Line
			if (row.Error == "") == (row.Columns == nil) {
				t.Fatalf("row with neither or both of columns and error: %+v", row)
			}
			if row.Columns == nil {
				continue
			}
			columns, err := sdk.ParseObject(row.Columns)
			if err != nil {
				t.Fatalf("columns %s: %v", row.Columns, err)
			}
			if len(columns) != len(r.columns) {
				t.Fatalf("%d columns, want %d", len(columns), len(r.columns))
			}
		}
	})
}
