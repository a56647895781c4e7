//go:build !nobuiltin

package builtin

import (
	"testing"

	"github.com/clipdet/clipdet/pkg/model"
)

func TestModelsMakeADetector(t *testing.T) {
	t.Setenv("CLIPDET_HOME", t.TempDir())
	entries, err := Models().List()
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[model.Kind]bool{}
	for _, e := range entries {
		if e.Err != nil {
			t.Errorf("%s: %v", e.Name, e.Err)
		}
		if e.Manifest.DType == model.Float32 { // every device can run it
			kinds[e.Manifest.Kind] = true
		}
	}
	if len(kinds) != 3 {
		t.Errorf("there are %v in float32, want all three kinds", kinds)
	}
	if err := Models().Check(t.Context()); err != nil {
		t.Error(err)
	}
}
