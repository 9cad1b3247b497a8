package eventtype

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// Copy tells what a copy rule does to the profile of an event: it works on the place
// to with the operand, which is no part of anything else. Applies is false where it
// does nothing.
func Copy(rule *config.CopyRule, vars *condition.Vars) (to sdk.Path, operand any, applies bool, err error) {
	if rule.When != nil {
		holds, err := rule.When.Bool(vars)
		if err != nil {
			return nil, nil, false, fmt.Errorf("when: %w", err)
		}
		if !holds {
			return nil, nil, false, nil
		}
	}
	to = rule.To
	if rule.Name != nil {
		name, err := targetName(rule.Name, vars)
		if err != nil || name == "" {
			return nil, nil, false, err
		}
		to = below(to, name)
	}
	if rule.From == nil {
		return to, rule.By, true, nil
	}
	v, err := rule.From.Value(vars)
	return to, sdk.Clone(v), err == nil, err
}

// targetName is the last name of a rule's target as an event gives it; empty
// where it gives none, and then there is nothing to do.
func targetName(name *condition.Program, vars *condition.Vars) (string, error) {
	v, err := name.Value(vars)
	if err != nil || v == nil {
		return "", err
	}
	text, ok := v.(string)
	switch n := utf8.RuneCountInString(text); {
	case !ok:
		return "", fmt.Errorf("the last name is %s; want a text", sdk.TypeName(v))
	case n == 0 || n > 128:
		return "", fmt.Errorf("the last name has %d characters; want 1 to 128", n)
	case strings.ContainsFunc(text, unicode.IsControl) || strings.Contains(text, `"`):
		return "", errors.New("the last name has control characters or quotes")
	}
	return text, nil
}
