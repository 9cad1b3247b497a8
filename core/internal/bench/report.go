package bench

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A Report is what a run measured, where, and of which binary.
type Report struct {
	Version string    `json:"version"`
	Commit  string    `json:"commit,omitzero"`
	Time    time.Time `json:"time"`
	Machine Machine   `json:"machine"`
	Figures []Figure  `json:"figures"`
}

// A Figure is one measurement.
type Figure struct {
	Scenario string  `json:"scenario"`
	Setting  string  `json:"setting,omitzero"` // such as the durability
	Name     string  `json:"name"`
	Value    float64 `json:"value"`
	Unit     string  `json:"unit"`
	// Ratio is the median of the value over that of the ceiling measured
	// right before it; 0 where there is no ceiling.
	Ratio  float64 `json:"ratio,omitzero"`
	Target *Target `json:"target,omitzero"`
	// OK is nil where there is no target.
	OK *bool `json:"ok,omitzero"`
}

// A Target is what a figure, or its ratio, should reach.
type Target struct {
	Ratio bool    `json:"ratio,omitzero"` // it is about the ratio
	Most  bool    `json:"most,omitzero"`  // not more than the bound; else not less
	Bound float64 `json:"bound"`
}

func atLeast(bound float64) *Target      { return &Target{Bound: bound} }
func atMost(bound float64) *Target       { return &Target{Bound: bound, Most: true} }
func ratioAtLeast(bound float64) *Target { return &Target{Bound: bound, Ratio: true} }

// judge decides whether the target is reached.
func (f *Figure) judge() {
	if f.Target == nil {
		return
	}
	value := f.Value
	if f.Target.Ratio {
		value = f.Ratio
	}
	ok := value >= f.Target.Bound
	if f.Target.Most {
		ok = value <= f.Target.Bound
	}
	f.OK = &ok
}

// Missed lists the figures whose targets were not reached.
func (r *Report) Missed() (missed []Figure) {
	for _, f := range r.Figures {
		if f.OK != nil && !*f.OK {
			missed = append(missed, f)
		}
	}
	return missed
}

// WriteJSON writes the report as one JSON object.
func (r *Report) WriteJSON(to io.Writer) error {
	if err := json.MarshalWrite(to, r, jsontext.WithIndent("  ")); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	_, err := io.WriteString(to, "\n")
	return err
}

// WriteTable writes the figures for a terminal.
func (r *Report) WriteTable(to io.Writer) error {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.ToUpper(strings.Join(columns, "\t")))
	for _, row := range r.rows() {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for line := range bytes.Lines(b.Bytes()) {
		if _, err := fmt.Fprintf(to, "%s\n", bytes.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

var columns = []string{"scenario", "what", "figure", "of the ceiling", "target", "reached"}

func (r *Report) rows() (rows [][]string) {
	for _, f := range r.Figures {
		scenario := f.Scenario
		if f.Setting != "" {
			scenario += ", " + f.Setting
		}
		rows = append(rows, []string{scenario, f.Name, f.value(), f.ratio(), f.target(), f.reached()})
	}
	return rows
}

func (f *Figure) value() string { return strings.TrimSpace(number(f.Value) + " " + f.Unit) }

func (f *Figure) ratio() string {
	if f.Ratio == 0 {
		return ""
	}
	return strconv.FormatFloat(f.Ratio, 'f', 2, 64)
}

func (f *Figure) target() string {
	if f.Target == nil {
		return ""
	}
	sign, bound := "≥ ", number(f.Target.Bound)
	if f.Target.Most {
		sign = "≤ "
	}
	if f.Target.Ratio {
		return sign + strconv.FormatFloat(f.Target.Bound, 'f', 2, 64) + " of the ceiling"
	}
	return sign + strings.TrimSpace(bound+" "+f.Unit)
}

func (f *Figure) reached() string {
	switch {
	case f.OK == nil:
		return ""
	case *f.OK:
		return "ok"
	}
	return "missed"
}

// number writes three significant digits, or all before the point, with
// thousands set apart.
func number(v float64) string {
	places := 0
	if a := math.Abs(v); a > 0 && a < 100 && v != math.Trunc(v) {
		places = min(2-int(math.Floor(math.Log10(a))), 6)
	}
	text := strconv.FormatFloat(v, 'f', places, 64)
	whole, rest, _ := strings.Cut(text, ".")
	digits := strings.TrimPrefix(whole, "-")
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	if strings.HasPrefix(whole, "-") {
		digits = "-" + digits
	}
	if rest != "" {
		digits += "." + rest
	}
	return digits
}
