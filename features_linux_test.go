package focal

import "testing"

// TestGuardFeatures runs views, smoothing, soft targets and scales on slices that begin or end at a page that must not be
// touched.
func TestGuardFeatures(t *testing.T) {
	const longest = 4200
	for _, end := range []bool{false, true} {
		logits, grad, targets := guarded(t, longest, end), guarded(t, longest, end), guarded(t, longest, end)
		labels, scales, dst := guarded(t, longest, end), guarded(t, longest, end), guarded(t, longest, end)
		cut := func(s []float32, n int) []float32 {
			if end {
				return s[longest-n:]
			}
			return s[:n]
		}
		forEachVariant(t, func(t *testing.T) {
			g := &guards{t: t, end: end}
			r := newRNG(81)
			for i := range logits {
				logits[i], targets[i], scales[i] = float32(3*r.normal()), float32(r.float()), float32(r.normal())
			}
			for _, classes := range []int{1, 2, 3, 5, 16, 17, 21, 33, 80, 129, 1500} {
				plain := must(NewSoftmaxLoss(SoftmaxConfig{Classes: classes, Gamma: 2}))
				smooth := must(NewSoftmaxLoss(SoftmaxConfig{Classes: classes, Gamma: 2, Smoothing: 0.1}))
				other := must(NewOneVsRestLoss(OneVsRestConfig{Classes: classes, Gamma: 2, Smoothing: 0.1}))
				soft := must(NewSoftTargetLoss(SoftTargetConfig{Classes: classes, Gamma: 2}))
				for _, rows := range []int{1, 2, 7, 8, 9, 16, 17, 33, 50} {
					n := rows * classes
					if n > longest {
						break
					}
					x, dx, y := cut(logits, n), cut(grad, n), cut(targets, n)
					t32, s, d := asLabels(cut(labels, rows)), cut(scales, rows), cut(dst, rows)
					planar, otherPlanar, strided := plain.Planes(rows), other.Planes(rows), plain.Strided(classes)
					for name, f := range map[string]func() (float64, error){
						"smoothing":             func() (float64, error) { return smooth.Grad(dx, x, t32, 1) },
						"one-vs-rest smoothing": func() (float64, error) { return other.Grad(dx, x, t32, 1) },
						"soft targets":          func() (float64, error) { return soft.Grad(dx, x, y, 1) },
						"scales":                func() (float64, error) { return plain.GradRows(dx, x, t32, s) },
						"planes":                func() (float64, error) { return planar.Grad(dx, x, t32, 1) },
						"one-vs-rest planes":    func() (float64, error) { return otherPlanar.Grad(dx, x, t32, 1) },
						"strided":               func() (float64, error) { return strided.Grad(dx, x, t32, 1) },
						"softmax planes":        func() (float64, error) { SoftmaxPlanes(dx, x, classes, rows); return 0, nil },
						"LogProbs":              func() (float64, error) { return 0, LogProbs(d, x, t32, classes) },
					} {
						g.noFault(func() { must(f()) }, "%s, %d rows of %d classes", name, rows, classes)
					}
				}
			}
		})
	}
}
