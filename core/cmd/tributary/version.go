package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker in a release.
var version = ""

// versionText is the version of this binary: the release's, or the commit it
// was built from.
func versionText() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	commit, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			commit = "-" + s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	return "devel" + commit + dirty
}

func newVersion() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this binary",
		Example: "  tributary version\n  tributary version -o json",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			v := struct {
				Version  string `json:"version"`
				Go       string `json:"go"`
				Platform string `json:"platform"`
			}{versionText(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			if output != string(asTable) {
				return writeValue(c.OutOrStdout(), format(output), v)
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "tributary %s (%s, %s)\n", v.Version, v.Go, v.Platform)
			return err
		},
	}
	outputFlag(c, &output, asTable, asJSON, asYAML)
	return c
}
