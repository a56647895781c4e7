#include <stdint.h>

// One resampled piece of a picture. All numbers are pixels.
typedef struct {
  int64_t x0, y0, x1, y1;       // the source rectangle
  int64_t width, height;        // what the rectangle is resized to
  int64_t left, top;            // the corner of the part of the resized rectangle that is kept
  int64_t to_x, to_y, to_w, to_h; // where in the output that part goes, and its size
} piece;

// resample_host fills out [n,channels,size,size] in the host's memory, for every step-th piece from
// the first on, so that several threads share the pieces: image is [channels,height,width]
// in rows, and out [n,channels,size,size] float32. It calls nothing of libtorch. It gives
// 0, or 1 when there is no memory.
int resample_host(const uint8_t *image, int64_t channels, int64_t height, int64_t width, const piece *pieces, int64_t n,
                  int64_t first, int64_t step, float *out, int64_t size);
