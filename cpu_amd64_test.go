//go:build !purego

package focal

import (
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/cpuid/v2"
)

// TestSupportedBy tries CPUs that lack one feature, and CPUs whose operating system does not save a register set (of
// which cpuid then shows none of the features).
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
