package supervisor

import (
	"strconv"
	"strings"
)

// inherited are the variables of ours that a plugin gets: where programs are,
// and how people here write times. Everything else may hold a secret.
var inherited = []string{"PATH", "TZ", "LANG", "LC_ALL"}

// fileVariable tells the plugin of a third party where its file is: what runs is
// a copy, and a script has no other way to know.
const fileVariable = "PLUGIN_FILE"

// environment is what a plugin's process finds in its environment, besides what
// the handshake adds. The limit is that of its resident memory, in bytes: its
// runtime begins to work for it at three quarters.
func environment(host []string, dir string, limit int64) []string {
	var env []string
	for _, name := range inherited {
		for _, variable := range host {
			if strings.HasPrefix(variable, name+"=") {
				env = append(env, variable)
				break
			}
		}
	}
	env = append(env, "HOME="+dir, "TMPDIR="+dir)
	if limit > 0 {
		env = append(env, "GOMEMLIMIT="+strconv.FormatInt(limit/4*3, 10))
	}
	return env
}
