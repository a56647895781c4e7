package torch

import (
	"cmp"
	"os"
	"slices"
	"strings"
	"sync"
)

// Processor describes a processor as /proc/cpuinfo does.
type Processor struct {
	Name     string // such as "Intel(R) Xeon(R) Processor @ 2.80GHz", or "unknown"
	Kind     string // what tells kinds apart: name, family, instructions
	BFloat16 bool   // has instructions that multiply bfloat16
	AMX      bool   // has AMX instructions, which multiply matrices
	VNNI     bool   // has instructions that multiply and add 8-bit integers
}

// HostProcessor returns the processor of this machine.
var HostProcessor = sync.OnceValue(func() Processor {
	text, _ := os.ReadFile("/proc/cpuinfo") // without it everything is unknown
	return parseProcessor(string(text))
})

// processorKind are the lines of /proc/cpuinfo that tell kinds of processors apart, on
// x86 and on arm64.
var processorKind = []string{
	"vendor_id", "cpu family", "model", "model name", "stepping", "flags",
	"CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision", "Features",
}

// parseProcessor reads /proc/cpuinfo. A machine with cores of several kinds has the names
// of all, and the instructions that all have.
func parseProcessor(cpuinfo string) Processor {
	var kind, names, parts []string
	bfloat16, amx, vnni := true, true, true
	instructions := 0 // the number of lines of them
	add := func(list *[]string, value string) {
		if !slices.Contains(*list, value) {
			*list = append(*list, value)
		}
	}
	for line := range strings.Lines(cpuinfo) {
		key, value, _ := strings.Cut(line, ":")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if slices.Contains(processorKind, key) {
			add(&kind, key+": "+value)
		}
		switch key {
		case "model name":
			add(&names, value)
		case "CPU implementer":
			add(&parts, "implementer "+value)
		case "CPU part":
			add(&parts, "part "+value)
		case "flags", "Features":
			has := strings.Fields(value)
			tiles := slices.Contains(has, "amx_bf16")
			bfloat16 = bfloat16 && (tiles || slices.Contains(has, "avx512_bf16") || slices.Contains(has, "bf16"))
			amx = amx && tiles
			vnni = vnni && (slices.Contains(has, "avx512_vnni") || slices.Contains(has, "avx_vnni"))
			instructions++
		}
	}
	if len(names) == 0 {
		names = parts // an arm64 processor only has numbers
	}
	return Processor{
		Name:     cmp.Or(strings.Join(names, ", "), "unknown"),
		Kind:     strings.Join(kind, "\n"),
		BFloat16: bfloat16 && instructions > 0,
		AMX:      amx && instructions > 0,
		VNNI:     vnni && instructions > 0,
	}
}
