// Package builtin embeds small models in the program, so that detection works without a
// download. Importing it adds some 36 MB to the binary. A program with other models uses
// model.Dir instead. The build tag nobuiltin leaves the models out. They are there in
// float32 alone.
//
// torchscript/ has the scripts that trained and exported the models. Their manifests name
// licence and origin.
package builtin

import "github.com/clipdet/clipdet/pkg/model"

// Models returns the built-in models. Opening a detector copies them once to
// model.CacheDir. In a program built with -tags nobuiltin, using them fails with
// model.ErrMissing.
func Models() model.Set { return model.Embedded(files, "builtin") }
