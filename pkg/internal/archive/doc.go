// Package archive finds and checks the TorchScript archives of a detector before anything
// loads them.
//
// A detector needs three archives: a region proposal network (kind rpn), CLIP's image tower (clip-image) and its text
// tower (clip-text). Each is a .pt file made by the exports in torchscript/, a zip that carries its own description in
// <top>/extra/manifest.json; torchscript/CONTRACT.md states the format. This package reads that description with
// archive/zip alone, so it needs no libtorch, and a broken, edited or foreign file is refused before native code sees it:
// the manifest's digest covers the zip's directory. [Check] reads the rest too.
//
// An archive is code: torchscript/CONTRACT.md says what one that isn't yours could do. Its digest tells a whole one from a
// broken one, and not yours from another's, for whoever edits an archive can make the digest anew. [Locked] takes those
// alone whose content a lock file names.
//
// A [Set] says where the three archives come from: a directory ([Dir]), a directory and a lock file ([Locked]), or files
// inside the program ([Embedded]).
// [Set.Resolve] picks one archive of each kind and checks that they fit together. [Inspect] describes a single file.
// [KnownAnswer] makes an archive's seeded test input and judges what the archive answered.
//
// Everything here is safe for concurrent use: a Set is a value that is never written after it was made.
package archive
