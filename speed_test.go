package focal

import (
	"math"
	"testing"
	"time"
)

// TestNoCliffs holds that no input makes the assembly much slower than ordinary data. The limits of the design are 2,
// and 4 in Pow; here they are doubled, for busy machines: one operation on subnormal numbers too many shows as 10 or
// more. It also holds that ordinary data takes the fast path of Pow, which results do not show. The sigmoid form is held for
// gamma 2: below 1.5 losses beyond |x| = 87 are subnormal numbers themselves, and take longer. Rows that are not plain may take
// 2.5 times as long: they are begun as plain ones.
func TestNoCliffs(t *testing.T) {
	if testing.Short() {
		t.Skip("measures time")
	}
	p, focal := newPowParams(2.5), newLossParams(1, 2, nil, 0.25, 0.75)
	targets, grad, labels, rows := make([]float32, 4096), make([]float32, 4096), make([]int32, 51), newLossParams(80, 2, nil, 1, 1)
	for i := range targets {
		targets[i] = float32(i & 1)
	}
	kernels := []struct {
		name   string
		limit  float64
		kernel func(dst, x []float32)
	}{
		{"exp", 4, expKernel},
		{"log", 4, logKernel},
		{"sigmoid", 4, sigmoidKernel},
		{"pow", 8, func(dst, x []float32) { powKernel(dst, x, &p) }},
		{"sigmoidLoss", 4, func(dst, x []float32) { sigmoidLossKernel(dst, x, targets[:len(x)], &focal) }},
		{"sigmoidGrad", 4, func(dst, x []float32) { sigmoidGradKernel(dst, grad[:len(x)], x, targets[:len(x)], &focal, 1) }},
		{"softmaxLoss", 5, func(dst, x []float32) { softmaxLossKernel(dst, x[:80*len(labels)], labels, &rows) }},
		{"softmaxGrad", 5, func(dst, x []float32) {
			softmaxGradKernel(grad, dst[:80*len(labels)], x[:80*len(labels)], labels, &rows, 1)
		}},
		{"softmax", 5, func(dst, x []float32) { softmaxKernel(dst[:80*len(labels)], x[:80*len(labels)], 80) }},
		{"logSumExp", 5, func(dst, x []float32) { logSumExpKernel(dst[:len(labels)], x[:80*len(labels)], 80) }},
		{"narrowFloat16", 4, func(dst, x []float32) { narrowFloat16Kernel(asHalves(dst)[:len(x)], x) }},
		{"widenFloat16", 4, func(dst, x []float32) { widenFloat16Kernel(dst, asHalves(x)[:len(dst)]) }},
	}
	x, dst := make([]float32, 4096), make([]float32, 4096)
	forEachVariant(t, func(t *testing.T) {
		if active == generic {
			t.Skip("assembly only")
		}
		for _, k := range kernels {
			measure := func() time.Duration {
				best := time.Duration(math.MaxInt64)
				for range 50 {
					start := time.Now()
					for range 4 {
						k.kernel(dst, x)
					}
					best = min(best, time.Since(start))
				}
				return best
			}
			ordinaryValues(random(1), x)
			ordinary := measure()
			for _, v := range []float64{0, 1e-42, -1e-42, 1e-30, 80, 88, -80, -88, -100, -120, 1e30, -1e30, math.Inf(1), math.Inf(-1), math.NaN()} {
				for i := range x {
					x[i] = float32(v)
				}
				ratio := float64(measure()) / float64(ordinary)
				if ratio > k.limit {
					t.Errorf("%s: %v takes %.1f times as long as ordinary data, more than %v", k.name, v, ratio, k.limit)
				}
				if k.name == "pow" && math.IsNaN(v) && ratio < 1.3 {
					t.Errorf("pow: ordinary data takes as long as NaN: it takes the slow path")
				}
			}
		}
	})
}
