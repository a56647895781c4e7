package index

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/clipdet/clipdet/pkg/box"
)

// row is a row of a shard's Parquet file. It says what the same row of the .npy file is.
type row struct {
	Picture    string  `parquet:"picture,dict"`
	Region     int32   `parquet:"region"` // of the picture, from 1
	X0         float32 `parquet:"x0"`     // pixels of the upright picture
	Y0         float32 `parquet:"y0"`
	X1         float32 `parquet:"x1"`
	Y1         float32 `parquet:"y1"`
	Objectness float32 `parquet:"objectness"`
	Width      int32   `parquet:"width,dict"` // of the upright picture, pixels
	Height     int32   `parquet:"height,dict"`
	Bytes      int64   `parquet:"bytes,dict"` // of the file
	Modified   int64   `parquet:"modified,dict"`
	SHA256     string  `parquet:"sha256,dict"`
}

// createdBy is in each Parquet file. It has no version, so that versions write the same
// bytes.
const createdBy = "clipdet"

func writeRows(w io.Writer, rows []row) error {
	writer := parquet.NewGenericWriter[row](w, parquet.CreatedBy(createdBy, "", ""))
	if _, err := writer.Write(rows); err != nil {
		return err
	}
	return writer.Close()
}

// rows reads the shard's Parquet file, all of it, and yields its rows in parts.
func (s shard) rows(each func(first int, rows []row) error) (err error) {
	path := s.path("parquet")
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	// The reader may take minutes and gigabytes for a file that is damaged.
	if hash := sha256.Sum256(data); int64(len(data)) != s.Rows.Bytes || hex.EncodeToString(hash[:]) != s.Rows.SHA256 {
		return fmt.Errorf("%s: %w: its checksum is not that of what was written", path, ErrDamaged)
	}
	defer func() {
		if p := recover(); p != nil { // the reader's answer to some damage
			err = fmt.Errorf("%s: %w: %v", path, ErrDamaged, p)
		}
	}()
	read, err := parquet.OpenFile(bytes.NewReader(data), s.Rows.Bytes, parquet.SkipBloomFilters(true), parquet.SkipPageIndex(true))
	if err != nil {
		return fmt.Errorf("%s: %w: %w", path, ErrDamaged, err)
	}
	if n := read.NumRows(); n != int64(s.Regions) {
		return fmt.Errorf("%s: %w: it has %d rows, and %d were written", path, ErrDamaged, n, s.Regions)
	}
	reader := parquet.NewGenericReader[row](read)
	defer func() { err = errors.Join(err, reader.Close()) }()
	buffer := make([]row, 1024)
	for first := 0; first < s.Regions; {
		n, err := reader.Read(buffer)
		if n == 0 {
			return fmt.Errorf("%s: %w: it ends after %d rows of %d: %w", path, ErrDamaged, first, s.Regions, err)
		}
		if err := each(first, buffer[:n]); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		first += n
	}
	return nil
}

// sized is a picture, its size in pixels, and its rows in its shard.
type sized struct {
	Picture
	width, height  int
	first, regions int
}

// contents are what the rows of a shard say.
type contents struct {
	objectness []float32 // [N]
	boxes      []box.Box // [N]
	pictureOf  []int32   // [N]: places in pictures
	pictures   []sized   // in the order of their rows
}

// contents reads what the rows of the shard are.
func (s shard) contents() (*contents, error) {
	c := &contents{
		objectness: make([]float32, 0, s.Regions), boxes: make([]box.Box, 0, s.Regions), pictureOf: make([]int32, 0, s.Regions),
	}
	err := s.rows(func(first int, rows []row) error {
		for i, r := range rows {
			last := len(c.pictures) - 1
			if last < 0 || c.pictures[last].Path != r.Picture || r.Region == 1 {
				c.pictures = append(c.pictures, sized{
					Picture: Picture{strings.Clone(r.Picture), r.Bytes, r.Modified, strings.Clone(r.SHA256)}, // not of the buffer
					width:   int(r.Width), height: int(r.Height), first: first + i,
				})
				last++
			}
			c.pictures[last].regions++
			c.objectness = append(c.objectness, r.Objectness)
			c.boxes = append(c.boxes, box.Box{X0: r.X0, Y0: r.Y0, X1: r.X1, Y1: r.Y1})
			c.pictureOf = append(c.pictureOf, int32(last)) //nolint:gosec // below the number of rows
		}
		return nil
	})
	return c, err
}

// memory returns about how many bytes the contents take.
func (c *contents) memory() int64 {
	n := int64(28 * len(c.boxes))
	for _, p := range c.pictures {
		n += 136 + int64(len(p.Path)+len(p.SHA256))
	}
	return n
}

// groups returns a number for each row that only rows of the same picture have, in all
// shards.
func (c *contents) groups(shard int) []int64 {
	groups := make([]int64, len(c.pictureOf))
	for i, p := range c.pictureOf {
		groups[i] = int64(shard)<<32 | int64(p)
	}
	return groups
}
