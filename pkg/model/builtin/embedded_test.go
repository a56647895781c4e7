//go:build !nobuiltin

package builtin

import (
	"testing"

	"github.com/clipdet/clipdet/pkg/model"
)

func TestModelsMakeADetector(t *testing.T) {
	t.Setenv("CLIPDET_HOME", t.TempDir())
	files, err := Models().Resolve(model.Auto)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []model.File{files.RPN, files.Image, files.Text} {
		m, err := model.Inspect(file.Path)
		if err != nil {
			t.Error(err)
			continue
		}
		if m.Kind != file.Manifest.Kind || m.DType != model.Float32 {
			t.Errorf("%s is %s in %s, want %s in float32, which every device can run", file.Path, m.Kind, m.DType, file.Manifest.Kind)
		}
	}
}
