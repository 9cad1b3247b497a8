package record

import (
	"github.com/tributary-bus/tributary/sdk/wire"
)

// A Patch is the body of a command of KindPatch: what a flow's run, or a
// plugin, wants of a profile. All of it happens in one commit, or nothing.
type Patch struct {
	// By says who wants it, such as "flow/thank-you".
	By string
	// Patches change the profile, in order. One that does not fit the profile
	// as it is by then, such as an increment of a text, is left out and counted.
	Patches []wire.Patch
	// Events are then sent about the same profile, or about nobody where the
	// command is about nobody. Their ids are given, and the same on a repetition.
	Events []Event
}

// MaxHops is how many commands may have caused one another. One beyond becomes
// a dead letter: flows that set each other off would never end.
const MaxHops = 16
