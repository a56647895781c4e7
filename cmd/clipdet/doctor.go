package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/model"
	"github.com/clipdet/clipdet/pkg/torch"
)

func doctorCommand() *cobra.Command {
	var f modelFlags
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what works here and what does not, with the fix",
		Long: `Checks what detection needs: the libraries, the device, memory, the cache, and
the models, each of which answers its known answer. A line is "ok" or "problem",
and a problem is followed by what to do about it; then the exit code is 3.`,
		Example: `  clipdet doctor
  clipdet doctor --models models/vit-b-32 --device cuda:0`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("doctor takes no argument, got %q", args[0])
			}
			return f.check()
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			problems := 0
			for _, find := range []func(*cobra.Command, *modelFlags) []finding{
				findVersions, findLibtorch, findDevice, findMemory, findCache, findModels,
			} {
				for _, found := range find(cmd, &f) {
					fmt.Fprintln(cmd.OutOrStdout(), found)
					if found.fix != "" {
						problems++
					}
				}
			}
			if problems > 0 {
				return setupProblem(fmt.Errorf("%d of the above do not work", problems))
			}
			return nil
		},
	}
	f.add(cmd)
	return cmd
}

// finding is one line of the doctor's report.
type finding struct {
	name, detail string
	fix          string // empty: it is well
}

func (f finding) String() string {
	detail, fix := printable(f.detail), printable(f.fix) // names of files are in both
	line := fmt.Sprintf("%-8s %-9s %s", "ok", f.name, detail)
	if f.fix != "" {
		line = fmt.Sprintf("%-8s %-9s %s\n%18s fix: %s", "problem", f.name, detail, "", fix)
	}
	return strings.TrimRight(line, " ")
}

const gotchPath = "github.com/sugarme/gotch"

func findVersions(*cobra.Command, *modelFlags) []finding {
	return []finding{
		{name: "clipdet", detail: fmt.Sprintf("%s, %s, %s/%s", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)},
		{name: "gotch", detail: moduleVersion(gotchPath)},
	}
}

// findLibtorch looks at what the system's linker mapped into this process, which is what really runs.
func findLibtorch(*cobra.Command, *modelFlags) []finding {
	cpu, err := torch.Library("libtorch_cpu.so")
	if err != nil {
		return []finding{{"libtorch", fmt.Sprintf("where it was loaded from can't be seen: %v", err), "run on Linux with /proc mounted"}}
	}
	version := cmp.Or(torch.Version(), "of unknown version")
	found := []finding{{name: "libtorch", detail: version + " in " + filepath.Dir(cpu)}}
	if !strings.HasPrefix(version, "2.1.") {
		found[0].fix = "build and run with ./setup-libtorch.sh, which gets libtorch 2.1.2; gotch needs that version"
	}
	return found
}

func findDevice(_ *cobra.Command, f *modelFlags) []finding {
	_, noCUDA := torch.Library("libtorch_cuda.so")
	_, noDriver := os.Stat("/proc/driver/nvidia/version")
	gpus := torch.CUDADevices()
	detail := fmt.Sprintf("cpu (%d cores), %d GPUs", runtime.GOMAXPROCS(0), gpus)
	if gpus == 0 && noCUDA != nil {
		detail += " (this is the CPU variant)"
	}
	const rebuild = "build with CLIPDET_CUDA=1 ./setup-libtorch.sh go build ./cmd/clipdet"
	device, err := torch.ParseDevice(f.device)
	switch {
	case err != nil && noDriver != nil:
		return []finding{{"device", err.Error(), "install an NVIDIA driver, or use --device cpu"}}
	case err != nil && noCUDA != nil:
		return []finding{{"device", err.Error(), rebuild}}
	case err != nil:
		return []finding{{"device", err.Error(), fmt.Sprintf("name one of the %d GPUs that there are, from cuda:0, or use --device cpu", gpus)}}
	case gpus == 0 && noDriver == nil && noCUDA != nil:
		return []finding{{"device", detail + ", but there is an NVIDIA driver", rebuild}}
	case gpus == 0 && noDriver == nil:
		return []finding{{"device", detail + ", but there is an NVIDIA driver", "see whether nvidia-smi lists the GPU and CUDA_VISIBLE_DEVICES does not hide it"}}
	}
	return []finding{{name: "device", detail: fmt.Sprintf("%v is used; %s", device, detail)}}
}

// memoryNeeded is for the built-in models and a picture of some megapixels.
const memoryNeeded = 1 << 30

func findMemory(*cobra.Command, *modelFlags) []finding {
	file, err := os.Open("/proc/meminfo")
	if err != nil {
		return []finding{{"memory", err.Error(), "run on Linux with /proc mounted"}}
	}
	defer file.Close()
	amounts := map[string]int64{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		var kB int64
		if _, err := fmt.Sscan(rest, &kB); err == nil {
			amounts[name] = kB << 10
		}
	}
	available := amounts["MemAvailable"]
	found := finding{name: "memory", detail: fmt.Sprintf("%.1f of %.1f GiB are free", float64(available)/(1<<30), float64(amounts["MemTotal"])/(1<<30))}
	if available < memoryNeeded {
		found.fix = "free 1 GiB, or detection may be ended by the system"
	}
	return []finding{found}
}

func findCache(*cobra.Command, *modelFlags) []finding {
	const fix = "set CLIPDET_HOME to a directory that can be written; until then the built-in models go to the temporary directory"
	dir, err := model.CacheDir()
	if err != nil {
		return []finding{{"cache", err.Error(), fix}}
	}
	err = os.MkdirAll(dir, 0o755)
	var temp *os.File
	if err == nil {
		temp, err = os.CreateTemp(dir, ".partial-*")
	}
	if err == nil {
		err = errors.Join(temp.Close(), os.Remove(temp.Name()))
	}
	if err != nil {
		return []finding{{"cache", err.Error(), fix}}
	}
	return []finding{{name: "cache", detail: dir}}
}

func findModels(cmd *cobra.Command, f *modelFlags) []finding {
	set := f.set()
	device, err := torch.ParseDevice(f.device)
	if err != nil {
		device = torch.CPU // the device has a line of its own; see whether the models are well
	}
	files, err := set.Resolve(f.dtype.value, device.FastDTypes()...)
	if err != nil {
		return []finding{{"models", err.Error(), modelFix(err)}}
	}
	var found []finding
	for _, file := range []model.File{files.RPN, files.Image, files.Text} {
		m := file.Manifest
		line := finding{name: "models", detail: fmt.Sprintf("%s: %s in %s of %v", m.Kind, m.Architecture, m.DType, set)}
		if other := m.OtherTorch(torch.Version()); other != "" {
			line.detail += "; " + other
		}
		if _, err := detect.Verify(cmd.Context(), file, device.String()); err != nil {
			line.detail, line.fix = err.Error(), modelFix(err)
		}
		found = append(found, line)
	}
	return found
}

// modelFix says what to do about an error of a model.
func modelFix(err error) string {
	switch {
	case errors.Is(err, torch.ErrOutOfMemory):
		return "free memory, or use smaller models"
	case errors.Is(err, model.ErrAnswer):
		return "try --dtype float32; if that is right, this device is not exact enough in the other type, or else the file is damaged"
	case errors.Is(err, model.ErrMissing):
		return "take --models and --dtype that are there, or leave both out for the built-in ones; the exports in torchscript/ make more"
	case errors.Is(err, model.ErrMismatch), errors.Is(err, model.ErrNotArchive), errors.Is(err, model.ErrDamaged),
		errors.Is(err, model.ErrNoManifest), errors.Is(err, model.ErrManifest):
		return "export the models again with the exports in torchscript/, or leave --models out for the built-in ones"
	}
	return "try --dtype float32 and --device cpu; if that works, the model does not fit the device"
}
