package shard

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/clipdet/clipdet/cmd/clipdet-beam/internal/store"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/index"
)

// index writes the files that clipdet index --shard i/N writes into a folder of its own,
// and moves them into the folder that all parts share: package index numbers them so that
// they fit there. The file name, which says how many pictures there are, comes last.
func (w *Worker) index(ctx context.Context, i int, name string) (o Outcome, err error) {
	var paths []string
	for _, path := range w.paths {
		if index.PartOf(path, w.job.Shards) == i {
			paths = append(paths, path)
		}
	}
	temp, err := os.MkdirTemp("", "clipdet-beam-")
	if err != nil {
		return o, err
	}
	defer os.RemoveAll(temp)
	out, err := index.Create(temp, w.detector.Info(), index.Options{ShardRegions: w.job.ShardRegions, Part: i, Parts: w.job.Shards})
	if err != nil {
		return o, err
	}
	defer out.Close() // a second call does nothing
	var letters []letter
	for regions, err := range w.detector.RegionsAll(ctx, pictures(ctx, paths)) {
		if ctx.Err() != nil || errors.Is(err, detect.ErrDevice) || errors.Is(err, detect.ErrClosed) || o.Pictures == len(paths) {
			return o, errors.Join(err, ctx.Err())
		}
		path := paths[o.Pictures]
		o.Pictures++
		if err == nil {
			err = add(ctx, out, path, regions)
			regions.Close()
		}
		if err != nil {
			o.Failed++
			letters = append(letters, letter{Shard: i, Image: path, Error: err.Error()})
		}
	}
	if o.Pictures < len(paths) {
		return o, errors.Join(ctx.Err(), errors.New("not all pictures are done"))
	}
	if err := out.Close(); err != nil {
		return o, err
	}
	if err := w.publish(ctx, temp); err != nil {
		return o, err
	}
	if err := w.bury(ctx, i, letters); err != nil {
		return o, err
	}
	err = store.Write(ctx, name, func(out io.Writer) error {
		return json.NewEncoder(out).Encode(map[string]int{"pictures": o.Pictures, "failed": o.Failed})
	})
	return o, err
}

// add adds a picture to the index. An error of the disk is the picture's here, and the
// index's Close fails with it again.
func add(ctx context.Context, to *index.Writer, path string, regions *detect.Regions) error {
	picture := index.Picture{Path: path}
	if remote(path) {
		data, err := store.Read(ctx, path, mostPictureBytes)
		if err != nil {
			return err
		}
		picture.Bytes, picture.SHA256 = int64(len(data)), fmt.Sprintf("%x", sha256.Sum256(data))
	} else {
		found, err := index.Look(path)
		if err == nil {
			found, err = found.Read()
		}
		if err != nil {
			return err
		}
		picture = found
	}
	return to.Append(ctx, picture, regions)
}

// publish copies an index's shards from a folder, the JSON of each last.
func (w *Worker) publish(ctx context.Context, from string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	last := func(name string) int { return strings.Count(filepath.Ext(name), "json") }
	var names []string
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "shard-") {
			names = append(names, entry.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(last(a), last(b)), cmp.Compare(a, b)) })
	for _, name := range names {
		file, err := os.Open(filepath.Join(from, name))
		if err != nil {
			return err
		}
		err = store.Write(ctx, store.Join(w.job.Out, name), func(out io.Writer) error {
			_, err := io.Copy(out, file)
			return err
		})
		file.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
