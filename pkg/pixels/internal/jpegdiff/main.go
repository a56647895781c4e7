// Jpegdiff compares package pixels with Go's image/jpeg, followed by this project's
// upsampling and colours (pixels.FromImage).
//
//	go run ./pkg/pixels/internal/jpegdiff [-into DIR] JPEG...
//
// For each JPEG it prints the difference of either from JPEG.ppm, the pixels that Pillow
// decodes. If there is no such file, it prints the difference of Go's pixels from this
// project's. With -into it also writes Go's pixels to DIR, as a PNG of the JPEG's name,
// so that clipdet eval can measure detections in them:
//
//	go run ./pkg/pixels/internal/jpegdiff -into go testdata/images/*.jpg
//	clipdet eval --images go --annotations testdata/images/instances.json
//
// Pictures that EXIF turns are left out. The last row is for all pictures. Its times are
// for those that both decoders read.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/clipdet/clipdet/pkg/pixels"
)

func main() {
	into := flag.String("into", "", "write Go's pixels to DIR, as PNG")
	flag.Parse()
	if err := run(os.Stdout, *into, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "jpegdiff:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, into string, paths []string) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer table.Flush()
	fmt.Fprintln(table, "JPEG\tthis project\tGo\tms\tms of Go")
	var ours, theirs difference
	var ownTotal, stdTotal time.Duration
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		start := time.Now()
		own, ownErr := pixels.Decode(bytes.NewReader(data), pixels.Limits{})
		ownTime := time.Since(start)
		start = time.Now()
		std, stdErr := standard(data)
		stdTime := time.Since(start)

		want, err := pillow(path)
		if errors.Is(err, os.ErrNotExist) {
			want, err = own, ownErr
		}
		if err != nil {
			return err
		}
		if turned(data, own) {
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%.1f\t%.1f\n", path, ours.add(own, want, ownErr), theirs.add(std, want, stdErr),
			1e3*ownTime.Seconds(), 1e3*stdTime.Seconds())
		if ownErr == nil && stdErr == nil {
			ownTotal, stdTotal = ownTotal+ownTime, stdTotal+stdTime
		}
		if into != "" && stdErr == nil {
			var file bytes.Buffer
			if err := png.Encode(&file, std); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(into, filepath.Base(path)), file.Bytes(), 0o644); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(table, "all, %d and %d read\t%s\t%s\t%.1f\t%.1f\n", ours.read, theirs.read, ours, theirs,
		1e3*ownTotal.Seconds(), 1e3*stdTotal.Seconds())
	return nil
}

// turned reports whether own was turned by EXIF's orientation.
func turned(data []byte, own *pixels.RGB) bool {
	if own == nil {
		return false
	}
	data = bytes.Replace(data, []byte("Exif\x00\x00"), []byte("none\x00\x00"), 1)
	m, err := pixels.Decode(bytes.NewReader(data), pixels.Limits{})
	return err == nil && !bytes.Equal(m.Pix, own.Pix)
}

// standard decodes with Go's image/jpeg.
func standard(data []byte) (*pixels.RGB, error) {
	img, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return pixels.FromImage(img)
}

// pillow reads the pixels that Pillow decodes.
func pillow(path string) (*pixels.RGB, error) {
	data, err := os.ReadFile(path + ".ppm")
	if err != nil {
		return nil, err
	}
	var m pixels.RGB
	if _, err := fmt.Fscanf(bytes.NewReader(bytes.Replace(data, []byte("\n"), []byte(" "), 2)), "P6 %d %d", &m.Width, &m.Height); err != nil {
		return nil, fmt.Errorf("%s.ppm: %w", path, err)
	}
	size := 3 * m.Width * m.Height
	if len(data) < size {
		return nil, fmt.Errorf("%s.ppm: %d bytes", path, len(data))
	}
	m.Pix = data[len(data)-size:]
	return &m, nil
}

// difference counts values that differ, in one picture or several.
type difference struct{ read, values, differ, sum, most int }

// add compares a picture and describes its own difference.
func (d *difference) add(got, want *pixels.RGB, err error) string {
	if err != nil {
		return err.Error()
	}
	one := difference{read: 1, values: len(want.Pix)}
	for i, v := range want.Pix {
		if off := max(int(v)-int(got.Pix[i]), int(got.Pix[i])-int(v)); off > 0 {
			one.differ, one.sum, one.most = one.differ+1, one.sum+off, max(one.most, off)
		}
	}
	d.read, d.values, d.differ = d.read+1, d.values+one.values, d.differ+one.differ
	d.sum, d.most = d.sum+one.sum, max(d.most, one.most)
	return one.String()
}

func (d difference) String() string {
	values := float64(max(d.values, 1))
	return fmt.Sprintf("%.2f %% differ, by %.3f on average and at most %d", 100*float64(d.differ)/values, float64(d.sum)/values, d.most)
}
