package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/cpuid/v2"

	"github.com/gofocal/focal"
)

// A machine is where a report was made.
type machine struct {
	CPU      string  `json:"cpu"`
	OS       string  `json:"os"`
	Arch     string  `json:"arch"`
	Cores    int     `json:"cores"`
	Features string  `json:"features,omitempty"` // of those that choose a variant
	Caches   string  `json:"caches,omitempty"`
	GHz      float64 `json:"ghz"` // measured
	Governor string  `json:"governor,omitempty"`
	Go       string  `json:"go"`
	Variant  string  `json:"variant"`
}

func thisMachine() machine {
	cpu := &cpuid.CPU
	m := machine{
		CPU: cpu.BrandName, OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.NumCPU(), GHz: clock(),
		Go: runtime.Version(), Variant: focal.Variant(),
	}
	if m.CPU == "" {
		m.CPU = "unknown " + runtime.GOARCH
	}
	if cpu.Family > 0 { // the names of virtual machines' CPUs tell little
		m.CPU = fmt.Sprintf("%s (family %#x, model %#x)", m.CPU, cpu.Family, cpu.Model)
	}
	var features []string
	for _, f := range []cpuid.FeatureID{
		cpuid.AVX2, cpuid.FMA3, cpuid.AVX512F, cpuid.AVX512DQ, cpuid.AVX512BW, cpuid.AVX512VL, cpuid.ASIMD,
	} {
		if cpu.Supports(f) {
			features = append(features, f.String())
		}
	}
	m.Features = strings.Join(features, " ")
	if c := cpu.Cache; c.L1D > 0 {
		m.Caches = fmt.Sprintf("L1d %d KiB, L2 %d KiB, L3 %d KiB", c.L1D>>10, max(c.L2, 0)>>10, max(c.L3, 0)>>10)
	}
	if b, err := os.ReadFile("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"); err == nil {
		m.Governor = string(bytes.TrimSpace(b))
	}
	return m
}

func (m *machine) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d cores, %s/%s, %s, %.2f GHz measured", m.CPU, m.Cores, m.OS, m.Arch, m.Go, m.GHz)
	for _, s := range []string{m.Features, m.Caches} {
		if s != "" {
			fmt.Fprintf(&b, "\n%s", s)
		}
	}
	if m.Governor != "" {
		fmt.Fprintf(&b, "\ngovernor %s", m.Governor)
	}
	fmt.Fprintf(&b, "\nactive variant of focal: %s", m.Variant)
	return b.String()
}

// fileName is what the results of the machine are called.
func (m *machine) fileName() string {
	var words []string
	for _, w := range strings.FieldsFunc(strings.ToLower(m.CPU), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}) {
		if !slices.Contains([]string{"r", "tm", "cpu", "processor", "family", "model"}, w) {
			words = append(words, w)
		}
	}
	return filepath.Join(resultsDir, strings.Join(words, "-")+".json")
}

// clock measures the frequency of the core, in GHz: a chain of dependent additions and exclusive ors takes a cycle for
// each on every CPU of our time. The quickest of some rounds counts: others were disturbed.
func clock() float64 {
	const rounds, steps = 40, 20_000
	best := math.Inf(1)
	for range rounds {
		start := time.Now()
		chain = dependentChain(chain, steps)
		best = min(best, float64(time.Since(start)))
	}
	return 16 * steps / best
}

var chain uint64 // keeps the compiler from leaving the work out

//go:noinline
func dependentChain(x uint64, steps int) uint64 {
	y := x | 1
	for range steps {
		x += y
		x ^= y
		x += y
		x ^= y
		x += y
		x ^= y
		x += y
		x ^= y
		x += y
		x ^= y
		x += y
		x ^= y
		x += y
		x ^= y
		x += y
		x ^= y
	}
	return x
}

// warnings say what makes times doubtful.
func warnings(m *machine, after float64, timings []timing) []string {
	var list []string
	if m.Governor != "" && m.Governor != "performance" {
		list = append(list, fmt.Sprintf("the CPU's governor is %q, not performance: the clock may vary", m.Governor))
	}
	if math.Abs(after/m.GHz-1) > 0.05 {
		list = append(list, fmt.Sprintf("the clock was %.2f GHz at the start and %.2f GHz at the end", m.GHz, after))
	}
	const limit = 0.15
	noisy := 0
	for _, t := range timings {
		if t.spread() > limit {
			noisy++
		}
	}
	if 10*noisy > len(timings) {
		list = append(list, fmt.Sprintf("the machine is noisy: of %d times, %d have quartiles more than %.0f%% apart",
			len(timings), noisy, 100*limit))
	}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		var load float64
		if _, err := fmt.Sscan(string(b), &load); err == nil && load > 1.5 {
			list = append(list, fmt.Sprintf("the load average is %.1f: something else is running", load))
		}
	}
	return list
}
