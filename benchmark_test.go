package focal

import (
	"fmt"
	"math"
	"testing"
)

// The benchmarks run every variant in one process, beside what one writes without the package (impl=math) and, as a
// floor, beside a copy of the same memory (impl=copy):
//
//	go test -run '^$' -bench . -count 10 > new.txt && benchstat -col /impl new.txt
//
// ns/elem is the time per element or logit; MB/s counts each byte of the working set once, whose size is set-bytes.
// Against other libraries: go run -C bench .

// benchmark runs f, which touches bytes of memory for n elements.
func benchmark(b *testing.B, impl string, n, bytes int, f func()) {
	b.Run("impl="+impl, func(b *testing.B) {
		b.SetBytes(int64(bytes))
		for b.Loop() {
			f()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/elem")
		b.ReportMetric(float64(bytes), "set-bytes")
	})
}

// benchmarkVariants runs f in every available variant.
func benchmarkVariants(b *testing.B, n, bytes int, f func()) {
	for _, v := range available {
		old := active
		active = v
		benchmark(b, v.String(), n, bytes, f)
		active = old
	}
}

// vectorSizes are those of a call's overhead, and of the first-level, second-level and no cache.
var vectorSizes = []int{1, 8, 16, 80, 4096, 65536, 1 << 22}

func benchmarkVector(b *testing.B, f func(dst, x []float32), scalar func(float64) float64, value func(r *rng) float64) {
	for _, n := range vectorSizes {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			r := newRNG(1)
			dst, x := make([]float32, n), make([]float32, n)
			for i := range x {
				x[i] = float32(value(r))
			}
			benchmarkVariants(b, n, 8*n, func() { f(dst, x) })
			benchmark(b, "math", n, 8*n, func() {
				for i, v := range x {
					dst[i] = float32(scalar(float64(v)))
				}
			})
			benchmark(b, "copy", n, 8*n, func() { copy(dst, x) })
		})
	}
}

func around0(r *rng) float64  { return 20*r.float() - 10 }
func from0to1(r *rng) float64 { return r.float() + 0x1p-30 }

func BenchmarkExp(b *testing.B) { benchmarkVector(b, Exp, math.Exp, around0) }

func BenchmarkLog(b *testing.B) { benchmarkVector(b, Log, math.Log, from0to1) }

func BenchmarkPow(b *testing.B) {
	pow := func(dst, x []float32) { Pow(dst, x, 2.5) }
	benchmarkVector(b, pow, func(x float64) float64 { return math.Pow(x, 2.5) }, from0to1)
}

func BenchmarkSigmoid(b *testing.B) {
	benchmarkVector(b, Sigmoid, func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }, around0)
}

// benchmarkShapes are a single row of few, some and many classes, and batches of about 80,000 logits.
var benchmarkShapes = []struct{ rows, classes int }{
	{1, 1}, {1, 8}, {1, 16}, {1, 80}, {1, 1000}, {1, 151936}, {10000, 5}, {1000, 80}, {80, 1000},
}

// benchmarkRows runs f on logits and labels of each shape; out has the shape of logits.
func benchmarkRows(b *testing.B, bytes func(rows, classes int) int, f func(classes int) func(out, logits []float32, labels []int32)) {
	for _, s := range benchmarkShapes {
		b.Run(fmt.Sprintf("rows=%d/classes=%d", s.rows, s.classes), func(b *testing.B) {
			r := newRNG(1)
			n := s.rows * s.classes
			out, logits, labels := make([]float32, n), make([]float32, n), make([]int32, s.rows)
			for i := range logits {
				logits[i] = float32(3 * r.normal())
			}
			for i := range labels {
				labels[i] = int32(r.below(s.classes))
			}
			call := f(s.classes)
			benchmarkVariants(b, n, bytes(s.rows, s.classes), func() { call(out, logits, labels) })
		})
	}
}

func oneMatrix(rows, classes int) int   { return 4 * (rows*classes + rows) }
func twoMatrices(rows, classes int) int { return 4 * (2*rows*classes + rows) }

func BenchmarkSoftmax(b *testing.B) {
	benchmarkRows(b, twoMatrices, func(classes int) func(out, logits []float32, labels []int32) {
		return func(out, logits []float32, labels []int32) { Softmax(out, logits, classes) }
	})
}

func BenchmarkLogSoftmax(b *testing.B) {
	benchmarkRows(b, twoMatrices, func(classes int) func(out, logits []float32, labels []int32) {
		return func(out, logits []float32, labels []int32) { LogSoftmax(out, logits, classes) }
	})
}

func BenchmarkLogSumExp(b *testing.B) {
	benchmarkRows(b, oneMatrix, func(classes int) func(out, logits []float32, labels []int32) {
		return func(out, logits []float32, labels []int32) { LogSumExp(out[:len(labels)], logits, classes) }
	})
}

// benchmarkRowLoss runs Sum and Grad of a loss on rows.
func benchmarkRowLoss[L interface {
	Sum(logits []float32, labels []int32) (float64, error)
	Grad(grad, logits []float32, labels []int32, scale float32) (float64, error)
}](b *testing.B, configure func(classes int) (L, error)) {
	check := func(err error) {
		if err != nil {
			b.Error(err)
		}
	}
	b.Run("Sum", func(b *testing.B) {
		benchmarkRows(b, oneMatrix, func(classes int) func(out, logits []float32, labels []int32) {
			l, err := configure(classes)
			check(err)
			return func(out, logits []float32, labels []int32) {
				_, err := l.Sum(logits, labels)
				check(err)
			}
		})
	})
	b.Run("Grad", func(b *testing.B) {
		benchmarkRows(b, twoMatrices, func(classes int) func(out, logits []float32, labels []int32) {
			l, err := configure(classes)
			check(err)
			return func(out, logits []float32, labels []int32) {
				_, err := l.Grad(out, logits, labels, 1)
				check(err)
			}
		})
	})
}

func BenchmarkSoftmaxLoss(b *testing.B) {
	benchmarkRowLoss(b, func(classes int) (*SoftmaxLoss, error) {
		return NewSoftmaxLoss(SoftmaxConfig{Classes: classes, Gamma: 2, Alpha: BackgroundAlpha(0.25, classes)})
	})
}

func BenchmarkOneVsRestLoss(b *testing.B) {
	benchmarkRowLoss(b, func(classes int) (*OneVsRestLoss, error) {
		return NewOneVsRestLoss(OneVsRestConfig{Classes: classes, Gamma: 2, Alpha: 0.25})
	})
}

func BenchmarkSigmoidLoss(b *testing.B) {
	l, err := NewSigmoidLoss(SigmoidConfig{Gamma: 2, Alpha: 0.25})
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range vectorSizes {
		r := newRNG(1)
		grad, logits, targets := make([]float32, n), make([]float32, n), make([]float32, n)
		for i := range logits {
			logits[i] = float32(3 * r.normal())
			targets[i] = float32(r.below(2))
		}
		b.Run(fmt.Sprintf("Sum/n=%d", n), func(b *testing.B) {
			benchmarkVariants(b, n, 8*n, func() {
				if _, err := l.Sum(logits, targets); err != nil {
					b.Error(err)
				}
			})
		})
		b.Run(fmt.Sprintf("Grad/n=%d", n), func(b *testing.B) {
			benchmarkVariants(b, n, 12*n, func() {
				if _, err := l.Grad(grad, logits, targets, 1); err != nil {
					b.Error(err)
				}
			})
		})
	}
}
