package main

import (
	"os"
	"slices"
	"syscall"
)

// limitSpinning runs the program again, with a limit on how long OpenMP's threads spin while they wait for each other.
// libgomp reads that limit when it is loaded, which is before any of our code. Its own limit of 300,000 turns makes
// detection more than ten times as slow where another program keeps one of two processors busy, and three times with
// this one, which costs some 5 % where none does.
func limitSpinning() {
	if !computes(os.Args[1:]) {
		return // starting twice takes a quarter of a second
	}
	for _, name := range []string{"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} {
		if os.Getenv(name) != "" {
			return // the user's choice, or this program's the first time
		}
	}
	path, err := os.Executable()
	if err != nil {
		return
	}
	// If it fails, the program is as it was, only slower beside others.
	_ = syscall.Exec(path, os.Args, append(os.Environ(), "GOMP_SPINCOUNT=10000"))
}

// computes reports whether a command line runs models for long. Flags may stand before
// the command.
func computes(args []string) bool {
	cmd, _, err := rootCommand().Find(args)
	return err == nil && slices.Contains([]string{"detect", "eval", "calibrate", "bench"}, cmd.Name())
}
