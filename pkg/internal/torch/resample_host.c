#include "resample_host.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// If the processor can fuse a product with a sum, as on aarch64, gcc does so, and rounds
// otherwise than elsewhere. gcc doesn't know the standard's pragma.
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#else
#pragma GCC optimize("fp-contract=off")
#endif

// ROWS rows of a picture are resampled along x at once, one in each lane of a vector.
// Four fit a register of every processor, and more would gain little.
enum { ROWS = 4 };
// BAND rows at a time are resampled along x, so that a picture of ten million rows
// doesn't need memory for each.
enum { BAND = 64 };
typedef float lanes __attribute__((vector_size(ROWS * sizeof(float))));

// taps says which source samples make each sample of a resized line, with which weights.
typedef struct {
  int64_t first, count;  // of all source samples that are needed
  int64_t most;          // the largest number of source samples of a sample
  int64_t *from, *length; // the source samples of each sample
  float *weight;         // [samples, most]
} taps;

static void free_taps(taps *t) {
  free(t->from);
  free(t->length);
  free(t->weight);
}

// cubic is Catmull-Rom's kernel with a = -0.5.
static double cubic(double x) {
  x = fabs(x);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  if (x < 2) return ((-0.5 * x + 2.5) * x - 4) * x + 2;
  return 0;
}

// plan_taps plans the samples from start on of a line of in samples that is resized to
// out, as precompute_coeffs in Pillow's Resample.c does. It returns 1 if there is no
// memory.
static int plan_taps(taps *t, int64_t in, int64_t out, int64_t start, int64_t samples) {
  double scale = (double)in / (double)out, wide = scale > 1 ? scale : 1, support = 2 * wide;
  t->most = (int64_t)ceil(support) * 2 + 1;
  t->from = malloc((size_t)samples * sizeof *t->from);
  t->length = malloc((size_t)samples * sizeof *t->length);
  t->weight = malloc((size_t)(samples * t->most) * sizeof *t->weight);
  if (!t->from || !t->length || !t->weight) return 1;
  for (int64_t i = 0; i < samples; i++) {
    double centre = ((double)(start + i) + 0.5) * scale, sum = 0;
    int64_t low = (int64_t)(centre - support + 0.5), high = (int64_t)(centre + support + 0.5);
    low = low < 0 ? 0 : low;
    high = high > in ? in : high;
    for (int64_t k = low; k < high; k++) sum += cubic(((double)k - centre + 0.5) / wide);
    for (int64_t k = low; k < high; k++) {
      t->weight[i * t->most + k - low] = (float)(cubic(((double)k - centre + 0.5) / wide) / sum);
    }
    t->from[i] = low;
    t->length[i] = high - low;
  }
  t->first = t->from[0];
  t->count = t->from[samples - 1] + t->length[samples - 1] - t->first;
  return 0;
}

// to_byte rounds to the nearest whole value, halves to even, and clamps to 0..255, as
// Pillow does after each direction. Adding 1.5 * 2^23 leaves no bits for a fraction.
static inline float to_byte(float v) {
  v = (v + 12582912.0f) - 12582912.0f;
  return v < 0 ? 0 : v > 255 ? 255 : v;
}

// along_x resizes rows of bytes, stride apart, to values [rows, samples]. columns has
// memory for the needed samples of ROWS rows.
static void along_x(const uint8_t *from, int64_t stride, int64_t rows, const taps *t, int64_t samples, lanes *columns, float *to) {
  from += t->first;
  for (int64_t row = 0; row < rows; row += ROWS) {
    int64_t n = rows - row < ROWS ? rows - row : ROWS;
    for (int64_t i = 0; i < n; i++) {
      const uint8_t *line = from + (row + i) * stride;
      float *lane = (float *)columns + i;
      for (int64_t k = 0; k < t->count; k++) lane[k * ROWS] = line[k];
    }
    for (int64_t x = 0; x < samples; x++) {
      const lanes *column = columns + t->from[x] - t->first;
      const float *weight = t->weight + x * t->most;
      lanes sum = {0};
      for (int64_t k = 0; k < t->length[x]; k++) sum += weight[k] * column[k];
      for (int64_t i = 0; i < n; i++) to[(row + i) * samples + x] = to_byte(sum[i]);
    }
  }
}

// along_y adds the source rows first to first + n - 1, values [n, width], to the samples
// [samples, width], whose rows are stride apart. It clears a sample before its first
// source row, and rounds it after its last.
static void along_y(const float *rows, int64_t first, int64_t n, int64_t width, const taps *t, int64_t samples, float *restrict to, int64_t stride) {
  for (int64_t y = 0; y < samples; y++, to += stride) {
    int64_t from = t->from[y], end = from + t->length[y];
    int64_t low = from > first ? from : first, high = end < first + n ? end : first + n;
    if (low >= high) continue;
    const float *weight = t->weight + y * t->most, *row = rows + (low - first) * width;
    if (low == from) memset(to, 0, (size_t)width * sizeof *to);
    for (int64_t k = low; k < high; k++, row += width) {
      for (int64_t x = 0; x < width; x++) to[x] += weight[k - from] * row[x];
    }
    if (high == end) {
      for (int64_t x = 0; x < width; x++) to[x] = to_byte(to[x]);
    }
  }
}

static int resample_one(const uint8_t *image, int64_t channels, int64_t height, int64_t width, const piece *p, float *out, int64_t size) {
  taps x = {0}, y = {0};
  lanes *columns = NULL;
  float *rows = NULL;
  int failed = plan_taps(&x, p->x1 - p->x0, p->width, p->left, p->to_w) || plan_taps(&y, p->y1 - p->y0, p->height, p->top, p->to_h);
  if (!failed) {
    columns = aligned_alloc(sizeof *columns, (size_t)x.count * sizeof *columns);
    rows = malloc((size_t)(BAND * p->to_w) * sizeof *rows);
    failed = !columns || !rows;
  }
  // Lanes without a row must have values too.
  if (!failed) memset(columns, 0, (size_t)x.count * sizeof *columns);
  for (int64_t c = 0; c < channels && !failed; c++) {
    const uint8_t *from = image + (c * height + p->y0 + y.first) * width + p->x0;
    float *to = out + (c * size + p->to_y) * size + p->to_x;
    for (int64_t row = 0; row < y.count; row += BAND) {
      int64_t n = y.count - row < BAND ? y.count - row : BAND;
      along_x(from + row * width, width, n, &x, p->to_w, columns, rows);
      along_y(rows, y.first + row, n, p->to_w, &y, p->to_h, to, size);
    }
  }
  free(columns);
  free(rows);
  free_taps(&x);
  free_taps(&y);
  return failed;
}

int resample_host(const uint8_t *image, int64_t channels, int64_t height, int64_t width, const piece *pieces, int64_t n,
                  int64_t first, int64_t step, float *out, int64_t size) {
  for (int64_t i = first; i < n; i += step) {
    if (resample_one(image, channels, height, width, &pieces[i], out + i * channels * size * size, size)) return 1;
  }
  return 0;
}
