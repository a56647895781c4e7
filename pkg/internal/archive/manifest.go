package archive

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Kind says which part of the detector an archive is.
type Kind string

// The three parts of a detector.
const (
	RPN       Kind = "rpn"        // pictures -> proposals
	CLIPImage Kind = "clip-image" // crops -> unit embeddings
	CLIPText  Kind = "clip-text"  // tokens -> unit embeddings
)

// kinds returns the three kinds in the order in which a detector uses them.
func kinds() []Kind { return []Kind{RPN, CLIPImage, CLIPText} }

// The types that an archive's weights may have, and Auto, which lets [Set.Resolve]
// choose.
const (
	Auto     = "auto"
	Float32  = "float32"
	BFloat16 = "bfloat16"
	Float16  = "float16"
	// Int8 is float32 with products of 8-bit integers in the transformers of a CLIP.
	Int8 = "int8"
)

// dtypes are the types in Auto's order of preference. Int8 comes after them, since Auto
// never takes it.
var dtypes = []string{Float32, BFloat16, Float16}

// dtypesOf returns the types that an archive of a kind may have.
func dtypesOf(kind Kind) []string {
	if kind == RPN {
		return dtypes
	}
	return append(slices.Clip(dtypes), Int8)
}

// Format is the version of manifests that this package reads.
const Format = 1

// CLIP's tokenizer has these numbers. An archive with others can't be fed.
const (
	contextLength = 77
	vocabulary    = 49408
)

// The tokenizers and the scores that this package's users have, the default first. To add
// an encoder family with others, add its names here, its tokens to pkg/internal/tokens,
// and its score to pkg/detect.
var (
	tokenizers = []string{"clip-bpe"}
	scores     = []string{"softmax"}
)

// The values of ResizeMode: the shorter side to the input size and the middle cut out,
// the longer side and the rest filled, or both sides.
const (
	Shortest = "shortest"
	Longest  = "longest"
	Squash   = "squash"
)

// ErrManifest is returned if a manifest can't be used.
var ErrManifest = errors.New("unusable manifest")

// Manifest is the description that an archive has of itself. The fields after Created
// belong to some kinds only, and are zero for the others.
type Manifest struct {
	Format       int     `json:"format"`
	Kind         Kind    `json:"kind"`
	Architecture string  `json:"architecture"`
	Weights      Weights `json:"weights"`
	DType        string  `json:"dtype"`         // of the weights, not of input or output
	MemoryFormat string  `json:"memory_format"` // channels_last or contiguous
	Exporter     string  `json:"exporter"`
	Created      string  `json:"created"` // ISO 8601, or "" so that exports are the same

	// clip-image: the side of the square crop in pixels, and the mean and standard
	// deviation of each channel, which the archive applies itself.
	InputSize int       `json:"input_size,omitempty"`
	Mean      []float64 `json:"mean,omitempty"`
	Std       []float64 `json:"std,omitempty"`
	// clip-image: how the tower's pictures became squares when it was trained, in
	// open_clip's words: Shortest, which "" stands for, Longest or Squash.
	ResizeMode string `json:"resize_mode,omitempty"`
	// clip-image: how many crops a CPU best encodes at once; 0 leaves that to the reader.
	Block int `json:"block,omitempty"`

	ContextLength int `json:"context_length,omitempty"` // clip-text: tokens of a row
	Vocabulary    int `json:"vocabulary,omitempty"`     // clip-text: number of token ids

	Tokenizer string `json:"tokenizer,omitempty"` // clip-text: "" is "clip-bpe"
	Score     string `json:"score,omitempty"`     // both towers: "" is "softmax"

	// clip-image and clip-text. LogitScale is the factor of the cosine, CLIP's
	// exp(logit_scale). CLIPID is the same for the two towers of one CLIP.
	EmbeddingWidth int     `json:"embedding_width,omitempty"`
	LogitScale     float64 `json:"logit_scale,omitempty"`
	CLIPID         string  `json:"clip_id,omitempty"`

	// rpn: the picture's short side is resized to MinSize, unless its long side would be
	// more than MaxSize, both in pixels. Proposals is the number of rows of the output.
	// NMS is the IoU above which the weaker of two proposals is dropped.
	MinSize   int     `json:"min_size,omitempty"`
	MaxSize   int     `json:"max_size,omitempty"`
	Proposals int     `json:"proposals,omitempty"`
	NMS       float64 `json:"nms,omitempty"`

	// FLOPs is the number of operations of the forward that makes the known answer, or 0
	// if it wasn't counted. Digest is of the whole archive, 64 lower-case hex digits.
	FLOPs       int64       `json:"flops,omitempty"`
	KnownAnswer KnownAnswer `json:"known_answer"`
	Digest      string      `json:"digest"`
}

var torchVersion = regexp.MustCompile(`\btorch (\d+(?:\.\d+)+)`)

// OtherTorch says that the archive was exported by another torch than the libtorch of the
// version running, such as "2.1.2+cu121". It returns "" if they are the same or one of
// them is unknown.
func (m Manifest) OtherTorch(running string) string {
	running, _, _ = strings.Cut(running, "+")
	found := torchVersion.FindStringSubmatch(m.Exporter)
	if found == nil || running == "" || found[1] == running {
		return ""
	}
	return fmt.Sprintf("exported by torch %s, and libtorch %s runs here", found[1], running)
}

// Weights names the weights inside an archive and their source.
type Weights struct {
	Name    string `json:"name"`
	SHA256  string `json:"sha256"` // of the source weights, 64 lower-case hex digits
	Licence string `json:"licence"`
	Source  string `json:"source"`
}

// parseManifest reads the JSON of a manifest and validates it. It ignores unknown fields.
// A change that readers must not ignore raises "format". Its errors wrap [ErrManifest].
func parseManifest(data []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return Manifest{}, fmt.Errorf("%w: %w; export the model again", ErrManifest, err)
	}
	if err := m.validate(); err != nil {
		return Manifest{}, err
	}
	return m, nil
}

// validate reports every field that is missing or out of range, by its JSON name. Its
// errors wrap [ErrManifest].
func (m Manifest) validate() error {
	if m.Format != Format {
		return fmt.Errorf("%w: format is %d and this clipdet reads %d; export the model again with the exports of the same clipdet",
			ErrManifest, m.Format, Format)
	}
	var c checks
	c.text("architecture", m.Architecture)
	c.text("exporter", m.Exporter)
	c.text("weights.name", m.Weights.Name)
	c.text("weights.licence", m.Weights.Licence)
	c.text("weights.source", m.Weights.Source)
	c.sha256("weights.sha256", m.Weights.SHA256)
	c.sha256("digest", m.Digest)
	c.oneOf("dtype", m.DType, dtypesOf(m.Kind))
	c.oneOf("memory_format", m.MemoryFormat, []string{"channels_last", "contiguous"})
	if !isDate(m.Created) {
		c.fail("created", "want an ISO 8601 date or nothing, got %q", m.Created)
	}
	if m.FLOPs < 0 {
		c.fail("flops", "want a positive number, or none where it was not counted, got %d", m.FLOPs)
	}
	switch m.Kind {
	case RPN:
		c.between("min_size", m.MinSize, 1, 1<<14)
		c.between("max_size", m.MaxSize, max(1, m.MinSize), 1<<14)
		c.between("proposals", m.Proposals, 1, 1<<16)
		c.positive("nms", m.NMS, 1)
	case CLIPImage:
		c.between("input_size", m.InputSize, 1, 1<<12)
		c.three("mean", m.Mean)
		if c.three("std", m.Std) && slices.Min(m.Std) <= 0 {
			c.fail("std", "want positive numbers, got %v", m.Std)
		}
		c.oneOf("resize_mode", cmp.Or(m.ResizeMode, Shortest), []string{Shortest, Longest, Squash})
		c.between("block", m.Block, 0, 1<<8)
		c.tower(m)
	case CLIPText:
		c.oneOf("tokenizer", cmp.Or(m.Tokenizer, tokenizers[0]), tokenizers)
		c.between("context_length", m.ContextLength, contextLength, contextLength)
		c.between("vocabulary", m.Vocabulary, vocabulary, vocabulary)
		c.tower(m)
	default:
		c.fail("kind", "want one of %v, got %q", kinds(), m.Kind)
	}
	if c.knownAnswer(m.KnownAnswer); len(c) == 0 {
		c.forward(m)
	}
	if len(c) > 0 {
		return fmt.Errorf("%w: %s; export the model again", ErrManifest, strings.Join(c, "; "))
	}
	return nil
}

// checks collects problems, so that one message names every field.
type checks []string

func (c *checks) fail(field, format string, args ...any) {
	*c = append(*c, field+": "+fmt.Sprintf(format, args...))
}

func (c *checks) text(field, value string) {
	if strings.TrimSpace(value) == "" {
		c.fail(field, "missing")
	}
}

func (c *checks) sha256(field, value string) {
	if raw, err := hex.DecodeString(value); err != nil || len(raw) != 32 || strings.ToLower(value) != value {
		c.fail(field, "want 64 lower-case hex digits, got %q", value)
	}
}

func (c *checks) oneOf(field, value string, want []string) {
	if !slices.Contains(want, value) {
		c.fail(field, "want one of %v, got %q", want, value)
	}
}

func (c *checks) between(field string, value, low, high int) {
	if value >= low && value <= high {
		return
	}
	if low == high {
		c.fail(field, "want %d, got %d", low, value)
		return
	}
	c.fail(field, "want %d to %d, got %d", low, high, value)
}

func (c *checks) positive(field string, value, high float64) {
	if !(value > 0 && value <= high) {
		c.fail(field, "want a number above 0 and up to %v, got %v", high, value)
	}
}

func (c *checks) three(field string, values []float64) bool {
	if len(values) != 3 || slices.ContainsFunc(values, notFinite) {
		c.fail(field, "want 3 numbers, got %v", values)
		return false
	}
	return true
}

func (c *checks) tower(m Manifest) {
	c.between("embedding_width", m.EmbeddingWidth, 1, 1<<16)
	c.positive("logit_scale", m.LogitScale, 1e6)
	c.text("clip_id", m.CLIPID)
	c.oneOf("score", cmp.Or(m.Score, scores[0]), scores)
}

func notFinite(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }

func isDate(s string) bool {
	if s == "" {
		return true
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339, "2006-01-02T15:04:05"} {
		if _, err := time.Parse(layout, s); err == nil {
			return true
		}
	}
	return false
}
