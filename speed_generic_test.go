//go:build !race

package focal

import (
	"math"
	"strconv"
	"testing"
	"time"
)

// plainLoss is the sum of focal losses as one writes it with the math package.
func plainLoss(logits []float32, labels []int32, classes int, gamma float64) float64 {
	total := 0.0
	for i, label := range labels {
		z := logits[i*classes:][:classes]
		m := z[0]
		for _, v := range z {
			m = max(m, v)
		}
		sum := 0.0
		for _, v := range z {
			sum += math.Exp(float64(v - m))
		}
		logP := float64(z[label]-m) - math.Log(sum)
		total -= math.Pow(1-math.Exp(logP), gamma) * logP
	}
	return total
}

// TestSpecificationSpeed: where there is no assembly, exp and log take at most 1.5 times as long as the math package, and
// the softmax form at most twice as long as a loss written with it. The best of a few tries counts, each the least of many
// rounds in turn: other work on the machine only makes times longer.
func TestSpecificationSpeed(t *testing.T) {
	if testing.Short() {
		t.Skip("measures time")
	}
	use(t, generic)
	const n = 4000
	x, positive, dst, labels := make([]float32, n), make([]float32, n), make([]float32, n), make([]int32, n)
	r := newRNG(1)
	for i := range x {
		x[i] = float32(r.normal() * 4)
		positive[i] = float32(math.Exp(r.normal() * 4))
	}
	type race struct {
		name        string
		limit       float64
		ours, plain func()
	}
	races := []race{
		{"exp", 1.5, func() { expKernel(dst, x) }, func() {
			for i, v := range x {
				dst[i] = float32(math.Exp(float64(v)))
			}
		}},
		{"log", 1.5, func() { logKernel(dst, positive) }, func() {
			for i, v := range positive {
				dst[i] = float32(math.Log(float64(v)))
			}
		}},
	}
	for _, classes := range []int{5, 80, 1000} {
		l := must(NewSoftmaxLoss(SoftmaxConfig{Classes: classes, Gamma: 2}))
		labels := labels[:n/classes]
		var sum, plain float64
		races = append(races, race{"softmax loss, " + strconv.Itoa(classes) + " classes", 2,
			func() { sum = must(l.Sum(x, labels)) },
			func() { plain = plainLoss(x, labels, classes, 2) }})
		last := races[len(races)-1]
		last.ours()
		last.plain()
		if !(math.Abs(sum-plain) < 1e-5*plain) {
			t.Fatalf("%s: %v, plainly %v", last.name, sum, plain)
		}
	}
	for _, c := range races {
		best := math.Inf(1)
		for try := 0; try < 10 && !(best <= c.limit); try++ {
			ours, plain := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
			for range 60 {
				start := time.Now()
				c.ours()
				middle := time.Now()
				c.plain()
				ours, plain = min(ours, middle.Sub(start)), min(plain, time.Since(middle))
			}
			best = min(best, float64(ours)/float64(plain))
			t.Logf("%s: %.2f ns, plainly %.2f ns: %.2f times", c.name, float64(ours)/n, float64(plain)/n, float64(ours)/float64(plain))
		}
		if !(best <= c.limit) {
			t.Errorf("%s takes %.2f times as long, more than %v", c.name, best, c.limit)
		}
	}
}
