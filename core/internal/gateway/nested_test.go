package gateway

import (
	"net/url"
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/sdk"
)

func TestNested(t *testing.T) {
	for query, want := range map[string]string{
		"a=1&b=x%20y":                   `{"a":"1","b":"x y"}`,
		"a.b=1&a.c=2":                   `{"a":{"b":"1","c":"2"}}`,
		"a[b]=1&a[c][d]=2":              `{"a":{"b":"1","c":{"d":"2"}}}`,
		"a.b[c].d=1":                    `{"a":{"b":{"c":{"d":"1"}}}}`,
		"a=1&a=2":                       `{"a":["1","2"]}`,
		"a[]=1":                         `{"a":["1"]}`,
		"a.b[]=1&a.b[]=2":               `{"a":{"b":["1","2"]}}`,
		"a=1&a.b=2":                     `{"a":"1","a.b":"2"}`,
		"a.b=1&a[b]=2":                  `{"a":{"b":"1"},"a[b]":"2"}`,
		"a..b=1&.a=2&a.=3&[a]=4":        `{".a":"2","[a]":"4","a.":"3","a..b":"1"}`,
		"a[b=1&a]b=2&a[b]c=3&[]=4":      `{"[]":["4"],"a[b":"1","a[b]c":"3","a]b":"2"}`,
		"a=%FF&%FF.b=1":                 `{"a":"` + "\uFFFD" + `","` + "\uFFFD" + `":{"b":"1"}}`,
		"=1":                            `{"":"1"}`,
		strings.Repeat("a.", 9) + "a=1": `{"` + strings.Repeat("a.", 9) + `a":"1"}`,
	} {
		pairs, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		got := string(sdk.AppendValue(nil, nested(pairs, 5)))
		if got != want {
			t.Errorf("%s is %s, want %s", query, got, want)
		}
	}
}
