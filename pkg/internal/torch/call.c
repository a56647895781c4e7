#include "call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TAG_TENSOR = 1, TAG_TUPLE = 5 }; // ati_tag of libtch/torch_api.cpp

static char *said(const char *otherwise) {
  char *error = get_and_reset_last_err();
  return error ? error : strdup(otherwise);
}

static void free_values(ivalue *values, int n) {
  for (int i = 0; i < n; i++) {
    if (values[i]) ati_free(values[i]);
  }
  free(values);
}

// unpack writes the tensors of a method's result to out, and returns NULL or the error.
static char *unpack(ivalue result, tensor *out, int n) {
  int tag = ati_tag(result);
  if (tag == TAG_TENSOR && n == 1) {
    out[0] = ati_to_tensor(result);
    return out[0] ? NULL : said("the result can't be read");
  }
  int length = tag == TAG_TUPLE ? ati_tuple_length(result) : tag == TAG_TENSOR ? 1 : -1;
  if (length != n || n < 0) {
    free(get_and_reset_last_err()); // ati_tag's error for a type that it doesn't know
    char text[80];
    if (length < 0) {
      snprintf(text, sizeof text, "the result is not made of tensors, and %d are expected", n);
    } else {
      snprintf(text, sizeof text, "the result has %d tensors, and %d are expected", length, n);
    }
    return strdup(text);
  }
  ivalue *parts = calloc((size_t)n, sizeof *parts);
  ati_to_tuple(result, parts, n);
  char *error = get_and_reset_last_err();
  for (int i = 0; i < n && !error; i++) {
    out[i] = ati_to_tensor(parts[i]);
    error = get_and_reset_last_err();
  }
  if (error) {
    for (int i = 0; i < n; i++) {
      if (out[i]) at_free(out[i]);
      out[i] = NULL;
    }
  }
  free_values(parts, n);
  return error;
}

char *call_method(module m, const char *name, tensor *in, int n_in, tensor *out, int n_out) {
  memset(out, 0, (size_t)n_out * sizeof *out);
  ivalue *arguments = calloc((size_t)n_in + 1, sizeof *arguments);
  char *error = NULL;
  for (int i = 0; i < n_in && !error; i++) {
    arguments[i] = ati_tensor(in[i]);
    if (!arguments[i]) error = said("an argument can't be passed");
  }
  if (!error) {
    ivalue result = atm_method_(m, (char *)name, arguments, n_in);
    if (result) {
      error = unpack(result, out, n_out);
      ati_free(result);
    } else {
      error = said("the call failed without a word");
    }
  }
  free_values(arguments, n_in);
  return error;
}
