package condition

import (
	"fmt"
	"testing"
)

func TestNeeds(t *testing.T) {
	for source, want := range map[string]string{
		`row.Total`: "[Total]",
		`double(row["Total Price"]) * row.Quantity`:    "[Quantity Total Price]",
		`row.a.b == row.a.c`:                           "[a]",
		`has(row.City) ? row.City : "none"`:            "[]",
		`row.City == null ? row.Town : row.City`:       "[Town]",
		`null != row.City && row.City != "Rome"`:       "[]",
		`"City" in row ? row.City : row.Town`:          "[Town]",
		`"City" in row.Cities`:                         "[Cities]",
		`[row.a, {"b": row.b}, [1].map(x, x + row.c)]`: "[a b c]",
		`message.City + "row.Total"`:                   "[]",
		`row`:                                          "[]",
		`row[row.Key]`:                                 "[Key]",
		`now - duration(row.Age)`:                      "[Age]",
		`row.Email.matches("^a") && !row.No`:           "[Email No]",
	} {
		p, err := Compile(source, NewScope("row", "message", "now"))
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(p.Needs("row")); got != want {
			t.Errorf("%s needs %s, want %s", source, got, want)
		}
	}
	template, err := CompileTemplate(`order-{{ row.Kind }}-{{ has(row.City) ? row.City : row.Town }}`, RowScope)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(template.Needs("row")); got != "[Kind Town]" {
		t.Errorf("the template needs %s", got)
	}
}
