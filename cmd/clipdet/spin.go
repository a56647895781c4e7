package main

import (
	"os"
	"slices"
	"syscall"
)

// limitSpinning replaces the process by a new start of the program that limits how long
// the threads of OpenMP spin while they wait for each other. libgomp reads that limit
// when it is loaded, which is before any Go code runs.
//
// libgomp's default limit is 300,000 iterations. If another program keeps one of two
// processors busy, detection is more than ten times as slow with that default, but only
// three times as slow with the limit set here. If no other program is busy, the limit
// costs about 5 %.
func limitSpinning() {
	if !computes(os.Args[1:]) {
		return // starting twice takes 0.25 s
	}
	for _, name := range []string{"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} {
		if os.Getenv(name) != "" {
			return // set by the user, or by the first start
		}
	}
	path, err := os.Executable()
	if err != nil {
		return
	}
	// If Exec fails, the program continues without the limit. It is only slower beside
	// others.
	_ = syscall.Exec(path, os.Args, append(os.Environ(), "GOMP_SPINCOUNT=10000"))
}

// computes reports whether the command line runs models for a long time. Flags may
// precede the command.
func computes(args []string) bool {
	cmd, _, err := rootCommand().Find(args)
	return err == nil && slices.Contains([]string{"detect", "eval", "calibrate", "bench"}, cmd.Name())
}
