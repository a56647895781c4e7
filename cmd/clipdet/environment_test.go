package main

import (
	"strings"
	"testing"
)

func TestNeeded(t *testing.T) {
	both := limitedSpinning + " " + exact
	for line, want := range map[string]string{
		"detect --tf32=false -q dog a.jpg": both, "--verbose bench --tf32=0 --rounds 2": both,
		"detect --tf32 -q dog a.jpg": limitedSpinning, "detect --tf32=maybe": limitedSpinning, "detect -q --tf32=false": limitedSpinning,
		"detect -q dog a.jpg": limitedSpinning, "-v detect -q dog a.jpg": limitedSpinning, "--verbose eval": limitedSpinning,
		"bench": limitedSpinning, "calibrate -h": limitedSpinning, "serve": limitedSpinning, "serve --tf32=false": both,
		"models compare a b --tf32=false": both, "models compare a b": limitedSpinning, "models verify detect": exact, "models verify": exact,
		"eval merge a": "", "": "", "-v": "", "doctor": "", "doctor --device detect": "", "schema": "", "none": "", "models list": "",
	} {
		if got := strings.Join(needed(strings.Fields(line)), " "); got != want {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
	t.Setenv("CLIPDET_SERVE_TF32", "false")
	for line, want := range map[string]string{"serve": both, "serve --tf32": limitedSpinning, "detect -q dog a.jpg": limitedSpinning} {
		if got := strings.Join(needed(strings.Fields(line)), " "); got != want {
			t.Errorf("%q, with CLIPDET_SERVE_TF32=false: got %q, want %q", line, got, want)
		}
	}
}
