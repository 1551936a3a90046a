//go:build !race && !asan

package focal

import "testing"

// Nothing allocates, and a caller's buffers stay on its stack. (With the race detector or the address sanitizer they escape to it.)
func TestNoAllocation(t *testing.T) {
	const rows, classes = 2 * SumBlock, 3
	softmax := must(NewSoftmaxLoss(SoftmaxConfig{Classes: classes, Gamma: 2.2, Alpha: []float32{1, 2, 3}}))
	ignoring := must(NewSoftmaxLoss(SoftmaxConfig{Classes: classes, Gamma: 2, IgnoreLabels: []int32{-100, 0}}))
	oneVsRest := must(NewOneVsRestLoss(OneVsRestConfig{Classes: classes, Gamma: 2, IgnoreLabels: []int32{-100}}))
	smooth := must(NewSoftmaxLoss(SoftmaxConfig{Classes: classes, Gamma: 2, Smoothing: 0.1}))
	smoothOVR := must(NewOneVsRestLoss(OneVsRestConfig{Classes: classes, Gamma: 2, Smoothing: 0.1}))
	soft := must(NewSoftTargetLoss(SoftTargetConfig{Classes: classes, Gamma: 2, Alpha: []float32{1, 2, 3}}))
	sigmoid := must(NewSigmoidLoss(SigmoidConfig{Gamma: 2, Alpha: 0.25}))
	check := func(_ float64, err error) {
		if err != nil {
			t.Error(err)
		}
	}
	tests := map[string]func(){
		"Exp":        func() { var x [rows]float32; Exp(x[:], x[:]) },
		"Log":        func() { var x [rows]float32; Log(x[:], x[:]) },
		"Pow":        func() { var x [rows]float32; Pow(x[:], x[:], 2.2) },
		"Pow 0":      func() { var x [rows]float32; Pow(x[:], x[:], 0) },
		"Sigmoid":    func() { var x [rows]float32; Sigmoid(x[:], x[:]) },
		"Softmax":    func() { var x [rows]float32; Softmax(x[:], x[:], 4) },
		"LogSoftmax": func() { var x [rows]float32; LogSoftmax(x[:], x[:], 4) },
		"LogSumExp":  func() { var x [rows]float32; var y [rows / 4]float32; LogSumExp(y[:], x[:], 4) },
		"halves": func() {
			var x [rows]float32
			var h [rows]uint16
			NarrowBFloat16(h[:], x[:])
			WidenBFloat16(x[:], h[:])
			NarrowFloat16(h[:], x[:])
			WidenFloat16(x[:], h[:])
		},
		"LogProbs": func() {
			var x [rows * classes]float32
			var labels [rows]int32
			var wide [rows]int64
			var dst [rows]float32
			check(0, CheckedLabels(labels[:], wide[:]))
			check(0, LogProbs(dst[:], x[:], labels[:], classes))
			check(Total(dst[:]), nil)
		},
		"SoftTargetLoss": func() {
			var x, y, grad [rows * classes]float32
			var dst [rows]float32
			check(soft.Sum(x[:], y[:]))
			check(soft.Mean(x[:], y[:]))
			check(0, soft.Each(dst[:], x[:], y[:]))
			check(soft.Grad(grad[:], x[:], y[:], 1))
		},
		"smoothing": func() {
			var x, grad [rows * classes]float32
			var labels [rows]int32
			check(smooth.Sum(x[:], labels[:]))
			check(smooth.Grad(grad[:], x[:], labels[:], 1))
			check(smoothOVR.Sum(x[:], labels[:]))
			check(smoothOVR.Grad(grad[:], x[:], labels[:], 1))
		},
		"views": func() {
			var x, grad [rows * classes]float32
			var labels [rows]int32
			planar, strided := softmax.Planes(16), ignoring.Strided(classes)
			check(planar.Sum(x[:], labels[:]))
			check(planar.Grad(grad[:], x[:], labels[:], 1))
			check(strided.Sum(x[:], labels[:]))
			check(strided.Grad(grad[:], x[:], labels[:], 1))
			other := oneVsRest.Planes(5)
			check(other.Grad(grad[:rows/5*5*classes], x[:rows/5*5*classes], labels[:rows/5*5], 1))
			SoftmaxPlanes(grad[:], x[:], classes, 16)
		},
		"Variant": func() { _ = Variant() },
		"SigmoidLoss": func() {
			var x, y, dst [rows]float32
			check(sigmoid.Sum(x[:], y[:]))
			check(sigmoid.Mean(x[:], y[:]))
			check(sigmoid.Sum(x[:1], y[:1]))
			check(0, sigmoid.Each(dst[:], x[:], y[:]))
			check(sigmoid.Grad(dst[:], x[:], y[:], 1))
			check(sigmoid.Grad(dst[:1], x[:1], y[:1], 1))
			check(sigmoid.GradRows(dst[:], x[:], y[:], y[:]))
		},
		"OneVsRestLoss": func() {
			var x, grad [rows * classes]float32
			var labels [rows]int32
			var dst [rows]float32
			labels[1], labels[2] = -100, classes
			check(oneVsRest.Sum(x[:], labels[:]))
			check(oneVsRest.Mean(x[:], labels[:]))
			check(oneVsRest.Sum(x[:classes], labels[:1]))
			check(0, oneVsRest.Each(dst[:], x[:], labels[:]))
			check(oneVsRest.Grad(grad[:], x[:], labels[:], 1))
			check(oneVsRest.GradRows(grad[:], x[:], labels[:], dst[:]))
			n, err := oneVsRest.Count(labels[:])
			check(float64(n), err)
			n, err = oneVsRest.Positives(labels[:])
			check(float64(n), err)
		},
	}
	for name, l := range map[string]*SoftmaxLoss{"SoftmaxLoss": softmax, "SoftmaxLoss that ignores": ignoring} {
		tests[name] = func() {
			var x, grad [rows * classes]float32
			var labels [rows]int32
			var dst [rows]float32
			check(l.Sum(x[:], labels[:]))
			check(l.Mean(x[:], labels[:]))
			check(l.Sum(x[:classes], labels[:1]))
			check(0, l.Each(dst[:], x[:], labels[:]))
			check(l.Grad(grad[:], x[:], labels[:], 1))
			check(l.GradRows(grad[:], x[:], labels[:], dst[:]))
			n, err := l.Count(labels[:])
			check(float64(n), err)
		}
	}
	forEachVariant(t, func(t *testing.T) {
		for name, f := range tests {
			if n := testing.AllocsPerRun(5, f); n != 0 {
				t.Errorf("%s allocates %v times", name, n)
			}
		}
	})
}
