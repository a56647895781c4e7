//go:build nobuiltin

package builtin

import (
	"errors"
	"io/fs"
)

// files is a file system in which nothing can be opened.
var files leftOut

type leftOut struct{}

func (leftOut) Open(string) (fs.File, error) {
	return nil, errors.New("this program was built without them (-tags nobuiltin): name a directory of models, with --models DIR or model.Dir")
}
