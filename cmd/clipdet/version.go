package main

import (
	"runtime/debug"
	"strings"

	"github.com/clipdet/clipdet/pkg/device"
)

// version describes this build by what the Go toolchain recorded in it: the module's version, and the revision where it
// was built in a checkout.
func version() string {
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

// moduleVersion returns the version of a module that this program was built with.
func moduleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range info.Deps {
		if m.Path != path {
			continue
		}
		if m.Replace != nil {
			return m.Replace.Version + " (" + m.Replace.Path + ")"
		}
		return m.Version
	}
	return "unknown"
}

// libtorchVersion returns the version of the libtorch that runs, or "".
func libtorchVersion() string {
	lib, _ := device.RunningLibtorch() // doctor says what is wrong with it
	return lib.Version
}
