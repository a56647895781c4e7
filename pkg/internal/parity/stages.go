package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"image"
	"io"
	"os"
	"slices"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/eval"
	"github.com/clipdet/clipdet/pkg/internal/archive"
	"github.com/clipdet/clipdet/pkg/internal/clip"
	"github.com/clipdet/clipdet/pkg/internal/crop"
	"github.com/clipdet/clipdet/pkg/internal/rpn"
	"github.com/clipdet/clipdet/pkg/internal/tokens"
	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/pixels"
	"github.com/clipdet/clipdet/pkg/prompt"
)

// templates writes the default templates as a JSON list. It reads no request.
func templates(out io.Writer) error { return json.NewEncoder(out).Encode(prompt.Templates()) }

// tokenize answers texts with their ids, int64 [N,77]. Ids that don't fit are cut off.
func tokenize(_ context.Context, texts []string, to *arrays) error {
	tokenizer, err := tokens.NewTokenizer()
	if err != nil {
		return err
	}
	var all []int64
	for _, text := range texts {
		ids, err := tokenizer.EncodeTruncated(text)
		if err != nil {
			return err
		}
		all = append(all, ids...)
	}
	return add(to, all, len(texts), tokens.ContextLength)
}

// decode answers paths of pictures with the pixels of each, uint8 [H,W,3].
func decode(_ context.Context, paths []string, to *arrays) error {
	for _, path := range paths {
		picture, err := pixels.DecodeFile(path, pixels.Limits{})
		if err != nil {
			return err
		}
		if err := add(to, picture.Pix, picture.Height, picture.Width, 3); err != nil {
			return err
		}
	}
	return nil
}

type cropsRequest struct {
	Picture string    // path
	Boxes   []box.Box // pixels
	Size    int       // of a crop, pixels
}

// crops answers with the crop of each box, float32 [N,3,Size,Size] in [0,1].
func (on runner) crops(ctx context.Context, r cropsRequest, to *arrays) error {
	picture, err := pixels.DecodeFile(r.Picture, pixels.Limits{})
	if err != nil {
		return err
	}
	rects := make([]image.Rectangle, len(r.Boxes))
	for i, b := range r.Boxes {
		rects[i] = crop.Rect(b, 1, picture.Width, picture.Height)
	}
	return on.engine(ctx, func(s *torch.Scope) error {
		values := torch.Download[float32](s, crop.Crops(s, crop.Upload(s, picture), rects, crop.CLIP, r.Size, make([]float64, 3)))
		if err := s.Err(); err != nil {
			return err
		}
		return add(to, values, len(rects), 3, r.Size, r.Size)
	})
}

type proposalsRequest struct {
	Model   string     // path of an rpn archive
	Batches [][]string // paths of the pictures of each batch
}

// proposals answers, for each picture of each batch, with the edges and the objectness of
// its proposals, float32 [K,5].
func (on runner) proposals(ctx context.Context, r proposalsRequest, to *arrays) error {
	file, err := open(r.Model)
	if err != nil {
		return err
	}
	return on.engine(ctx, func(s *torch.Scope) error {
		network, err := rpn.New(file)
		if err != nil {
			return err
		}
		for _, paths := range r.Batches {
			batch, sizes, err := padded(paths)
			if err != nil {
				return err
			}
			uploaded := crop.Upload(s, batch)
			uploaded = s.Reshape(uploaded, 3, int64(len(paths)), -1, int64(batch.Width))
			uploaded = s.Contiguous(s.Permute(uploaded, 1, 0, 2, 3)) // [B,3,H,W]
			all, err := network.Propose(s, uploaded, sizes, 0)
			if err != nil {
				return err
			}
			for i, found := range all {
				numbers := torch.Download[float32](s, found.Numbers(s))
				if err := s.Err(); err != nil {
					return err
				}
				proposals, err := network.Read(found, numbers, sizes[i])
				if err != nil {
					return err
				}
				n := len(proposals.Boxes)
				if err := add(to, numbers[:5*n], n, 5); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// padded puts pictures of several sizes below each other, each in the top left corner of
// an area as large as the largest.
func padded(paths []string) (*pixels.RGB, []rpn.Size, error) {
	var pictures []*pixels.RGB
	var sizes []rpn.Size
	width, height := 0, 0
	for _, path := range paths {
		picture, err := pixels.DecodeFile(path, pixels.Limits{})
		if err != nil {
			return nil, nil, err
		}
		pictures = append(pictures, picture)
		sizes = append(sizes, rpn.Size{Height: picture.Height, Width: picture.Width})
		width, height = max(width, picture.Width), max(height, picture.Height)
	}
	all := &pixels.RGB{Pix: make([]uint8, 3*width*height*len(paths)), Width: width, Height: height * len(paths)}
	for i, picture := range pictures {
		for y := range picture.Height {
			copy(all.Pix[3*width*(i*height+y):], picture.Pix[3*picture.Width*y:][:3*picture.Width])
		}
	}
	return all, sizes, nil
}

type embeddingsRequest struct {
	Model string // path of a clip-image or clip-text archive
	// the path of the bytes of crops float32 [N,3,S,S] in [0,1], or of tokens int64
	// [N,77]
	Input string
	Batch int // inputs that are encoded at once
}

// embeddings answers with the unit embedding of each crop or text, float32 [N,D].
func (on runner) embeddings(ctx context.Context, r embeddingsRequest, to *arrays) error {
	file, err := open(r.Model)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(r.Input)
	if err != nil {
		return err
	}
	return on.engine(ctx, func(s *torch.Scope) error {
		encoder, err := clip.New(file)
		if err != nil {
			return err
		}
		var input torch.Tensor
		if file.Manifest.Kind == archive.CLIPText {
			input, err = upload[int64](s, data, tokens.ContextLength)
		} else {
			size := file.Manifest.InputSize
			input, err = upload[float32](s, data, 3, size, size)
		}
		if err != nil {
			return err
		}
		n := s.Shape(input)[0]
		out := encoder.EncodeAll(s, int(n), r.Batch, func(low, high int) torch.Tensor {
			return s.Slice(input, 0, int64(low), int64(high))
		})
		values := torch.Download[float32](s, out)
		if err := s.Err(); err != nil {
			return err
		}
		return add(to, values, int(n), file.Manifest.EmbeddingWidth)
	})
}

type evaluationRequest struct {
	Dataset, Results string // paths of COCO's JSON
	Limits           []int  // of proposals per image
}

// evaluation answers with the summary of all categories and of each, by id, float64
// [1+C,12]; the mean curves at IoU 0.50 and over all thresholds, float64 [2,101]; the
// recall of the results as proposals, float64 [L,5]; and the numbers of a federated data
// set, float64 [4], or [0] for another data set.
func evaluation(_ context.Context, r evaluationRequest, to *arrays) error {
	dataset, err := eval.ReadDatasetFile(r.Dataset, eval.Limits{})
	if err != nil {
		return err
	}
	results, err := eval.ReadResultsFile(r.Results, eval.Limits{})
	if err != nil {
		return err
	}
	e, err := eval.Evaluate(dataset, results)
	if err != nil {
		return err
	}
	summaries := []eval.Summary{e.Summary}
	for _, c := range e.Categories {
		summaries = append(summaries, c.Summary)
	}
	var numbers []float64
	for _, s := range summaries {
		numbers = append(numbers, s.AP, s.AP50, s.AP75, s.APs, s.APm, s.APl, s.AR1, s.AR10, s.AR100, s.ARs, s.ARm, s.ARl)
	}
	if err := add(to, numbers, len(summaries), 12); err != nil {
		return err
	}
	curves := append(slices.Clone(e.Curve.Precision50), e.Curve.Precision...)
	if err := add(to, curves, 2, len(curves)/2); err != nil {
		return err
	}
	recalls, err := eval.EvaluateProposals(dataset, results, r.Limits...)
	if err != nil {
		return err
	}
	var covered []float64
	for _, p := range recalls {
		covered = append(covered, p.AR, p.ARs, p.ARm, p.ARl, p.Recall50)
	}
	if err := add(to, covered, len(recalls), 5); err != nil {
		return err
	}
	var federated []float64
	if f := e.Summary.FederatedSummary; f != nil {
		federated = []float64{f.APr, f.APc, f.APf, f.AR300}
	}
	return add(to, federated, len(federated))
}

// upload copies little-endian data to the device, as rows of a shape.
func upload[T int64 | float32](s *torch.Scope, data []byte, row ...int) (torch.Tensor, error) {
	values := make([]T, len(data)/binary.Size(*new(T)))
	if err := binary.Read(bytes.NewReader(data), binary.LittleEndian, values); err != nil {
		return torch.Tensor{}, err
	}
	shape, elements := []int64{0}, 1
	for _, n := range row {
		shape = append(shape, int64(n))
		elements *= n
	}
	shape[0] = int64(len(values) / elements)
	t := torch.Upload(s, values, shape...)
	return t, s.Err()
}

// open reads an archive's manifest.
func open(path string) (archive.File, error) {
	manifest, err := archive.Inspect(path)
	if err != nil {
		return archive.File{}, err
	}
	return archive.File{Path: path, Manifest: manifest}, nil
}

// runner runs the stages that use libtorch on a device.
type runner struct{ device torch.Device }

// engine runs work on an engine of its own.
func (on runner) engine(ctx context.Context, work func(*torch.Scope) error) error {
	engine, err := torch.Start(on.device, 0)
	if err != nil {
		return err
	}
	defer engine.Close()
	return engine.Do(ctx, work)
}
