package enrich

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tributary-bus/tributary/sdk"
)

// maxLanguages is how many languages are kept.
const maxLanguages = 10

// Languages reads a text in the form of Accept-Language (RFC 9110, 12.5.4): the
// languages that are wanted, the most wanted first and equally wanted ones as
// they stand. The wildcard and what is no language are left out.
func Languages(text string) []string {
	type wanted struct {
		tag string
		q   float64
	}
	var list []wanted
	for part := range strings.SplitSeq(text, ",") {
		tag, parameters, weighted := strings.Cut(part, ";")
		tag = strings.TrimSpace(tag)
		w := wanted{tag, 1}
		if weighted {
			value, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(parameters)), "q=")
			q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if !ok || err != nil || !(q >= 0 && q <= 1) {
				continue
			}
			w.q = q
		}
		if w.q == 0 || !isTag(tag) || slices.ContainsFunc(list, func(o wanted) bool { return strings.EqualFold(o.tag, tag) }) {
			continue
		}
		list = append(list, w)
	}
	slices.SortStableFunc(list, func(a, b wanted) int {
		switch {
		case a.q > b.q:
			return -1
		case a.q < b.q:
			return 1
		}
		return 0
	})
	list = list[:min(len(list), maxLanguages)]
	tags := make([]string, len(list))
	for i, w := range list {
		tags[i] = w.tag
	}
	return tags
}

// isTag tells whether a text looks like a language tag: a language of two to
// eight letters, then letters and digits between hyphens.
func isTag(tag string) bool {
	for i, part := range strings.Split(tag, "-") {
		if len(part) == 0 || len(part) > 8 || i == 0 && len(part) < 2 {
			return false
		}
		for _, r := range part {
			letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
			if !letter && (i == 0 || r < '0' || r > '9') {
				return false
			}
		}
	}
	return true
}

// appendLanguages appends the languages of a text as a list.
func appendLanguages(dst []byte, text string) []byte {
	dst = append(dst, '[')
	for i, tag := range Languages(text) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = sdk.AppendString(dst, tag)
	}
	return append(dst, ']')
}
