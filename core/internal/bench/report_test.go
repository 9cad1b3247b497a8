package bench

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

func exampleReport() *Report {
	r := &Report{
		Version: "v1.0.0", Commit: "0123456789ab", Time: time.Date(2026, 3, 1, 10, 30, 0, 0, time.UTC),
		Machine: Machine{Processor: "Example 3000", Cores: 2, Memory: 8 << 30, Kernel: "Linux 6.1", Filesystem: "ext4", Go: "go1.26.0 linux/amd64"},
		Figures: []Figure{
			{Scenario: "ingest-single", Setting: "process", Name: "accepted", Value: 26543.2, Unit: "requests/s", Ratio: 0.514, Target: ratioAtLeast(0.45)},
			{Scenario: "ingest-single", Setting: "fsync", Name: "accepted", Value: 15000, Unit: "requests/s", Ratio: 0.29, Target: ratioAtLeast(0.30)},
			{Scenario: "ingest-single", Setting: "fsync", Name: "answer, median", Value: 1.2345, Unit: "ms"},
			{Scenario: "idle", Name: "CPU at rest", Value: 0.4, Unit: "% of a core", Target: atMost(1)},
		},
	}
	for i := range r.Figures {
		r.Figures[i].judge()
	}
	return r
}

func TestJudge(t *testing.T) {
	for _, test := range []struct {
		figure Figure
		want   string
	}{
		{Figure{Value: 10, Target: atLeast(10)}, "ok"},
		{Figure{Value: 9.9, Target: atLeast(10)}, "missed"},
		{Figure{Value: 10, Target: atMost(10)}, "ok"},
		{Figure{Value: 10.1, Target: atMost(10)}, "missed"},
		{Figure{Value: 1, Ratio: 0.5, Target: ratioAtLeast(0.45)}, "ok"},
		{Figure{Value: 1, Ratio: 0.4, Target: ratioAtLeast(0.45)}, "missed"},
		{Figure{Value: 1}, ""},
	} {
		test.figure.judge()
		if got := test.figure.reached(); got != test.want {
			t.Errorf("%+v: %q, want %q", test.figure, got, test.want)
		}
	}
	if missed := exampleReport().Missed(); len(missed) != 1 || missed[0].Setting != "fsync" {
		t.Errorf("missed: %+v", missed)
	}
}

func TestNumber(t *testing.T) {
	for value, want := range map[float64]string{
		0: "0", 1: "1", 250: "250", 999.6: "1,000", 1234567.8: "1,234,568", 120_000: "120,000", -12345: "-12,345",
		1.2345: "1.23", 12.345: "12.3", 0.51423: "0.514", 0.0123: "0.0123", 99.96: "100.0", -0.5: "-0.500",
	} {
		if got := number(value); got != want {
			t.Errorf("number(%v) = %s, want %s", value, got, want)
		}
	}
}

func TestWriteTable(t *testing.T) {
	var b bytes.Buffer
	if err := exampleReport().WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	const want = `
SCENARIO                WHAT            FIGURE             OF THE CEILING  TARGET                 REACHED
ingest-single, process  accepted        26,543 requests/s  0.51            ≥ 0.45 of the ceiling  ok
ingest-single, fsync    accepted        15,000 requests/s  0.29            ≥ 0.30 of the ceiling  missed
ingest-single, fsync    answer, median  1.23 ms
idle                    CPU at rest     0.400 % of a core                  ≤ 1 % of a core        ok
`
	if got := "\n" + b.String(); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestWriteJSON(t *testing.T) {
	var b bytes.Buffer
	r := exampleReport()
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if len(back.Figures) != 4 || back.Figures[1].OK == nil || *back.Figures[1].OK || back.Figures[2].OK != nil || back.Machine != r.Machine {
		t.Errorf("%s reads as %+v", b.Bytes(), back)
	}
}

func TestWritePage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "performance.md")
	r := exampleReport()
	if err := r.WritePage(path); err != nil {
		t.Fatal(err)
	}
	page := read(t, path)
	for _, part := range []string{
		"- Processor: Example 3000, 2 cores\n", "- Memory: 8 GiB\n", "- System: Linux 6.1, data on ext4\n",
		"- Built with: go1.26.0 linux/amd64\n", "- Version: v1.0.0 0123456789ab\n", "- Measured: 2026-03-01 10:30 UTC\n",
		"### ingest-single\n\n" + about("ingest-single") + "\n\n| | | figure |",
		"| process | accepted | 26,543 requests/s | 0.51 | ≥ 0.45 of the ceiling | ok |\n",
		"| fsync | accepted | 15,000 requests/s | 0.29 | ≥ 0.30 of the ceiling | **missed** |\n",
		"### idle\n",
	} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %q:\n%s", part, page)
		}
	}
	if n := strings.Count(page, "### ingest-single"); n != 1 {
		t.Errorf("a scenario has %d headings", n)
	}

	const written = "\n\nMost of it in fsync.\n\n"
	text := strings.Replace(page, keepFrom+nothingKept, keepFrom+written, 1)
	text = strings.Replace(text, "26,543", "1", 1)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.WritePage(path); err != nil {
		t.Fatal(err)
	}
	if got, want := read(t, path), strings.Replace(page, keepFrom+nothingKept, keepFrom+written, 1); got != want {
		t.Errorf("written again: %s\nwant %s", got, want)
	}
}

func TestWritePageSparesAnotherFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "README.md")
	const text = "# Something else\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := exampleReport().WritePage(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want one that names the file", err)
	}
	if got := read(t, path); got != text {
		t.Errorf("the file now holds %q", got)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
