//go:build !purego

package focal

import (
	"slices"
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
