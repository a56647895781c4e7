package settings

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/files"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/model"
	"github.com/clipdet/clipdet/pkg/model/builtin"
)

// IsLock reports whether a path names a lock file. It looks only at the name: the content
// of the file must not decide whether models are checked.
func IsLock(path string) bool { return filepath.Ext(path) == ".json" }

// ModelSet returns the models of a directory, or of a lock file in it.
func ModelSet(path string) model.Set {
	if IsLock(path) {
		return model.Locked(path, "")
	}
	return model.Dir(path)
}

// ModelFlags are the flags for the models and the device they run on.
type ModelFlags struct {
	models string
	lock   string
	Device string
	DType  *Choice
}

// Add defines the flags on cmd.
func (f *ModelFlags) Add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.models, "models", "", "`DIR` of the three models, or a lock file (*.json) beside them (default: the built-in ones)")
	cmd.Flags().StringVar(&f.lock, "lock", "", "lock `FILE` of --models that lies elsewhere; 'clipdet models lock' writes one")
	_ = cmd.MarkFlagFilename("lock", "json") // fails only for an unknown flag
	f.AddDevice(cmd)
	f.DType = AddChoice(cmd, "dtype", "the models' type of weights; auto is the fastest that is there, which a CPU with instructions for bfloat16 measures once, and unmeasured the same by a rule; int8, for CPUs with VNNI, is faster and less exact",
		detect.DTypes()...)
}

// AddDevice defines only the flag --device.
func (f *ModelFlags) AddDevice(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.Device, "device", "auto", "`DEVICE` to run on: auto (a GPU where there is one), cpu or cuda:N")
	complete(cmd, "device", "auto", "cpu", "cuda:0")
}

var deviceName = regexp.MustCompile(`^(auto|cpu|cuda(:\d+)?)$`)

// Check returns an error if a value is wrong.
func (f *ModelFlags) Check() error {
	if !deviceName.MatchString(f.Device) {
		return fmt.Errorf("--device %q: want auto, cpu or cuda:N", f.Device)
	}
	if f.lock != "" && (f.models == "" || IsLock(f.models)) {
		return fmt.Errorf("--lock %s: say with --models which directory it is for", f.lock)
	}
	return nil
}

// archives returns the files of the models. An error of their directory is told where they
// are opened.
func (f *ModelFlags) archives() (named []files.Named) {
	dir := f.models
	if IsLock(dir) {
		dir = filepath.Dir(dir)
	}
	if dir == "" {
		return nil
	}
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) == ".pt" {
			named = append(named, files.GivenBy("a model of --models", filepath.Join(dir, entry.Name())))
		}
	}
	return named
}

// Set returns the models that the flags name.
func (f *ModelFlags) Set() model.Set {
	switch {
	case f.models == "":
		return builtin.Models()
	case f.lock != "":
		return model.Locked(f.lock, f.models)
	}
	return ModelSet(f.models)
}
