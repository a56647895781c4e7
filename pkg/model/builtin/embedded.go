//go:build !nobuiltin

package builtin

import "embed"

//go:embed *.pt
var files embed.FS
