// Package detect finds things in pictures by their names, without training: zero-shot
// object detection.
//
// A region proposal network finds candidate boxes. CLIP embeds the pixels of each box and
// the phrasings of each query. The phrasings are averaged, and the cosine ranks the boxes
// for each query. All tensors stay on one device. The file way.go shows the steps.
//
//	det, err := detect.Open(ctx, detect.Options{Models: builtin.Models()})
//	defer det.Close()
//	queries, err := det.Queries(ctx,
//		detect.Query{Name: "dog"},
//		detect.Query{Name: "bike", Phrases: []string{"a bicycle"}})
//	defer queries.Close()
//	result, err := det.Detect(ctx, img, queries, detect.Params{TopK: 5})
//
// # Scores
//
// Let e be the unit embedding of a box: of one view, or the mean of several views, scaled
// to unit length. Let c_q be the class of query q: the mean of the unit embeddings of its
// phrasings and examples, by their weights, scaled to unit length. Then
//
//	cosine_q      = e · c_q
//	probability_q = exp(s cosine_q) / (Σ exp(s e·c) over all queries and the background
//	                                   + Σ exp(s e·n) over q's own negative phrasings n)
//	fused_q       = sqrt(probability_q objectness)
//	mean_q        = (probability_q + objectness) / 2
//
// where s is the logit scale that the CLIP was trained with. Each phrase of the
// background is a class of its own. Queries that mean nearly the same (Options.Alike)
// aren't measured against each other: the first sum leaves out the classes that are q's
// like, and the class of another query with n like it counts 1/(1+n) there. With
// [ScoresEach] the first sum is over q and the background alone.
//
// Boxes are in pixels of the given picture, as edges: the box of a whole picture of
// 640x480 is [0,0,640,480]. Probabilities and objectness are in [0,1].
//
// # Common batches
//
// Pictures of all calls wait in one queue. The detector takes the waiting pictures, up to
// Options.ImageBatch, through the models together. They may differ in size and in their
// queries. A picture that arrives alone doesn't wait for others.
//
// # The same answers
//
// On one machine's CPU, the same models, options, picture, queries and Params give the
// same Result to the bit, except its Timings. It doesn't depend on the call
// ([Detector.Detect], [Regions.Match] or [Detector.DetectAll]), on the number of
// goroutines that call, on the pictures that go through the models with this one, or on
// the text cache. The last digits, and so perhaps the order of boxes that are about as
// good, differ
//
//   - on a GPU, which may add up in another order each time;
//   - with another number of Options.Threads, by default OMP_NUM_THREADS, or else
//     GOMAXPROCS;
//   - on another processor, for whose instructions libtorch has other code;
//   - with another libtorch;
//   - with another type of weights. With Options.DType "auto", the default, a CPU with
//     instructions for bfloat16 measures which type is faster. A process measures once.
//     Another process may measure again, for example if model.CacheDir was emptied, and
//     may then take another type. To rule that out, name the type or use [Unmeasured];
//   - after a batch was halved for lack of memory (Stats.Halved).
//
// # Failures
//
// An error is returned by the call that caused it, and other calls succeed. That holds
// for every error of libtorch, for too little memory for even one crop or phrase, for a
// nil or broken image, and for an ended context. A call whose context ends doesn't wait
// for other calls, nor for the models that work on its picture. Other work of its own that
// has begun on the engine's thread, as of Queries, Match or Nearest, ends after the
// operation that is running. A panic of the caller's code on a goroutine of this package,
// or in the methods of an image, becomes [ErrPanic]. During and after Close, calls fail
// with [ErrClosed]. [Detector.Stats] counts all of these.
//
// A [Detector], its [Queries] and [Regions] are safe for concurrent use. Each Detector
// runs its tensors on one thread of its own. Use one Detector for each GPU.
package detect
