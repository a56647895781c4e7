// Package shard does the shards of a list of pictures. A shard can be done anywhere, twice
// and at once: its file is there when it is whole, or not at all, and is always alike but
// for the times in it.
package shard

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/clipdet/clipdet/cmd/clipdet-beam/internal/store"
	"github.com/clipdet/clipdet/pkg/detect"
)

// The values of Job.Mode.
const (
	Detect = "detect" // files of detections
	Index  = "index"  // files of one index
	Eval   = "eval"   // records for clipdet eval merge
)

// Job is what is to be done with all pictures of a list. It is the same in all processes,
// and goes to the workers as JSON. All files may be paths or URLs, which the workers must
// be able to read and write.
type Job struct {
	Mode   string
	List   string // has a picture a line
	Listed string // digest of the list or the annotations, from Digest; others are refused
	Out    string // folder of the results
	Dead   string // folder of what failed
	Shards int
	Tries  int // of a shard, at least 1

	Queries []string // as package query parses them
	File    []byte   // of more queries, as query.ReadQueries reads it; nil: none

	Models    string // a folder, or a lock file in it; "": the built-in models
	Device    string
	DType     string
	Threads   int
	Proposals int
	Params    detect.Params

	ShardRegions int // of an index

	Annotations string // of an evaluation, which has no list
	Images      string // the folder that the annotations' file_names are in
}

// Digest reads the list of pictures or, of an evaluation, the annotations, checks them, and
// returns their digest.
func (job *Job) Digest(ctx context.Context) (string, error) {
	if job.Mode != Eval {
		_, digest, err := ReadList(ctx, job.List)
		return digest, err
	}
	set, err := readAnnotations(ctx, job.Annotations)
	if err != nil {
		return "", err
	}
	return set.digest, job.options().Check(set.queries...)
}

const (
	// mostListBytes is more than a list of a million paths takes.
	mostListBytes = 256 << 20
	mostMadeBytes = 64 << 20
)

// ReadList reads a list of paths and URLs, as clipdet's --files-from: one a line or, if
// there is a NUL, each before a NUL. It returns them and their digest.
func ReadList(ctx context.Context, name string) (paths []string, digest string, err error) {
	data, err := store.Read(ctx, name, mostListBytes)
	if err != nil {
		return nil, "", fmt.Errorf("the list: %w", err)
	}
	separator, trim := []byte("\n"), "\r"
	if bytes.IndexByte(data, 0) >= 0 {
		separator, trim = []byte{0}, ""
	} else {
		data = bytes.TrimPrefix(data, []byte("\ufeff"))
	}
	sum := sha256.New()
	for path := range bytes.SplitSeq(data, separator) {
		if path = bytes.TrimSuffix(path, []byte(trim)); len(path) > 0 {
			paths = append(paths, string(path))
			fmt.Fprintf(sum, "%q\n", path)
		}
	}
	if len(paths) == 0 {
		return nil, "", fmt.Errorf("the list: %s: it names no picture", name)
	}
	return paths, fmt.Sprintf("%x", sum.Sum(nil)), nil
}

// madeFile is beside the results and says what all of them are made with. The command's
// shards have a file of the same name, and neither continues with the other's.
const madeFile = "shards.json"

// same writes what the results in job.Out are made with, or compares it with what was
// written. evaluation is what the records of an evaluation have of it, or nil.
func (job *Job) same(ctx context.Context, info detect.Info, pictures int, evaluation map[string]string) error {
	want := map[string]any{
		"mode":               job.Mode,
		"models":             []string{info.RPN.Manifest.Digest, info.Image.Manifest.Digest, info.Text.Manifest.Digest},
		"queries":            append(slices.Clone(job.Queries), string(job.File)),
		"choice of boxes":    job.Params,
		"sizes":              map[string]int{"proposals": job.Proposals, "shard regions": job.ShardRegions},
		"shards or pictures": fmt.Sprintf("%d shards of %d pictures, sha256 %s", job.Shards, pictures, job.Listed),
	}
	for name, value := range evaluation {
		want[name] = value
	}
	encoded := map[string]json.RawMessage{}
	for name, value := range want {
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		encoded[name] = text
	}
	name := store.Join(job.Out, madeFile)
	data, err := store.Read(ctx, name, mostMadeBytes)
	if errors.Is(err, store.ErrNotFound) {
		return store.Write(ctx, name, func(w io.Writer) error { return json.NewEncoder(w).Encode(encoded) })
	}
	if err != nil {
		return err
	}
	var has map[string]json.RawMessage
	if err := json.Unmarshal(data, &has); err != nil {
		return fmt.Errorf("%s: %w; remove it, or choose another --out", name, err)
	}
	for _, part := range slices.Sorted(maps.Keys(encoded)) {
		if !bytes.Equal(has[part], encoded[part]) {
			return fmt.Errorf("the results in %s are made with other %s: %.200s, not %.200s; choose another --out", job.Out, part, has[part], encoded[part])
		}
	}
	return nil
}
