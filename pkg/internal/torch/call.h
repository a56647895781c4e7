#include "libtch.h"

// call_method calls a method of a module with tensors. The result may be a tensor or
// a tuple of tensors; there must be n_out of them, and the caller frees them. It
// returns NULL, or the error, which the caller frees. Error and call in one function:
// libtorch keeps the error per thread.
char *call_method(module m, const char *name, tensor *in, int n_in, tensor *out, int n_out);
