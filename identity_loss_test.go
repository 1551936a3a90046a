package focal

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// The losses' part of identity.
func init() {
	identity["sigmoidLoss"] = func(t *testing.T) { testSigmoidIdentity(t, false, false) }
	identity["sigmoidGrad"] = func(t *testing.T) { testSigmoidIdentity(t, true, false) }
	identity["backgroundLoss"] = func(t *testing.T) { testSigmoidIdentity(t, false, true) }
	identity["backgroundGrad"] = func(t *testing.T) { testSigmoidIdentity(t, true, true) }
	identity["sumLosses"] = testSumIdentity
	identity["foldRows"] = testOneVsRestIdentity
	identity["addBlocks"] = func(t *testing.T) { testAddedLanes(t, addBlocksAsm, rowBlock) }
	identity["addTerms"] = func(t *testing.T) { testAddedLanes(t, addTermsAsm, lanes) }
	identity["maxWord"] = testMaxWord
	parts := shared(testPartIdentity)
	for _, name := range []string{"partSum", "partExp", "partShifted", "partShiftedExp"} {
		identity[name] = parts
	}
	identity["rowFirst"] = testRowFirst
	softmax := shared(testSoftmaxIdentity)
	for _, name := range []string{
		"rowSum", "rowExp", "rowMost", "rowShifted", "rowShiftedExp",
		"narrowSum", "narrowShifted", "narrowSoftmax", "narrowGrad", "rowLoss", "rowGrad", "reciprocals", "softmaxScale", "gradScale",
		"logSoftmaxRows", "soleLoss", "rowLogSum",
	} {
		identity[name] = softmax
	}
}

// identityGammas has every way to compute q^gamma, and awkward exponents: with 40 and 150, powers below 2^-64 and subnormal ones
// belong to losses of ordinary size.
var identityGammas = append([]float32{0.7, 10, 40, 150, 1e-3, 1e30, 1e-42, math.MaxFloat32}, gammas...)

// testSigmoidIdentity: elements of every kind, then a single one of them at every place among ordinary ones, since each has to
// send its vector to the right path. With background the targets are 0, and the kernels those of rows without a label.
func testSigmoidIdentity(t *testing.T, withGrad, background bool) {
	if background && active == generic {
		return // computes such rows like all others
	}
	r := random(4)
	n := 5003
	x, y := make([]float32, n), make([]float32, n)
	got, want := make([]float32, n), make([]float32, n)
	gotGrad, wantGrad := make([]float32, n), make([]float32, n)
	kernel := func(losses, grad, x, y []float32, p *lossParams, scale float32) {
		switch {
		case background:
			for start := 0; start < len(x); start += lossChunk {
				end := min(start+lossChunk, len(x))
				var g []float32
				if withGrad {
					g = grad[start:end]
				}
				backgroundTerms(losses[start:end], g, x[start:end], nil, 0, p, scale)
			}
		case withGrad:
			sigmoidGradKernel(losses, grad, x, y, p, scale)
		default:
			sigmoidLossKernel(losses, x, y, p)
		}
	}
	check := func(name string, x, y []float32, p *lossParams, scale float32) {
		t.Helper()
		got, want, gotGrad, wantGrad := got[:len(x)], want[:len(x)], gotGrad[:len(x)], wantGrad[:len(x)]
		if background {
			clear(y)
		}
		sigmoidGradGeneric(want, wantGrad, x, y, p, scale)
		same := func(what string, n int) {
			t.Helper()
			sameBits(t, name+", loss"+what, x, got[:n], want[:n])
			if withGrad {
				sameBits(t, name+", gradient"+what, x, gotGrad[:n], wantGrad[:n])
			}
		}
		kernel(got, gotGrad, x, y, p, scale)
		same("", len(x))
		clear(got)
		clear(gotGrad)
		i := 0
		for n := 1; i < min(len(x), 1000); n = n%17 + 1 {
			end := min(i+n, len(x))
			kernel(got[i:end], gotGrad[i:end], x[i:end], y[i:end], p, scale)
			i = end
		}
		same(", in pieces", i)
	}
	scales := []float32{1}
	if withGrad {
		scales = []float32{1, -1e-3, 1e38, 0, nan32, inf32}
	}
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
		for _, scale := range scales {
			check(fmt.Sprintf("gamma %g, scale %g", gamma, scale), x, y, &p, scale)
		}
	}
	const places = 2*2*lanes + 7 // a block of the widest vectors, some vectors, and a part of one
	for _, gamma := range []float32{0, 2, 10, 40} {
		p := newLossParams(1, gamma, nil, 0.25, 0.75)
		for at := range places {
			for i, v := range []float32{2.2, 5, 9.5, 30, 81, 86.9, 87.1, 95, 103.9, 104.1, 1e30, inf32, nan32, 1e-40} {
				x, y := x[:places], y[:places]
				ordinaryValues(r, x)
				for j := range y {
					y[j] = float32(j & 1)
					if (at+i)%3 == 0 {
						y[j] = 0.3
					}
				}
				for _, target := range []float32{0, 1} {
					for _, sign := range []float32{1, -1} {
						x[at], y[at] = sign*v, target
						check(fmt.Sprintf("gamma %g, %g with target %g at %d", gamma, x[at], target, at), x, y, &p, 1)
					}
				}
			}
		}
	}
	p := newLossParams(1, 2, nil, 0.25, 0.75)
	testPlaces(t, "sigmoid form, loss",
		func(dst, x []float32) { kernel(dst, gotGrad[:len(x)], x, y[:len(x)], &p, 0.5) },
		func(dst, x []float32) { sigmoidLossGeneric(dst, x, y[:len(x)], &p) })
	if withGrad {
		testPlaces(t, "sigmoid form, gradient",
			func(dst, x []float32) { kernel(got[:len(x)], dst, x, y[:len(x)], &p, 0.5) },
			func(dst, x []float32) { sigmoidGradGeneric(want[:len(x)], dst, x, y[:len(x)], &p, 0.5) })
	}
}

// makeUnusual gives one of four rows a NaN or an infinite logit, or a largest one right at a border: of the plain rows, or of those
// whose logits are shifted; or a single one that makes the row not plain.
func makeUnusual(r *rng, z []float32) {
	switch r.below(12) {
	case 0:
		z[r.below(len(z))] = []float32{nan32, inf32, -inf32, math.Float32frombits(0xffc00001)}[r.below(4)]
	case 1:
		most := []float32{plainMax, shiftAt}[r.below(2)]
		most = []float32{most, math.Nextafter32(most, inf32), -most, -math.Nextafter32(most, inf32)}[r.below(4)]
		for j := range z {
			z[j] = most - float32(r.below(8))
		}
		z[r.below(len(z))] = most
	case 2:
		z[r.below(len(z))] = []float32{plainMax + 1, -plainMax - 1, 200, -200}[r.below(4)] // e^41 hardly shows in a loss
	}
}

// identityRows are some rows of a kind, here and there an unusual one; labels are ignored here and there.
func identityRows(r *rng, kind string, rows, classes int) (logits []float32, labels []int32) {
	for range rows {
		z, label := randomRow(r, kind, classes)
		makeUnusual(r, z)
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
	classCounts = append(classCounts, rowChunk+1, rowChunk+40, 2*rowChunk+129) // in parts
	for _, classes := range classCounts {
		for k, kind := range rowKinds {
			if classes > rowChunk && testing.Short() && (classes+k)%4 > 0 {
				continue
			}
			rows := 1 + r.below(5)
			if classes > rowChunk {
				rows = 1
			}
			if classes <= narrowMost { // with whole groups of narrow rows, and some left
				rows = 1 + r.below(rowsAtOnce+40)
			}
			logits, labels := identityRows(r, kind, rows, classes)
			p := newLossParams(classes, identityGammas[r.below(len(identityGammas))], randomAlpha(r, classes), 1, 1)
			got, want := make([]float32, rows), make([]float32, rows)
			softmaxLossGeneric(want, logits, labels, &p)
			softmaxLossKernel(got, logits, labels, &p)
			what := fmt.Sprintf("%s, %d classes, labels %d", kind, classes, labels)
			sameBits(t, what, want, got, want)
			for i := range rows {
				softmaxLossKernel(got[i:i+1], logits[i*classes:][:classes], labels[i:i+1], &p)
			}
			sameBits(t, what+", rows alone", want, got, want)
			scale := []float32{1, float32(r.normal()), 1e-30, 1e38, inf32, nan32, 0}[r.below(7)]
			sameRows(t, what, logits, labels, &p, scale)
		}
	}
	testRowNaNs(t)
	testRowPowers(t)
}

// sameRows holds the kernels that go through rows twice, and log-sum-exp, against the specification.
func sameRows(t *testing.T, what string, logits []float32, labels []int32, p *lossParams, scale float32) {
	t.Helper()
	got, want := make([]float32, len(labels)), make([]float32, len(labels))
	gotAll, wantAll := make([]float32, len(logits)), make([]float32, len(logits))
	softmaxGradGeneric(want, wantAll, logits, labels, p, scale)
	softmaxGradKernel(got, gotAll, logits, labels, p, scale)
	sameBits(t, what+", loss beside the gradient", want, got, want)
	sameBits(t, fmt.Sprintf("%s, scale %g, gradient", what, scale), logits, gotAll, wantAll)
	inPlace := append([]float32{}, logits...)
	softmaxGradKernel(got, inPlace, inPlace, labels, p, scale)
	sameBits(t, what+", gradient in place", logits, inPlace, wantAll)
	softmaxGeneric(wantAll, logits, p.classes)
	softmaxKernel(gotAll, logits, p.classes)
	sameBits(t, what+", softmax", logits, gotAll, wantAll)
	logSoftmaxGeneric(wantAll, logits, p.classes)
	logSoftmaxKernel(gotAll, logits, p.classes)
	sameBits(t, what+", log-softmax", logits, gotAll, wantAll)
	logSumExpGeneric(want, logits, p.classes)
	logSumExpKernel(got, logits, p.classes)
	sameBits(t, what+", log-sum-exp", want, got, want)
}

// testRowNaNs: every NaN becomes the one NaN, whatever its sign and payload, in each column.
func testRowNaNs(t *testing.T) {
	r := newRNG(11)
	const rows = 40
	for _, classes := range []int{2, 3, 4, 5, 7, 16, 17, 33, 80, 150} {
		logits, labels := identityRows(r, rowKinds[0], rows, classes)
		for i := range rows {
			logits[i*classes+i%classes] = math.Float32frombits([]uint32{0x7fc00001, 0x7f800001, 0xffc00001, 0x7fffffff}[r.below(4)])
		}
		p := newLossParams(classes, 2, nil, 1, 1)
		sameRows(t, fmt.Sprintf("%d classes with a NaN", classes), logits, labels, &p, 1)
	}
}

// testRowPowers: powers of q from the smallest to 2^-64, beyond the fast path, are few among random rows.
func testRowPowers(t *testing.T) {
	const rows = 4096
	r := newRNG(12)
	logits, labels := make([]float32, 2*rows), make([]int32, rows)
	got, want := make([]float32, rows), make([]float32, rows)
	gotGrad, wantGrad := make([]float32, len(logits)), make([]float32, len(logits))
	for _, gamma := range []float32{10, 40, 150} {
		for i := range rows { // q = 1/(1+e^d) is close to 2^-(64 to 149)/gamma
			power := math.Exp2((64 + 85*float64(r.float())) / float64(gamma))
			logits[2*i] = float32(math.Log(power - 1))
		}
		p := newLossParams(2, gamma, nil, 1, 1)
		what := fmt.Sprintf("powers below 2^-64, gamma %g", gamma)
		softmaxLossGeneric(want, logits, labels, &p)
		softmaxLossKernel(got, logits, labels, &p)
		sameBits(t, what, want, got, want)
		softmaxGradGeneric(want, wantGrad, logits, labels, &p, 1)
		softmaxGradKernel(got, gotGrad, logits, labels, &p, 1)
		sameBits(t, what+", loss beside the gradient", want, got, want)
		sameBits(t, what+", gradient", logits, gotGrad, wantGrad)
	}
}

// testPartIdentity cuts rows as sumLong does, but rows so short that many can be tried, in which no sum of thousands hides a wrong
// element.
func testPartIdentity(t *testing.T) {
	if active == generic {
		return // has no parts
	}
	r := newRNG(9)
	step := 0
	if testing.Short() {
		step = 1
	}
	for n := 2; n <= 640; n += 1 + n/40*step {
		for _, kind := range rowKinds {
			z, label := randomRow(r, kind, n)
			makeUnusual(r, z)
			if r.below(4) == 0 {
				label = noLabel
			}
			cut := rowBlock * r.below((n+rowBlock-1)/rowBlock)
			what := fmt.Sprintf("%s, %d classes cut at %d, label %d", kind, n, cut, label)
			forParts := func(f func(start, end, label int)) {
				if cut > 0 {
					f(0, cut, label)
				}
				f(cut, n, label-cut)
			}
			want := newRow(z, label)
			var sums rowSums
			var total [lanes]float64
			plain := true
			forParts(func(start, end, label int) { plain = plain && sumPart(&total, z[start:end], label) })
			if !plain {
				sums.most[0], total = -inf32, [lanes]float64{}
				forParts(func(start, end, label int) { mostOfPart(&sums, z[start:end], label) })
				forParts(func(start, end, label int) { sumShiftedPart(&sums, &total, z[start:end], label) })
			}
			got := row{float32(fold(&total)), sums.n[0], sums.most[0], plain}
			if got.plain != want.plain || got.n != want.n {
				t.Fatalf("%s: got %+v, want %+v", what, got, want)
			}
			sameBits(t, what+": sum and maximum", z, []float32{canonical(got.sum), canonical(got.most)}, []float32{canonical(want.sum), canonical(want.most)})
			if got.sum != got.sum {
				continue // all results of the row are NaN
			}
			// The e_j, which the output keeps until they are scaled, in place too. The target's is written later.
			e := make([]float32, n)
			for j, x := range z {
				if j != label {
					e[j] = want.exp(x)
				}
			}
			for _, inPlace := range []bool{false, true} {
				src, dst := slices.Clone(z), make([]float32, n)
				if inPlace {
					dst = src
				}
				forParts(func(start, end, label int) {
					slow := 0
					var unused [lanes]float64
					if plain {
						partExpAsm(&dst[start], &unused, &src[start], end-start, label, &slow)
					} else {
						partShiftedExpAsm(&dst[start], &sums.sum[0], &unused, &src[start], end-start, label)
					}
					if slow != 0 {
						t.Fatalf("%s: the second pass does not find the row plain", what)
					}
				})
				if label != noLabel {
					dst[label] = 0
				}
				sameBits(t, what+": e_j", z, dst, e)
			}
		}
	}
}

// testRowFirst: results hardly show which of equal maxima was the first.
func testRowFirst(t *testing.T) {
	if active == generic {
		t.Skip("firstMaxima is for assembly")
	}
	r := newRNG(9)
	values := []float32{-inf32, nan32, -1, float32(math.Copysign(0, -1)), 0, 1, 1, 2, 30, inf32}
	for classes := 1; classes <= 200; classes++ {
		z := make([]float32, 5*classes)
		for i := range z {
			z[i] = values[r.below(2+r.below(len(values)-1))]
		}
		var first [rowsAtOnce]float32
		var labels [rowsAtOnce]int32
		firstMaxima(&first, &labels, z, 5, classes)
		for i := range 5 {
			m, at := firstMax(z[i*classes:][:classes])
			if first[i] != m || int(labels[i]) != at {
				t.Fatalf("the first maximum of %v is %v at %d, want %v at %d", z[i*classes:][:classes], first[i], labels[i], m, at)
			}
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

// testAddedLanes: terms of any number are added to the float64 lanes, block by block in float32.
func testAddedLanes(t *testing.T, kernel func(total *[lanes]float64, terms *float32, n int), block int) {
	if active == generic {
		return // adds them where it computes them
	}
	r := random(10)
	terms := make([]float32, lossChunk)
	for n := 1; n <= len(terms); n++ {
		var got [lanes]float64
		for i := range got {
			got[i] = r.Float64()
		}
		want := got
		for i := range terms {
			terms[i] = r.Float32()
		}
		kernel(&got, &terms[0], n)
		for start := 0; start < n; start += block {
			var acc [lanes]float32
			for i, l := range terms[start:min(start+block, n)] {
				acc[i%lanes] += l
			}
			for i, a := range acc {
				want[i] += float64(a)
			}
		}
		if got != want {
			t.Fatalf("lanes after %d terms: %x, want %x", n, got, want)
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
		for i := range words[:n] { // the largest at every place
			w := words[i]
			words[i] = math.MaxUint32
			if got := maxWordKernel(words[:n]); got != math.MaxUint32 {
				t.Fatalf("the largest of %d words, which stands at %d: %#x", n, i, got)
			}
			words[i] = w
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
