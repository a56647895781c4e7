// Package index keeps the regions of a collection of pictures on disk, and searches them
// with words: pictures are encoded once and asked as often as wanted.
//
//	w, err := index.Create(dir, det.Info(), index.Options{})
//	for _, path := range paths {
//		picture, err := index.Look(path)
//		if w.Has(picture) {
//			continue
//		}
//		regions, err := det.Regions(ctx, img)
//		err = w.Append(ctx, picture, regions)
//		regions.Close()
//	}
//	err = w.Close()
//
//	ix, err := index.Open(dir, index.OpenOptions{})
//	hits, err := ix.Search(ctx, det, queries, index.Params{TopK: 100})
//
// # Files
//
// An index is a directory of shards. Each shard is three files: shard-NNNNN.npy has the
// embeddings, shard-NNNNN.parquet says what each row is, and shard-NNNNN.json has the
// lengths, the checksums and the digests of the models. FORMATS.md of this package says
// what is in them. Shards don't change. A picture that has changed is written to a later
// shard, whose JSON marks the earlier rows as dead; [Compact] writes all anew without them.
//
// Each file is written under another name, synchronised with the disk and renamed, the
// JSON last. A shard without a JSON doesn't exist. So an interruption at any time loses
// the shard that is being written and nothing else. Written again from the same pictures
// and models on one machine's CPU, the shards are the same to the byte.
//
// # Models
//
// Embeddings of different models can't be compared. An index has the digests of the models
// and the crops that made it, and refuses others with [ErrModels].
//
// # Memory
//
// A [Writer] holds the shard that it writes, 2 D bytes a region, where D is the width of an
// embedding, and about 200 bytes for each picture of the index. An [Index] keeps 28 bytes a
// region and 200 a picture of as many shards as OpenOptions.Memory allows, and reads the
// other shards' again in each search. A search maps at most three shards at once. With
// shards of 16,384 regions of width 512 that is 50 MB, in addition to what
// detect.Detector.Nearest takes.
//
// # Concurrency
//
// An Index is safe for concurrent use; searches wait for each other in the Detector. It
// shows what was there at Open. A Writer is for one goroutine, and a directory has one
// Writer at a time, in any process: others fail with [ErrBusy]. Searches may run meanwhile.
package index
