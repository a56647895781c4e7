// This file makes gotch v0.9.1, which was written for libtorch 2.1, compile with later
// versions of libtorch. setup-libtorch.sh passes it to the C++ compiler by -include, so
// gotch's module isn't changed.
//
// gotch wraps every function of libtorch 2.1. Three of them have had other parameters or
// results since, so gotch's calls of them don't compile. Each call names torch::F. A
// qualified name is looked up in namespace torch itself, before the functions that it
// imports from namespace at. So gotch's wrapper calls a function of the old form that is
// declared here. No such call can work, so each function throws, and gotch returns that
// as an error. clipdet calls none of them.
//
// They take any arguments, so that one text fits every version. gotch's other functions
// compile unchanged up to the newest version that setup-libtorch.sh names.
#pragma once
#ifdef __cplusplus
#include <torch/torch.h>

#include <tuple>

namespace torch {

// _cslt_sparse_mm is the sparse product by cuSPARSELt. It has had other parameters since
// 2.2 (alpha, out_dtype, alg_id).
template <class... Arguments>
at::Tensor _cslt_sparse_mm(const Arguments &...) {
  TORCH_CHECK(false, "_cslt_sparse_mm: gotch calls it as in libtorch 2.1");
}

// _scaled_mm is the product of float8 matrices. Its result has been one tensor since 2.5,
// and not two.
template <class... Arguments>
std::tuple<at::Tensor, at::Tensor> _scaled_mm(const Arguments &...) {
  TORCH_CHECK(false, "_scaled_mm: gotch calls it as in libtorch 2.1");
}

// _scaled_mm_out is _scaled_mm into given tensors.
template <class... Arguments>
std::tuple<at::Tensor, at::Tensor> _scaled_mm_out(const Arguments &...) {
  TORCH_CHECK(false, "_scaled_mm_out: gotch calls it as in libtorch 2.1");
}

} // namespace torch
#endif
