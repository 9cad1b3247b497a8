// Package segment is a built-in plugin.
package segment

import "github.com/tributary-bus/tributary/sdk"

// Plugin is the plugin that is served.
func Plugin() sdk.Plugin { return sdk.Plugin{Name: "segment", Version: "1.0.0"} }
