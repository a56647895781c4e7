// Package archive finds and checks the TorchScript archives of a detector before they are
// loaded.
//
// A detector needs three archives: a region proposal network (kind rpn), and CLIP's image
// tower (clip-image) and text tower (clip-text). Each is a .pt file made by the exports
// in torchscript/: a zip with a description of itself in <top>/extra/manifest.json.
// torchscript/CONTRACT.md defines the format. This package reads the description with
// archive/zip alone, without libtorch. So it refuses a broken, edited or foreign file
// before native code reads it: the manifest's digest covers the zip's directory. [Check]
// reads the rest too.
//
// An archive is code. torchscript/CONTRACT.md says what an archive of a stranger could
// do. The digest finds a broken archive, but not a stranger's, since whoever edits an
// archive can also renew its digest. [Locked] takes only archives whose content a lock
// file names.
//
// A [Set] says where the three archives come from: a directory ([Dir]), a directory and a
// lock file ([Locked]), or files inside the program ([Embedded]). [Set.Resolve] picks one
// archive of each kind and checks that they fit together. [Inspect] describes a single
// file. [KnownAnswer] makes an archive's seeded test input and judges the archive's
// answer.
//
// The package is safe for concurrent use: a Set is a value that never changes.
package archive
