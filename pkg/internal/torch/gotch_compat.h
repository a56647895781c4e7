// Lets gotch v0.9.1, which was written for libtorch 2.1, compile against later versions
// of libtorch. setup-libtorch.sh gives this file to the C++ compiler by -include, so
// gotch's module stays untouched.
//
// gotch wraps every function of libtorch 2.1. Three of them have other parameters or
// results since, so gotch's calls of them don't compile any more. Each call names
// torch::F, and a qualified name is looked up in namespace torch itself before the
// functions that it imports from namespace at. So a function of the old form, declared
// here, is the one that gotch's wrapper calls. None can be called with sense from such a
// wrapper: each throws, which gotch hands on as an error. clipdet calls none of them.
//
// They take any arguments, so that one text fits every version. The others of gotch's
// functions compile unchanged up to the version that setup-libtorch.sh names as newest.
#pragma once
#ifdef __cplusplus
#include <torch/torch.h>

#include <tuple>

namespace torch {

// Sparse product by cuSPARSELt: other parameters since 2.2 (alpha, out_dtype, alg_id).
template <class... Arguments>
at::Tensor _cslt_sparse_mm(const Arguments &...) {
  TORCH_CHECK(false, "_cslt_sparse_mm: gotch calls it as in libtorch 2.1");
}

// Product of float8 matrices: one tensor as its result since 2.5, and not two.
template <class... Arguments>
std::tuple<at::Tensor, at::Tensor> _scaled_mm(const Arguments &...) {
  TORCH_CHECK(false, "_scaled_mm: gotch calls it as in libtorch 2.1");
}

// The same into given tensors.
template <class... Arguments>
std::tuple<at::Tensor, at::Tensor> _scaled_mm_out(const Arguments &...) {
  TORCH_CHECK(false, "_scaled_mm_out: gotch calls it as in libtorch 2.1");
}

} // namespace torch
#endif
