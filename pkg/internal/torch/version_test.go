package torch

import (
	"os"
	"regexp"
	"testing"
)

// TestVersionsAgree checks that all places that name a version of libtorch name the same
// one. setup-libtorch.sh lists these places.
func TestVersionsAgree(t *testing.T) {
	for _, place := range []struct{ file, pattern, want string }{
		{"../../../setup-libtorch.sh", `(?m)^version=(\S+)$`, SetupVersion},
		{"../../../setup-libtorch.sh", `(?m)^oldest=(\S+) `, OldestVersion},
		{"../../../setup-libtorch.sh", `(?m)^oldest=\S+ newest=(\S+)$`, NewestVersion},
		{"../../../setup-libtorch.sh", `"torch-([\d.]+)-`, SetupVersion},
		{"../../../torchscript/requirements.in", `(?m)^torch==(\S+)`, SetupVersion},
		{"../../../torchscript/requirements.txt", `(?m)^torch==(\S+)`, SetupVersion},
		{"../../../cmd/clipdet/THIRD_PARTY.md", `(?m)^\| torch \| (\S+) \|`, SetupVersion},
	} {
		text, err := os.ReadFile(place.file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(place.pattern).FindSubmatch(text)
		if found == nil {
			t.Errorf("%s has nothing like %s", place.file, place.pattern)
		} else if string(found[1]) != place.want {
			t.Errorf("%s names %s by %s, want %s", place.file, found[1], place.pattern, place.want)
		}
	}
}
