package results

import (
	"cmp"
	"path/filepath"
	"strconv"
	"strings"
)

// longestStem leaves room in a file name of 255 bytes, which is what most file systems
// take, for what is put after it.
const longestStem = 200

// Names gives pictures names for the files that are made of them, each another. The
// zero Names is ready to use.
type Names struct {
	taken map[string]bool
	last  map[string]int // number of each name without its own, so that thousands of pictures of one name take no time
}

// Of is the name of the next picture: its file's without the extension, of which a very
// long one is cut, and where another has that, with -2, -3 and so on. The case of letters makes no other name,
// since some file systems don't tell A from a. A name has no slash in it, but where
// path is the root.
func (n *Names) Of(path string) string {
	if n.taken == nil {
		n.taken, n.last = map[string]bool{}, map[string]int{}
	}
	base := filepath.Base(path)
	stem := cmp.Or(strings.TrimSuffix(base, filepath.Ext(base)), base)
	if len(stem) > longestStem {
		stem = strings.ToValidUTF8(stem[:longestStem], "") // not half a letter
	}
	name, key := stem, strings.ToLower(stem)
	for i := max(2, n.last[key]+1); n.taken[strings.ToLower(name)]; i++ {
		name = stem + "-" + strconv.Itoa(i)
		n.last[key] = i
	}
	n.taken[strings.ToLower(name)] = true
	return name
}
