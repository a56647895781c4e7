package archive

import (
	"io/fs"
	"syscall"
)

// changed returns the time of the last change of a file's content, name, links or rights.
// No program can set it.
func changed(info fs.FileInfo) any {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ctim
	}
	return nil
}
