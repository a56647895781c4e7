// Package detect finds things in pictures by their names, with no training: zero-shot
// object detection.
//
// A region proposal network finds candidate boxes, CLIP embeds each box's pixels and
// each query's phrasings, the phrasings are averaged, and the cosine ranks the boxes
// for each query. All tensors stay on one device.
//
//	det, err := detect.Open(ctx, detect.Options{Models: builtin.Models()})
//	defer det.Close()
//	queries, err := det.Queries(ctx, detect.Query{Name: "dog"}, detect.Query{Name: "bike", Phrases: []string{"a bicycle"}})
//	defer queries.Close()
//	result, err := det.Detect(ctx, img, queries, detect.Params{TopK: 5})
//
// # Scores
//
// Let e be the unit embedding of a box (of several views, their mean, scaled to unit
// length again), and c_q the class of query q: the mean of the unit embeddings of its
// phrasings and examples, by their weights, scaled to unit length. Then
//
//	cosine_q      = e · c_q
//	probability_q = exp(s cosine_q) / (Σ exp(s e·c) over all queries and the background
//	                                   + Σ exp(s e·n) over q's own negative phrasings n)
//	fused_q       = sqrt(probability_q objectness)
//	mean_q        = (probability_q + objectness) / 2
//
// where s is the logit scale that the CLIP was trained with, and each phrase of the
// background is a class of its own.
//
// Boxes are in pixels of the picture that was given, as edges: the box of a whole
// picture of 640x480 is [0,0,640,480]. Probabilities and objectness are in [0,1].
//
// # The same answers
//
// The same models, options, picture, queries and Params give the same Result to the bit on
// one machine's CPU, whatever call asks ([Detector.Detect], [Regions.Match] or
// [Detector.DetectAll]), whatever Options.Batch is, what was embedded before or came from
// the text cache, and however many goroutines ask at once. Not the same in the last digits,
// and so perhaps in the order of boxes that are about as good, are
//
//   - results on a GPU, where sums may be made in another order each time;
//   - results with another number of Options.Threads, by default that of OMP_NUM_THREADS, or
//     else GOMAXPROCS;
//   - results on another processor, since libtorch has other code for its instructions, or
//     of another libtorch or dtype;
//   - results with Options.DType "auto", the default, on a CPU with instructions for
//     bfloat16, if the dtype is measured anew, as after model.CacheDir was emptied: where both
//     types are about as fast, either may be taken. A process measures once. Name the dtype, or
//     take [Unmeasured], where that must not be;
//   - results with Options.Pictures above 1, since pictures in a batch add up otherwise;
//   - results after a batch was halved for want of memory ([Stats].Halved).
//
// # Failures
//
// What goes wrong is the error of the call that caused it, and others go on: whatever
// libtorch throws, memory that doesn't suffice once a batch of one crop or phrase is too
// large, a nil or broken image, an ended context, which is looked at between operations. A
// call that waits for the engine returns at once when its context ends. A panic of the
// caller's code on a goroutine of this package, or in the methods of an image, becomes
// [ErrPanic]. After Close, also during it, calls fail with [ErrClosed]; only a running
// one is let end. [Detector.Stats] counts it all.
//
// A [Detector], its [Queries] and [Regions] are safe for concurrent use. Each Detector
// runs its tensors on one thread of its own, one call at a time; use one per GPU.
package detect
