package model

import (
	"encoding/json"

	"github.com/clipdet/clipdet/pkg/internal/archive"
)

// Kind is the part of a detector that an archive holds.
type Kind string

// The three kinds.
const (
	RPN       Kind = "rpn"        // pictures -> proposals
	CLIPImage Kind = "clip-image" // crops -> unit embeddings
	CLIPText  Kind = "clip-text"  // tokens -> unit embeddings
)

// The types of an archive's weights. Auto leaves the choice to the detector.
const (
	Auto     = "auto"
	Float32  = "float32"
	BFloat16 = "bfloat16"
	Float16  = "float16"
	Int8     = "int8" // float32 with products of 8-bit integers
)

// Manifest is an archive's description of itself. Its JSON has more fields: all of those
// in torchscript/CONTRACT.md.
type Manifest struct {
	Kind         Kind
	Architecture string
	Weights      Weights
	DType        string // of the weights
	Digest       string // of everything in the archive, 64 lower-case hex digits
	FLOPs        int64  // floating-point operations of the known answer; 0 if not counted

	InputSize      int     // clip-image: the side of the square crop, pixels
	EmbeddingWidth int     // of both towers
	LogitScale     float64 // of both towers: the factor of cosines in the softmax

	all archive.Manifest
}

// Weights describes the origin of an archive's weights.
type Weights struct {
	Name    string
	SHA256  string // of the source weights, 64 lower-case hex digits
	Licence string
	Source  string
}

// Inspect returns the manifest of the archive at path. It reads only the zip's directory
// and the manifest, regardless of the size of the weights, and compares the digest. It
// fails with ErrNotArchive, ErrNoManifest, ErrManifest, ErrDamaged or an error of the
// file system. The errors name path.
func Inspect(path string) (Manifest, error) {
	m, err := archive.Inspect(path)
	if err != nil {
		return Manifest{}, err
	}
	return describe(m), nil
}

func describe(m archive.Manifest) Manifest {
	return Manifest{
		Kind: Kind(m.Kind), Architecture: m.Architecture, Weights: Weights(m.Weights), DType: m.DType,
		Digest: m.Digest, FLOPs: m.FLOPs,
		InputSize: m.InputSize, EmbeddingWidth: m.EmbeddingWidth, LogitScale: m.LogitScale, all: m,
	}
}

// MarshalJSON returns the archive's whole manifest.
func (m Manifest) MarshalJSON() ([]byte, error) { return json.Marshal(m.all) }

// OtherTorch describes the difference if the archive was exported by another torch than
// the running version, such as "2.1.2+cu121". It returns "" if they are the same or one
// is unknown.
func (m Manifest) OtherTorch(running string) string { return m.all.OtherTorch(running) }

// FLOPsPerUnit returns the number of floating-point operations of the model for one unit:
// a pixel of the resized picture (rpn), a crop (clip-image) or a token (clip-text). It
// returns 0 if the export didn't count them.
func (m Manifest) FLOPsPerUnit() float64 { return m.all.FLOPsPerUnit() }

// ResizedArea returns the number of pixels of a picture after the region proposal network
// resizes it.
func (m Manifest) ResizedArea(height, width int) float64 {
	h, w := m.all.Resized(height, width)
	return float64(h) * float64(w)
}

// File is an archive that a detector uses.
type File struct {
	Path     string
	Manifest Manifest
}

// FileOf converts an archive of the detector.
func FileOf(f archive.File) File { return File{f.Path, describe(f.Manifest)} }
