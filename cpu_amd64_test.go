//go:build !purego

package focal

import (
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/cpuid/v2"
)

// TestSupportedBy tries CPUs that lack one feature, and the sets of features of real ones.
func TestSupportedBy(t *testing.T) {
	with := func(lacking ...cpuid.FeatureID) *cpuid.CPUInfo {
		var c cpuid.CPUInfo
		c.Enable(avx2Features...)
		c.Enable(avx512Features...)
		c.Disable(lacking...)
		return &c
	}
	check := func(name string, c *cpuid.CPUInfo, want ...variant) {
		t.Helper()
		if got := supportedBy(c); !slices.Equal(got, want) {
			t.Errorf("%s: supportedBy = %v, want %v", name, got, want)
		}
	}
	check("all", with(), avx512, avx2)
	check("none", &cpuid.CPUInfo{})
	for _, f := range avx512Features {
		check("without "+f.String(), with(f), avx2)
	}
	for _, f := range avx2Features {
		check("without "+f.String(), with(f))
	}

	// CPUs as they are or as a hypervisor shows them. What the operating system does not save, cpuid leaves out; BMI and
	// FMA need no state of their own.
	sse := []cpuid.FeatureID{cpuid.CMOV, cpuid.SSE, cpuid.SSE2, cpuid.SSE3, cpuid.SSSE3, cpuid.SSE4, cpuid.SSE42, cpuid.POPCNT}
	avx := append(slices.Clone(sse), cpuid.OSXSAVE, cpuid.AVX)
	haswell := append(slices.Clone(avx), cpuid.AVX2, cpuid.FMA3, cpuid.F16C, cpuid.BMI1, cpuid.BMI2, cpuid.LZCNT, cpuid.MOVBE)
	foundation := append(slices.Clone(haswell), cpuid.AVX512F, cpuid.AVX512CD)
	for _, c := range []struct {
		name     string
		features []cpuid.FeatureID
		want     []variant
	}{
		{"Nehalem: no AVX", sse, nil},
		{"Sandy Bridge: AVX, no AVX2", avx, nil},
		{"Haswell, whose system saves no AVX state", append(slices.Clone(sse), cpuid.BMI1, cpuid.BMI2), nil},
		{"the same, with FMA shown", append(slices.Clone(sse), cpuid.FMA3, cpuid.BMI2), nil},
		{"Piledriver: AVX and FMA, no AVX2", append(slices.Clone(avx), cpuid.FMA3, cpuid.FMA4, cpuid.BMI1), nil},
		{"AVX2 without FMA", append(slices.Clone(avx), cpuid.AVX2, cpuid.BMI1, cpuid.BMI2), nil},
		{"Haswell", haswell, []variant{avx2}},
		{"Alder Lake: hybrid, no AVX-512", append(slices.Clone(haswell), cpuid.HYBRID_CPU, cpuid.AVXVNNI), []variant{avx2}},
		{"Knights Landing: AVX-512 without VL, DQ and BW", append(slices.Clone(foundation), cpuid.AVX512ER, cpuid.AVX512PF), []variant{avx2}},
		{"AVX-512 without VL", append(slices.Clone(foundation), cpuid.AVX512DQ, cpuid.AVX512BW), []variant{avx2}},
		{"Skylake-X", append(slices.Clone(foundation), cpuid.AVX512DQ, cpuid.AVX512BW, cpuid.AVX512VL), []variant{avx512, avx2}},
		{"AVX-512 without AVX2", append(slices.Clone(sse), avx512Features...), nil},
	} {
		var cpu cpuid.CPUInfo
		cpu.Enable(c.features...)
		check(c.name, &cpu, c.want...)
	}
}

// TestRequiredFeatures holds the instruction sets that the generator found the kernels to use against those that
// supportedBy asks for.
func TestRequiredFeatures(t *testing.T) {
	wide := append(slices.Clone(avx2Features), avx512Features...)
	for _, fn := range readAsm(t, "focal_amd64.s") {
		asked := wide
		if strings.HasSuffix(fn.name, variantSuffix["avx2"]) {
			asked = avx2Features
		}
		if len(fn.requires) == 0 {
			t.Errorf("%s: no list of instruction sets", fn.name)
		}
		for _, name := range fn.requires {
			if !slices.ContainsFunc(asked, func(f cpuid.FeatureID) bool { return f.String() == name }) {
				t.Errorf("%s uses %s, which cpu_amd64.go does not ask for", fn.name, name)
			}
		}
	}
}
