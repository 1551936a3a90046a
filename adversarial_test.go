package focal

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"
)

// An adversarialCase is a row that is built to break something: see testdata/adversarial.py and .mjs.
type adversarialCase struct {
	Name    string
	Classes int
	Pattern []hexFloat
	Step    hexFloat
	Set     map[int]hexFloat
	Label   int32
	Gamma   hexFloat
	Loss    hexFloat
	Ask     []int
	Grad    []hexFloat
	PyTorch struct {
		Loss hexFloat
		Grad []hexFloat
	}
	ONNX struct{ Loss hexFloat } // ONNX Runtime
}

func (c *adversarialCase) row() []float32 {
	z := make([]float32, c.Classes)
	for j := range z {
		z[j] = float32(float64(c.Pattern[j%len(c.Pattern)]) + float64(float64(c.Step)*float64(j)))
	}
	for j, v := range c.Set {
		z[j] = float32(v)
	}
	return z
}

func readAdversarial(t *testing.T) (cases []adversarialCase) {
	t.Helper()
	b, err := os.ReadFile("testdata/adversarial.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) != 71 {
		t.Fatalf("%d cases, want 71", len(cases))
	}
	return cases
}

// TestAdversarialRows holds the softmax form against exact results, and logs how far ours and others' are off, in ULP.
func TestAdversarialRows(t *testing.T) {
	type wanted struct {
		adversarialCase
		z    []float32
		loss want
		grad []want // of the classes in Ask
	}
	var cases []wanted
	for _, c := range readAdversarial(t) {
		if testing.Short() && c.Classes > 1<<16 {
			continue
		}
		z, all := c.row(), make([]want, c.Classes)
		loss, grad := refSoftmaxLoss(all, z, int(c.Label), 1, float32(c.Gamma), 1), make([]want, len(c.Ask))
		for i, j := range c.Ask {
			grad[i] = all[j]
		}
		cases = append(cases, wanted{c, z, loss, grad})
	}
	units := func(got, want hexFloat) float64 { // NaN for NaN; 0 where both are infinite in float32
		if float32(got) == float32(want) && math.IsInf(float64(float32(got)), 0) {
			return 0
		}
		return math.Abs(float64(got)-float64(want)) / ulpOf(float64(want))
	}
	forEachVariant(t, func(t *testing.T) {
		lossWorst, gradWorst := &worst{t: t, name: "loss"}, &worst{t: t, name: "gradient"}
		t.Logf("| %-46s | %5s | %9s | %8s | %8s | %13s | %8s |", "row", "gamma", "loss here", "PyTorch", "ONNX", "gradient here", "PyTorch")
		for _, c := range cases {
			l := must(NewSoftmaxLoss(SoftmaxConfig{Classes: c.Classes, Gamma: float32(c.Gamma)}))
			var each [1]float32
			grad := make([]float32, c.Classes)
			must(0, l.Each(each[:], c.z, []int32{c.Label}))
			must(l.Grad(grad, c.z, []int32{c.Label}, 1))
			compare(t, lossWorst, each[:], []hexFloat{c.Loss}, []want{c.loss}, 0, 0)
			var ours, theirs float64
			for i, j := range c.Ask {
				compare(t, gradWorst, []float32{grad[j]}, []hexFloat{c.Grad[i]}, c.grad, i, 0)
				ours = max(ours, units(hexFloat(grad[j]), c.Grad[i]))
				theirs = max(theirs, units(c.PyTorch.Grad[i], c.Grad[i]))
			}
			t.Logf("| %-46s | %5.3g | %9.2g | %8.2g | %8.2g | %13.2g | %8.2g |", c.Name, float64(c.Gamma),
				units(hexFloat(each[0]), c.Loss), units(c.PyTorch.Loss, c.Loss), units(c.ONNX.Loss, c.Loss), ours, theirs)
		}
		lossWorst.log("")
		gradWorst.log("")
	})
}

// adversarialGammas are those for which the bounds are promised. Beyond 2^24 a power's error has no bound: 1 - p_t is rounded,
// and (1 + 2^-25)^gamma is anything.
var adversarialGammas = []float32{0, 1e-45, 1e-30, 0.5, 2, 3.7, 100, 1e5, 0x1p24}

// TestAdversarialFactors: the same rows with gammas, alphas and scales near the ends of float32. The bounds hold, or the
// documented infinity results.
func TestAdversarialFactors(t *testing.T) {
	cases := readAdversarial(t)
	forEachVariant(t, func(t *testing.T) {
		loss, grad := &worst{t: t, name: "loss"}, &worst{t: t, name: "gradient"}
		softmax, logSoftmax, logSumExp := &worst{t: t, name: "Softmax"}, &worst{t: t, name: "LogSoftmax"}, &worst{t: t, name: "LogSumExp"}
		last := ""
		for _, c := range cases {
			if c.Name == last || c.Classes > 1<<16 {
				continue
			}
			last = c.Name
			z := c.row()
			checkRow(t, z, softmax, logSoftmax, logSumExp)
			for _, gamma := range adversarialGammas {
				for _, factors := range [][2]float32{ // alpha, scale; a product of 1e76 is beyond float32
					{1e-45, 1e38}, {1e-38, 1e38}, {1, 1e38}, {1e-38, 1}, {1e38, 1}, {1e38, -1e-38}, {1, 1e-45}, {1e-38, 1e-38},
				} {
					checkLoss(t, z, int(c.Label), factors[0], gamma, factors[1], loss, grad)
				}
			}
		}
		for _, w := range []*worst{loss, grad, softmax, logSoftmax, logSumExp} {
			w.log("")
		}
	})
}

// TestAdversarialSigmoid: the sigmoid form at the ends of everything.
func TestAdversarialSigmoid(t *testing.T) {
	var x, y []float32
	for _, v := range []float32{0, 1e-45, 1e-38, 1e-7, 0.3, 1, 17, 60, 87.4, 103.5, 104.5, 1e4, 1e30, max32} {
		for _, target := range []float32{0, 1e-45, 1e-38, 1e-30, 1e-7, 0.25, 0.5, 1 - 0x1p-24, 1} {
			x, y = append(x, v, -v), append(y, target, target)
		}
	}
	losses, grads := make([]float32, len(x)), make([]float32, len(x))
	forEachVariant(t, func(t *testing.T) {
		lossWorst, gradWorst := &worst{t: t, name: "loss"}, &worst{t: t, name: "gradient"}
		for _, gamma := range adversarialGammas {
			for _, alpha := range []float32{0, 1e-45, 1e-38, 0.25, 1 - 0x1p-24} {
				l := must(NewSigmoidLoss(SigmoidConfig{Gamma: gamma, Alpha: alpha}))
				for _, scale := range []float32{1e-45, -1e-38, 1, 1e38} {
					must(0, l.Each(losses, x, y))
					must(l.Grad(grads, x, y, scale))
					for i := range x {
						loss, grad := refSigmoid(x[i], y[i], l.params.positive, l.params.negative, gamma, scale)
						where := func() string {
							return fmt.Sprintf("(%x, target %x, alpha %x, gamma %x, scale %x)", x[i], y[i], alpha, gamma, scale)
						}
						lossWorst.check(losses[i], loss, where)
						gradWorst.check(grads[i], grad, where)
					}
				}
			}
		}
		lossWorst.log("")
		gradWorst.log("")
	})
}

// TestHugeGammas: beyond 2^24 losses lie between 0 and alpha l, which is what gamma 0 gives, and gradients keep their sign.
func TestHugeGammas(t *testing.T) {
	cases := readAdversarial(t)
	forEachVariant(t, func(t *testing.T) {
		for _, c := range cases {
			if c.Classes > 1<<16 {
				continue
			}
			z, labels := c.row(), []int32{c.Label}
			var most, got [1]float32
			grad := make([]float32, len(z))
			must(0, must(NewSoftmaxLoss(SoftmaxConfig{Classes: c.Classes})).Each(most[:], z, labels))
			for _, gamma := range []float32{0x1p25, 1e10, 1e30, max32} {
				l := must(NewSoftmaxLoss(SoftmaxConfig{Classes: c.Classes, Gamma: gamma}))
				must(0, l.Each(got[:], z, labels))
				must(l.Grad(grad, z, labels, 1))
				if !(got[0] >= 0 && got[0] <= most[0]) {
					t.Errorf("%s, gamma %x: loss %x, at most %x is right", c.Name, gamma, got[0], most[0])
				}
				for j, g := range grad {
					if !(g >= 0 && j != int(c.Label) || g <= 0 && j == int(c.Label)) {
						t.Errorf("%s, gamma %x: gradient %d is %x", c.Name, gamma, j, g)
						break
					}
				}
			}
		}
	})
}

// TestRandomOneVsRest holds the one-vs-rest form against the sum of the sigmoid form's references, and its gradients against
// theirs. All terms of a row are positive, so its error is at most that of its worst term, and that of their sum: 16 lanes of
// at most 8 float32 additions in a block, folded in float64.
func TestRandomOneVsRest(t *testing.T) {
	shapes := [][2]int{{1, 200}, {2, 200}, {3, 200}, {5, 200}, {17, 100}, {80, 100}, {91, 50}, {300, 20}, {5000, 2}}
	if testing.Short() {
		shapes = [][2]int{{1, 20}, {2, 20}, {5, 20}, {91, 5}, {300, 2}}
	}
	forEachVariant(t, func(t *testing.T) {
		lossWorst, gradWorst := &worst{t: t, name: "loss"}, &worst{t: t, name: "gradient"}
		r := newRNG(7)
		for _, shape := range shapes {
			classes := shape[0]
			for range shape[1] {
				alpha, gamma, scale := float32(r.float()), randomGamma(r), float32(r.normal())
				l := must(NewOneVsRestLoss(OneVsRestConfig{Classes: classes, Gamma: gamma, Alpha: alpha}))
				sigma := []float64{1, 8, 40, 4000}[r.below(4)]
				z, grad := make([]float32, classes), make([]float32, classes)
				for j := range z {
					z[j] = float32(r.normal() * sigma)
				}
				label := int32(r.below(classes + 1))
				var each [1]float32
				must(0, l.Each(each[:], z, []int32{label}))
				must(l.Grad(grad, z, []int32{label}, scale))
				where := func() string {
					return fmt.Sprintf(" of %s, label %d, alpha %x, gamma %x, scale %x", show(z), label, alpha, gamma, scale)
				}
				var sum want
				for j, x := range z {
					var y float32
					if j == int(label) {
						y = 1
					}
					loss, g := refSigmoid(x, y, l.rows.params.positive, l.rows.params.negative, gamma, scale)
					sum.value += loss.value
					sum.lost += loss.lost
					sum.inf = sum.inf || loss.inf
					gradWorst.check(grad[j], g, where)
				}
				sum.unit = (1 + float64(gamma)) * math.Max(ulpOf(sum.value), float64(classes)*oneBit)
				sum.bound = boundLoss
				lossWorst.check(each[0], sum, where)
			}
		}
		lossWorst.log("")
		gradWorst.log("")
	})
}
