package gateway

import (
	"maps"
	"net/url"
	"slices"
	"strings"
)

// nested makes an object of the pairs of a query or a form. Dots and brackets in
// a name are levels: a.b=1 and a[b]=1 are {"a":{"b":"1"}}. A name that stands
// several times, or ends in [], is a list. Where a name cannot be a level, because
// another pair has made a value of it, or it is not written like one, it stays as
// it is: nothing is lost.
func nested(pairs url.Values, most int) map[string]any {
	into := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		levels, list := levelsOf(name, most)
		var value any
		switch texts := pairs[name]; {
		case list || len(texts) > 1:
			items := make([]any, len(texts))
			for i, text := range texts {
				items[i] = strings.ToValidUTF8(text, "\uFFFD")
			}
			value = items
		default:
			value = strings.ToValidUTF8(texts[0], "\uFFFD")
		}
		if levels == nil || !place(into, levels, value) {
			into[strings.ToValidUTF8(name, "\uFFFD")] = value
		}
	}
	return into
}

// place enters a value below its levels; false where another value is in the way.
func place(into map[string]any, levels []string, value any) bool {
	for _, level := range levels[:len(levels)-1] {
		below, there := into[level].(map[string]any)
		if !there {
			if _, taken := into[level]; taken {
				return false
			}
			below = map[string]any{}
			into[level] = below
		}
		into = below
	}
	last := levels[len(levels)-1]
	if _, taken := into[last]; taken {
		return false
	}
	into[last] = value
	return true
}

// levelsOf splits a name into at most most levels, and tells whether it ends in
// []. Nil where the name is not written like that.
func levelsOf(name string, most int) (levels []string, list bool) {
	if name == "" {
		return nil, false
	}
	rest, list := strings.CutSuffix(name, "[]")
	for first := true; rest != ""; first = false {
		var level string
		switch {
		case rest[0] == '[':
			end := strings.IndexByte(rest, ']')
			if end < 0 || first {
				return nil, false
			}
			level, rest = rest[1:end], rest[end+1:]
		case rest[0] == '.' || first:
			if !first {
				rest = rest[1:]
			}
			end := strings.IndexAny(rest, ".[")
			if end < 0 {
				end = len(rest)
			}
			level, rest = rest[:end], rest[end:]
		default:
			return nil, false
		}
		if level == "" || strings.ContainsAny(level, "[]") || len(levels) == most {
			return nil, false
		}
		levels = append(levels, strings.ToValidUTF8(level, "\uFFFD"))
	}
	return levels, list
}
