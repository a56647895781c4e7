package results

import (
	"cmp"
	"path/filepath"
	"strconv"
	"strings"
)

// longestStem leaves room for an extension or a number. Most file systems take names of
// 255 bytes.
const longestStem = 200

// Names gives each picture another name, for the files that are made from it. The zero
// Names is ready to use.
type Names struct {
	taken map[string]bool
	// last is the last number given to a stem. Without it, thousands of pictures with one
	// stem would take quadratic time.
	last map[string]int
}

// Of returns the name of the next picture: its file's name without the extension, cut to
// 200 bytes. If the name is taken, it gets the suffix -2, -3 and so on. Names that differ
// only in case count as the same, because some file systems don't tell them apart. The
// name of -, which stands for the standard input, is stdin. A name has a slash only if
// path is the root.
func (n *Names) Of(path string) string {
	if n.taken == nil {
		n.taken, n.last = map[string]bool{}, map[string]int{}
	}
	base := filepath.Base(path)
	if base == "-" {
		base = "stdin"
	}
	stem := cmp.Or(strings.TrimSuffix(base, filepath.Ext(base)), base)
	if len(stem) > longestStem {
		stem = strings.ToValidUTF8(stem[:longestStem], "") // drops the rest of a rune
	}
	name, key := stem, strings.ToLower(stem)
	for i := max(2, n.last[key]+1); n.taken[strings.ToLower(name)]; i++ {
		name = stem + "-" + strconv.Itoa(i)
		n.last[key] = i
	}
	n.taken[strings.ToLower(name)] = true
	return name
}
