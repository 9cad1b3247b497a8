package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Parse reads the resources of one text: YAML, several documents separated by
// ---, or JSON, several values one after another; a list of resources is read
// as its elements. Each resource is validated by itself; the error is
// [Problems], all of them, with the name and the lines of the text.
func Parse(name string, text []byte) ([]Resource, error) {
	if len(text) > maxText {
		return nil, Problems{{Origin: Origin{File: name}, Message: fmt.Sprintf(
			"has %d bytes; at most %d are read, split it", len(text), maxText)}}
	}
	nodes, err := readText(name, text)
	if err != nil {
		problem := &Problem{Origin: Origin{File: name}, Message: err.Error()}
		var p *positioned
		if errors.As(err, &p) {
			problem.Origin.Line, problem.Message = p.line, p.message
		}
		return nil, Problems{problem}
	}
	var resources []Resource
	var problems Problems
	seen := map[key]Origin{}
	for _, n := range flatten(nodes) {
		r, err := document(name, n)
		if err != nil {
			problems = append(problems, problemsOf(err)...)
			continue
		}
		if first, ok := seen[r.key()]; ok {
			problems = append(problems, twice(r, first))
			continue
		}
		seen[r.key()] = r.Origin
		resources = append(resources, r)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return resources, nil
}

// LoadPaths reads the resources of files. A directory means its *.yaml, *.yml
// and *.json, not those of its subdirectories; "-" is the standard input. It
// is an error where nothing is found, or where two files hold the same
// resource.
func LoadPaths(paths []string) ([]Resource, error) {
	var resources []Resource
	var problems Problems
	seen := map[key]Origin{}
	for _, path := range paths {
		files, err := filesOf(path)
		if err != nil {
			return nil, err
		}
		before := len(resources) + len(problems)
		for _, file := range files {
			text, err := readBounded(file)
			if err != nil {
				return nil, err
			}
			list, err := Parse(file, text)
			if err != nil {
				problems = append(problems, problemsOf(err)...)
			}
			for _, r := range list {
				if first, ok := seen[r.key()]; ok {
					problems = append(problems, twice(r, first))
				}
				seen[r.key()] = r.Origin
			}
			resources = append(resources, list...)
		}
		if len(resources)+len(problems) == before {
			problems = append(problems, &Problem{Origin: Origin{File: path}, Message: "holds no resource"})
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return resources, nil
}

func filesOf(path string) ([]string, error) {
	if path == "-" {
		return []string{path}, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read resources: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("read resources: %w", err)
	}
	var files []string
	for _, e := range entries {
		if !e.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(e.Name())) {
			files = append(files, filepath.Join(path, e.Name()))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("read resources: %s holds no *.yaml, *.yml or *.json", path)
	}
	return files, nil
}

// readBounded reads a file, one byte further than what Parse takes.
func readBounded(file string) ([]byte, error) {
	in := os.Stdin
	if file != "-" {
		var err error
		if in, err = os.Open(file); err != nil {
			return nil, fmt.Errorf("read resources: %w", err)
		}
		defer in.Close()
	}
	text, err := io.ReadAll(io.LimitReader(in, maxText+1))
	if err != nil {
		return nil, fmt.Errorf("read resources of %s: %w", file, err)
	}
	return text, nil
}

// readText tells JSON from YAML. What begins like JSON but is not may still be
// YAML in its flow form.
func readText(name string, text []byte) ([]*node, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	start := bytes.TrimLeft(text, " \t\r\n")
	isJSON := strings.EqualFold(filepath.Ext(name), ".json")
	if isJSON || len(start) > 0 && (start[0] == '{' || start[0] == '[') {
		nodes, err := readJSON(text)
		if err == nil || isJSON {
			return nodes, err
		}
		if p := new(positioned); errors.As(err, &p) && !strings.HasPrefix(p.message, "not JSON") {
			return nil, err
		}
	}
	return readYAML(text)
}

// flatten replaces lists by their elements.
func flatten(nodes []*node) []*node {
	var out []*node
	for _, n := range nodes {
		if n.shape == array {
			out = append(out, n.items...)
		} else {
			out = append(out, n)
		}
	}
	return out
}

// document reads kind, id and spec.
func document(name string, n *node) (Resource, error) {
	c := &checker{origin: Origin{File: name, Line: n.line}}
	f, ok := c.form(n, "")
	if !ok {
		return Resource{}, c.problems
	}
	r := Resource{Kind: f.wantText("kind"), ID: f.wantText("id"), Origin: c.origin}
	spec := f.want("spec")
	f.close()
	if r.Kind != "" && r.ID != "" {
		before := len(c.problems)
		c.identify(n, r.Kind, r.ID)
		if len(c.problems) == before {
			c.kind, c.id = r.Kind, r.ID
		}
	}
	for _, p := range c.problems {
		p.Kind, p.ID = c.kind, c.id
	}
	if len(c.problems) > 0 {
		return Resource{}, c.problems
	}
	r.written = spec
	return c.resource(r, spec)
}

// A key names a resource.
type key struct{ kind, id string }

func (r Resource) key() key { return key{r.Kind, r.ID} }

func twice(r Resource, first Origin) *Problem {
	where := ""
	if first != (Origin{}) {
		where = ", first at " + first.String()
	}
	return &Problem{r.Origin, r.Kind, r.ID, "", "is there twice" + where + "; remove one"}
}

// problemsOf is err as a list, whatever it is.
func problemsOf(err error) Problems {
	var p Problems
	if errors.As(err, &p) {
		return p
	}
	return Problems{{Message: err.Error()}}
}
