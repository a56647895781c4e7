#include "libtch.h"

// call_method calls a method of a module with tensors. The result must be a tensor or a
// tuple of tensors, n_out in all, which the caller frees. It returns NULL, or the error,
// which the caller frees. One function calls and reads the error, since libtorch keeps
// the error per thread.
char *call_method(module m, const char *name, tensor *in, int n_in, tensor *out, int n_out);
