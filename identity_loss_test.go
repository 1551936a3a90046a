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
	identity["sumLosses"] = testSumIdentity
	oneVsRest := shared(testOneVsRestIdentity)
	for _, name := range []string{"addBlocks", "backgroundLoss", "backgroundGrad", "foldRows"} {
		identity[name] = oneVsRest
	}
	identity["maxWord"] = testMaxWord
	softmax := shared(testSoftmaxIdentity)
	for _, name := range []string{
		"rowSum", "rowExp", "partSum", "partExp", "rowMost", "rowShifted", "rowShiftedExp", "partShifted", "partShiftedExp",
		"narrowSum", "narrowShifted", "narrowSoftmax", "narrowGrad", "rowLoss", "rowGrad", "reciprocals", "softmaxScale", "gradScale",
		"rowFirst", "logSoftmaxRows", "soleLoss", "logSums",
	} {
		identity[name] = softmax
	}
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
		for i := range y { // stretches of all kinds, long enough for whole blocks on each path
			stretch := i / 160
			y[i] = []float32{0, 1, r.Float32(), float32(math.Ldexp(1, -r.IntN(150)))}[r.IntN(2+2*(stretch&1))]
			if stretch&2 == 0 || i%3 > 0 {
				x[i] = float32(r.NormFloat64() * 5)
			}
			if stretch%8 == 7 { // around the least normal and the least number
				x[i] = float32(math.Copysign(60+50*r.Float64(), r.NormFloat64()))
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

// identityRows are some rows of a kind, here and there with a NaN or an infinite logit; labels are ignored here and there.
func identityRows(r *rng, kind string, rows, classes int) (logits []float32, labels []int32) {
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
	return logits, labels
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
			if classes <= narrowMost { // with whole groups of narrow rows, and some left
				rows = 1 + r.below(rowsAtOnce+40)
			}
			logits, labels := identityRows(r, kind, rows, classes)
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
			what := fmt.Sprintf("%s, %d classes, labels %d", kind, classes, labels)
			sameBits(t, what, want, got, want)
			for i := range rows {
				softmaxLossKernel(got[i:i+1], logits[i*classes:][:classes], labels[i:i+1], &p)
			}
			sameBits(t, what+", rows alone", want, got, want)
			gotGrad, wantGrad := make([]float32, len(logits)), make([]float32, len(logits))
			scale := []float32{1, float32(r.normal()), 1e-30, 1e38, inf32, nan32, 0}[r.below(7)]
			softmaxGradGeneric(want, wantGrad, logits, labels, &p, scale)
			softmaxGradKernel(got, gotGrad, logits, labels, &p, scale)
			sameBits(t, what+", loss beside the gradient", want, got, want)
			sameBits(t, fmt.Sprintf("%s, scale %g, gradient", what, scale), logits, gotGrad, wantGrad)
			inPlace := append([]float32{}, logits...)
			softmaxGradKernel(got, inPlace, inPlace, labels, &p, scale)
			sameBits(t, what+", gradient in place", logits, inPlace, wantGrad)
			softmaxGeneric(wantGrad, logits, classes)
			softmaxKernel(gotGrad, logits, classes)
			sameBits(t, what+", softmax", logits, gotGrad, wantGrad)
			logSoftmaxGeneric(wantGrad, logits, classes)
			logSoftmaxKernel(gotGrad, logits, classes)
			sameBits(t, what+", log-softmax", logits, gotGrad, wantGrad)
			logSumExpGeneric(want, logits, classes)
			logSumExpKernel(got, logits, classes)
			sameBits(t, what+", log-sum-exp", want, got, want)
		}
	}
}

func testSumIdentity(t *testing.T) {
	r := random(6)
	x := make([]float32, SumBlock)
	for n := range SumBlock + 1 {
		for i := range x[:n] {
			x[i] = float32(math.Ldexp(r.Float64(), r.IntN(200)-100))
		}
		got, want := sumBlock(x[:n]), sumBlockGeneric(x[:n])
		if math.Float64bits(got) != math.Float64bits(want) {
			t.Fatalf("sum of %d losses: %x, want %x", n, got, want)
		}
	}
}

func testMaxWord(t *testing.T) {
	r := random(8)
	words := make([]uint32, 300)
	for n := range len(words) {
		for i := range words[:n] {
			words[i] = r.Uint32() >> r.IntN(32)
		}
		var want uint32
		for _, w := range words[:n] {
			want = max(want, w)
		}
		if got := maxWordKernel(words[:n]); got != want {
			t.Fatalf("the largest of %d words: %#x, want %#x", n, got, want)
		}
	}
}

func testOneVsRestIdentity(t *testing.T) {
	r := random(7)
	for _, classes := range []int{1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 80, 91, 127, 128, 129, 130, 255, 256, 257, 300, 1000, 1023, 1024, 1025, 2500} {
		for round, gamma := range identityGammas {
			rows := 1 + r.IntN(12)
			logits, labels := make([]float32, rows*classes), make([]int32, rows)
			for i := range logits {
				logits[i] = float32(r.NormFloat64() * 6)
			}
			if round%3 == 0 {
				mixture(r, logits)
			}
			for i := range labels {
				labels[i] = int32(r.IntN(classes+2)) - 1 // ignored, a class, background
			}
			p := newLossParams(classes, gamma, nil, 0.25, 0.75)
			got, want := make([]float32, rows), make([]float32, rows)
			gotGrad, wantGrad := make([]float32, len(logits)), make([]float32, len(logits))
			what := fmt.Sprintf("%d classes, labels %d, gamma %g", classes, labels, gamma)
			oneVsRestLossGeneric(want, logits, labels, &p)
			oneVsRestLossKernel(got, logits, labels, &p)
			sameBits(t, what, want, got, want)
			scale := []float32{1, -3, 0, nan32}[round%4]
			oneVsRestGradGeneric(want, wantGrad, logits, labels, &p, scale)
			oneVsRestGradKernel(got, gotGrad, logits, labels, &p, scale)
			sameBits(t, what+", loss beside the gradient", want, got, want)
			sameBits(t, what+", gradient", logits, gotGrad, wantGrad)
			oneVsRestGradKernel(got, logits, logits, labels, &p, scale)
			sameBits(t, what+", gradient in place", wantGrad, logits, wantGrad)
		}
	}
}
