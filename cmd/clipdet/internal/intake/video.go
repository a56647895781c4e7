package intake

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/clipdet/clipdet/pkg/pixels"
)

// videoExtensions are the extensions of what ffmpeg is asked for.
var videoExtensions = []string{".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv"}

// maxFrames bounds the frames of a video: 30 an hour for four years.
const maxFrames = 1 << 20

// frameTime bounds how long ffmpeg may take for a frame.
const frameTime = time.Minute

// local keeps ffmpeg from fetching what a video, which may be a playlist, refers to.
var local = []string{"-v", "error", "-protocol_whitelist", "file,pipe,crypto,data"}

func isVideo(path string) bool {
	return slices.Contains(videoExtensions, strings.ToLower(filepath.Ext(path)))
}

// videos replaces each video among the inputs by its frames, so many a second.
func (e *expansion) videos(fps float64) {
	var inputs []Input
	for _, in := range e.found.Inputs {
		if in.Err != nil || in.read != nil || !isVideo(in.Path) {
			inputs = append(inputs, in)
			continue
		}
		e.found.List = true
		times, err := frameTimes(in.Path, fps)
		if err != nil {
			inputs = append(inputs, Input{Path: in.Path, Err: fmt.Errorf("%s: %w", in.Path, err)})
		}
		for _, at := range times {
			inputs = append(inputs, Input{
				Path: fmt.Sprintf("%s#ms=%d", in.Path, at.Milliseconds()),
				read: func(ctx context.Context, limits pixels.Limits) (*pixels.RGB, error) {
					return frameAt(ctx, in.Path, at, limits)
				},
			})
		}
	}
	e.found.Inputs = inputs
}

// frameTimes returns the times of a video's frames, in whole milliseconds from its start,
// up to its last frame.
func frameTimes(path string, fps float64) ([]time.Duration, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), frameTime)
	defer cancel()
	args := append(slices.Clone(local), "-select_streams", "v:0", "-show_entries", "stream=avg_frame_rate,duration:format=duration",
		"-of", "json", "file:"+path)
	out, err := run(exec.CommandContext(ctx, "ffprobe", args...))
	if err != nil {
		return nil, err
	}
	var probed struct {
		Streams []struct {
			Rate     string `json:"avg_frame_rate"`
			Duration string `json:"duration"`
		} `json:"streams"`
		Format struct {
			Duration string `json:"duration"`
		} `json:"format"`
	}
	if err := json.Unmarshal(out, &probed); err != nil {
		return nil, fmt.Errorf("%w: ffprobe says %.80q", pixels.ErrBroken, out)
	}
	if len(probed.Streams) == 0 {
		return nil, fmt.Errorf("%w: it has no pictures", pixels.ErrFormat)
	}
	stream := probed.Streams[0]
	seconds, err := strconv.ParseFloat(cmp.Or(stream.Duration, probed.Format.Duration), 64)
	if err != nil || !(seconds > 0) {
		return nil, fmt.Errorf("%w: it doesn't say how long it is; convert it first, as with: ffmpeg -i IN OUT.mp4", pixels.ErrBroken)
	}
	above, below, _ := strings.Cut(stream.Rate, "/")
	frames, err1 := strconv.ParseFloat(above, 64)
	per, err2 := strconv.ParseFloat(below, 64)
	last := seconds
	if err1 == nil && err2 == nil && frames > 0 && per > 0 {
		last = math.Max(0, seconds-per/frames) // the last frame's time
		fps = math.Min(fps, frames/per)
	}
	n := math.Floor(last*fps+1e-6) + 1
	if n > maxFrames {
		return nil, fmt.Errorf("%w: it has %.0f frames at %v a second, and %d are taken; lower --fps", pixels.ErrTooLarge, n, fps, maxFrames)
	}
	times := make([]time.Duration, int(n))
	for k := range times {
		// Rounded down, since ffmpeg gives the first frame from a time on.
		times[k] = time.Duration(float64(k)/fps*1000+1e-6) * time.Millisecond
	}
	return times, nil
}

// frameAt decodes the first frame of a video from a time on, turned upright as the video
// says.
func frameAt(ctx context.Context, path string, at time.Duration, limits pixels.Limits) (*pixels.RGB, error) {
	ctx, cancel := context.WithTimeout(ctx, frameTime)
	defer cancel()
	args := append(slices.Clone(local), "-nostdin", "-ss", fmt.Sprintf("%dms", at.Milliseconds()), "-i", "file:"+path, "-map", "0:v:0", "-frames:v", "1",
		"-c:v", "bmp", "-f", "image2pipe", "-")
	out, err := run(exec.CommandContext(ctx, "ffmpeg", args...))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: %w: it has no frame at %v", path, pixels.ErrBroken, at)
	}
	picture, err := pixels.Decode(bytes.NewReader(out), limits)
	if err != nil {
		return nil, fmt.Errorf("%s, at %v: %w", path, at, err)
	}
	return picture, nil
}

// run returns what a program of ffmpeg's writes to stdout.
func run(cmd *exec.Cmd) ([]byte, error) {
	var said bytes.Buffer
	cmd.Stderr = &said
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	line, _, _ := strings.Cut(strings.TrimSpace(said.String()), "\n")
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, fmt.Errorf("%s isn't on PATH; install ffmpeg to read videos: %w", cmd.Args[0], err)
	case err != nil:
		return nil, fmt.Errorf("%w: %s: %w: %.200s", pixels.ErrBroken, cmd.Args[0], err, line)
	}
	return out, nil
}
