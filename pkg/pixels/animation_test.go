package pixels

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

const moves = "../../testdata/frames/moves.gif"

// TestAnimationEqualsPillow compares all frames of a GIF, with every disposal, with
// Pillow's. testdata/make/frames.py wrote both.
func TestAnimationEqualsPillow(t *testing.T) {
	a, err := OpenAnimation(moves, Limits{})
	if err != nil || a == nil {
		t.Fatalf("%v, %v; want an animation", a, err)
	}
	strip := readFile(t, moves+".ppm")
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
	gif := readFile(t, moves)
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
	} {
		if a, err := OpenAnimation(path, Limits{}); a != nil || err != nil {
			t.Errorf("%s: %v, %v; want neither", path, a, err)
		}
	}
	if _, err := NewAnimation(gif, Limits{Pixels: 24*16 - 1}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a large screen: %v, want ErrTooLarge", err)
	}
	// A frame of 12 bytes that decodes to nothing.
	tiny := []byte{0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 0}
	if _, err := NewAnimation(append(bytes.Clone(gif[:25]), bytes.Repeat(tiny, maxFrames+1)...), Limits{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("many frames: %v, want ErrTooLarge", err)
	}
}

// TestDamagedFrame damages a frame. It fails, and the others are still shown.
func TestDamagedFrame(t *testing.T) {
	gif := readFile(t, moves)
	whole, err := NewAnimation(gif, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	broken := bytes.Clone(gif)
	at := whole.frames[3]
	broken[at.start+8+10] = 9 // the code size
	a, err := NewAnimation(broken, Limits{})
	if err != nil || a.Len() != whole.Len() {
		t.Fatalf("%d frames, %v; want %d", a.Len(), err, whole.Len())
	}
	for n := range a.Len() {
		_, err := a.Next()
		if (n == 3) != (err != nil) || err != nil && !errors.Is(err, ErrBroken) {
			t.Errorf("frame %d: %v", n+1, err)
		}
	}
}

// FuzzAnimation checks that every frame has the size of the screen, or fails by a known
// error, and that the first is what Decode gives.
func FuzzAnimation(f *testing.F) {
	gif, err := os.ReadFile(moves)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(gif)
	f.Add(gif[:400])
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
		for n := range a.Len() {
			if n == 20 {
				return
			}
			frame, err := a.Next()
			switch {
			case err != nil && !errors.Is(err, ErrBroken) && !errors.Is(err, ErrFormat) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrEmpty):
				t.Fatalf("frame %d: %v, which is no known error", n+1, err)
			case n == 0 && (err == nil) != (firstErr == nil) || n == 0 && err == nil && !bytes.Equal(frame.Pix, first.Pix):
				t.Fatalf("the first frame isn't what Decode gives: %v, %v", err, firstErr)
			case err == nil && (frame.Width != a.width() || frame.Height != a.height()):
				t.Fatalf("frame %d is %d x %d, and the screen %d x %d", n+1, frame.Width, frame.Height, a.width(), a.height())
			}
		}
	})
}
