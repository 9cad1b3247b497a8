// Package js holds the client for browsers, one script without a build step.
package js

import _ "embed"

// Source is the script. It defines the global Tributary, as a classic script
// and as a module that is imported for its effect.
//
//go:embed tributary.js
var Source []byte
