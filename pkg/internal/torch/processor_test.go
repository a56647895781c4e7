package torch

import (
	"strings"
	"testing"
)

func TestParseProcessor(t *testing.T) {
	const arm = "processor\t: %\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd bf16\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n\n"
	tests := []struct {
		name, cpuinfo string
		want          Processor // without Kind
	}{
		{"x86 without", "model name\t: A @ 2GHz\nflags\t\t: fpu avx512f\n", Processor{Name: "A @ 2GHz"}},
		{"VNNI of AVX-512", "model name\t: A\nflags\t\t: avx512f avx512_vnni\n", Processor{Name: "A", VNNI: true}},
		{"VNNI of AVX2", "model name\t: A\nflags\t\t: avx2 avx_vnni\n", Processor{Name: "A", VNNI: true}},
		{"AVX-512", "model name\t: A\nflags\t\t: avx512f avx512_bf16\n", Processor{Name: "A", BFloat16: true}},
		{"AMX", "model name\t: A\nflags\t\t: avx512_bf16 amx_tile amx_bf16\n", Processor{Name: "A", BFloat16: true, AMX: true}},
		{"AMX that isn't for bfloat16", "model name\t: A\nflags\t\t: amx_tile amx_int8\n", Processor{Name: "A"}},
		{"arm64", strings.ReplaceAll(arm, "%", "0") + strings.ReplaceAll(arm, "%", "1"), Processor{Name: "implementer 0x41, part 0xd40", BFloat16: true}},
		{"arm64 with cores of two kinds", arm + strings.NewReplacer(" bf16", "", "d40", "d41").Replace(arm), Processor{Name: "implementer 0x41, part 0xd40, part 0xd41"}},
		{"nothing", "", Processor{Name: "unknown"}},
	}
	for _, test := range tests {
		got := parseProcessor(test.cpuinfo)
		if got.Name != test.want.Name || got.BFloat16 != test.want.BFloat16 || got.AMX != test.want.AMX || got.VNNI != test.want.VNNI {
			t.Errorf("%s: got %+v, want %+v", test.name, got, test.want)
		}
	}
}

func TestProcessorKind(t *testing.T) {
	const one = "processor\t: 0\nmodel name\t: A\nstepping\t: 6\ncpu MHz\t\t: 2793.436\nflags\t\t: avx512f\n\n"
	kind := func(cpuinfo string) string { return parseProcessor(cpuinfo).Kind }
	for _, same := range []string{one + one, strings.ReplaceAll(one, "2793", "800"), one + strings.Replace(one, ": 0", ": 1", 1)} {
		if kind(same) != kind(one) {
			t.Errorf("another kind:\n%s", same)
		}
	}
	for _, other := range []string{strings.ReplaceAll(one, ": A", ": B"), strings.ReplaceAll(one, ": 6", ": 7"), strings.ReplaceAll(one, "avx512f", "avx2")} {
		if kind(other) == kind(one) {
			t.Errorf("the same kind:\n%s", other)
		}
	}
	if got := HostProcessor(); got.Name == "unknown" || got.Kind == "" {
		t.Errorf("this machine's processor is %+v", got)
	}
}
