// Package event is a built-in plugin.
package event

import "github.com/tributary-bus/tributary/sdk"

// Plugin is the plugin that is served.
func Plugin() sdk.Plugin { return sdk.Plugin{Name: "event", Version: "1.0.0"} }
