package detect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/clipdet/clipdet/pkg/internal/rpn"
	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// How pictures become boxes with names. A call checks what it was given and submits its
// picture to the queue. The engine's thread takes the pictures that wait, of any callers
// and sizes, through the steps 1 to 4: their crops share batches, and on a GPU their
// proposals too. Goroutines of the callers and of their streams do the steps 5 and 6.
//
// Shape letters: H,W the sides of a picture, K its proposals, N the crops of a batch, S
// the side of CLIP's input, D the width of an embedding, V the views of a box, Q queries,
// G background phrasings, M candidates of a query.

// process takes pictures through the steps 1 to 4, and delivers each as soon as it is
// done. It returns those whose numbers a GPU still has to make, for finish. Its error is
// of all pictures that it neither delivered nor returned.
func (d *Detector) process(s *torch.Scope, batch []*task) (last []scored, err error) {
	whole := false
	defer func() {
		if !whole {
			closeAll(last)
			last = nil
		}
	}()
	// 1. Propose (StageUpload, StageRPN): uint8 [1,3,H,W] on the device -> boxes [K,4]
	// and objectness [K,1] there, and with a CPU on the host.
	if err := d.propose(s, batch); err != nil {
		return nil, err
	}
	alone := len(batch) == 1
	for _, t := range batch {
		if t.found.Most == 0 && !t.canceled() {
			last = append(last, d.score(s, t))
		}
	}
	// 2. Crop (StageCrop): boxes [K,4] -> rectangles, which a CPU takes each of a picture's
	// once. Their pixels are cut when their batch comes: float32 [N,3,S,S].
	waiting := d.pendingCrops(batch)
	for batches := d.image.Batches(s, d.options.Batch); len(waiting) > 0; s.Pause() {
		// 3. Embed (StageEncode): float32 [N,3,S,S] -> unit [N,D].
		embeddings, n := d.cropAndEmbed(s, batches, waiting)
		if err := s.Err(); err != nil {
			return last, err
		}
		// A GPU is now busy with these crops while the numbers of the pictures before
		// are read.
		d.finish(s, last, alone)
		last = nil
		for _, t := range assign(s, embeddings, waiting[:n]) {
			// 4. Score (StageRank, StageDownload): the mean of each box's views, unit
			// [K,D], times the queries and the background (queries.go) [D,Q+G] -> cosine,
			// probability and score [K,Q] -> the best candidates of each query [Q,M].
			last = append(last, d.score(s, t))
		}
		if !s.Device().LikeGPU() {
			d.finish(s, last, alone)
			last = nil
		}
		waiting = slices.DeleteFunc(waiting[n:], func(c pendingCrop) bool { return c.task.canceled() })
	}
	if !s.Device().LikeGPU() {
		d.finish(s, last, alone)
		last = nil
	}
	whole = true
	return last, nil
}

// finish reads the numbers of pictures, and delivers them. What fails in a batch may be
// another picture's fault: finish then delivers nothing, and the queue tries each alone.
func (d *Detector) finish(s *torch.Scope, last []scored, alone bool) {
	for _, made := range last {
		o := d.outcome(s, made)
		if !alone && (s.Err() != nil || errors.Is(o.err, ErrOutput) || errors.Is(o.err, rpn.ErrOutput)) {
			o.regions.Close()
			continue
		}
		made.task.deliver(o)
	}
}

// result takes the candidates of a picture through the steps 5 and 6.
func (r *Regions) result(ctx context.Context, top ranking, m matching) (*Result, error) {
	since := time.Now()
	result := &Result{Width: r.width, Height: r.height, Proposals: r.Proposals(), Timings: r.timings}
	for q, name := range m.queries.names {
		result.Presence = append(result.Presence, Presence{Query: name, Threshold: m.thresholds[q]})
	}
	if len(r.boxes) == 0 {
		return result, nil
	}
	// 5. Suppress (StageRank): candidates [Q,M] above the thresholds -> survivors, by NMS
	// and top-k.
	lists := top.lists(m.thresholds)
	if m.sized() {
		for q := range lists {
			lists[q] = slices.DeleteFunc(lists[q], func(c candidate) bool { return !m.fits(r.boxes[c.proposal]) })
		}
	}
	kept, counts, err := chooseAmong(ctx, r.boxes, lists, m)
	if err != nil {
		return nil, fmt.Errorf("detect: match: %w", err)
	}
	// 6. Report (StageRank): survivors -> detections with every part of their scores.
	phrases, err := r.nearestPhrases(ctx, kept, top, m.queries)
	if err != nil {
		return nil, fmt.Errorf("detect: match: %w", err)
	}
	for q := range m.queries.names {
		result.Presence[q].Score, result.Presence[q].Present = top.score[q*top.m], counts[q] > 0
	}
	for i, c := range kept {
		result.Detections = append(result.Detections, r.report(top, m.queries, c, phrases[i]))
	}
	slices.SortStableFunc(result.Detections, func(a, b Detection) int { return cmp.Compare(b.Score, a.Score) })
	top.timings[StageRank] += time.Since(since)
	result.Timings.add(top.timings)
	r.detector.counts.timings.add(top.timings)
	return result, nil
}
