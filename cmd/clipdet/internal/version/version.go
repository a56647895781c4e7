// Package version says what this program is built from.
package version

import (
	"runtime/debug"
	"strings"

	"github.com/clipdet/clipdet/pkg/device"
)

// Clipdet describes this build by what the Go toolchain recorded in it: the module's version, and the revision where it
// was built in a checkout.
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

// Gotch returns the version of gotch that this program was built with.
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

// Libtorch returns the version of the libtorch that runs, or "".
func Libtorch() string {
	lib, _ := device.RunningLibtorch() // doctor says what is wrong with it
	return lib.Version
}
