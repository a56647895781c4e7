#include "libtch.h"

// One resampled piece of a picture. All numbers are pixels.
typedef struct {
  int64_t x0, y0, x1, y1;       // the source rectangle
  int64_t width, height;        // what the rectangle is resized to
  int64_t left, top;            // the corner of the part of the resized rectangle that is kept
  int64_t to_x, to_y, to_w, to_h; // where in the output that part goes, and its size
} piece;

// resample fills out [n,C,S,S] float32 from image [1,C,H,W], a piece for each of its
// rows. It returns NULL, or the error, which the caller frees.
char *resample(tensor image, const piece *pieces, int64_t n, tensor out);
