// Package version returns the versions of this program and of the libraries it uses.
package version

import (
	"runtime/debug"
	"strings"

	"github.com/clipdet/clipdet/pkg/device"
)

// Clipdet returns the version of this build as the Go toolchain recorded it: the version
// of the module, and the revision if it was built in a checkout.
func Clipdet() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	words := []string{info.Main.Version}
	if info.Main.Version == "" {
		words[0] = "(devel)"
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) > 12 && !strings.Contains(words[0], s.Value[:12]):
			words = append(words, s.Value[:12])
		case s.Key == "vcs.modified" && s.Value == "true" && !strings.Contains(words[0], "dirty"):
			words = append(words, "modified")
		}
	}
	return strings.Join(words, " ")
}

// Gotch returns the version of gotch that this program was built with, or "unknown".
func Gotch() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range info.Deps {
		if m.Path != "github.com/sugarme/gotch" {
			continue
		}
		if m.Replace != nil {
			return m.Replace.Version + " (" + m.Replace.Path + ")"
		}
		return m.Version
	}
	return "unknown"
}

// Libtorch returns the version of the libtorch that is loaded, or "" if it isn't known.
func Libtorch() string {
	lib, _ := device.RunningLibtorch() // doctor reports its error
	return lib.Version
}
