package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGiven(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	values, err := Given("store.", []string{"PLACE=/x"}, []string{"store.sqlite.path=${PLACE}/store.db", "store.retention.events=7d"})
	if err != nil || len(values) != 2 || values["store.sqlite.path"] != "/x/store.db" || values["store.retention.events"] != "7d" {
		t.Fatalf("%v %v", values, err)
	}
	c := Default()
	with, err := c.With(values)
	if err != nil || with.StorePath() != "/x/store.db" || with.HTTP.Addr != c.HTTP.Addr || c.Store.SQLite.Path != "" {
		t.Errorf("%+v %v", with, err)
	}
	if values, err := Given("admin.", nil, []string{"admin.token=file:" + file}); err != nil || values["admin.token"] != "s3cret" {
		t.Errorf("a secret's file: %v %v", values, err)
	}
	for set, want := range map[string]string{
		"store.sqlite.path":        "want key=value",
		"http.addr=127.0.0.1:1":    "begins with store.",
		"store.sqlite.pat=x":       "store.sqlite.path",
		"store.sqlite.path=${NO}":  `no variable "NO"`,
		"store.retention.events=x": "store.retention.events",
	} {
		if _, err := Given("store.", nil, []string{set}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--set ") {
			t.Errorf("%s: %v, want %s", set, err, want)
		}
	}
	for _, wrong := range []map[string]string{
		{"store.elasticsearch.urls": "https://es-1:9200,ftp://es-2"},
		{"store.elasticsearch.urls": "https://elastic:hunter2@es-1:9200"},
		{"store.elasticsearch.password": "hunter2"},
		{"store.elasticsearch.api_key": "hunter2", "store.elasticsearch.username": "elastic"},
	} {
		if _, err := c.With(wrong); err == nil || !strings.Contains(err.Error(), "store.elasticsearch.") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v: %v", wrong, err)
		}
	}
	if _, err := c.With(map[string]string{"store.nonsense": "x"}); err == nil {
		t.Error("an unknown setting is taken")
	}
}
