package supervisor

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/sdk/control"
)

// reserved are names that no third party's plugin may have.
var reserved = []string{"core", "profile", "segment", "event", "http"}

var (
	nameForm    = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	portForm    = regexp.MustCompile(`^[a-z0-9_-]{1,64}$`)
	versionForm = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
)

const (
	maxActions = 256
	maxPorts   = 64
	maxText    = 4 << 10   // of a description or a version
	maxSchema  = 256 << 10 // of one JSON Schema
)

// actionsOf checks what a plugin says of itself, and returns its actions as
// flows are checked against them, in the order in which it names them.
func actionsOf(m *control.Manifest) ([]config.ActionSpec, error) {
	switch {
	case !nameForm.MatchString(m.GetName()):
		return nil, fmt.Errorf("its name is %.40q; want a letter, then up to 31 of a–z, 0–9 and hyphen", m.GetName())
	case !versionForm.MatchString(m.GetVersion()) || len(m.GetVersion()) > 128:
		return nil, fmt.Errorf("its version is %.40q; want a semantic version such as 1.2.0", m.GetVersion())
	case len(m.GetSdk()) > 128 || len(m.GetDescription()) > maxText:
		return nil, fmt.Errorf("its description or the version of its SDK has more than %d bytes", maxText)
	case len(m.GetActions()) > maxActions:
		return nil, fmt.Errorf("it has %d actions; at most %d are taken", len(m.GetActions()), maxActions)
	}
	if _, err := schemaOf(m.GetConfigSchema()); err != nil {
		return nil, fmt.Errorf("the schema of its configuration: %w", err)
	}
	specs := make([]config.ActionSpec, 0, len(m.GetActions()))
	seen := map[string]bool{}
	for _, a := range m.GetActions() {
		spec, err := actionOf(m.GetName(), a)
		if err != nil {
			return nil, fmt.Errorf("its action %.40q: %w", a.GetName(), err)
		}
		if seen[spec.ID] {
			return nil, fmt.Errorf("it has the action %q twice", a.GetName())
		}
		seen[spec.ID] = true
		specs = append(specs, spec)
	}
	return specs, nil
}

func actionOf(plugin string, a *control.Action) (config.ActionSpec, error) {
	spec := config.ActionSpec{ID: plugin + "/" + a.GetName(), Description: a.GetDescription(), Ports: a.GetPorts()}
	switch {
	case !nameForm.MatchString(a.GetName()):
		return spec, errors.New("want a name of a letter, then up to 31 of a–z, 0–9 and hyphen")
	case len(a.GetDescription()) > maxText:
		return spec, fmt.Errorf("its description has more than %d bytes", maxText)
	case len(a.GetPorts()) > maxPorts:
		return spec, fmt.Errorf("has %d ports; at most %d are taken", len(a.GetPorts()), maxPorts)
	}
	for i, port := range a.GetPorts() {
		switch {
		case port == config.PortError:
			return spec, errors.New("names the port error, which every action has anyway")
		case !portForm.MatchString(port):
			return spec, fmt.Errorf("its port is %.40q; want a–z, 0–9, _ and hyphen", port)
		case slices.Contains(a.GetPorts()[:i], port):
			return spec, fmt.Errorf("has the port %q twice", port)
		}
	}
	if len(spec.Ports) == 0 {
		spec.Ports = []string{config.PortDone}
	}
	var err error
	if spec.Config, err = schemaOf(a.GetConfigSchema()); err != nil {
		return spec, fmt.Errorf("the schema of its config: %w", err)
	}
	return spec, nil
}

// schemaOf compiles a schema; nil where there is none.
func schemaOf(text []byte) (*config.Schema, error) {
	switch {
	case len(text) == 0:
		return nil, nil
	case len(text) > maxSchema:
		return nil, fmt.Errorf("has more than %d bytes", maxSchema)
	}
	return config.NewSchema(text)
}
