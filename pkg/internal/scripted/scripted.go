// Package scripted loads the TorchScript of an archive, at once or when it is first used.
package scripted

import (
	"github.com/clipdet/clipdet/pkg/internal/archive"
	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// Model is the TorchScript of an archive. It may be used only on the engine that loads it.
type Model struct {
	file   archive.File
	module *torch.Module // nil before it is loaded
}

// New returns a model that isn't loaded yet. It fails with archive.ErrMismatch if the file
// is of none of the kinds.
func New(file archive.File, kinds ...archive.Kind) (*Model, error) {
	if err := file.Want(kinds...); err != nil {
		return nil, err
	}
	return &Model{file: file}, nil
}

// Load returns the module on the engine's device. The first call reads it. It fails with
// the errors of archive.File.Recheck if the file changed since it was chosen: libtorch
// compares no checksums.
func (m *Model) Load(s *torch.Scope) (*torch.Module, error) {
	if m.module != nil {
		return m.module, nil
	}
	if err := m.file.Recheck(s.Context()); err != nil {
		return nil, err
	}
	module, err := s.Load(m.file.Path)
	if err != nil {
		return nil, m.file.Explain(err, torch.Version())
	}
	if err := m.file.Unchanged(); err != nil {
		s.Unload(module)
		return nil, err
	}
	m.module = module
	return module, nil
}
