package detect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// How pictures become boxes with names. A call checks what it was given and submits its
// picture to the queue. The engine's thread takes the pictures that wait, of any callers
// and sizes, through the steps 1 to 4 in common batches; each caller's own goroutine does
// the steps 5 and 6.
//
// Shape letters: H,W the sides of a picture, K its proposals, N the crops of a batch, S
// the side of CLIP's input, D the width of an embedding, Q queries, M candidates of a
// query.

// encode takes pictures through the steps 1 to 4, and delivers each as soon as it is done.
// Its error is of all pictures that it didn't deliver.
func (d *Detector) encode(s *torch.Scope, batch []*task) error {
	// 1. Propose: uint8 [1,3,H,W] -> boxes [K,4] and objectness [K].
	if err := d.propose(s, batch); err != nil {
		return err
	}
	// 2. Crop: boxes [K,4] -> rectangles, each of a picture's once -> float32 [N,3,S,S].
	waiting := d.pendingCrops(batch)
	deliver := func(t *task) {
		// 4. Score: [K,D] x [D,Q] -> cosine, probability, score [K,Q] -> candidates [Q,M].
		o := d.score(s, t)
		if len(batch) > 1 && (s.Err() != nil || errors.Is(o.err, ErrOutput)) {
			o.regions.Close() // perhaps another picture's fault: serve tries each alone
			return
		}
		t.deliver(o)
	}
	for _, t := range batch {
		if len(t.boxes) == 0 && !t.canceled() {
			deliver(t)
		}
	}
	// 3. Embed: float32 [N,3,S,S] -> unit [N,D] -> the mean of a box's views, unit [K,D].
	for batches := d.image.Batches(s, d.options.Batch); len(waiting) > 0; s.Pause() {
		embeddings, n := d.embed(s, batches, waiting)
		if err := s.Err(); err != nil {
			return err
		}
		for _, t := range assign(s, embeddings, waiting[:n]) {
			deliver(t)
		}
		waiting = slices.DeleteFunc(waiting[n:], func(c pendingCrop) bool { return c.task.canceled() })
	}
	return nil
}

// conclude takes the candidates of a picture through the steps 5 and 6.
func (r *Regions) conclude(ctx context.Context, top ranking, m matching) (*Result, error) {
	since := time.Now()
	result := &Result{Width: r.width, Height: r.height, Proposals: r.Proposals(), Timings: r.timings}
	for q, name := range m.queries.names {
		result.Presence = append(result.Presence, Presence{Query: name, Threshold: m.thresholds[q]})
	}
	if len(r.boxes) == 0 {
		return result, nil
	}
	// 5. Suppress: candidates [Q,M] above the thresholds -> survivors, by NMS and top-k.
	kept, err := chooseAmong(ctx, r.boxes, top.lists(m.thresholds), m)
	if err != nil {
		return nil, fmt.Errorf("detect: match: %w", err)
	}
	// 6. Report: survivors -> detections with every part of their scores.
	phrases, err := r.nearestPhrases(ctx, kept, m.queries)
	if err != nil {
		return nil, fmt.Errorf("detect: match: %w", err)
	}
	for q := range m.queries.names {
		result.Presence[q].Score = top.score[q*top.m]
	}
	for i, c := range kept {
		result.Presence[c.query].Present = true
		result.Detections = append(result.Detections, r.report(top, m.queries, c, phrases[i]))
	}
	slices.SortStableFunc(result.Detections, func(a, b Detection) int { return cmp.Compare(b.Score, a.Score) })
	top.timings[StageRank] += time.Since(since)
	result.Timings.add(top.timings)
	r.detector.counts.timings.add(top.timings)
	return result, nil
}
