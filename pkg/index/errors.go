package index

import "errors"

// Errors of this package, for errors.Is. Errors of the file system and of package detect
// pass through.
var (
	// ErrNone is returned by Open and Compact if the directory has no index.
	ErrNone = errors.New("no index")
	// ErrBusy is returned if another Writer has the directory.
	ErrBusy = errors.New("another process writes the index")
	// ErrModels is returned if models, crops or Options.AsStored are not those that made
	// the index.
	ErrModels = errors.New("not as the index was made")
	// ErrDamaged is returned for a file that isn't what was written, or is missing. If the
	// JSON of its shard is removed, the index lacks the shard's pictures and is whole; a
	// Writer then takes them for new.
	ErrDamaged = errors.New("damaged index")
	// ErrChanged is returned by Search if a shard has gone since Open, as Compact removes
	// them. Open the index again.
	ErrChanged = errors.New("the index was changed since it was opened")
	// ErrOption is returned if an option, a parameter or a picture can't be used.
	ErrOption = errors.New("unusable option")
)
