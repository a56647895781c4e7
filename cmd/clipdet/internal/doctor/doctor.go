// Package doctor implements clipdet doctor. It reports what works on this machine and
// what does not, and how to fix it.
package doctor

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/console"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/settings"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/version"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/device"
	"github.com/clipdet/clipdet/pkg/model"
)

// Examine prints a finding for each part that detection needs. It returns an error if one
// of them does not work.
func Examine(cmd *cobra.Command, f *settings.ModelFlags) error {
	problems := 0
	for _, find := range []func(*cobra.Command, *settings.ModelFlags) []finding{
		findVersions, findLibtorch, findDevice, findMemory, findCache, findModels,
	} {
		all := find(cmd, f)
		if cmd.Context().Err() != nil {
			return exit.Inputs(errors.New("interrupted: not all was looked at"))
		}
		for _, found := range all {
			fmt.Fprintln(cmd.OutOrStdout(), found)
			if found.fix != "" && !found.works {
				problems++
			}
		}
	}
	if problems > 0 {
		return exit.Setup(fmt.Errorf("%d of the above do not work", problems))
	}
	return nil
}

// finding is one line of the report.
type finding struct {
	name, detail string
	fix          string // empty: nothing to fix
	works        bool   // detection works without the fix
}

func (f finding) String() string {
	// Both may contain file names.
	detail, fix := console.Printable(f.detail), console.Printable(f.fix)
	line := fmt.Sprintf("%-8s %-9s %s", "ok", f.name, detail)
	if f.fix != "" {
		word := "problem"
		if f.works {
			word = "warning"
		}
		line = fmt.Sprintf("%-8s %-9s %s\n%18s fix: %s", word, f.name, detail, "", fix)
	}
	return strings.TrimRight(line, " ")
}

func findVersions(*cobra.Command, *settings.ModelFlags) []finding {
	return []finding{
		{name: "clipdet", detail: fmt.Sprintf("%s, %s, %s/%s", version.Clipdet(), runtime.Version(), runtime.GOOS, runtime.GOARCH)},
		{name: "gotch", detail: version.Gotch()},
	}
}

// findLibtorch examines the libtorch that the linker mapped into this process, which is
// the one that runs.
func findLibtorch(*cobra.Command, *settings.ModelFlags) []finding {
	lib, err := device.RunningLibtorch()
	if err != nil {
		return []finding{{name: "libtorch", detail: fmt.Sprintf("where it was loaded from can't be seen: %v", err), fix: "run on Linux with /proc mounted"}}
	}
	return []finding{libtorchFinding(lib)}
}

func libtorchFinding(lib device.Libtorch) finding {
	found := finding{name: "libtorch", detail: cmp.Or(lib.Version, "of unknown version") + " in " + lib.Dir}
	found.fix = lib.Problem()
	return found
}

func findDevice(_ *cobra.Command, f *settings.ModelFlags) []finding {
	driver, noDriver := os.ReadFile("/proc/driver/nvidia/version")
	lib, _ := device.RunningLibtorch() // findLibtorch reports its error
	on, err := device.Resolve(f.Device)
	return []finding{deviceFinding(deviceFacts{
		asked: f.Device, device: on, err: err, gpus: device.GPUs(),
		hasDriver: noDriver == nil, driver: driverVersion(string(driver)), libtorch: lib,
	})}
}

// deviceFacts are what the choice of a device depends on.
type deviceFacts struct {
	asked     string // by --device
	device    string // resolved from asked
	err       error  // why it can't be resolved
	gpus      int    // visible to libtorch
	hasDriver bool   // NVIDIA's kernel module is loaded
	driver    string // "": unknown
	libtorch  device.Libtorch
}

func deviceFinding(m deviceFacts) finding {
	detail := fmt.Sprintf("cpu (%d cores, %d threads), %d GPUs", runtime.GOMAXPROCS(0), device.Threads(), m.gpus)
	if m.gpus == 0 && !m.libtorch.CUDA {
		detail += " (this is the CPU variant)"
	}
	const rebuild = "build with CLIPDET_CUDA=1 ./setup-libtorch.sh go build ./cmd/clipdet, or use --device cpu"
	needed := m.libtorch.DriverNeeded()
	switch {
	case m.asked == "cpu" || m.gpus > 0 && m.err == nil:
		return finding{name: "device", detail: fmt.Sprintf("%v is used; %s", m.device, detail)}
	case !m.hasDriver && m.err != nil:
		return finding{name: "device", detail: m.err.Error(), fix: "install an NVIDIA driver, or use --device cpu"}
	case !m.hasDriver:
		return finding{name: "device", detail: fmt.Sprintf("%v is used; %s", m.device, detail)}
	case m.gpus == 0 && m.driver != "" && older(m.driver, needed):
		return finding{name: "device", detail: fmt.Sprintf("%s, and the NVIDIA driver %s is too old for libtorch %s", detail, m.driver, m.libtorch.Version),
			fix: fmt.Sprintf("install driver %s or later, or use --device cpu", needed)}
	case !m.libtorch.CUDA:
		return finding{name: "device", detail: detail + ", but there is an NVIDIA driver", fix: rebuild}
	case m.gpus == 0:
		return finding{name: "device", detail: detail + ", but there is an NVIDIA driver",
			fix: "see whether nvidia-smi lists the GPU and CUDA_VISIBLE_DEVICES does not hide it, or use --device cpu"}
	}
	return finding{name: "device", detail: m.err.Error(), fix: fmt.Sprintf("name one of the %d GPUs that there are, from cuda:0, or use --device cpu", m.gpus)}
}

var driverNumber = regexp.MustCompile(`\bNVRM version:.*?\s(\d{2,}(?:\.\d+)+)\s`)

// driverVersion returns the driver's version from the text of its kernel module, or "".
func driverVersion(module string) string {
	if found := driverNumber.FindStringSubmatch(module); found != nil {
		return found[1]
	}
	return ""
}

// older reports whether version a precedes b, compared number by number.
func older(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		x, _ := strconv.Atoi(as[i]) // only digits, as driverVersion returns
		y, _ := strconv.Atoi(bs[i])
		if x != y {
			return x < y
		}
	}
	return len(as) < len(bs)
}

// memoryNeeded is the memory in bytes for libtorch and a picture of a few megapixels,
// without the models.
const memoryNeeded = 1 << 30

func findMemory(_ *cobra.Command, f *settings.ModelFlags) []finding {
	has, err := readMemory(os.DirFS("/"))
	if err != nil {
		return []finding{{name: "memory", detail: err.Error(), fix: "run on Linux with /proc mounted"}}
	}
	return []finding{memoryFinding(has, modelSizes(f))}
}

// modelSizes returns the bytes that the models take, as far as their files can be read.
// libtorch reads all files into memory.
func modelSizes(f *settings.ModelFlags) int64 {
	entries, _ := f.Set().List() // findModels reports its error
	largest := map[model.Kind]int64{}
	for _, e := range entries {
		if e.Err == nil {
			largest[e.Manifest.Kind] = max(largest[e.Manifest.Kind], e.Size)
		}
	}
	var sum int64
	for _, size := range largest {
		sum += size
	}
	return sum
}

func memoryFinding(m freeMemory, models int64) finding {
	const gib = 1 << 30
	needed := memoryNeeded + models
	found := finding{name: "memory", detail: fmt.Sprintf("%.1f of %.1f GiB are free, and %.1f are needed", float64(m.free)/gib, float64(m.total)/gib, float64(needed)/gib)}
	if m.limit != "" {
		found.detail += ", by " + m.limit
	}
	if m.free < needed {
		found.fix = fmt.Sprintf("free %.1f GiB, or detection may be ended by the system; smaller models, or those in bfloat16, need less", float64(needed-m.free)/gib)
		if m.limit != "" {
			found.fix = fmt.Sprintf("raise %s by %.1f GiB, or detection may be ended by the system; smaller models, or those in bfloat16, need less", m.limit, float64(needed-m.free)/gib)
		}
	}
	return found
}

func findCache(*cobra.Command, *settings.ModelFlags) []finding {
	const fix = "set CLIPDET_HOME to a directory that can be written; until then the built-in models go to the temporary directory, and each run measures the types of weights again"
	dir, err := model.CacheDir()
	if err != nil {
		return []finding{{name: "cache", detail: err.Error(), fix: fix, works: true}}
	}
	return []finding{
		cacheFinding(dir, fix),
		cacheFinding(settings.DefaultTextCache(), "set CLIPDET_HOME or --text-cache to a directory that can be written; until then each run encodes the queries again"),
	}
}

// cacheFinding tries to write to a directory, which it creates if it is missing.
// Detection works without a cache.
func cacheFinding(dir, fix string) finding {
	err := os.MkdirAll(dir, 0o755)
	var temp *os.File
	if err == nil {
		temp, err = os.CreateTemp(dir, ".partial-*")
	}
	if err == nil {
		// A full disk may take the name but not the content.
		_, err = temp.WriteString("x")
		err = errors.Join(err, temp.Close(), os.Remove(temp.Name()))
	}
	if err != nil {
		return finding{name: "cache", detail: err.Error(), fix: fix, works: true}
	}
	return finding{name: "cache", detail: dir}
}

func findModels(cmd *cobra.Command, f *settings.ModelFlags) []finding {
	set := f.Set()
	// If Go can't get address space, the program ends and could not report anything.
	if has, err := readMemory(os.DirFS("/")); err == nil && has.limit == addressLimit && has.free < memoryNeeded+modelSizes(f) {
		return []finding{{name: "models", detail: "not run: the memory does not suffice", fix: "see memory"}}
	}
	on, err := device.Resolve(f.Device)
	if err != nil {
		// findDevice reports its error. The models can still be checked on the CPU.
		on = "cpu"
	}
	taken, err := detect.Resolve(cmd.Context(), detect.Options{Models: set, Device: on, DType: f.DType.Value})
	if err != nil {
		return []finding{{name: "models", detail: err.Error(), fix: modelFix(err)}}
	}
	found := []finding{{name: "dtype", detail: taken.DType.Type + ": " + taken.DType.Why}}
	for _, file := range []model.File{taken.RPN, taken.Image, taken.Text} {
		m := file.Manifest
		line := finding{name: "models", detail: fmt.Sprintf("%s: %s in %s of %v", m.Kind, m.Architecture, m.DType, set)}
		if other := m.OtherTorch(version.Libtorch()); other != "" {
			line.detail += "; " + other
		}
		if _, _, err := detect.Verify(cmd.Context(), set, filepath.Base(file.Path), on); err != nil {
			line.detail, line.fix = err.Error(), modelFix(err)
		}
		found = append(found, line)
	}
	return found
}

// modelFix returns the fix for the error of a model.
func modelFix(err error) string {
	switch {
	case errors.Is(err, detect.ErrOutOfMemory):
		return "free memory, or use smaller models"
	case errors.Is(err, model.ErrAnswer):
		return "try --dtype float32; if that is right, this device is not exact enough in the other type, or else the file is damaged"
	case errors.Is(err, model.ErrLock), errors.Is(err, model.ErrNotLocked):
		return "put back the models that were locked, or, where you trust what is there, write the lock file again with 'clipdet models lock'"
	case errors.Is(err, model.ErrMissing):
		return "take --models and --dtype that are there, or leave both out for the built-in ones; the exports in torchscript/ make more"
	case errors.Is(err, model.ErrMismatch), errors.Is(err, model.ErrNotArchive), errors.Is(err, model.ErrDamaged),
		errors.Is(err, model.ErrNoManifest), errors.Is(err, model.ErrManifest):
		return "export the models again with the exports in torchscript/, or leave --models out for the built-in ones"
	}
	return "try --dtype float32 and --device cpu; if that works, the model does not fit the device"
}
