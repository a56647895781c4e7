package report

import (
	"bufio"
	"context"
	_ "embed" // the page's parts
	"errors"
	"fmt"
	"html/template"
	"image"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/clipdet/clipdet/pkg/box"
)

//go:embed hits.html
var hitsSource string

//go:embed hits.css
var hitsStyle string

// QueryHits are the hits of a query, best first.
type QueryHits struct {
	Query string
	Hits  []Hit
}

// Hit is a box of a picture that a search found.
type Hit struct {
	File          string // the picture's path; it may be any bytes
	Width, Height int    // of the picture, pixels
	Box           box.Box
	Score         float32
	Probability   float32
	Objectness    float32
	Phrase        string
}

// hitsView is the data of hits.html.
type hitsView struct {
	Marker  template.HTML
	Style   template.CSS
	Queries []hitsOf
	Limit   int // of the pictures; 0 if all are there
}

// hitsOf are the pictures of a query's hits, in the order of their best hits.
type hitsOf struct {
	Query    string
	Count    int
	Pictures []*hitPicture
}

type hitPicture struct {
	File, Image   string // the name as it is shown; the JPEG in the page's folder, "" if there is none
	Width, Height int
	Hits          []hitBox
}

type hitBox struct {
	Rank                                   int // among the query's hits, from 1
	X, Y, W, H                             float64
	Score, Probability, Objectness, Phrase string
}

// WriteHits writes a page of the hits of each query into dir, as Write does: the pictures,
// with the boxes that were hit. load returns the picture of a file, in whose pixels the
// boxes are. It is called once for each of the first Options.Pictures pictures; the boxes of
// others, and of those that load fails for, are shown without the picture. unread is the
// number of pictures that load failed for. The page has no script.
func WriteHits(ctx context.Context, dir string, queries []QueryHits, load func(file string) (image.Image, error), options Options) (unread int, err error) {
	options = options.withDefaults()
	to, err := newFolder(dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, to.clean()) }()
	view := hitsView{Marker: marker, Style: template.CSS(hitsStyle)} //nolint:gosec // both are of this package
	images := make(map[string]string)
	written := 0
	for _, of := range queries {
		group, err := groupHits(of)
		if err != nil {
			return 0, err
		}
		for i, p := range group.Pictures {
			if ctx.Err() != nil {
				return 0, context.Cause(ctx)
			}
			file := of.Hits[group.Pictures[i].Hits[0].Rank-1].File
			name, known := images[file]
			if !known && written >= options.Pictures {
				view.Limit = options.Pictures
				continue
			}
			if !known {
				picture, err := load(file)
				if err == nil {
					written++
					name = imagesName + "/" + strconv.Itoa(written) + ".jpg"
					if err := writePicture(filepath.Join(to.temp, filepath.FromSlash(name)), picture, options.Side); err != nil {
						return 0, err
					}
				} else {
					unread++
				}
				images[file] = name
			}
			p.Image = name
		}
		view.Queries = append(view.Queries, group)
	}
	page, err := template.New("hits").Parse(hitsSource)
	if err != nil {
		return 0, err
	}
	file, err := os.Create(to.index())
	if err != nil {
		return 0, err
	}
	out := bufio.NewWriter(file)
	if err := errors.Join(page.Execute(out, view), out.Flush(), file.Close()); err != nil {
		return 0, err
	}
	return unread, to.publish()
}

// groupHits groups the hits of a query by their pictures.
func groupHits(of QueryHits) (hitsOf, error) {
	group, at := hitsOf{Query: of.Query, Count: len(of.Hits)}, make(map[string]*hitPicture)
	for i, hit := range of.Hits {
		b, ok := edges(hit.Box, &Entry{Width: hit.Width, Height: hit.Height})
		if !ok || !finite(float64(hit.Score)) || !finite(float64(hit.Probability)) || !finite(float64(hit.Objectness)) {
			return group, fmt.Errorf("%w: hit %d of %q is %+v", ErrContent, i+1, of.Query, hit)
		}
		p := at[hit.File]
		if p == nil {
			p = &hitPicture{File: strings.ToValidUTF8(hit.File, "\ufffd"), Width: hit.Width, Height: hit.Height}
			at[hit.File] = p
			group.Pictures = append(group.Pictures, p)
		}
		text := func(v float32) string { return strconv.FormatFloat(float64(v), 'f', 3, 32) }
		p.Hits = append(p.Hits, hitBox{
			Rank: i + 1, X: b[0], Y: b[1], W: b[2] - b[0], H: b[3] - b[1],
			Score: text(hit.Score), Probability: text(hit.Probability), Objectness: text(hit.Objectness), Phrase: hit.Phrase,
		})
	}
	return group, nil
}
