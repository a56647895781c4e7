// Package report writes an evaluation as a page for a browser: the metrics, the
// precision-recall curves, the kinds of error, and a gallery that shows each box with the
// parts of its score.
//
// A page is a folder with index.html, which contains its style, script and data, and
// images/, which contains the gallery's pictures. The page loads nothing from a network,
// and its Content-Security-Policy forbids it. It runs no script other than its own,
// regardless of the names in the data. The tables can be read without a script.
//
// # Units
//
// Boxes are edges in pixels of the upright picture. Scores, probabilities, metrics and
// IoUs are fractions in [0,1]. Cosines are in [-1,1]. Metrics without ground truth are -1
// and shown as a dash. The page has box edges to 0.1 pixels, curves to 0.001 and other
// numbers to 0.0001.
//
// # Memory and concurrency
//
// Entries are written one at a time, and the browser parses only the entries that it
// shows. In both, memory grows with the pictures only by their compact data of about 10
// kB each. The package doesn't change its arguments. Functions are safe for concurrent
// use in different folders.
package report
