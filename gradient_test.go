package focal

import (
	"fmt"
	"math"
	"math/big"
	"testing"
)

// TestGradientsByDifferences holds the gradients of all forms against difference quotients of the losses' definitions in
// math/big, which know nothing of the formula of the gradient. Only what a result may miss is the reference's.
func TestGradientsByDifferences(t *testing.T) {
	type wanted struct {
		name string
		got  func() []float32
		want []want
	}
	var all []wanted
	r := newRNG(0xd1f)
	check := func(name string, got func() []float32, n int, slope func(j int) (want, float64)) {
		c := wanted{name, got, make([]want, n)}
		for j := range c.want {
			w, exact := slope(j)
			w.value = exact
			c.want[j] = w
		}
		all = append(all, c)
	}
	kinds := benignKinds
	if testing.Short() {
		kinds = kinds[:2]
	}
	for _, gamma := range append([]float32{0.3, 1e-30, 7.25}, gammas...) {
		for _, kind := range kinds {
			const classes = 3
			z, label := randomRow(r, kind, classes)
			labels := []int32{int32(label)}
			alpha, scale := float32(r.float())+0.25, float32(r.normal())
			of := fmt.Sprintf("(%x, label %d, alpha %x, gamma %x, scale %x)", z, label, alpha, gamma, scale)
			scaled := func(f func(h *big.Float) *big.Float) float64 { return slopeOf(f) * float64(scale) }

			refs := make([]want, classes)
			refSoftmaxLoss(refs, z, label, alpha, gamma, scale)
			check("SoftmaxLoss.Grad"+of, func() []float32 {
				l := must(NewSoftmaxLoss(SoftmaxConfig{Classes: classes, Gamma: gamma, Alpha: []float32{alpha, alpha, alpha}}))
				grad := make([]float32, classes)
				must(l.Grad(grad, z, labels, scale))
				return grad
			}, classes, func(j int) (want, float64) {
				if math.IsInf(float64(z[j]), -1) {
					return refs[j], 0 // a masked class
				}
				return refs[j], scaled(func(h *big.Float) *big.Float { return bigSoftmaxLoss(z, label, alpha, gamma, j, h) })
			})

			x := make([]float32, classes)
			for j := range x {
				x[j] = max(z[j], -200) // no -Inf
			}
			positive := float32(r.float())
			negative := 1 - positive
			of = fmt.Sprintf("(%x, label %d, alpha %x, gamma %x, scale %x)", x, label, positive, gamma, scale)
			slope := func(x, y float32) (want, float64) {
				_, ref := refSigmoid(x, y, positive, negative, gamma, scale)
				return ref, scaled(func(h *big.Float) *big.Float { return bigSigmoidLoss(x, y, positive, negative, gamma, h) })
			}
			check("OneVsRestLoss.Grad"+of, func() []float32 {
				l := must(NewOneVsRestLoss(OneVsRestConfig{Classes: classes, Gamma: gamma, Alpha: positive}))
				grad := make([]float32, classes)
				must(l.Grad(grad, x, labels, scale))
				return grad
			}, classes, func(j int) (want, float64) {
				return slope(x[j], map[bool]float32{true: 1}[j == label])
			})

			y := []float32{1, float32(r.float()), float32(math.Ldexp(r.float(), -r.below(60)))}
			check("SigmoidLoss.Grad"+of+fmt.Sprintf(" targets %x", y), func() []float32 {
				l := must(NewSigmoidLoss(SigmoidConfig{Gamma: gamma, Alpha: positive}))
				grad := make([]float32, classes)
				must(l.Grad(grad, x, y, scale))
				return grad
			}, classes, func(j int) (want, float64) { return slope(x[j], y[j]) })
		}
	}
	forEachVariant(t, func(t *testing.T) {
		worst := &worst{t: t, name: "gradient of "}
		for _, c := range all {
			for j, got := range c.got() {
				worst.check(got, c.want[j], func() string { return fmt.Sprintf("%s[%d]", c.name, j) })
			}
		}
		worst.log("")
	})
}
