package bench

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/files"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/settings"
)

// Flags are the flags of the bench command.
type Flags struct {
	settings.DetectorFlags
	images     int
	size       string
	warmUp     int
	rounds     int
	batchSizes string
	pictures   bool
	stages     bool
	json, plot string
}

// defaultQueries are the queries if none is given: 80 names, as many as COCO has.
const defaultQueries = `ant apple axe banana basket bear bed bee bell bicycle boat book bottle bread bus butterfly cactus cake
camel camera candle car carrot castle cat chair cherry chicken clock cloud coin cow crab crown dog dolphin door drum
duck eagle elephant fish flower fox frog ghost gift grapes guitar hammer hat horse house key kite knife lamp leaf
lemon lion lizard lock moon mouse mushroom octopus onion owl panda peach pear pencil penguin pig pizza rabbit rocket
shoe snail tree`

// defaultPictures is the number of pictures that are made if none is given.
const defaultPictures = 8

// Add defines the flags on cmd.
func (f *Flags) Add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.IntVar(&f.images, "images", 0, fmt.Sprintf("`N` pictures a round, given ones over again where they are fewer; 0 is each once, or %d made ones", defaultPictures))
	flags.StringVar(&f.size, "size", "640x480", "`WIDTHxHEIGHT` of made pictures, pixels")
	flags.IntVar(&f.warmUp, "warm-up", 3, "`N` pictures before anything counts")
	flags.IntVar(&f.rounds, "rounds", 3, "measure everything `N` times")
	flags.StringVar(&f.batchSizes, "batch-sizes", "1,2,4,8,16,32,64", "crops that CLIP encodes at once, `N,N,...`, to measure alone; \"\" is none")
	flags.BoolVar(&f.stages, "stages", true, "take the pictures through the stages one at a time too, and measure the peak; without it rounds and --batch-sizes alone")
	flags.BoolVar(&f.pictures, "pictures", true, "draw the three pictures of each")
	flags.StringVar(&f.json, "json", "", "also write every figure, the machine, versions and flags to `FILE`")
	flags.StringVar(&f.plot, "plot", "", "draw crops/s by --batch-sizes into `FILE`, an SVG")
	f.DetectorFlags.Add(cmd)
	flags.Lookup("text-cache").Hidden = true
	// MarkFlagFilename fails only for an unknown flag.
	_ = cmd.MarkFlagFilename("json", "json")
	_ = cmd.MarkFlagFilename("plot", "svg")
}

// check returns an error if a flag that only bench has is wrong.
func (f *Flags) check(cmd *cobra.Command) error {
	switch {
	case f.images < 0:
		return fmt.Errorf("--images %d: want 0 (each once) or more", f.images)
	case f.warmUp < 0:
		return fmt.Errorf("--warm-up %d: want 0 or more", f.warmUp)
	case f.rounds < 1:
		return fmt.Errorf("--rounds %d: want 1 or more", f.rounds)
	case f.plot != "" && filepath.Ext(f.plot) != ".svg":
		return fmt.Errorf("--plot %s: want a name that ends in .svg", f.plot)
	case cmd.Flags().Changed("text-cache"):
		return errors.New("--text-cache: bench encodes the phrases anew each time; leave it out")
	}
	for _, file := range f.written() {
		if err := file.Check(); err != nil {
			return err
		}
	}
	sizes, err := f.batches()
	if err == nil && f.plot != "" && len(sizes) == 0 {
		err = errors.New("--plot: it is of --batch-sizes, and there are none")
	}
	if err != nil {
		return err
	}
	_, _, err = f.pictureSize()
	return err
}

// written returns the files that the figures go to.
func (f *Flags) written() []files.Named {
	return []files.Named{files.GivenBy("--json", f.json), files.GivenBy("--plot", f.plot)}
}

// batches returns the sizes of --batch-sizes.
func (f *Flags) batches() (sizes []int, err error) {
	const most = 1 << 14
	for word := range strings.FieldsFuncSeq(f.batchSizes, func(r rune) bool { return r == ',' }) {
		size, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || size < 1 || size > most {
			return nil, fmt.Errorf("--batch-sizes %q: want numbers from 1 to %d, as in 1,8,64", f.batchSizes, most)
		}
		sizes = append(sizes, size)
	}
	return sizes, nil
}

// maxPictureSide is the largest side of a made picture in pixels. Such a picture is
// within the limit on pixels.
const maxPictureSide = 10_000

func (f *Flags) pictureSize() (width, height int, err error) {
	var rest string
	// Valid text gives 2 items and an error, because rest is empty.
	n, _ := fmt.Sscanf(f.size+" ", "%dx%d%s", &width, &height, &rest)
	if n != 2 || min(width, height) < 1 || max(width, height) > maxPictureSide {
		return 0, 0, fmt.Errorf("--size %q: want WIDTHxHEIGHT, each 1 to %d, as in 640x480", f.size, maxPictureSide)
	}
	return width, height, nil
}
