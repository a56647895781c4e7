//go:build nobuiltin

package builtin

import (
	"errors"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/pkg/model"
)

func TestModelsAreLeftOut(t *testing.T) {
	t.Setenv("CLIPDET_HOME", t.TempDir())
	_, listing := Models().List()
	_, resolving := Models().Archives().Resolve(t.Context(), model.Auto)
	for name, err := range map[string]error{"List": listing, "Resolve": resolving} {
		if !errors.Is(err, model.ErrMissing) || !strings.Contains(err.Error(), "--models DIR") {
			t.Errorf("%s: got the error %v, want one that wraps ErrMissing and names --models", name, err)
		}
	}
}
