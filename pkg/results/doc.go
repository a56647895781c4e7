// Package results writes what was found in pictures as native JSON, JSON Lines, COCO
// results, CSV and YOLO's labels, and reads JSON and JSON Lines, which lose nothing.
// FORMATS.md shows each format, and what it leaves out. Package eval reads COCO results.
//
// A [Record] is what came of one picture. Writers take records one at a time and keep
// none; readers give records one at a time.
//
// Boxes are in pixels of the upright picture everywhere in this package: COCO's
// widths and YOLO's shares of the picture are in the files alone. Nothing here keeps
// or changes its arguments. A writer or an iterator is for one goroutine at a time;
// everything else is safe for concurrent use.
package results
