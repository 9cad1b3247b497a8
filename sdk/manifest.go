package sdk

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/tributary-bus/tributary/sdk/control"
)

var (
	namePattern    = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	portPattern    = regexp.MustCompile(`^[a-z0-9_-]{1,64}$`)
	versionPattern = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)
)

// portError is the port that every action has.
const portError = "error"

// Manifest is what the plugin says of itself, or all that is wrong with it.
func (p Plugin) Manifest() (*control.Manifest, error) {
	m := &control.Manifest{Name: p.Name, Version: p.Version, Sdk: Version, Description: p.Description}
	var wrong []error
	if !namePattern.MatchString(p.Name) {
		wrong = append(wrong, fmt.Errorf("the plugin's name %q is not a lower-case letter and up to 31 lower-case letters, digits and hyphens", p.Name))
	}
	if !versionPattern.MatchString(p.Version) {
		wrong = append(wrong, fmt.Errorf("the plugin's version %q is no semantic version, such as 1.0.0", p.Version))
	}
	if len(p.Actions) == 0 {
		wrong = append(wrong, errors.New("the plugin offers no action"))
	}
	for i := range p.Actions {
		a := &p.Actions[i]
		if slices.ContainsFunc(p.Actions[:i], func(other Action) bool { return other.name == a.name }) {
			wrong = append(wrong, fmt.Errorf("two actions are called %q", a.name))
			continue
		}
		if err := a.check(); err != nil {
			wrong = append(wrong, fmt.Errorf("action %q: %w", a.name, err))
			continue
		}
		m.Actions = append(m.Actions, &control.Action{Name: a.name, Description: a.description, Ports: a.ports, ConfigSchema: a.schema})
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return m, nil
}

func (a *Action) check() error {
	switch {
	case !namePattern.MatchString(a.name):
		return errors.New("its name is not a lower-case letter and up to 31 lower-case letters, digits and hyphens")
	case a.err != nil:
		return a.err
	case a.run == nil:
		return errors.New("it was not made by NewAction")
	case len(a.ports) == 0:
		return errors.New("it has no port; without Ports it has one, done")
	}
	for i, port := range a.ports {
		switch {
		case port == portError:
			return errors.New(`the port "error" is there already: every action has it`)
		case !portPattern.MatchString(port):
			return fmt.Errorf("the port %q is not 1 to 64 lower-case letters, digits, hyphens and underscores", port)
		case slices.Contains(a.ports[:i], port):
			return fmt.Errorf("two ports are called %q", port)
		}
	}
	return nil
}
