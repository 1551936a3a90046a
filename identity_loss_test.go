package focal

import (
	"fmt"
	"math"
	"testing"
)

// The losses' part of identity.
func init() {
	identity["sigmoidLoss"] = func(t *testing.T) { testSigmoidIdentity(t, false) }
	identity["sigmoidGrad"] = func(t *testing.T) { testSigmoidIdentity(t, true) }
	identity["softmaxSum"] = testSoftmaxIdentity
}

// identityGammas has every way to compute q^gamma, and awkward exponents.
var identityGammas = append([]float32{0.7, 10, 1e-3, 1e30, 1e-42, math.MaxFloat32}, gammas...)

func testSigmoidIdentity(t *testing.T, withGrad bool) {
	r := random(4)
	n := 5003
	x, y := make([]float32, n), make([]float32, n)
	got, want := make([]float32, n), make([]float32, n)
	gotGrad, wantGrad := make([]float32, n), make([]float32, n)
	for round, gamma := range identityGammas {
		mixture(r, x)
		for i := range y {
			y[i] = []float32{0, 1, r.Float32(), float32(math.Ldexp(1, -r.IntN(150)))}[r.IntN(4)]
			if i%3 > 0 {
				x[i] = float32(r.NormFloat64() * 5)
			}
		}
		positive, negative := float32(1), float32(1)
		if round%2 == 0 {
			positive, negative = 0.25, 0.75
		}
		p := newLossParams(1, gamma, nil, positive, negative)
		name := fmt.Sprintf("gamma %g", gamma)
		if !withGrad {
			sigmoidLossGeneric(want, x, y, &p)
			sigmoidLossKernel(got, x, y, &p)
			sameBits(t, name, x, got, want)
			continue
		}
		for _, scale := range []float32{1, -1e-3, 1e38, 0, nan32, inf32} {
			sigmoidGradGeneric(want, wantGrad, x, y, &p, scale)
			sigmoidGradKernel(got, gotGrad, x, y, &p, scale)
			sameBits(t, fmt.Sprintf("%s, scale %g, loss", name, scale), x, got, want)
			sameBits(t, fmt.Sprintf("%s, scale %g, gradient", name, scale), x, gotGrad, wantGrad)
		}
	}
	p := newLossParams(1, 2, nil, 0.25, 0.75)
	if !withGrad {
		testPlaces(t, "sigmoid loss",
			func(dst, x []float32) { sigmoidLossKernel(dst, x, y[:len(x)], &p) },
			func(dst, x []float32) { sigmoidLossGeneric(dst, x, y[:len(x)], &p) })
		return
	}
	testPlaces(t, "sigmoid gradient",
		func(dst, x []float32) { sigmoidGradKernel(got[:len(x)], dst, x, y[:len(x)], &p, 0.5) },
		func(dst, x []float32) { sigmoidGradGeneric(want[:len(x)], dst, x, y[:len(x)], &p, 0.5) })
}

// testSoftmaxIdentity: rows of every kind, of lengths around the tile and the block of the sum, with labels everywhere, ignored
// rows, NaN and infinite logits.
func testSoftmaxIdentity(t *testing.T) {
	r := newRNG(5)
	classCounts := []int{300, 511, 512, 513, 1000, 5000}
	for c := 1; c <= 150; c++ {
		classCounts = append(classCounts, c)
	}
	for _, classes := range classCounts {
		for k, kind := range rowKinds {
			rows := 1 + r.below(5)
			if classes == 7 {
				rows = rowsAtOnce + 40
			}
			var logits []float32
			var labels []int32
			for range rows {
				z, label := randomRow(r, kind, classes)
				if r.below(20) == 0 {
					z[r.below(classes)] = []float32{nan32, inf32, -inf32, math.Float32frombits(0xffc00001)}[r.below(4)]
				}
				if r.below(10) == 0 {
					label = noLabel
				}
				logits, labels = append(logits, z...), append(labels, int32(label))
			}
			alpha := make([]float32, classes)
			for i := range alpha {
				alpha[i] = float32(r.float()) + 0.5
			}
			if k%3 == 0 {
				alpha = nil
			}
			p := newLossParams(classes, identityGammas[r.below(len(identityGammas))], alpha, 1, 1)
			got, want := make([]float32, rows), make([]float32, rows)
			softmaxLossGeneric(want, logits, labels, &p)
			softmaxLossKernel(got, logits, labels, &p)
			sameBits(t, fmt.Sprintf("%s, %d classes, labels %d", kind, classes, labels), want, got, want)
		}
	}
}
