package focal

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
)

func init() {
	test := shared(testSmoothIdentity)
	for _, name := range []string{"rowSmooth", "smoothSpread", "addLogs"} {
		identity[name] = test
	}
}

// featureClasses are the lengths of rows at which kernels change their ways: around tiles, blocks and pieces.
var featureClasses = []int{1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 80, 100, 127, 128, 129, 257, 1000, 1023, 1024, 1025, 2500, rowChunk + 5}

// featureCount is how many rows of some classes are enough.
func featureCount(r *rng, classes int) int {
	if classes > 1000 {
		return 1
	}
	if r.below(3) == 0 {
		return 2*rowsAtOnce + 9
	}
	return 1 + r.below(5)
}

// randomAlpha has weights that are 0, and some that overflow with a loss above 1.
func randomAlpha(r *rng, classes int) []float32 {
	if r.below(3) == 0 {
		return nil
	}
	alpha := make([]float32, classes)
	for i := range alpha {
		alpha[i] = float32(r.below(4)) * float32(r.float())
		if r.below(10) == 0 {
			alpha[i] = math.MaxFloat32
		}
	}
	return alpha
}

var featureScales = []float32{1, -0.3, 1e-30, 1e38, inf32, nan32, 0}

func testSmoothIdentity(t *testing.T) {
	r := newRNG(51)
	for _, classes := range featureClasses {
		for k, kind := range rowKinds {
			if testing.Short() && classes > 1000 && k%4 > 0 {
				continue
			}
			logits, labels := identityRows(r, kind, featureCount(r, classes), classes)
			p := newLossParams(classes, identityGammas[r.below(len(identityGammas))], randomAlpha(r, classes), 1, 1)
			p.smooth = []float32{0.1, 0.999, 1e-40, float32(r.float())}[r.below(4)]
			scale := featureScales[r.below(len(featureScales))]
			what := fmt.Sprintf("%s, %d classes, gamma %g, smoothing %g, scale %g", kind, classes, p.factor, p.smooth, scale)
			got, want := make([]float32, len(labels)), make([]float32, len(labels))
			gotGrad, wantGrad := make([]float32, len(logits)), make([]float32, len(logits))
			smoothGeneric(want, wantGrad, logits, labels, &p, scale)
			smoothKernel(got, nil, logits, labels, &p, 0)
			sameBits(t, what+", loss", want, got, want)
			smoothKernel(got, gotGrad, logits, labels, &p, scale)
			sameBits(t, what+", loss beside the gradient", want, got, want)
			sameBits(t, what+", gradient", logits, gotGrad, wantGrad)
			inPlace := slices.Clone(logits)
			smoothKernel(got, inPlace, inPlace, labels, &p, scale)
			sameBits(t, what+", gradient in place", logits, inPlace, wantGrad)
		}
	}
}

// TestSmoothOneVsRest: the kernel with smoothing against the specification, as part of whole rows.
func TestSmoothOneVsRest(t *testing.T) {
	forEachVariant(t, func(t *testing.T) {
		r := newRNG(52)
		for _, classes := range featureClasses {
			for _, gamma := range identityGammas {
				logits, labels := identityRows(r, []string{"normal", "spread", "large"}[r.below(3)], featureCount(r, classes), classes)
				for i := range labels {
					if r.below(4) == 0 {
						labels[i] = int32(classes) // background
					}
				}
				p := newLossParams(classes, gamma, nil, 0.25, 0.75)
				p.smooth = []float32{0.05, 0.499, 1e-40}[r.below(3)]
				scale := featureScales[r.below(len(featureScales))]
				what := fmt.Sprintf("%d classes, gamma %g, smoothing %g, scale %g", classes, gamma, p.smooth, scale)
				got, want := make([]float32, len(labels)), make([]float32, len(labels))
				gotGrad, wantGrad := make([]float32, len(logits)), make([]float32, len(logits))
				oneVsRestGradGeneric(want, wantGrad, logits, labels, &p, scale)
				oneVsRestLossKernel(got, logits, labels, &p)
				sameBits(t, what+", loss", want, got, want)
				oneVsRestGradKernel(got, gotGrad, logits, labels, &p, scale)
				sameBits(t, what+", loss beside the gradient", want, got, want)
				sameBits(t, what+", gradient", logits, gotGrad, wantGrad)
			}
		}
	})
}

// smoothForms runs f on losses with a label per row, without and with smoothing.
func smoothForms(t *testing.T, classes int, gamma, eps float32, f func(t *testing.T, plain, smooth scaledForm)) {
	t.Run("softmax", func(t *testing.T) {
		cfg := SoftmaxConfig{Classes: classes, Gamma: gamma, IgnoreLabels: []int32{-100}}
		plain := must(NewSoftmaxLoss(cfg))
		cfg.Smoothing = eps
		f(t, plain, must(NewSoftmaxLoss(cfg)))
	})
	t.Run("onevsrest", func(t *testing.T) {
		cfg := OneVsRestConfig{Classes: classes, Gamma: gamma, Alpha: 0.25, IgnoreLabels: []int32{-100}}
		plain := must(NewOneVsRestLoss(cfg))
		cfg.Smoothing = eps
		f(t, plain, must(NewOneVsRestLoss(cfg)))
	})
}

// TestSmoothing: 0 and -0 are none, to the bit; sums can be split; rows have scales; ignored rows stay ignored.
func TestSmoothing(t *testing.T) {
	const classes = 5
	r := newRNG(53)
	n := 2*SumBlock + 33
	logits, labels := make([]float32, n*classes), make([]int32, n)
	for i := range logits {
		logits[i] = float32(4 * r.normal())
	}
	scales := make([]float32, n)
	for i := range labels {
		labels[i], scales[i] = []int32{-100, 0, 1, 2, 4}[r.below(5)], []float32{0, 0.5, -2}[r.below(3)]
		if labels[i] == -100 {
			logits[i*classes] = nan32
		}
	}
	forEachVariant(t, func(t *testing.T) {
		for _, eps := range []float32{0, float32(math.Copysign(0, -1)), 0.1} {
			smoothForms(t, classes, 2, eps, func(t *testing.T, plain, smooth scaledForm) {
				each, eachPlain, grad, gradPlain := make([]float32, n), make([]float32, n), make([]float32, n*classes), make([]float32, n*classes)
				sum, err := smooth.Grad(grad, logits, labels, -3)
				_, err2 := plain.Grad(gradPlain, logits, labels, -3)
				if err := errors.Join(err, err2, smooth.Each(each, logits, labels), plain.Each(eachPlain, logits, labels)); err != nil {
					t.Fatal(err)
				}
				if eps == 0 {
					checkBits(t, "losses", each, eachPlain)
					checkBits(t, "gradient", grad, gradPlain)
				} else if slices.Equal(each, eachPlain) || slices.Equal(grad, gradPlain) {
					t.Error("smoothing changes nothing")
				}
				checkSplit(t, n, func(start, end int) float64 {
					return must(smooth.Sum(logits[start*classes:end*classes], labels[start:end]))
				}, sum, each)
				rowGrad, want := make([]float32, n*classes), make([]float32, n*classes)
				rowSum := must(smooth.GradRows(rowGrad, logits, labels, scales))
				for i := range labels {
					must(smooth.Grad(want[i*classes:][:classes], logits[i*classes:][:classes], labels[i:i+1], scales[i]))
				}
				checkBits(t, "GradRows", rowGrad, want)
				if want := weighed(each, scales, func(i int) bool { return labels[i] != -100 }); rowSum != want {
					t.Errorf("GradRows returns %x, want %x", rowSum, want)
				}
			})
		}
	})
}

func TestSmoothingErrors(t *testing.T) {
	for _, eps := range []float32{1, 2, -1e-45, -1, nan32, inf32, -inf32} {
		_, err := NewSoftmaxLoss(SoftmaxConfig{Classes: 2, Smoothing: eps})
		_, err2 := NewOneVsRestLoss(OneVsRestConfig{Classes: 2, Smoothing: eps})
		for _, err := range []error{err, err2} {
			var e *ConfigError
			if !errors.As(err, &e) || e.Field != "Smoothing" || fmt.Sprint(e.Value) != fmt.Sprint(eps) {
				t.Errorf("smoothing %g: error %#v", eps, err)
				continue
			}
			checkMessage(t, "Smoothing", err.Error(), eps, "[0, 1)")
		}
	}
	must(NewSoftmaxLoss(SoftmaxConfig{Classes: 2, Smoothing: math.Nextafter32(1, 0)}))
	must(NewOneVsRestLoss(OneVsRestConfig{Classes: 2, Smoothing: math.SmallestNonzeroFloat32}))
}

// TestSmoothSpecial: masked, infinite and NaN logits.
func TestSmoothSpecial(t *testing.T) {
	nan, inf := nan32, inf32
	forEachVariant(t, func(t *testing.T) {
		for _, gamma := range []float32{0, 1e-30, 0.5, 2, max32} {
			l := must(NewSoftmaxLoss(SoftmaxConfig{Classes: 3, Gamma: gamma, Alpha: []float32{0.5, 2, 0}, Smoothing: 0.25}))
			for _, c := range []struct {
				name  string
				z     []float32
				label int32
				loss  float32
				grad  []float32
			}{
				{"NaN", []float32{nan, -inf, 0}, 2, nan, []float32{nan, nan, nan}},
				{"+Inf", []float32{inf, 0, 0}, 1, nan, []float32{nan, nan, nan}},
				{"only -Inf", []float32{-inf, -inf, -inf}, 1, nan, []float32{nan, nan, nan}},
				// C is 2: the two others share half of eps each.
				{"masked label", []float32{0, -inf, 0}, 1, inf, []float32{0.75, -1.5, 0.75}},
				{"masked label, alpha 0", []float32{0, 0, -inf}, 2, 0, []float32{0, 0, 0}},
				{"nothing but the label", []float32{-inf, 7, -inf}, 1, 0, []float32{0, 0, 0}},
			} {
				var each [1]float32
				var grad [3]float32
				must(0, l.Each(each[:], c.z, []int32{c.label}))
				checkBits(t, fmt.Sprintf("%s, gamma %g, loss", c.name, gamma), each[:], []float32{c.loss})
				must(l.Grad(grad[:], c.z, []int32{c.label}, 1))
				for i, v := range c.grad {
					if g := grad[i]; g != v && math.Float32bits(g) != math.Float32bits(v) { // -0 is 0
						t.Errorf("%s, gamma %g: gradient %v, want %v", c.name, gamma, grad, c.grad)
						break
					}
				}
			}
			o := must(NewOneVsRestLoss(OneVsRestConfig{Classes: 1, Gamma: gamma, Smoothing: 0.5}))
			sure := inf // at gamma 0 there is no focus to take it away
			sureGrad := float32(0.25)
			if gamma > 0 {
				sure, sureGrad = 0, 0
			}
			for _, c := range []struct {
				x          float32
				label      int32
				loss, grad float32
			}{{inf, 0, sure, sureGrad}, {-inf, 0, inf, -0.75}, {-inf, 1, sure, -sureGrad}, {inf, 1, inf, 0.75}, {nan, 0, nan, nan}} {
				var each, grad [1]float32
				must(0, o.Each(each[:], []float32{c.x}, []int32{c.label}))
				checkBits(t, fmt.Sprintf("one-vs-rest at %g, label %d, gamma %g, loss", c.x, c.label, gamma), each[:], []float32{c.loss})
				must(o.Grad(grad[:], []float32{c.x}, []int32{c.label}, 1))
				if g := grad[0]; g != c.grad && math.Float32bits(g) != math.Float32bits(c.grad) {
					t.Errorf("one-vs-rest at %g, label %d, gamma %g: gradient %v, want %v", c.x, c.label, gamma, g, c.grad)
				}
			}
		}
	})
}

// TestSmoothNeverNaN: no finite logits and no gamma give NaN.
func TestSmoothNeverNaN(t *testing.T) {
	forEachVariant(t, func(t *testing.T) {
		r := newRNG(54)
		for range 3000 {
			classes := 1 + r.below(9)
			z, label := randomRow(r, rowKinds[r.below(len(rowKinds))], classes)
			gamma := identityGammas[r.below(len(identityGammas))]
			smoothForms(t, classes, gamma, []float32{0.1, 0.9, 1e-42}[r.below(3)], func(t *testing.T, _, l scaledForm) {
				grad := make([]float32, classes)
				sum := must(l.Grad(grad, z, []int32{int32(label)}, 1))
				if sum != sum || slices.ContainsFunc(grad, func(g float32) bool { return g != g }) {
					t.Fatalf("%x, label %d, gamma %g: loss %v, gradient %v", z, label, gamma, sum, grad)
				}
			})
		}
	})
}
