package outcome

import (
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/files"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/intake"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/overlay"
)

// Pictures draws detections on goroutines of its own, so that detection continues
// meanwhile.
type Pictures struct {
	dir    string
	labels []string // query names; the place of one is its colour
	fonts  []*overlay.Font
	draws  bool     // the three pictures
	crops  bool     // what is found, each as a picture
	folder []string // of the crops of each query
	slots  chan struct{}
	work   sync.WaitGroup

	mu   sync.Mutex
	errs []error
}

// NewPictures returns a Pictures that draws into dir. labels are the names of the
// queries, in the order of their colours. fonts draw what the built-in font lacks.
func NewPictures(dir string, labels []string, fonts ...*overlay.Font) *Pictures {
	return &Pictures{dir: dir, labels: labels, fonts: fonts, draws: true, slots: make(chan struct{}, runtime.GOMAXPROCS(0))}
}

// The suffixes of the drawn pictures, which follow the input's name.
const (
	originalName   = ".original.png"
	proposalsName  = ".proposals.png"
	detectionsName = ".detections.png"
)

// NotDrawnOver returns an error if a picture drawn for one input would replace an input
// file.
func NotDrawnOver(inputs []intake.Input, dir string) error {
	real := func(path string) string {
		path, err := filepath.EvalSymlinks(path)
		if err == nil {
			path, err = filepath.Abs(path)
		}
		if err != nil {
			return "" // no such file
		}
		return path
	}
	given := map[string]bool{}
	crops := real(filepath.Join(dir, cropsFolder))
	for _, in := range inputs {
		given[real(in.Path)] = true
		if crops != "" && strings.HasPrefix(real(in.Path), crops+string(filepath.Separator)) {
			return fmt.Errorf("%s is one of the pictures to do, and crops are written there; choose another --out", in.Path)
		}
	}
	delete(given, "")
	for _, name := range intake.Names(inputs) {
		for _, after := range []string{originalName, proposalsName, detectionsName} {
			if path := filepath.Join(dir, name+after); given[real(path)] {
				return fmt.Errorf("--pictures would draw over %s, which is one of the pictures to do; choose another --out", path)
			}
		}
	}
	return nil
}

// draw starts to draw the three pictures of one input and calls done at the end. It
// blocks while as many inputs as there are processors are being drawn, which bounds the
// memory. The caller must not change picture before done is called.
func (p *Pictures) draw(name string, picture image.Image, result *detect.Result, done func()) {
	p.slots <- struct{}{}
	p.work.Go(func() {
		defer func() { <-p.slots }()
		defer done()
		if err := p.DrawNow(name, picture, result); err != nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.errs = append(p.errs, err)
		}
	})
}

// wait waits until everything is drawn and returns the errors of all drawings.
func (p *Pictures) wait() error {
	p.work.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(p.errs...)
}

// DrawNow draws the three pictures of one input. It returns when they are written.
func (p *Pictures) DrawNow(name string, picture image.Image, result *detect.Result) error {
	if p.crops {
		if err := p.cut(name, picture, result.Detections); err != nil {
			return err
		}
	}
	if !p.draws {
		return nil
	}
	proposals := make([]overlay.Mark, len(result.Proposals))
	for i, proposal := range result.Proposals {
		proposals[i] = overlay.Mark{Box: proposal.Box, Score: float64(proposal.Objectness)}
	}
	detections := make([]overlay.Mark, len(result.Detections))
	for i, d := range result.Detections {
		detections[i] = overlay.Mark{Box: d.Box, Score: float64(d.Score), Name: d.Query, Group: slices.Index(p.labels, d.Query)}
	}
	return errors.Join(
		p.save(name+originalName, overlay.Original(picture)),
		p.save(name+proposalsName, overlay.Proposals(picture, proposals)),
		p.save(name+detectionsName, overlay.Detections(picture, detections, p.fonts...)),
	)
}

// save writes a picture as PNG. It appears under its name only when it is complete.
func (p *Pictures) save(name string, picture image.Image) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("draw pictures: %w", err)
		}
	}()
	defer intake.GiveBack(picture.Bounds().Size())
	path := filepath.Join(p.dir, name)
	temp, err := files.NewPartial(p.dir)
	if err != nil {
		return err
	}
	// BestSpeed takes half the time and up to a seventh more bytes.
	encoder := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := encoder.Encode(temp, picture); err != nil {
		return fmt.Errorf("%s: %w", path, errors.Join(err, temp.Close(), os.Remove(temp.Name())))
	}
	return files.Publish(temp, path)
}
