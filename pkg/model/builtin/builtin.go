// Package builtin holds small models inside the program, so that detection works without a download. Importing it adds
// their size, some 28 MB, to the binary; a program with models of its own leaves it out and uses model.Dir. The image
// tower is there in float32 and, for processors that are twice as fast in it, in bfloat16.
//
// torchscript/ has the scripts that trained and exported them; their manifests name licence and origin.
package builtin

import (
	"embed"

	"github.com/clipdet/clipdet/pkg/model"
)

//go:embed *.pt
var files embed.FS

// Models are the built-in models. They are copied once to model.CacheDir, when a detector is opened.
func Models() model.Set { return model.Embedded(files, "builtin") }
