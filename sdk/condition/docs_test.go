package condition_test

import (
	"os"
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/sdk/condition"
)

// Every example of the documentation that stands in a block compiles and runs, as
// a condition or a template.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../docs/conditions.md")
	if err != nil {
		t.Fatal(err)
	}
	conditions, templates, block := 0, 0, ""
	for n, line := range strings.Split(string(text), "\n") {
		if kind, fence := strings.CutPrefix(line, "```"); fence {
			block = kind
			continue
		}
		if strings.TrimSpace(line) == "" {
			continue
		}
		var err error
		switch block {
		case "cel":
			conditions++
			var p *condition.Program
			if p, err = condition.CompileCondition(line, fullScope); err == nil {
				_, err = p.Bool(testVars(t))
			}
		case "template":
			templates++
			var tpl *condition.Template
			if tpl, err = condition.CompileTemplate(line, condition.FlowScope); err == nil {
				_, err = tpl.Value(testVars(t))
			}
		}
		if err != nil {
			t.Errorf("docs/conditions.md:%d: %s: %v", n+1, line, err)
		}
	}
	if conditions < 10 || templates < 4 {
		t.Errorf("found %d conditions and %d templates", conditions, templates)
	}
}
