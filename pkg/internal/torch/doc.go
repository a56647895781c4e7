// Package torch is the only way to libtorch: no other package imports gotch.
//
// An [Engine] is one goroutine locked to one OS thread, with gradients off. All work on
// tensors is a function that runs there and receives a [Scope]. Callers on other
// goroutines queue for it with [Engine.Do]. libtorch keeps its last error and its grad
// mode for each thread, so with one thread they are ours alone.
//
// Invariants:
//
//   - A Scope owns every tensor made in it, and frees all of them when the work returns,
//     with or without an error. Only a tensor of [Scope.Keep] remains.
//   - A Scope keeps its first error. Later operations do nothing and return the zero
//     Tensor, so a chain of operations needs one check at its end.
//   - Operations never change their operands in place, except that [Scope.CopyInto] fills a
//     buffer.
//   - The end of the context is the scope's error at the next operation.
//   - [Live] counts the tensors that exist. It is zero after every engine is closed.
//
// Shapes in the documentation are written [A,B,C]. Dtypes are libtorch's.
package torch
