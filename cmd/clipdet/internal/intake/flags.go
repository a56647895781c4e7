package intake

import (
	"github.com/spf13/pflag"

	"github.com/clipdet/clipdet/pkg/pixels"
)

// Flags say what arguments stand for. The zero Flags take files, directories and patterns
// as they are.
type Flags struct {
	Recursive bool
	FilesFrom string  // "": none
	Frames    string  // FirstFrame, "" too, or AllFrames
	FPS       float64 // frames of a video for each second; 0: videos aren't read
	Private   bool    // whether URLs may lead to private addresses
	// Limits are of the animations whose frames are counted.
	Limits pixels.Limits
}

// The values of --frames.
const (
	FirstFrame = "first"
	AllFrames  = "all"
)

// Add defines the flags on flags, except for --frames.
func (f *Flags) Add(flags *pflag.FlagSet) {
	f.add(flags, "a path or URL")
	flags.BoolVar(&f.Private, "allow-private", false, "let URLs lead to addresses that aren't public, as localhost and 192.168.0.1")
}

// AddForFiles defines the flags of Add for a command that takes no URL.
func (f *Flags) AddForFiles(flags *pflag.FlagSet) { f.add(flags, "a path") }

func (f *Flags) add(flags *pflag.FlagSet, listed string) {
	flags.BoolVarP(&f.Recursive, "recursive", "r", false, "read the directories inside directories too")
	flags.StringVar(&f.FilesFrom, "files-from", "", "also read what the list in `FILE` names, or on stdin for -: "+listed+" a line, or each before a NUL, as find -print0 writes them")
}
