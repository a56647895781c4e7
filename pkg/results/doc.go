// Package results writes what was found in pictures, and reads it again: native
// JSON, JSON Lines, COCO results, CSV, and YOLO's labels. FORMATS.md shows each of
// them, and what each leaves out.
//
// A [Record] is what came of one picture. Each format has a writer, which takes
// records one at a time and keeps none, and a reader. The readers of JSON and JSON
// Lines give records one at a time too; those of COCO results, CSV and YOLO gather
// what belongs to a picture from wherever it stands.
//
// Boxes are in pixels of the upright picture everywhere in this package: COCO's
// widths and YOLO's shares of the picture are in the files alone. Nothing here keeps
// or changes its arguments. A writer or an iterator is for one goroutine at a time;
// everything else is safe for concurrent use.
package results
