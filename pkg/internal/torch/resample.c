#include "resample.h"

#include <stdlib.h>
#include <string.h>

enum { FLOAT32 = 6 }; // c10/core/ScalarType.h

// Every step takes the tensor of the step before, frees it, and passes NULL on. libtorch
// keeps its last error, so a chain of steps needs one check at its end.

static tensor step(tensor before, tensor after) {
  if (before) at_free(before);
  return after;
}

static tensor slice(tensor t, int64_t dim, int64_t start, int64_t end) {
  tensor out = NULL;
  if (t) atg_slice(&out, t, dim, start, 0, end, 0, 1);
  return out;
}

static tensor to_float(tensor t) {
  tensor out = NULL;
  if (t) atg_to_dtype(&out, t, FLOAT32, 0, 0);
  return out;
}

static tensor resize(tensor t, int64_t height, int64_t width) {
  tensor out = NULL;
  int64_t size[2] = {height, width};
  if (t) atg__upsample_bicubic2d_aa(&out, t, size, 2, 0, 0, 1, 0, 1);
  return out;
}

// resize_y resizes along y only. libtorch 2.1 is wrong for a tensor that is one pixel
// wide, since its loop takes that for a resize along x. So such a tensor is doubled
// first.
static tensor resize_y(tensor t, int64_t height, int64_t width) {
  if (width > 1 || !t) return resize(t, height, width);
  tensor twice = NULL, pair[2] = {t, t};
  atg_cat(&twice, pair, 2, 3);
  tensor resized = step(twice, resize(twice, height, 2));
  return step(resized, slice(resized, 3, 0, 1));
}

// to_bytes rounds and clamps to 0..255, as Pillow does after each direction.
static tensor to_bytes(tensor t, void *zero, void *full) {
  tensor rounded = NULL, out = NULL;
  if (t) atg_round(&rounded, t);
  if (rounded) atg_clamp(&out, rounded, zero, full);
  return step(rounded, out);
}

static char *resample_one(tensor image, const piece *p, tensor out, int64_t row, void *zero, void *full) {
  tensor t = slice(image, 2, p->y0, p->y1);
  t = step(t, slice(t, 3, p->x0, p->x1));
  t = step(t, to_float(t));
  // First along x, then y, as Pillow. Only the part that is kept is resized along y.
  t = step(t, resize(t, p->y1 - p->y0, p->width));
  t = step(t, slice(t, 3, p->left, p->left + p->to_w));
  t = step(t, to_bytes(t, zero, full));
  t = step(t, resize_y(t, p->height, p->to_w));
  t = step(t, slice(t, 2, p->top, p->top + p->to_h));
  t = step(t, to_bytes(t, zero, full));

  tensor to = slice(out, 0, row, row + 1);
  to = step(to, slice(to, 2, p->to_y, p->to_y + p->to_h));
  to = step(to, slice(to, 3, p->to_x, p->to_x + p->to_w));
  if (t && to) at_copy_(to, t);
  char *error = get_and_reset_last_err();
  if (!error && !(t && to)) error = strdup("a step failed without a word");
  step(t, NULL);
  step(to, NULL);
  return error;
}

char *resample(tensor image, const piece *pieces, int64_t n, tensor out) {
  void *zero = ats_float(0), *full = ats_float(255);
  char *error = NULL;
  for (int64_t i = 0; i < n && !error; i++) error = resample_one(image, &pieces[i], out, i, zero, full);
  ats_free(zero);
  ats_free(full);
  return error;
}
