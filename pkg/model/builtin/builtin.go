// Package builtin holds small models inside the program, so that detection works without a download. Importing it adds
// their size, some 28 MB, to the binary; a program with models of its own leaves it out and uses model.Dir, or is built
// with -tags nobuiltin, which leaves out the models alone. The image tower is there in float32 and, for processors that
// are twice as fast in it, in bfloat16.
//
// torchscript/ has the scripts that trained and exported them; their manifests name licence and origin.
package builtin

import "github.com/clipdet/clipdet/pkg/model"

// Models are the built-in models. They are copied once to model.CacheDir, when a detector is opened. A program that was
// built with -tags nobuiltin has none, and using them fails with model.ErrMissing.
func Models() model.Set { return model.Embedded(files, "builtin") }
