package config

import (
	"fmt"
	"strings"
)

// An Origin is where something was written: a file and a line, both optional.
type Origin struct {
	File string
	Line int
}

// String writes the origin as "file:line", and what is unknown not at all.
func (o Origin) String() string {
	switch {
	case o.File == "" && o.Line == 0:
		return ""
	case o.Line == 0:
		return o.File
	case o.File == "":
		return fmt.Sprintf("line %d", o.Line)
	}
	return fmt.Sprintf("%s:%d", o.File, o.Line)
}

// A Problem is one thing that is wrong with a resource or a setting.
//
//nolint:errname // it is a finding, one of several; Problems is the error
type Problem struct {
	Origin Origin
	// Kind and ID name the resource; empty where the text names none.
	Kind, ID string
	// Path is the field, such as spec.copy[1].op; empty for the whole.
	Path    string
	Message string
}

// Error writes the problem as "file:line: kind/id: path: message".
func (p *Problem) Error() string {
	parts := make([]string, 0, 4)
	if s := p.Origin.String(); s != "" {
		parts = append(parts, s)
	}
	switch {
	case p.ID != "":
		parts = append(parts, p.Kind+"/"+p.ID)
	case p.Kind != "":
		parts = append(parts, p.Kind)
	}
	if p.Path != "" && !strings.HasSuffix(p.Origin.File, " "+p.Path) { // as in --set http.addr
		parts = append(parts, p.Path)
	}
	return strings.Join(append(parts, p.Message), ": ")
}

// Problems is all that is wrong, in the order of the input. It is the error of
// every function here that reads what people wrote.
//
//nolint:errname // the plural of Problem
type Problems []*Problem

// Error writes one problem a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives errors.As the single problems.
func (p Problems) Unwrap() []error {
	list := make([]error, len(p))
	for i, problem := range p {
		list[i] = problem
	}
	return list
}

// Meant is the end of a message about an unknown name: the known name that is
// nearest, or all of them.
func Meant(name string, known []string) string {
	if best := nearest(name, known); best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return "want one of " + strings.Join(known, ", ")
}

// nearest is the known name that may have been meant; empty: none.
func nearest(name string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		if d := editDistance(strings.ToLower(name), strings.ToLower(k)); d < distance && d < len(k) {
			best, distance = k, d
		}
	}
	return best
}

// editDistance counts the changes of one byte, and swaps of two, that
// turn a into b.
func editDistance(a, b string) int {
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
