package condition

import (
	"time"

	"github.com/tributary-bus/tributary/sdk"
)

// ParseDuration reads a duration as [sdk.ParseDuration] does.
func ParseDuration(s string) (time.Duration, error) { return sdk.ParseDuration(s) }
