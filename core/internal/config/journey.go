package config

import (
	"slices"
	"strings"

	"github.com/tributary-bus/tributary/sdk/condition"
)

// JourneyStates are the states of a customer's journey, from the first one on.
var JourneyStates = []string{"awareness", "consideration", "purchase", "retention", "advocacy"}

// A Journey says which state of the journey an event tells of: always the same,
// or that which an expression gives.
type Journey struct {
	State string             // empty: From gives it
	From  *condition.Program // null: the event tells nothing
}

// journey reads a state or an expression, nil where there is neither.
func (f *form) journey() *Journey {
	n := f.get("journey")
	if n == nil {
		return nil
	}
	text, _ := n.scalar.(string)
	if slices.Contains(JourneyStates, text) {
		return &Journey{State: text}
	}
	if text != "" && strings.Trim(strings.ToLower(text), "abcdefghijklmnopqrstuvwxyz") == "" {
		f.fail(n, f.at("journey"), "unknown state %q; %s, or an expression (CEL) that gives one", text, Meant(text, JourneyStates))
		return nil
	}
	return &Journey{From: f.expression("journey", condition.EventScope)}
}
