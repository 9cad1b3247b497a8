package eventtype

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/profile"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// Copy carries out the copy rules of an event's type on a profile, in their
// order; a later one sees what an earlier one did. It notes by path what they
// changed. A rule that fails leaves the profile as it is.
func Copy(t *config.EventType, p *sdk.Profile, vars *condition.Vars, changes map[string]any) (problems []error) {
	for i := range t.Copy {
		rule := &t.Copy[i]
		if err := carryOut(rule, p, vars, changes); err != nil {
			problems = append(problems, fmt.Errorf("event type %s: copy to %s: %w", t.ID, rule.To, err))
		}
	}
	return problems
}

func carryOut(rule *config.CopyRule, p *sdk.Profile, vars *condition.Vars, changes map[string]any) error {
	if rule.When != nil {
		if holds, err := rule.When.Bool(vars); err != nil {
			return fmt.Errorf("when: %w", err)
		} else if !holds {
			return nil
		}
	}
	to := rule.To
	if rule.Name != nil {
		name, err := targetName(rule.Name, vars)
		if err != nil || name == "" {
			return err
		}
		to = append(to[:len(to):len(to)], name)
	}
	operand, err := operand(rule, vars)
	if err != nil {
		return err
	}
	v, changed, err := profile.Change(p, to, rule.Op, operand)
	if err == nil && changed {
		changes[to.String()] = v
	}
	return err
}

func operand(rule *config.CopyRule, vars *condition.Vars) (any, error) {
	if rule.From == nil {
		return rule.By, nil
	}
	v, err := rule.From.Value(vars)
	if err != nil {
		return nil, err
	}
	// What the profile keeps must not be part of the event.
	return sdk.Clone(v), nil
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
