package focal

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
)

// scaledForm is what the losses with a label per row have besides rowForm.
type scaledForm interface {
	rowForm
	GradRows(grad, logits []float32, labels []int32, scales []float32) (float64, error)
}

// awkwardScales are among the scales of the tests.
var awkwardScales = []float32{0, float32(math.Copysign(0, -1)), 1, -1, 2, 1e-30, 1e38, 1e-44, nan32, inf32, -inf32}

// The part of identity that belongs to GradRows.
func init() {
	identity["weigh"] = func(t *testing.T) {
		scales := make([]float32, 4*chunk)
		scaled := func(weigh func(losses, scales []float32)) func(dst, x []float32) {
			return func(dst, x []float32) {
				for i, v := range x { // an element has its scale wherever it is
					b := math.Float32bits(v)
					scales[i] = append(awkwardScales, math.Float32frombits(b*0x9e3779b9))[b%uint32(len(awkwardScales)+1)]
				}
				copy(dst, x)
				weigh(dst, scales[:len(x)])
			}
		}
		testElementwise(t, "weigh", scaled(weighKernel), scaled(weighGeneric))
	}
	identity["sigmoidGradScaled"] = func(t *testing.T) {
		r := random(42)
		n := 5003
		x, y, scales := make([]float32, n), make([]float32, n), make([]float32, n)
		got, want, gotGrad, wantGrad := make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, n)
		for _, gamma := range identityGammas {
			mixture(r, x)
			mixture(r, scales)
			for i := range y {
				y[i] = []float32{0, 1, r.Float32()}[r.IntN(3)]
				if i%3 > 0 {
					x[i], scales[i] = float32(r.NormFloat64()*5), awkwardScales[r.IntN(len(awkwardScales))]
				}
			}
			p := newLossParams(1, gamma, nil, 0.25, 0.75)
			sigmoidGradScaledGeneric(want, wantGrad, x, y, scales, &p)
			sigmoidGradScaledKernel(got, gotGrad, x, y, scales, &p)
			sameBits(t, fmt.Sprintf("gamma %g, loss", gamma), x, got, want)
			sameBits(t, fmt.Sprintf("gamma %g, gradient", gamma), x, gotGrad, wantGrad)
		}
		p := newLossParams(1, 2, nil, 0.25, 0.75)
		testPlaces(t, "gradient with scales",
			func(dst, x []float32) { sigmoidGradScaledKernel(got[:len(x)], dst, x, y[:len(x)], scales[:len(x)], &p) },
			func(dst, x []float32) {
				sigmoidGradScaledGeneric(want[:len(x)], dst, x, y[:len(x)], scales[:len(x)], &p)
			})
	}
}

// weighed is the sum that GradRows has to return.
func weighed(losses, scales []float32, counts func(i int) bool) float64 {
	terms := slices.Clone(losses)
	for i, s := range scales {
		terms[i] *= s
		if s == 0 || !counts(i) {
			terms[i] = 0
		}
	}
	return Total(terms)
}

// TestGradRows: every row has the bits that Grad gives it with that scale; the sum is that of the products.
func TestGradRows(t *testing.T) {
	const classes = 5
	ignore := []int32{-100, 1}
	forEachVariant(t, func(t *testing.T) {
		forBothForms(t, classes, ignore, func(t *testing.T, f rowForm, top int32) {
			l := f.(scaledForm)
			r := newRNG(43)
			for _, n := range append(splits, 0) {
				logits, labels, scales := make([]float32, n*classes), make([]int32, n), make([]float32, n)
				for i := range logits {
					logits[i] = float32(3 * r.normal())
				}
				for i := range labels {
					labels[i] = []int32{-100, 1, 0, 2, top}[r.below(5)]
					scales[i] = float32(r.normal())
					if r.below(3) == 0 {
						scales[i] = awkwardScales[r.below(len(awkwardScales))]
					}
					if i > 0 && r.below(3) == 0 {
						scales[i] = scales[i-1]
					}
					if r.below(20) == 0 {
						logits[i*classes+r.below(classes)] = nan32
						scales[i] = 0 // lest all sums be NaN
					}
				}
				for _, finite := range []bool{false, true} {
					for i, s := range scales {
						if finite && !(math.Abs(float64(s)) < 1e30) {
							scales[i] = 0.5
						}
					}
					losses, grad, want := make([]float32, n), make([]float32, n*classes), make([]float32, n*classes)
					sum, err := l.GradRows(grad, logits, labels, scales)
					if err := errors.Join(err, l.Each(losses, logits, labels)); err != nil {
						t.Fatal(err)
					}
					for i := range labels {
						must(l.Grad(want[i*classes:][:classes], logits[i*classes:][:classes], labels[i:i+1], scales[i]))
					}
					checkBits(t, "GradRows", grad, want)
					wantSum := weighed(losses, scales, func(i int) bool { return !slices.Contains(ignore, labels[i]) })
					if math.Float64bits(sum) != math.Float64bits(wantSum) || finite && sum != sum {
						t.Errorf("%d rows: GradRows returns %x, want %x", n, sum, wantSum)
					}
					inPlace := slices.Clone(logits)
					must(l.GradRows(inPlace, inPlace, labels, scales))
					checkBits(t, "GradRows in place", inPlace, want)
				}
				for _, s := range awkwardScales {
					grad, want := make([]float32, n*classes), make([]float32, n*classes)
					must(l.GradRows(grad, logits, labels, slices.Repeat([]float32{s}, n)))
					must(l.Grad(want, logits, labels, s))
					checkBits(t, fmt.Sprintf("GradRows with %g everywhere", s), grad, want)
				}
			}
		})
		l := must(NewSigmoidLoss(SigmoidConfig{Gamma: 1.5, Alpha: 0.25}))
		r := newRNG(44)
		for _, n := range append(splits, 0) {
			logits, targets, scales := make([]float32, n), make([]float32, n), make([]float32, n)
			for i := range logits {
				logits[i], targets[i], scales[i] = float32(3*r.normal()), float32(r.below(3))/2, float32(r.normal())
				if r.below(5) == 0 {
					logits[i], scales[i] = nan32, 0
				}
			}
			losses, grad, want := make([]float32, n), make([]float32, n), make([]float32, n)
			sum, err := l.GradRows(grad, logits, targets, scales)
			if err := errors.Join(err, l.Each(losses, logits, targets)); err != nil {
				t.Fatal(err)
			}
			for i := range logits {
				must(l.Grad(want[i:i+1], logits[i:i+1], targets[i:i+1], scales[i]))
			}
			checkBits(t, "GradRows", grad, want)
			if wantSum := weighed(losses, scales, func(int) bool { return true }); math.Float64bits(sum) != math.Float64bits(wantSum) || sum != sum {
				t.Errorf("%d elements: GradRows returns %x, want %x", n, sum, wantSum)
			}
			for _, in := range []int{0, 1} {
				inputs := [][]float32{slices.Clone(logits), slices.Clone(targets)}
				must(l.GradRows(inputs[in], inputs[0], inputs[1], scales))
				checkBits(t, "GradRows in place", inputs[in], want)
			}
		}
	})
}

func TestGradRowsErrors(t *testing.T) {
	logits, labels, scales := make([]float32, 6), []int32{0, -9}, make([]float32, 2)
	check := func(l scaledForm, grad, logits []float32, labels []int32, scales []float32, want error, values ...any) {
		t.Helper()
		keep := slices.Clone(grad)
		sum, err := l.GradRows(grad, logits, labels, scales)
		checkError(t, "GradRows", err, want, values...)
		checkBits(t, "grad beside an error", grad, keep)
		if sum != 0 {
			t.Errorf("GradRows returns %v with an error", sum)
		}
	}
	grad := slices.Repeat([]float32{7}, 8)
	forBothForms(t, 3, nil, func(t *testing.T, f rowForm, top int32) {
		l := f.(scaledForm)
		for _, n := range []int{0, 1, 3, 6} {
			check(l, grad[:6], logits, labels, make([]float32, n), &ShapeError{"len(scales)", n, 2}, "len(scales)", n, 2)
		}
		check(l, grad[:5], logits, labels, scales, &ShapeError{"len(grad)", 5, 6})
		check(l, grad[:6], logits, labels[:1], scales[:1], &ShapeError{"len(labels)", 1, 2})
		check(l, grad[:6], logits, labels, grad[:2], ErrOverlap)
		check(l, grad[:6], logits, labels, grad[5:7], ErrOverlap)
		check(l, logits, logits, labels, logits[4:], ErrOverlap)
		check(l, grad[:6], grad[1:7], labels, scales, ErrOverlap)
		check(l, grad[:6], logits, labels, scales, &LabelError{1, -9, 3})
	})
	for _, l := range []scaledForm{(*SoftmaxLoss)(nil), (*OneVsRestLoss)(nil), new(SoftmaxLoss), new(OneVsRestLoss)} {
		check(l, grad, nil, nil, scales, ErrNotConfigured)
	}
	l := must(NewSigmoidLoss(SigmoidConfig{Gamma: 2}))
	sigmoid := func(l *SigmoidLoss, grad, logits, targets, scales []float32, want error) {
		t.Helper()
		keep := slices.Clone(grad)
		sum, err := l.GradRows(grad, logits, targets, scales)
		checkError(t, "GradRows", err, want)
		checkBits(t, "grad beside an error", grad, keep)
		if sum != 0 {
			t.Errorf("GradRows returns %v with an error", sum)
		}
	}
	targets := []float32{0, 1, 0.5, 0, 0, 2}
	sigmoid(l, grad[:6], logits, targets, scales, &ShapeError{"len(scales)", 2, 6})
	sigmoid(l, grad[:5], logits, targets, targets, &ShapeError{"len(grad)", 5, 6})
	sigmoid(l, grad[:6], logits, targets[:5], targets, &ShapeError{"len(targets)", 5, 6})
	sigmoid(l, grad[:6], logits, targets, grad[:6], ErrOverlap)
	sigmoid(l, grad[:6], logits, targets, grad[2:], ErrOverlap)
	sigmoid(l, grad[:6], logits, targets, targets, &TargetError{5, 2})
	sigmoid(nil, grad, nil, nil, nil, ErrNotConfigured)
	sigmoid(new(SigmoidLoss), grad, nil, nil, nil, ErrNotConfigured)
}
