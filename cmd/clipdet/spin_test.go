package main

import (
	"strings"
	"testing"
)

func TestComputes(t *testing.T) {
	for line, want := range map[string]bool{
		"detect -q dog a.jpg": true, "-v detect -q dog a.jpg": true, "--verbose eval": true, "bench": true, "eval merge a": false, "calibrate -h": true,
		"": false, "-v": false, "doctor": false, "models verify detect": false, "doctor --device detect": false, "schema": false, "none": false,
	} {
		if got := computes(strings.Fields(line)); got != want {
			t.Errorf("%q: got %t, want %t", line, got, want)
		}
	}
}
