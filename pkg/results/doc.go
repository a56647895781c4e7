// Package results writes the results of detection as native JSON, JSON Lines, a data set
// in COCO's format, COCO results, CSV and YOLO labels. It reads the two that keep the
// most, native JSON and JSON Lines. Package eval reads COCO's formats. FORMATS.md shows
// each format and what it leaves out.
//
// A [Record] is the result of one picture. A Writer takes one record at a time and keeps
// none; that of COCO's data set keeps each picture's name and size. A reader yields one
// record at a time.
//
// In this package all boxes are in pixels of the upright picture. COCO's widths and
// YOLO's shares of the picture are only in the files. No function changes its arguments.
// A Writer, a [Names] or an iterator is for one goroutine at a time; everything else is
// safe for concurrent use.
package results
