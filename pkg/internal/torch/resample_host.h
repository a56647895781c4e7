#include <stdint.h>

// piece is one resampled piece of a picture. All numbers are pixels.
typedef struct {
  int64_t x0, y0, x1, y1;       // the source rectangle
  int64_t width, height;        // the size that it is resized to
  int64_t left, top;            // the corner of the part of that which is kept
  int64_t to_x, to_y, to_w, to_h; // the part's place and size in the output
} piece;

// resample_host resamples in the host's memory, for every step-th piece from the first
// on, so that several threads can share the pieces. image is [channels,height,width] in
// rows, and out is [n,channels,size,size] float32. It calls no function of libtorch. It
// returns 0, or 1 if there is no memory.
int resample_host(const uint8_t *image, int64_t channels, int64_t height, int64_t width, const piece *pieces, int64_t n,
                  int64_t first, int64_t step, float *out, int64_t size);
