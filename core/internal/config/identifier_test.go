package config

import (
	"strings"
	"testing"
)

func TestValuesThatIdentifyNobody(t *testing.T) {
	resources, err := Parse("test.yaml", []byte("kind: identification\nid: card\nspec: {normalise: digits, blocked: ['12-34', '9']}\n---\nkind: identification\nid: email\nspec: {blocked: [Info@Shop.example]}"))
	if err != nil {
		t.Fatal(err)
	}
	set, err := NewSet(1, resources)
	if err != nil {
		t.Fatal(err)
	}
	for kind, values := range map[string]map[string]string{
		"user": {
			"17850": "17850", " 7 ": "7", "0": "", "000": "", "00000000-0000-0000-0000-000000000000": "", "-1": "", "null": "", "NULL": "",
			"undefined": "", "NaN": "", "anonymous": "", "Unknown": "", "[object Object]": "", "": "", "  ": "", "-": "", "0x0": "0x0", "nullify": "nullify", "10": "10",
		},
		"anonymous": {"anonymous": "", "a1": "a1"},
		"card":      {"12 34": "", "1235": "1235", "9": ""},
		"email":     {"INFO@shop.example": "", "ann@shop.example": "ann@shop.example"},
		"phone":     {"+000": "", "0000": "", "0049 151": "+49151"},
	} {
		k, ok := set.Kind(kind)
		if !ok {
			t.Fatalf("there is no kind %s", kind)
		}
		for value, want := range values {
			if got := k.Value(value); got != want {
				t.Errorf("%s %q is %q, want %q", kind, value, got, want)
			}
		}
	}
}

func TestMergeRulesNameOneStrategyAField(t *testing.T) {
	for text, want := range map[string]string{
		"kind: merge-rule\nid: a\nspec: {path: traits.score, strategy: max}":                                                                         "",
		"kind: merge-rule\nid: a\nspec: {path: 'traits.*', strategy: first}":                                                                         "",
		"kind: merge-rule\nid: a\nspec: {path: traits, strategy: max}":                                                                               "names the whole of traits",
		"kind: merge-rule\nid: a\nspec: {path: stats.visits, strategy: max}":                                                                         "is merged by a fixed rule",
		"kind: merge-rule\nid: a\nspec: {path: traits.a, strategy: newest}":                                                                          "newest",
		"kind: merge-rule\nid: a\nspec: {path: traits.a}":                                                                                            "strategy: missing",
		"kind: merge-rule\nid: a\nspec: {path: 'traits.*.x', strategy: max}":                                                                         "at the end alone",
		"kind: merge-rule\nid: a\nspec: {strategy: max}":                                                                                             "path",
		"kind: merge-rule\nid: a\nspec: {path: traits.a, strategy: max, by: 1}":                                                                      "by",
		"kind: merge-rule\nid: a\nspec: {path: traits.a, strategy: max}\n---\nkind: merge-rule\nid: b\nspec: {path: 'traits[\"a\"]', strategy: min}": "merge-rule/",
	} {
		resources, err := Parse("test.yaml", []byte(text))
		if err == nil {
			_, err = NewSet(1, resources)
		}
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want …%s…", text, err, want)
		}
	}
}
