package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// What the description for a container engine sets is what there is to set, and what it
// mounts is there.
func TestComposeSetsWhatThereIs(t *testing.T) {
	root := filepath.Join("..", "..", "..", "configs")
	text, err := os.ReadFile(filepath.Join(root, "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var compose struct {
		Services map[string]struct {
			Build struct {
				Dockerfile string `yaml:"dockerfile"`
			} `yaml:"build"`
			Command []string `yaml:"command"`
			Volumes []string `yaml:"volumes"`
		} `yaml:"services"`
	}
	if err := yaml.Unmarshal(text, &compose); err != nil {
		t.Fatal(err)
	}
	product, is := compose.Services["tributary"]
	if !is {
		t.Fatal("there is no service tributary")
	}
	var set []string
	for _, argument := range product.Command {
		if setting, is := strings.CutPrefix(argument, "--set="); is {
			// Two dollars are how one is written there.
			set = append(set, strings.ReplaceAll(setting, "$$", "$"))
		}
	}
	c, err := Load("", []string{"ELASTIC_PASSWORD=hush"}, set)
	if err != nil {
		t.Fatal(err)
	}
	if len(set) < 5 || len(c.Bus.URLs) != 1 || len(c.Store.Elasticsearch.URLs) != 1 {
		t.Errorf("it sets %v", set)
	}
	files := []string{filepath.Join("..", product.Build.Dockerfile)}
	for _, service := range compose.Services {
		for _, volume := range service.Volumes {
			if from, _, _ := strings.Cut(volume, ":"); strings.HasPrefix(from, "./") {
				files = append(files, from)
			}
		}
	}
	for _, file := range files {
		if _, err := os.Stat(filepath.Join(root, file)); err != nil {
			t.Error(err)
		}
	}
}
