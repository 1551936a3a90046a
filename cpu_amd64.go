//go:build !purego

package focal

import "github.com/klauspost/cpuid/v2"

// What the kernels of a variant use; a test holds the assembly against these lists. That the operating system saves
// the registers (XCR0) is part of cpuid's answer.
var (
	avx2Features   = []cpuid.FeatureID{cpuid.AVX, cpuid.AVX2, cpuid.FMA3, cpuid.F16C, cpuid.CMOV}
	avx512Features = []cpuid.FeatureID{cpuid.AVX512F, cpuid.AVX512DQ, cpuid.AVX512BW, cpuid.AVX512VL, cpuid.BMI2}
)

// supported lists the variants that this CPU and operating system run, best first.
func supported() []variant { return supportedBy(&cpuid.CPU) }

func supportedBy(cpu *cpuid.CPUInfo) []variant {
	switch {
	case !cpu.Supports(avx2Features...):
		return nil
	case !cpu.Supports(avx512Features...):
		return []variant{avx2}
	}
	return []variant{avx512, avx2}
}
