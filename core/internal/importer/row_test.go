package importer

import (
	"fmt"
	"testing"
)

func TestColumnsOf(t *testing.T) {
	for expression, want := range map[string]string{
		`row.Total`:                       "[Total]",
		`double(row.Total)`:               "[Total]",
		`row["Total Price"]`:              "[Total Price]",
		`row['a-b'] + row.c + row["a-b"]`: "[a-b c]",
		`arrow.x`:                         "[]",
		`"text"`:                          "[]",
		``:                                "[]",
	} {
		if got := fmt.Sprint(columnsOf(expression)); got != want {
			t.Errorf("columnsOf(%s) = %s, want %s", expression, got, want)
		}
	}
}
