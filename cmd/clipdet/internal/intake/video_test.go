//go:build ffmpeg

// These tests need ffmpeg, which the ordinary ones don't: go test -tags ffmpeg.

package intake

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/pkg/pixels"
)

// film makes a video of 2 s, whose frames get brighter: frame k, of 10 a second, has the
// grey 10 k.
func film(t *testing.T, name string, more ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	args := []string{"-v", "error", "-f", "lavfi", "-i", "color=black:s=64x48:r=10:d=2,format=gray,geq=lum=10*N,format=yuv420p"}
	args = append(append(args, more...), path)
	if out, err := exec.Command("ffmpeg", args...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	return path
}

func grey(t *testing.T, in Input) int {
	t.Helper()
	picture, err := Decode(t.Context(), in, pixels.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	r, _, _, _ := picture.At(30, 20).RGBA()
	return int(r >> 8)
}

func TestFramesOfAVideo(t *testing.T) {
	for _, name := range []string{"a.mp4", "-b [1].mkv", "c.MOV", "d.webm"} {
		path := film(t, name)
		for _, test := range []struct {
			fps    float64
			frames int
			step   float64 // frames of the video between two
		}{{1, 2, 10}, {4, 8, 2.5}, {10, 20, 1}, {1000, 20, 1}, {0.1, 1, 0}} {
			found, err := (&Flags{FPS: test.fps}).Expand([]string{path}, nil)
			if err != nil || len(found.Inputs) != test.frames || !found.List {
				t.Fatalf("%s at %v: %v, %d frames, want %d", name, test.fps, err, len(found.Inputs), test.frames)
			}
			for k, in := range found.Inputs {
				want := 10 * int(float64(k)*test.step+0.999) // the first frame from then on
				if k%5 == 0 || k == len(found.Inputs)-1 {
					if got := grey(t, in); got < want-4 || got > want+4 {
						t.Errorf("the grey of %s is %d, want about %d", in.Path, got, want)
					}
				}
			}
		}
	}
}

func TestVideosThatCantBeRead(t *testing.T) {
	dir := t.TempDir()
	broken, list := filepath.Join(dir, "broken.mp4"), filepath.Join(dir, "list.mp4")
	if err := os.WriteFile(broken, []byte("no video"), 0o600); err != nil {
		t.Fatal(err)
	}
	// A playlist that names a server: nothing may be fetched.
	if err := os.WriteFile(list, []byte("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sound := filepath.Join(dir, "sound.mkv")
	if out, err := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=d=1", sound).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	for path, want := range map[string]error{broken: pixels.ErrBroken, list: pixels.ErrBroken, sound: pixels.ErrFormat, filepath.Join(dir, "none.mp4"): fs.ErrNotExist} {
		found, err := (&Flags{FPS: 1}).Expand([]string{path}, nil)
		if err != nil || len(found.Inputs) != 1 || !errors.Is(found.Inputs[0].Err, want) || !strings.Contains(found.Inputs[0].Err.Error(), path) {
			t.Errorf("%s: %v, %+v, want one input with %v", filepath.Base(path), err, found.Inputs, want)
		}
	}
	path := film(t, "a.mp4")
	found, err := (&Flags{FPS: 1}).Expand([]string{path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Decode(ended, found.Inputs[0], pixels.Limits{}); err == nil {
		t.Error("an ended context: no error")
	}
	if _, err := Decode(t.Context(), found.Inputs[0], pixels.Limits{Pixels: 100}); !errors.Is(err, pixels.ErrTooLarge) {
		t.Errorf("a frame above the limit: got %v, want ErrTooLarge", err)
	}
	t.Setenv("PATH", dir)
	if found, err := (&Flags{FPS: 1}).Expand([]string{path}, nil); err != nil || !errors.Is(found.Inputs[0].Err, exec.ErrNotFound) {
		t.Errorf("without ffmpeg: %v, %+v", err, found.Inputs)
	}
}

// TestAFolderWithAVideo finds a video among pictures only if it is asked for.
func TestAFolderWithAVideo(t *testing.T) {
	path := film(t, "a.mp4")
	found, err := (&Flags{FPS: 2}).Expand([]string{filepath.Dir(path)}, nil)
	if err != nil || len(found.Inputs) != 4 {
		t.Errorf("%v, %d inputs, want 4 frames", err, len(found.Inputs))
	}
	found, err = new(Flags).Expand([]string{filepath.Dir(path)}, nil)
	if err != nil || len(found.Inputs) != 1 || found.Inputs[0].Err == nil || !strings.Contains(found.Inputs[0].Err.Error(), "1 .mp4") {
		t.Errorf("without --fps: %v, %+v, want an error that counts the video", err, found.Inputs)
	}
}
