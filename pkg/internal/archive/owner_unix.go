//go:build unix

package archive

import (
	"io/fs"
	"os"
	"syscall"
)

func ownedByUser(info fs.FileInfo) bool {
	owner, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(owner.Uid) == os.Getuid()
}

// withoutWaiting is for opening a file that may be a pipe without a writer.
const withoutWaiting = syscall.O_NONBLOCK
