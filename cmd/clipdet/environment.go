package main

import (
	"os"
	"slices"
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

// startAgain replaces the process by a new start of the program, with the settings that
// its command needs, unless the user or the first start has set them. Starting twice
// takes 0.25 s.
func startAgain() {
	settings := slices.DeleteFunc(needed(os.Args[1:]), func(setting string) bool {
		name, _, _ := strings.Cut(setting, "=")
		return os.Getenv(name) != "" || setting == limitedSpinning && os.Getenv("OMP_WAIT_POLICY") != ""
	})
	path, err := os.Executable()
	if err != nil || len(settings) == 0 {
		return
	}
	// If Exec fails, the program continues without the settings.
	_ = syscall.Exec(path, os.Args, append(os.Environ(), settings...))
}

// needed returns the settings that a command line needs. Flags may precede the command.
func needed(args []string) []string {
	cmd, rest, err := rootCommand().Find(args)
	if err != nil {
		return nil
	}
	switch cmd.CommandPath() {
	case "clipdet detect", "clipdet eval", "clipdet calibrate", "clipdet bench", "clipdet index", "clipdet search", "clipdet serve",
		"clipdet models compare":
		if cmd.ParseFlags(rest) != nil { // the command itself will say so
			return []string{limitedSpinning}
		}
		if cmd.CommandPath() == "clipdet serve" {
			_ = fromEnvironment(cmd.Flags(), os.LookupEnv) // likewise
		}
		if tf32, err := cmd.Flags().GetBool("tf32"); err == nil && !tf32 {
			return []string{limitedSpinning, exact}
		}
		return []string{limitedSpinning}
	case "clipdet models verify":
		return []string{exact}
	}
	return nil
}
