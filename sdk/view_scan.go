package sdk

import (
	"bytes"
	"iter"

	"github.com/go-json-experiment/json/jsontext"
)

// findMember finds a member of the object that text is and returns its value;
// empty where it is not there or text is no object. The text is known to be
// valid JSON; in one that is not, something else is found, or nothing.
func findMember(text jsontext.Value, name string) jsontext.Value {
	for quoted, value := range members(text) {
		if sameName(quoted, name) {
			return value
		}
	}
	return nil
}

// members goes through the members of the object that text is: each name in its
// quotes, and the value. There are none in what is no object.
func members(text []byte) iter.Seq2[jsontext.Value, jsontext.Value] {
	return func(yield func(name, value jsontext.Value) bool) {
		i := skipSpace(text, 0)
		if i >= len(text) || text[i] != '{' {
			return
		}
		for i++; i < len(text); i++ {
			i = skipSpace(text, i)
			start := i
			i = skipString(text, i)
			name := text[start:i:i]
			i = skipSpace(text, i) + 1 // the colon
			i = skipSpace(text, i)
			start = i
			i = skipValue(text, i)
			if start < i && len(name) > 1 && !yield(name, text[start:i:i]) {
				return
			}
			if i = skipSpace(text, i); i >= len(text) || text[i] != ',' {
				return
			}
		}
	}
}

// sameName compares a name in its quotes with a plain one.
func sameName(quoted []byte, name string) bool {
	if len(quoted) < 2 {
		return false
	}
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1:len(quoted)-1]) == name
	}
	return unquote(quoted) == name
}

// unquote reads a JSON string that is known to be valid.
func unquote(quoted []byte) string {
	if len(quoted) >= 2 && bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	text, _ := jsontext.AppendUnquote(nil, quoted)
	return string(text)
}

func skipSpace(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\n' || text[i] == '\t' || text[i] == '\r') {
		i++
	}
	return min(i, len(text))
}

// skipString returns where the string that begins at i ends.
func skipString(text []byte, i int) int {
	for i++; i < len(text); {
		n := bytes.IndexByte(text[i:], '"')
		if n < 0 {
			return len(text)
		}
		end := i + n
		if slash := bytes.IndexByte(text[i:end], '\\'); slash >= 0 {
			i += slash + 2
			continue
		}
		return end + 1
	}
	return len(text)
}

// skipValue returns where the value that begins at i ends.
func skipValue(text []byte, i int) int {
	for depth := 0; i < len(text); {
		switch text[i] {
		case '"':
			i = skipString(text, i)
		case '{', '[':
			depth++
			i++
			continue
		case '}', ']':
			depth--
			i++
		case ',', ':', ' ', '\n', '\t', '\r':
			i++
			continue
		default:
			for i < len(text) && !delimiter[text[i]] {
				i++
			}
		}
		if depth <= 0 {
			return i
		}
	}
	return len(text)
}

// delimiter tells which bytes end a number or a literal name.
var delimiter = [256]bool{',': true, ':': true, '}': true, ']': true, ' ': true, '\n': true, '\t': true, '\r': true, '"': true, '{': true, '[': true}
