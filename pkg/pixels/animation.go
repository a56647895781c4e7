package pixels

import (
	"bytes"
	"fmt"
	"io"

	"github.com/clipdet/clipdet/pkg/internal/files"
)

// maxFrames is an hour and more of any animation. Each frame of a picture from a stranger
// may have few bytes and is a picture of its own.
const maxFrames = 1 << 17

// Animation reads the frames of a GIF or WebP, one after the other, as a viewer shows
// them. It holds the encoded file and one frame. It isn't safe for concurrent use.
type Animation struct {
	frames      film
	next        int
	orientation int // as stated
	asStored    bool
}

// film is the frames of an animation in one format, as they are stored. They are asked
// for in their order, each once.
type film interface {
	len() int
	frame(n int) (*RGB, error) // the caller owns it
}

// OpenAnimation is NewAnimation of a regular file. Of a file that isn't one, that can't be
// read, or whose first bytes are of no GIF or animated WebP it reads at most these bytes,
// and returns nil and no error: DecodeFile reads it, or tells what is wrong.
func OpenAnimation(path string, limits Limits) (*Animation, error) {
	f, err := files.Open(path)
	if err != nil {
		return nil, nil
	}
	defer f.Close()
	head := make([]byte, animationHead)
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > limits.orDefault().Bytes {
		return nil, nil
	}
	if _, err := io.ReadFull(f, head); err != nil || !isGIF(head) && !isAnimatedWebP(head) {
		return nil, nil
	}
	data, err := files.ReadAll(io.MultiReader(bytes.NewReader(head), f), limits.orDefault().Bytes)
	if err != nil {
		return nil, nil
	}
	a, err := NewAnimation(data, limits)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return a, nil
}

// animationHead is the number of bytes that tell an animation. No animation has fewer.
const animationHead = 21

// NewAnimation finds the frames of a GIF or WebP. Any other file, and one with a single
// frame, has none: NewAnimation then returns nil and no error, and Decode reads the file.
// data must not change while the Animation is used. NewAnimation fails with ErrTooLarge
// for more than 131,072 frames, or if the screen has more pixels than limits.Pixels. A
// damaged frame is an error of Next.
func NewAnimation(data []byte, limits Limits) (*Animation, error) {
	limits = limits.orDefault()
	a := Animation{asStored: limits.AsStored}
	var err error
	switch {
	case isGIF(data):
		a.frames, err = newGIFFilm(data, limits)
	case isAnimatedWebP(data):
		a.frames, err = newWebPFilm(data, limits)
		a.orientation = webpMetadata(data).orientation()
	default:
		return nil, nil
	}
	if err != nil || a.Len() < 2 {
		return nil, err
	}
	return &a, nil
}

// tooLarge returns the error of an animation whose screen has more pixels than the limit.
func tooLarge(format string, width, height int, limits Limits) error {
	if int64(width)*int64(height) <= limits.Pixels {
		return nil
	}
	return fmt.Errorf("%w: the %s is %d x %d pixels, over the limit of %d", ErrTooLarge, format, width, height, limits.Pixels)
}

func tooMany(format string) error {
	return fmt.Errorf("%w: the %s has more than %d frames", ErrTooLarge, format, maxFrames)
}

// Len returns the number of frames, at least 2.
func (a *Animation) Len() int { return a.frames.len() }

// Next returns the next frame on its screen. The first is the picture that Decode
// returns. The caller owns it. It fails as Decode does, also if a WebP's transparency is
// damaged, which Decode doesn't read, and with io.EOF after the last frame. A damaged
// frame leaves the screen as it was, and Next continues after it.
func (a *Animation) Next() (*RGB, error) {
	if a.next == a.Len() {
		return nil, io.EOF
	}
	n := a.next
	a.next++
	m, err := a.frames.frame(n)
	if err != nil {
		return nil, fmt.Errorf("frame %d: %w", n+1, err)
	}
	if !a.asStored {
		m = m.upright(a.orientation)
	}
	m.Orientation = a.orientation
	return m, nil
}

func (m *RGB) clone() *RGB {
	out := newRGB(m.Width, m.Height)
	copy(out.Pix, m.Pix)
	return out
}
