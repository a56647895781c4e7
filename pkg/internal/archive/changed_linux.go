package archive

import (
	"io/fs"
	"syscall"
)

// changed returns the time when a file's content, name, links or rights changed last,
// which no program can set.
func changed(info fs.FileInfo) any {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ctim
	}
	return nil
}
