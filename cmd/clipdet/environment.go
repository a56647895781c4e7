package main

import (
	"os"
	"strings"
	"syscall"
)

// Settings that libraries read from the environment when they are loaded, which is before
// any Go code runs.
const (
	// limitedSpinning limits how long the threads of OpenMP spin while they wait for each
	// other.
	//
	// libgomp's default limit is 300,000 iterations. If another program keeps one of two
	// processors busy, detection is more than ten times as slow with that default, but
	// only three times as slow with the limit set here. If no other program is busy, the
	// limit costs about 5 %.
	limitedSpinning = "GOMP_SPINCOUNT=10000"
	// exact keeps NVIDIA's libraries from computing float32 as TF32, whose 10 bits differ
	// from a known answer by more than its tolerance.
	exact = "NVIDIA_TF32_OVERRIDE=0"
)

// startAgain replaces the process by a new start of the program, with the setting that
// its command needs, unless the user or the first start has set it. Starting twice takes
// 0.25 s.
func startAgain() {
	setting := needed(os.Args[1:])
	name, _, _ := strings.Cut(setting, "=")
	if setting == "" || os.Getenv(name) != "" || setting == limitedSpinning && os.Getenv("OMP_WAIT_POLICY") != "" {
		return
	}
	path, err := os.Executable()
	if err != nil {
		return
	}
	// If Exec fails, the program continues without the setting.
	_ = syscall.Exec(path, os.Args, append(os.Environ(), setting))
}

// needed returns the setting that a command line needs, or "". Flags may precede the
// command.
func needed(args []string) string {
	cmd, _, err := rootCommand().Find(args)
	if err != nil {
		return ""
	}
	switch cmd.CommandPath() {
	case "clipdet detect", "clipdet eval", "clipdet calibrate", "clipdet bench":
		return limitedSpinning
	case "clipdet models verify":
		return exact
	}
	return ""
}
