package detect

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/clipdet/clipdet/pkg/internal/archive"
	"github.com/clipdet/clipdet/pkg/internal/clip"
	"github.com/clipdet/clipdet/pkg/internal/files"
	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// Unmeasured is the Options.DType "auto" without a measurement: a CPU with AMX takes
// bfloat16, and another CPU float32.
const Unmeasured = "unmeasured"

// DTypes returns the values of Options.DType. The caller owns the slice.
func DTypes() []string {
	return []string{archive.Auto, archive.Float32, archive.BFloat16, archive.Float16, archive.Int8, Unmeasured}
}

// DTypeChoice says which type of weights is used, and why.
type DTypeChoice struct {
	Type string // of the image tower
	Why  string // in words
	// Float32 and BFloat16 are the measured times of a crop; 0 if none was measured.
	Float32, BFloat16 time.Duration
}

// decisive is how many times as fast bfloat16 has to be, because its scores are less
// exact.
const decisive = 1.1

// chooser chooses the type of weights for a processor. It measures each pair of image
// towers once, and keeps the times in memory and in a file.
type chooser struct {
	host  torch.Processor
	mu    sync.Mutex           // held while it measures: two would slow each other
	known map[string]cropTimes // by the key of times
}

func newChooser(host torch.Processor) *chooser {
	return &chooser{host: host, known: map[string]cropTimes{}}
}

// hostChooser returns the chooser of this machine's processor.
var hostChooser = sync.OnceValue(func() *chooser { return newChooser(torch.HostProcessor()) })

// resolve picks the archives, and says why those.
func (c *chooser) resolve(ctx context.Context, o Options, device torch.Device) (archive.Files, DTypeChoice, error) {
	choice, prefer, err := c.choose(ctx, o, device)
	if err != nil {
		return archive.Files{}, choice, err
	}
	dtype := o.DType
	if dtype == Unmeasured {
		dtype = archive.Auto
	}
	files, err := o.Models.Archives().Resolve(ctx, dtype, prefer...)
	if err != nil {
		return files, choice, err
	}
	for _, file := range []archive.File{files.RPN, files.Image, files.Text} {
		if reason := notOn(device, file.Manifest.DType); reason != "" {
			return files, choice, fmt.Errorf("%w: %s is in %s: %s", ErrNotHere, file.Path, file.Manifest.DType, reason)
		}
	}
	choice.Type = files.Image.Manifest.DType
	if choice.Type == archive.Int8 && !c.host.VNNI {
		o.Logger.Warn("int8 may be slower than float32 on a processor without VNNI", "processor", c.host.Name)
	}
	if len(prefer) > 0 && choice.Type != prefer[0] {
		choice.Why += "; the image tower is not there in " + prefer[0]
	}
	return files, choice, nil
}

// notOn returns why weights of a type don't run on a device, or "".
func notOn(device torch.Device, dtype string) string {
	switch {
	case dtype == archive.Float16 && !device.IsCUDA():
		return "that is for GPUs; export it in float32 for this device"
	case dtype == archive.Int8 && device.IsCUDA():
		return "its 8-bit products are oneDNN's, for CPUs; take bfloat16, float16 or float32"
	case dtype == archive.Int8 && runtime.GOARCH != "amd64":
		return "its 8-bit products are for x86-64; take float32"
	}
	return ""
}

// choose returns the types of weights to take, the best first, and why. The type for the
// image tower, which takes most of the time, is used for all three models.
func (c *chooser) choose(ctx context.Context, o Options, device torch.Device) (choice DTypeChoice, prefer []string, err error) {
	switch {
	case o.DType == archive.Int8 && !c.host.VNNI && !device.IsCUDA():
		why := fmt.Sprintf("asked for, but without VNNI (%s) it may be slower than float32, and is less exact", c.host.Name)
		return DTypeChoice{Why: why}, nil, nil
	case o.DType != archive.Auto && o.DType != Unmeasured:
		return DTypeChoice{Why: "asked for"}, nil, nil
	case device.IsCUDA():
		major, minor, err := device.Capability()
		if err != nil {
			return DTypeChoice{Why: err.Error()}, []string{archive.Float32}, nil
		}
		prefer = gpuDTypes(major)
		return DTypeChoice{Why: fmt.Sprintf("fastest on a GPU of compute capability %d.%d is %s", major, minor, prefer[0])}, prefer, nil
	case !c.host.BFloat16:
		return DTypeChoice{Why: fmt.Sprintf("the processor has no instructions for bfloat16 (%s)", c.host.Name)}, []string{archive.Float32}, nil
	}
	if o.DType == archive.Auto {
		plain, fast, err := imageTowers(ctx, o.Models.Archives())
		if err != nil {
			return DTypeChoice{}, nil, err
		}
		if plain.Path != "" && fast.Path != "" {
			return c.byTime(ctx, o, plain, fast)
		}
	}
	if c.host.AMX {
		return DTypeChoice{Why: fmt.Sprintf("the processor has AMX for bfloat16 (%s)", c.host.Name)}, []string{archive.BFloat16}, nil
	}
	return DTypeChoice{Why: fmt.Sprintf("the processor has no AMX, without which bfloat16 may be slower (%s)", c.host.Name)}, []string{archive.Float32}, nil
}

// gpuDTypes returns the types of weights that a GPU is fast in, the best first. major is
// the first number of its compute capability. GPUs multiply bfloat16 from 8.0 on.
func gpuDTypes(major int) []string {
	if major >= 8 {
		return []string{archive.BFloat16, archive.Float16}
	}
	return []string{archive.Float16}
}

// imageTowers returns the image towers in float32 and in bfloat16, ready to be loaded.
// Both are zero if one is missing. Problems that archive.Set.Resolve reports are left to
// it.
func imageTowers(ctx context.Context, set archive.Set) (plain, fast archive.File, err error) {
	entries, err := set.List()
	if err != nil {
		return plain, fast, err
	}
	names := map[string]string{}
	for _, e := range entries {
		if e.Err == nil && e.Manifest.Kind == archive.CLIPImage {
			names[e.Manifest.DType] = e.Name
		}
	}
	if names[archive.Float32] == "" || names[archive.BFloat16] == "" {
		return plain, fast, nil
	}
	for dtype, file := range map[string]*archive.File{archive.Float32: &plain, archive.BFloat16: &fast} {
		if *file, err = set.File(ctx, names[dtype]); err != nil {
			return plain, fast, err
		}
	}
	return plain, fast, nil
}

// byTime prefers bfloat16 if it is faster by the factor decisive.
func (c *chooser) byTime(ctx context.Context, o Options, plain, fast archive.File) (DTypeChoice, []string, error) {
	times, kept, err := c.times(ctx, o, plain, fast)
	if err != nil {
		return DTypeChoice{}, nil, err
	}
	choice := DTypeChoice{Float32: times.Float32, BFloat16: times.BFloat16}
	choice.Why = fmt.Sprintf("measured: a crop takes %.3g ms in float32 and %.3g ms in bfloat16 (%s; %d threads; %s)",
		1000*times.Float32.Seconds(), 1000*times.BFloat16.Seconds(), c.host.Name, o.Threads, kept)
	if times.Float32.Seconds() > decisive*times.BFloat16.Seconds() {
		return choice, []string{archive.BFloat16}, nil
	}
	return choice, []string{archive.Float32}, nil
}

// cropTimes are measured times, as a file keeps them. Processor, Libtorch and Threads are
// there for people to read.
type cropTimes struct {
	Processor string        `json:"processor"`
	Libtorch  string        `json:"libtorch"`
	Threads   int           `json:"threads"`
	Float32   time.Duration `json:"float32_ns"` // of a crop
	BFloat16  time.Duration `json:"bfloat16_ns"`
}

// times measures two image towers, or returns the times of an earlier call or process.
// kept says where they are kept, or why they aren't.
func (c *chooser) times(ctx context.Context, o Options, plain, fast archive.File) (times cropTimes, kept string, err error) {
	h := sha256.New()
	for _, part := range []string{c.host.Kind, torch.Version(), fmt.Sprint(o.Threads), plain.Manifest.Digest, fast.Manifest.Digest} {
		fmt.Fprintf(h, "%d %s\n", len(part), part)
	}
	key := hex.EncodeToString(h.Sum(nil)[:16])
	dir, err := archive.CacheDir()
	if err != nil {
		kept = "kept for this process alone: " + err.Error()
	}
	path := filepath.Join(dir, "dtype", key+".json")
	c.mu.Lock()
	defer c.mu.Unlock()
	times, found := c.known[key]
	if found {
		return times, cmp.Or(kept, "kept in "+path), nil
	}
	if kept == "" {
		if times, found = readTimes(path); found {
			c.known[key] = times
			return times, "kept in " + path, nil
		}
	}
	times = cropTimes{Processor: c.host.Name, Libtorch: torch.Version(), Threads: o.Threads}
	if times.Float32, times.BFloat16, err = measure(ctx, o.Threads, plain, fast); err != nil {
		return times, "", err
	}
	c.known[key] = times
	if kept == "" {
		kept = "kept in " + path
		if err := times.write(path); err != nil {
			kept = "kept for this process alone: " + err.Error()
			o.Logger.Debug("the measured types of weights can't be kept", "error", err)
		}
	}
	return times, kept, nil
}

// measure times a crop in two image towers, on an engine of its own.
func measure(ctx context.Context, threads int, plain, fast archive.File) (ofPlain, ofFast time.Duration, err error) {
	engine, err := torch.Start(torch.CPU, threads)
	if err != nil {
		return 0, 0, err
	}
	defer engine.Close()
	err = engine.Do(ctx, func(s *torch.Scope) error {
		var towers [2]*clip.Encoder
		for i, file := range []archive.File{plain, fast} {
			err := archive.Check(ctx, file.Path) // libtorch compares no checksums
			if err == nil {
				towers[i], err = clip.New(file)
			}
			if err == nil {
				_, err = towers[i].Load(s)
			}
			if err != nil {
				return err
			}
		}
		ofPlain, ofFast = clip.TimePerCrop(s, towers[0], towers[1])
		return s.Err()
	})
	if err != nil {
		return 0, 0, fmt.Errorf("measure which type of weights is faster: %w", err)
	}
	return ofPlain, ofFast, nil
}

// timesLimit is far more than the bytes of cropTimes.
const timesLimit = 4096

// readTimes reads a file of cropTimes. A file that isn't whole counts as missing.
func readTimes(path string) (times cropTimes, found bool) {
	file, err := files.Open(path)
	if err != nil {
		return times, false
	}
	defer file.Close()
	data, err := files.ReadAll(file, timesLimit)
	if err == nil {
		err = json.Unmarshal(data, &times)
	}
	return times, err == nil && times.Float32 > 0 && times.BFloat16 > 0
}

func (t cropTimes) write(path string) error {
	data, err := json.Marshal(t)
	return errors.Join(err, replaceFile(path, append(data, '\n')))
}
