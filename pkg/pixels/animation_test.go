package pixels

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"path/filepath"
	"testing"
)

const (
	moves     = "../../testdata/frames/moves.gif"
	movesWebP = "../../testdata/frames/moves.webp"
)

// TestAnimationEqualsPillow compares all frames of a GIF and a WebP, with every disposal
// and blending, with Pillow's. testdata/make/frames.py wrote both.
func TestAnimationEqualsPillow(t *testing.T) {
	for path, frames := range map[string]int{moves: 7, movesWebP: 13} {
		t.Run(filepath.Base(path), func(t *testing.T) { framesEqual(t, path, frames) })
	}
}

func framesEqual(t *testing.T, path string, frames int) {
	a, err := OpenAnimation(path, Limits{})
	if err != nil || a == nil || a.Len() != frames {
		t.Fatalf("%v, %v; want an animation of %d frames", a, err, frames)
	}
	strip := readFile(t, path+".ppm")
	var width, height, most int
	if _, err := fmt.Fscanf(bytes.NewReader(strip), "P6\n%d %d\n%d\n", &width, &height, &most); err != nil {
		t.Fatal(err)
	}
	strip = strip[len(strip)-3*width*height:]
	size := len(strip) / a.Len()
	for n := range a.Len() {
		frame, err := a.Next()
		if err != nil {
			t.Fatalf("frame %d: %v", n+1, err)
		}
		if want := strip[n*size : (n+1)*size]; !bytes.Equal(frame.Pix, want) {
			differ := 0
			for i := range want {
				if frame.Pix[i] != want[i] {
					differ++
				}
			}
			t.Errorf("frame %d: %d of %d values differ from Pillow's", n+1, differ, size)
		}
	}
	if _, err := a.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last frame: %v, want io.EOF", err)
	}
}

func TestWhatIsNoAnimation(t *testing.T) {
	dir := t.TempDir()
	gif, webp := readFile(t, moves), readFile(t, movesWebP)
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, path := range []string{
		"../../testdata/formats/420.jpg", "../../testdata/formats/clear.gif", filepath.Join(dir, "none"), dir,
		write("empty", nil), write("short.gif", gif[:9]), write("one frame.gif", gif[:264]),
		"../../testdata/formats/lossy-exif8.webp", "../../testdata/formats/animation-offset.webp", write("short.webp", webp[:len(webp)-1]),
	} {
		if a, err := OpenAnimation(path, Limits{}); a != nil || err != nil {
			t.Errorf("%s: %v, %v; want neither", path, a, err)
		}
	}
	for _, data := range [][]byte{gif, webp} {
		if _, err := NewAnimation(data, Limits{Pixels: 24*16 - 1}); !errors.Is(err, ErrTooLarge) {
			t.Errorf("a large screen: %v, want ErrTooLarge", err)
		}
	}
	// A frame of 12 bytes that decodes to nothing.
	tiny := []byte{0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 0}
	if _, err := NewAnimation(append(bytes.Clone(gif[:25]), bytes.Repeat(tiny, maxFrames+1)...), Limits{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("many frames: %v, want ErrTooLarge", err)
	}
	many := append(bytes.Clone(webp[:30]), bytes.Repeat([]byte("ANMF\x00\x00\x00\x00"), maxFrames+1)...)
	binary.LittleEndian.PutUint32(many[4:], uint32(len(many)-8))
	if _, err := NewAnimation(many, Limits{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("many frames of a WebP: %v, want ErrTooLarge", err)
	}
}

// TestFramesAreTurned checks that each frame is turned as the first is.
func TestFramesAreTurned(t *testing.T) {
	data := append(readFile(t, movesWebP), "XMP \x16\x00\x00\x00<x tiff:Orientation=\"6"...)
	binary.LittleEndian.PutUint32(data[4:], uint32(len(data)-8))
	for _, limits := range []Limits{{}, {AsStored: true}} {
		first, err := Decode(bytes.NewReader(data), limits)
		if err != nil {
			t.Fatal(err)
		}
		a, err := NewAnimation(data, limits)
		if err != nil || a == nil {
			t.Fatalf("%v, %v; want an animation", a, err)
		}
		for n := range a.Len() {
			frame, err := a.Next()
			if err != nil || frame.Bounds() != first.Bounds() || frame.Orientation != 6 || n == 0 && !bytes.Equal(frame.Pix, first.Pix) {
				t.Errorf("%+v: frame %d: %v, %v, want as the first: %v", limits, n+1, frame, err, first.Bounds())
			}
		}
		if want := [2]int{16, 24}; !limits.AsStored && [2]int{first.Width, first.Height} != want {
			t.Errorf("the first frame is %d x %d, want %v", first.Width, first.Height, want)
		}
	}
}

// TestDamagedFrame damages a frame. It fails, and the others are still shown.
func TestDamagedFrame(t *testing.T) {
	webp := readFile(t, movesWebP)
	at := 0
	for range 4 {
		at += 4 + bytes.Index(webp[at:], []byte("ANMF"))
	}
	webp[at+4+9]++ // its height
	damaged(t, webp, 3)
	gif := readFile(t, moves)
	whole, err := NewAnimation(gif, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	broken := bytes.Clone(gif)
	frame := whole.frames.(*gifFilm).frames[3]
	broken[frame.start+8+10] = 9 // the code size
	damaged(t, broken, 3)
}

func damaged(t *testing.T, data []byte, which int) {
	t.Helper()
	a, err := NewAnimation(data, Limits{})
	if err != nil || a == nil {
		t.Fatalf("%v, %v; want an animation", a, err)
	}
	for n := range a.Len() {
		_, err := a.Next()
		if (n == which) != (err != nil) || err != nil && !errors.Is(err, ErrBroken) {
			t.Errorf("frame %d: %v", n+1, err)
		}
	}
}

// FuzzAnimation checks that the frames have one size, or fail by a known error, and that the
// first is what Decode gives.
func FuzzAnimation(f *testing.F) {
	for path, part := range map[string]int{moves: 400, movesWebP: 900} {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(data[:part])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		limits := Limits{Pixels: 10_000, Bytes: 1 << 20}
		a, err := NewAnimation(data, limits)
		if err != nil && !errors.Is(err, ErrTooLarge) {
			t.Fatalf("%v, which is no known error", err)
		}
		if a == nil {
			return
		}
		first, firstErr := Decode(bytes.NewReader(data), limits)
		var screen image.Rectangle // of the frames so far
		for n := range min(a.Len(), 20) {
			frame, err := a.Next()
			if err == nil && screen.Empty() {
				screen = frame.Bounds()
			}
			switch {
			case err != nil && !errors.Is(err, ErrBroken) && !errors.Is(err, ErrFormat) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrEmpty):
				t.Fatalf("frame %d: %v, which is no known error", n+1, err)
			case n == 0 && err == nil && (firstErr != nil || !bytes.Equal(frame.Pix, first.Pix)), n == 0 && isGIF(data) && err != nil && firstErr == nil:
				t.Fatalf("the first frame isn't what Decode gives: %v, %v", err, firstErr)
			case err == nil && frame.Bounds() != screen:
				t.Fatalf("frame %d is %d x %d, and others %v", n+1, frame.Width, frame.Height, screen)
			}
		}
	})
}
