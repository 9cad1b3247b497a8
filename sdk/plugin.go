package sdk

// A Plugin is what a plugin's process serves.
type Plugin struct {
	Name        string // [a-z][a-z0-9-]{0,31}
	Version     string // semantic version
	Description string
	Actions     []Action
}

// An Action is what a node of a flow can ask for. NewAction makes one.
type Action struct{}

// Serve runs the plugin until the process that started it has it stop. It does
// not return.
func Serve(p Plugin) {}
