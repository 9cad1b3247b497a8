package config

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

//go:generate go test . -run TestReferenceIsCurrent -update

var update = flag.Bool("update", false, "write the reference instead of comparing it")

func TestReferenceIsCurrent(t *testing.T) {
	path := filepath.Join("..", "..", "..", "docs", "configuration.md")
	if *update {
		if err := os.WriteFile(path, []byte(Reference()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != Reference() {
		t.Error(`docs/configuration.md is not what the settings say; run "make generate"`)
	}
}
