package bench

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// The marks around the part of the page that people write.
const (
	keepFrom = "<!-- kept: begin -->"
	keepTo   = "<!-- kept: end -->"
)

const nothingKept = "\n\n"

// WritePage writes the report as a Markdown page. What a page that is there
// already holds between the marks is kept; one without marks is refused, since
// it was not written by this function.
func (r *Report) WritePage(path string) error {
	kept := nothingKept
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("write the page: %w", err)
	default:
		if kept, err = keptPart(string(text)); err != nil {
			return fmt.Errorf("write the page: %s: %w", path, err)
		}
	}
	if err := os.WriteFile(path, []byte(r.page(kept)), 0o644); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

func keptPart(page string) (string, error) {
	_, rest, began := strings.Cut(page, keepFrom)
	kept, _, ended := strings.Cut(rest, keepTo)
	if !began || !ended {
		return "", fmt.Errorf("it has no part between %s and %s to keep, and would be lost; move it away, or put the marks into it", keepFrom, keepTo)
	}
	return kept, nil
}

func (r *Report) page(kept string) string {
	var b strings.Builder
	b.WriteString("<!-- Written by `tributary bench --write`. Only what stands between the marks of \"Where the time goes\" is kept. -->\n\n")
	b.WriteString("# Performance\n\n")
	b.WriteString(method)
	b.WriteString("\n## Where\n\n")
	for _, fact := range [][2]string{
		{"Processor", fmt.Sprintf("%s, %d cores", r.Machine.Processor, r.Machine.Cores)},
		{"Memory", number(float64(r.Machine.Memory)/(1<<30)) + " GiB"},
		{"System", fmt.Sprintf("%s, data on %s", r.Machine.Kernel, r.Machine.Filesystem)},
		{"Built with", r.Machine.Go},
		{"Version", strings.TrimSpace(r.Version + " " + r.Commit)},
		{"Measured", r.Time.UTC().Format("2006-01-02 15:04 UTC")},
	} {
		fmt.Fprintf(&b, "- %s: %s\n", fact[0], fact[1])
	}
	b.WriteString("\n## Figures\n")
	scenario := ""
	for i, row := range r.rows() {
		if f := r.Figures[i]; f.Scenario != scenario {
			scenario = f.Scenario
			fmt.Fprintf(&b, "\n### %s\n\n%s\n\n", scenario, about(scenario))
			b.WriteString("| | | figure | of the ceiling | target | reached |\n|---|---|--:|--:|---|---|\n")
		}
		row[0] = r.Figures[i].Setting
		if row[5] == "missed" {
			row[5] = "**missed**"
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	b.WriteString("\n## Where the time goes\n\n" + keepFrom + kept + keepTo + "\n")
	return b.String()
}

const method = `The product runs as a process of its own, whole: HTTP, streams, processing and the query store. A
generator on the same machine sends events of some 400 bytes, each with its own id, about 10,000 users who have
profiles already; so generator and product share the processors. A rate is quoted as its ratio to a ceiling: a
bare server in its place that reads what is sent and answers a constant. Ceiling and product take turns, three
times each, and the ratio is the median of those of the pairs; after its turn the product first folds and
indexes all it has. Quantiles and sums are over all turns. ` + "`tributary bench`" + ` measures the same on your machine.
`
