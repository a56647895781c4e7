// Package torch is the project's one door to libtorch: it alone imports gotch.
//
// An [Engine] is one goroutine locked to one OS thread with gradients off. All
// work on tensors is a function that runs there and receives a [Scope]; callers
// on other goroutines queue for it with [Engine.Do]. One thread is what keeps
// libtorch's thread-local state (its last error, its grad mode) ours alone.
//
// Invariants:
//
//   - A Scope owns every tensor made in it and frees all of them when the work
//     returns, with or without an error. [Scope.Keep] is the only way out.
//   - A Scope keeps its first error. Later operations do nothing and give the
//     zero Tensor, so a chain of operations needs one check at its end.
//   - Operations never change their operands in place.
//   - A cancelled context shows as the scope's error at the next operation.
//   - [Live] counts the tensors that exist; it is zero when every engine is closed.
//
// Shapes in the documentation are written [A,B,C]. Dtypes are those of libtorch.
package torch
