package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Wherever the documentation lists the kinds of resource it lists them all.
func TestDocumentedKinds(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	entry := regexp.MustCompile(`\n\n|\n\||\n- `) // of a table, of a list, or a paragraph
	lists := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range entry.Split(string(text), -1) {
			if !strings.Contains(part, "`"+KindSource+"`") || !strings.Contains(part, "`"+KindEventType+"`") {
				continue
			}
			lists++
			for _, kind := range Kinds() {
				if !strings.Contains(part, "`"+kind+"`") {
					t.Errorf("%s: a list of kinds lacks %s:\n%s", filepath.Base(page), kind, part)
				}
			}
		}
	}
	if lists == 0 {
		t.Error("the kinds are listed nowhere")
	}
}
