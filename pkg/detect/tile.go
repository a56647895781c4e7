package detect

import (
	"cmp"
	"context"
	"fmt"
	"image"
	"slices"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/internal/rpn"
	"github.com/clipdet/clipdet/pkg/internal/suppress"
	"github.com/clipdet/clipdet/pkg/pixels"
)

// How a large picture is done in tiles. The proposal network sees a picture at a size of
// its own, so it misses what is small in a large one. With Params.Tile the picture and each
// of its tiles are tasks of the queue of their own. Their detections are then merged by
// NMS, which prefers whole objects to the parts that a tile's edge left of them.

const (
	// TileAuto is a Params.Tile that does a picture in tiles only if it is more than 2.5
	// times as large, along each side, as the proposal network sees it. Tiles then have
	// 1.25 times the longest side that the network sees.
	TileAuto = -1
	// DefaultTileOverlap is what Params.TileOverlap stands for if it is 0.
	DefaultTileOverlap = 0.2

	minTile = 32
	// maxTileOverlap bounds the tiles: with more, each pixel would be in over 25 of them.
	maxTileOverlap = 0.8
	maxTiles       = 4096

	autoTileFrom, autoTile = 2.5, 1.25
	// A part is dropped if more than this share of it lies in a whole object.
	partInside = 0.5
)

func (p Params) checkTile() error {
	switch {
	case p.Tile != 0 && p.Tile != TileAuto && p.Tile < minTile:
		return fmt.Errorf("%w: Tile is %d; it is a side of %d pixels or more, 0 for none, or TileAuto", ErrOption, p.Tile, minTile)
	case !(p.TileOverlap >= 0 && p.TileOverlap <= maxTileOverlap):
		return fmt.Errorf("%w: TileOverlap is %v; it is a share of a tile's side, at most %v, or 0 for the default", ErrOption, p.TileOverlap, maxTileOverlap)
	}
	return nil
}

// ask gives a task its matching, and its tiles if the matching asks for them.
func (d *Detector) ask(t *task, m *matching) error {
	t.matching = m
	if m.Tile == 0 || t.own {
		return nil
	}
	size := image.Pt(t.picture.Width, t.picture.Height)
	side := m.Tile
	if side == TileAuto {
		manifest := d.files.RPN.Manifest
		seen := rpn.Input(manifest, rpn.Size{Height: size.Y, Width: size.X})
		if float64(size.X) <= autoTileFrom*float64(seen.Width) || float64(size.Y) <= autoTileFrom*float64(seen.Height) {
			return nil
		}
		side = max(minTile, int(autoTile*float64(manifest.MaxSize)))
	}
	across, down := starts(size.X, side, m.TileOverlap), starts(size.Y, side, m.TileOverlap)
	if len(across)*len(down) > maxTiles {
		return fmt.Errorf("detect: %w: %d tiles, and %d are taken; ask for larger tiles", ErrLimit, len(across)*len(down), maxTiles)
	}
	for _, y := range down {
		for _, x := range across {
			t.tiles = append(t.tiles, image.Rect(x, y, min(x+side, size.X), min(y+side, size.Y)))
		}
	}
	if len(t.tiles) == 1 { // the picture
		t.tiles = nil
		return nil
	}
	part := *m
	part.TopK, part.Best = 0, 0 // of the whole, not of each part
	part.MaxDetections = max(m.MaxDetections, defaultMaxDetections)
	t.matching, t.asked = &part, m
	return nil
}

// starts returns where the tiles of an axis start: as few as share the overlap, at equal
// distances.
func starts(length, side int, overlap float64) []int {
	if length <= side {
		return []int{0}
	}
	step := max(1, int(float64(side)*(1-overlap)))
	n := (length-side+step-1)/step + 1
	all := make([]int, n)
	for i := range all {
		all[i] = i * (length - side) / (n - 1)
	}
	return all
}

// withTiles adds to the result of the whole picture what its tiles show. As many tiles
// wait in the queue as go through the models together.
func (d *Detector) withTiles(t *task, whole *Result) (*Result, error) {
	merged := merging{result: whole}
	merged.add(whole.Detections, image.Rectangle{Max: image.Pt(whole.Width, whole.Height)}, whole)
	for tiles := range slices.Chunk(t.tiles, d.options.ImageBatch) {
		var tasks []*task
		for _, at := range tiles {
			if t.canceled() { // the picture may no longer be read
				break
			}
			part := newTask(t.ctx, cut(t.picture, at))
			part.matching = t.matching
			d.queue.add(part)
			tasks = append(tasks, part)
		}
		var failed error
		for i, part := range tasks {
			found, err := d.await(part)
			if err != nil {
				failed = cmp.Or(failed, err)
				continue
			}
			merged.addTile(found, tiles[i])
		}
		if failed == nil && len(tasks) < len(tiles) {
			failed = fmt.Errorf("detect: %w", context.Cause(t.ctx))
		}
		if n, most := len(merged.found), t.matching.MaxDetections; n > most {
			failed = cmp.Or(failed, fmt.Errorf("detect: match: %w: %d detections or more in all tiles, and %d are taken before they are merged; raise the threshold or the limit", ErrLimit, n, most))
		}
		if failed != nil {
			return nil, failed
		}
	}
	whole.Tiles = len(t.tiles)
	if err := merged.finish(t.ctx, *t.asked); err != nil {
		return nil, err
	}
	return whole, nil
}

// cut copies a rectangle of a picture.
func cut(from *pixels.RGB, at image.Rectangle) *pixels.RGB {
	part := &pixels.RGB{Width: at.Dx(), Height: at.Dy(), Pix: make([]uint8, 0, 3*at.Dx()*at.Dy())}
	for y := at.Min.Y; y < at.Max.Y; y++ {
		part.Pix = append(part.Pix, from.Pix[3*(y*from.Width+at.Min.X):3*(y*from.Width+at.Max.X)]...)
	}
	return part
}

// merging collects the detections of a picture and of its tiles.
type merging struct {
	result *Result
	found  []located
}

// located is a detection in pixels of the whole picture.
type located struct {
	Detection
	part bool // a tile's edge cuts it
}

func (m *merging) addTile(tile *Result, at image.Rectangle) {
	for _, p := range tile.Proposals {
		p.Box = moved(p.Box, at.Min)
		m.result.Proposals = append(m.result.Proposals, p)
	}
	m.add(tile.Detections, at, m.result)
	for q, p := range tile.Presence {
		m.result.Presence[q].Score = max(m.result.Presence[q].Score, p.Score)
	}
	m.result.Timings.add(tile.Timings)
}

// add adds detections in pixels of a part of the picture.
func (m *merging) add(detections []Detection, at image.Rectangle, of *Result) {
	// A box of a cut object ends near the edge, not always at it.
	const share = 0.01
	nearX, nearY := max(2, share*float32(at.Dx())), max(2, share*float32(at.Dy()))
	for _, d := range detections {
		part := at.Min.X > 0 && d.Box.X0 < nearX || at.Max.X < of.Width && d.Box.X1 > float32(at.Dx())-nearX ||
			at.Min.Y > 0 && d.Box.Y0 < nearY || at.Max.Y < of.Height && d.Box.Y1 > float32(at.Dy())-nearY
		d.Box = moved(d.Box, at.Min)
		m.found = append(m.found, located{d, part})
	}
}

func moved(b box.Box, by image.Point) box.Box {
	x, y := float32(by.X), float32(by.Y)
	return box.Box{X0: b.X0 + x, Y0: b.Y0 + y, X1: b.X1 + x, Y1: b.Y1 + y}
}

// finish suppresses among all parts and completes the result. It asks ctx before each
// detection, of which there may be millions.
func (m *merging) finish(ctx context.Context, params matching) error {
	// Whole objects come first, so that none is suppressed by a part of it.
	slices.SortStableFunc(m.found, func(a, b located) int {
		if a.part != b.part {
			if b.part {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.Score, a.Score)
	})
	kept := map[string]*suppress.Field{}
	var detections []Detection
	for _, d := range m.found {
		if ctx.Err() != nil {
			return fmt.Errorf("detect: %w", context.Cause(ctx))
		}
		if params.NMS < 1 {
			group := d.Query
			if params.Agnostic {
				group = ""
			}
			if kept[group] == nil {
				kept[group] = &suppress.Field{}
			}
			// Less than either share by which a box hides d, for rounding.
			if kept[group].Any(d.Box, 0.9*min(params.NMS, partInside), func(k box.Box) bool { return d.hiddenBy(k, params.NMS) }) {
				continue
			}
			kept[group].Add(d.Box)
		}
		detections = append(detections, d.Detection)
	}
	slices.SortStableFunc(detections, func(a, b Detection) int { return cmp.Compare(b.Score, a.Score) })
	counts := map[string]int{}
	detections = slices.DeleteFunc(detections, func(d Detection) bool {
		counts[d.Query]++
		return params.TopK > 0 && counts[d.Query] > params.TopK
	})
	for q := range m.result.Presence {
		m.result.Presence[q].Present = counts[m.result.Presence[q].Query] > 0
	}
	if params.Best > 0 {
		detections = detections[:min(params.Best, len(detections))]
	}
	if n := len(detections); n > params.MaxDetections {
		return fmt.Errorf("detect: match: %w: %d detections, and %d are taken; raise the threshold, lower top-k, or raise the limit", ErrLimit, n, params.MaxDetections)
	}
	m.result.Detections = detections
	return nil
}

// hiddenBy reports whether d is the object in the box k again, or a part of it.
func (d located) hiddenBy(k box.Box, nms float64) bool {
	if k.IoU(d.Box) > nms {
		return true
	}
	return d.part && k.Intersect(d.Box).Area() > partInside*d.Box.Area()
}
