package main

import (
	"strings"
	"testing"
)

func TestNeeded(t *testing.T) {
	for line, want := range map[string]string{
		"detect -q dog a.jpg": limitedSpinning, "-v detect -q dog a.jpg": limitedSpinning, "--verbose eval": limitedSpinning,
		"bench": limitedSpinning, "calibrate -h": limitedSpinning,
		"models verify detect": exact, "models verify": exact,
		"eval merge a": "", "": "", "-v": "", "doctor": "", "doctor --device detect": "", "schema": "", "none": "", "models list": "",
	} {
		if got := needed(strings.Fields(line)); got != want {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
}
