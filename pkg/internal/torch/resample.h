#include "libtch.h"

// piece is one resampled piece of a picture. All numbers are pixels.
typedef struct {
  int64_t x0, y0, x1, y1;       // the source rectangle
  int64_t width, height;        // the size that it is resized to
  int64_t left, top;            // the corner of the part of that which is kept
  int64_t to_x, to_y, to_w, to_h; // the part's place and size in the output
} piece;

// resample fills out [n,C,S,S] float32 from image [1,C,H,W], one piece for each picture
// of out. It returns NULL, or the error, which the caller frees.
char *resample(tensor image, const piece *pieces, int64_t n, tensor out);
