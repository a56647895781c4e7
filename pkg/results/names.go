package results

import (
	"cmp"
	"path/filepath"
	"regexp"
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

// frameOf matches the paths of frames, such as clip.gif#frame=3 and clip.mp4#ms=1500.
var frameOf = regexp.MustCompile(`^(.+)#(frame|ms)=([0-9]{1,18})$`)

// Of returns the name of the next picture: its file's name without the extension, cut to
// 200 bytes. A frame of clip.gif is clip-frame3, and of clip.mp4 clip-ms1500. If the name is
// taken, it gets the suffix -2, -3 and so on. Names that differ only in case count as the
// same, because some file systems don't tell them apart. The name of -, which stands for
// the standard input, is stdin. A name has a slash only if path is the root.
func (n *Names) Of(path string) string {
	if n.taken == nil {
		n.taken, n.last = map[string]bool{}, map[string]int{}
	}
	base := filepath.Base(path)
	if base == "-" {
		base = "stdin"
	}
	frame := ""
	if parts := frameOf.FindStringSubmatch(base); parts != nil {
		base, frame = parts[1], "-"+parts[2]+parts[3]
	}
	stem := cmp.Or(strings.TrimSuffix(base, filepath.Ext(base)), base)
	if len(stem) > longestStem {
		stem = strings.ToValidUTF8(stem[:longestStem], "") // drops the rest of a rune
	}
	stem += frame
	name, key := stem, strings.ToLower(stem)
	for i := max(2, n.last[key]+1); n.taken[strings.ToLower(name)]; i++ {
		name = stem + "-" + strconv.Itoa(i)
		n.last[key] = i
	}
	n.taken[strings.ToLower(name)] = true
	return name
}
