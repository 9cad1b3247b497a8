package sdk

import (
	"errors"
	"fmt"
	"strings"
)

// A Path names a place in a document: field names separated by dots, such as
// "traits.last_total". A name that holds a dot or a hyphen may be written in
// brackets: traits["a.b"].
type Path []string

// ParsePath reads a path. Empty names are errors.
func ParsePath(s string) (Path, error) {
	var path Path
	for rest := s; rest != ""; {
		name, after, err := cutName(rest, len(path) == 0)
		if err != nil {
			return nil, fmt.Errorf("path %q: %w", s, err)
		}
		path, rest = append(path, name), after
	}
	if len(path) == 0 {
		return nil, fmt.Errorf("empty path")
	}
	return path, nil
}

// cutName takes the first name off the rest of a path, which is the whole path
// where first is true.
func cutName(rest string, first bool) (name, after string, err error) {
	if strings.HasPrefix(rest, `["`) {
		end := strings.Index(rest, `"]`)
		if end < 3 {
			return "", "", errors.New(`want a name between [" and "]`)
		}
		return rest[2:end], rest[end+2:], nil
	}
	if !first {
		if rest[0] != '.' {
			return "", "", fmt.Errorf("want a dot before %q", rest)
		}
		rest = rest[1:]
	}
	end := strings.IndexAny(rest, ".[")
	if end < 0 {
		end = len(rest)
	}
	if end == 0 {
		return "", "", errors.New("empty name")
	}
	return rest[:end], rest[end:], nil
}

// String writes the path as [ParsePath] reads it.
func (p Path) String() string {
	var b strings.Builder
	for i, name := range p {
		switch {
		case strings.ContainsAny(name, `.["]`) || name == "":
			b.WriteString(`["` + name + `"]`)
		case i > 0:
			b.WriteString("." + name)
		default:
			b.WriteString(name)
		}
	}
	return b.String()
}

// Get reads the value at p below object; false where any step is missing.
func (p Path) Get(object map[string]any) (any, bool) {
	var at any = object
	for _, name := range p {
		m, ok := at.(map[string]any)
		if !ok {
			return nil, false
		}
		if at, ok = m[name]; !ok {
			return nil, false
		}
	}
	return at, true
}

// Set writes v at p below object and makes the objects on the way. It refuses
// to replace a value that is no object by one.
func (p Path) Set(object map[string]any, v any) error {
	for i, name := range p[:len(p)-1] {
		next, ok := object[name]
		if !ok || next == nil {
			next = map[string]any{}
			object[name] = next
		}
		m, ok := next.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is %s, so nothing can be set below it", p[:i+1], TypeName(next))
		}
		object = m
	}
	object[p[len(p)-1]] = v
	return nil
}

// Delete removes the value at p below object, if it is there.
func (p Path) Delete(object map[string]any) {
	parent := any(object)
	if len(p) > 1 {
		var ok bool
		if parent, ok = p[:len(p)-1].Get(object); !ok {
			return
		}
	}
	if m, ok := parent.(map[string]any); ok {
		delete(m, p[len(p)-1])
	}
}
