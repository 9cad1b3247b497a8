// Package profile is a built-in plugin.
package profile

import "github.com/tributary-bus/tributary/sdk"

// Plugin is the plugin that is served.
func Plugin() sdk.Plugin { return sdk.Plugin{Name: "profile", Version: "1.0.0"} }
