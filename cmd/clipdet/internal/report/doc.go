// Package report writes an evaluation as a page for a browser: the metrics, the
// precision-recall curves, the kinds of error, and a gallery that shows each box with the
// parts of its score.
//
// A page is a folder with index.html, which holds its style, script and data, and images/, which
// has the gallery's pictures. It asks no network for anything, forbids it to itself
// (Content-Security-Policy), and runs no script but its own, whatever names the data hold. The tables can be
// read without a script.
//
// # Units
//
// Boxes are edges in pixels of the upright picture. Scores, probabilities, metrics
// and IoUs are fractions in [0,1], cosines are in [-1,1], metrics without ground truth are -1 and shown as a dash. The
// page has box edges to 0.1 pixels, curves to 0.001 and other numbers to 0.0001.
//
// # Memory and concurrency
//
// Entries are written one by one, as they come, and the page's browser reads those that it shows, so neither
// grows with the pictures beyond their compact data, some 10 kB each. Nothing here changes its arguments; functions are safe for
// concurrent use in different folders.
package report
