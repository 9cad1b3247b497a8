//go:build !unix

package process

// KillGroup does nothing: there are no process groups here.
func KillGroup() {}
