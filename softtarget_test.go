package focal

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
)

func init() {
	test := shared(testSoftTargetIdentity)
	identity["softGrad"] = test
	identity["softTerms"] = func(t *testing.T) {
		test(t)
		testSoftTerms(t)
	}
}

// softTargets are targets of every kind, 0 in masked classes unless wild.
func softTargets(r *rng, logits []float32, classes int, wild bool) []float32 {
	y := make([]float32, len(logits))
	kind := r.below(4)
	for i := range y {
		switch {
		case kind == 0:
			y[i] = float32(r.float())
		case kind == 1 && r.below(classes) == 0:
			y[i] = 1
		case kind == 2:
			y[i] = float32(math.Ldexp(r.float(), -r.below(60)))
		}
		if !wild && masked(logits[i]) {
			y[i] = 0
		}
	}
	return y
}

func testSoftTargetIdentity(t *testing.T) {
	r := newRNG(61)
	for _, classes := range featureClasses {
		for k, kind := range rowKinds {
			if testing.Short() && classes > 1000 && k%4 > 0 {
				continue
			}
			logits, labels := identityRows(r, kind, featureCount(r, classes), classes)
			targets := softTargets(r, logits, classes, true)
			p := newLossParams(classes, identityGammas[r.below(len(identityGammas))], randomAlpha(r, classes), 1, 1)
			scale := featureScales[r.below(len(featureScales))]
			what := fmt.Sprintf("%s, %d classes, gamma %g, scale %g", kind, classes, p.factor, scale)
			got, want := make([]float32, len(labels)), make([]float32, len(labels))
			gotGrad, wantGrad := make([]float32, len(logits)), make([]float32, len(logits))
			softTargetGeneric(want, wantGrad, logits, targets, &p, scale)
			softTargetKernel(got, nil, logits, targets, &p, 0)
			sameBits(t, what+", loss", want, got, want)
			softTargetKernel(got, gotGrad, logits, targets, &p, scale)
			sameBits(t, what+", loss beside the gradient", want, got, want)
			sameBits(t, what+", gradient", logits, gotGrad, wantGrad)
			for in := range 2 {
				inputs := [][]float32{slices.Clone(logits), slices.Clone(targets)}
				softTargetKernel(got, inputs[in], inputs[0], inputs[1], &p, scale)
				sameBits(t, what+", gradient in place", logits, inputs[in], wantGrad)
			}
		}
	}
}

// testSoftTerms: the terms of any number of classes, for every gamma. In a whole row few are in the part of a vector at the end.
func testSoftTerms(t *testing.T) {
	if active == generic {
		return // has no kernel for them alone
	}
	const n = 1000
	r := newRNG(62)
	var probs, logs, y, weights, losses, slopes, want, wantSlopes, wantQ [n]float32
	for _, gamma := range identityGammas {
		p := newLossParams(1, gamma, nil, 1, 1)
		for i := range n {
			l := -r.float() * []float64{1e-3, 1, 5, 50, 150}[r.below(5)]
			logs[i], probs[i], y[i], weights[i] = float32(l), float32(math.Exp(l)), float32(r.float()), float32(r.below(4))
			if r.below(20) == 0 {
				logs[i], probs[i] = []float32{0, -inf32, nan32}[r.below(3)], []float32{0, 1, nan32}[r.below(3)]
			}
			term := newSoftTerm(probs[i], logs[i], weights[i]*y[i], &p)
			want[i], wantSlopes[i], wantQ[i] = term.loss, canonical(term.h), canonical(term.q)
		}
		q := logs
		for i, size := 0, 1; i < n; size = size%17 + 1 {
			size = min(size, n-i)
			softTermsAsm(&losses[i], &slopes[i], &q[i], &probs[i], &y[i], &weights[i], size, &p)
			i += size
		}
		for i := range n {
			slopes[i], q[i] = canonical(slopes[i]), canonical(q[i])
		}
		name := fmt.Sprintf("gamma %g", gamma)
		sameBits(t, name+", losses", logs[:], losses[:], want[:])
		sameBits(t, name+", slopes", logs[:], slopes[:], wantSlopes[:])
		sameBits(t, name+", 1 - p", logs[:], q[:], wantQ[:])
	}
}

// TestSoftTargets: Sum, Mean, Each and Grad agree, sums can be split, rows do not depend on their place, and one-hot targets
// give the loss of the label within the bounds of both.
func TestSoftTargets(t *testing.T) {
	const classes = 5
	alpha := []float32{0.5, 1, 2, 0.25, 3}
	forEachVariant(t, func(t *testing.T) {
		l := must(NewSoftTargetLoss(SoftTargetConfig{Classes: classes, Gamma: 2, Alpha: alpha}))
		hard := must(NewSoftmaxLoss(SoftmaxConfig{Classes: classes, Gamma: 2, Alpha: alpha}))
		r := newRNG(62)
		for _, n := range splits {
			logits, targets := make([]float32, n*classes), make([]float32, n*classes)
			for i := range logits {
				logits[i], targets[i] = float32(4*r.normal()), float32(r.float())
			}
			losses, grad := make([]float32, n), make([]float32, n*classes)
			gradSum, err := l.Grad(grad, logits, targets, 2)
			if err := errors.Join(err, l.Each(losses, logits, targets)); err != nil {
				t.Fatal(err)
			}
			checkSplit(t, n, func(start, end int) float64 {
				return must(l.Sum(logits[start*classes:end*classes], targets[start*classes:end*classes]))
			}, gradSum, losses)
			if mean := must(l.Mean(logits, targets)); mean != gradSum/float64(n) {
				t.Errorf("Mean = %v, want %v", mean, gradSum/float64(n))
			}
			for i := range n {
				var loss [1]float32
				var g [classes]float32
				row := func(x []float32) []float32 { return x[i*classes:][:classes] }
				must(0, l.Each(loss[:], row(logits), row(targets)))
				must(l.Grad(g[:], row(logits), row(targets), 2))
				checkBits(t, "loss of a row alone", loss[:], losses[i:i+1])
				checkBits(t, "gradient of a row alone", g[:], row(grad))
			}
		}
		w := &worst{t: t, name: "one-hot loss"}
		g := &worst{t: t, name: "one-hot gradient"}
		for _, kind := range benignKinds {
			for range 200 {
				z, label := randomRow(r, kind, classes)
				y := make([]float32, classes)
				y[label] = 1
				var loss, hardLoss [1]float32
				var grad, hardGrad [classes]float32
				must(0, l.Each(loss[:], z, y))
				must(l.Grad(grad[:], z, y, 1))
				must(0, hard.Each(hardLoss[:], z, []int32{int32(label)}))
				must(hard.Grad(hardGrad[:], z, []int32{int32(label)}, 1))
				where := func() string { return fmt.Sprintf("(%x, label %d)", z, label) }
				h := float64(hardLoss[0])
				w.check(loss[0], want{value: h, unit: 3 * ulpOf(h), bound: bounds.loss + bounds.lossSoft, lost: 0x1p-120}, where)
				for j := range grad {
					h := float64(hardGrad[j])
					g.check(grad[j], want{value: h, unit: 3 * ulpOf(h), bound: 2 * bounds.grad, lost: 0x1p-120}, where)
				}
			}
		}
		w.log("")
		g.log("")
	})
}

func TestSoftTargetErrors(t *testing.T) {
	for _, c := range []struct {
		cfg   SoftTargetConfig
		field string
		says  []any
	}{
		{SoftTargetConfig{}, "Classes", []any{0, "at least 1"}},
		{SoftTargetConfig{Classes: 2, Gamma: -1}, "Gamma", []any{-1, "finite"}},
		{SoftTargetConfig{Classes: 2, Gamma: nan32}, "Gamma", []any{"finite"}},
		{SoftTargetConfig{Classes: 2, Alpha: []float32{1}}, "Alpha", []any{"len(Alpha)", 1, 2}},
		{SoftTargetConfig{Classes: 2, Alpha: []float32{1, inf32}}, "Alpha", []any{"Alpha[1]", "finite"}},
	} {
		l, err := NewSoftTargetLoss(c.cfg)
		var e *ConfigError
		if l != nil || !errors.As(err, &e) || e.Field != c.field {
			t.Errorf("%+v: loss %v, error %#v", c.cfg, l, err)
			continue
		}
		checkMessage(t, "NewSoftTargetLoss", err.Error(), c.says...)
	}
	must(NewSoftTargetLoss(SoftTargetConfig{Classes: math.MaxInt, Gamma: math.MaxFloat32}))

	check := func(l *SoftTargetLoss, logits, targets []float32, want error, values ...any) {
		t.Helper()
		rows := len(logits) / 3
		m := methods{
			sum:  func() (float64, error) { return l.Sum(logits, targets) },
			mean: func() (float64, error) { return l.Mean(logits, targets) },
			each: func(dst []float32) error { return l.Each(dst, logits, targets) },
			grad: func(grad []float32) (float64, error) { return l.Grad(grad, logits, targets, 1) },
			dst:  rows, len: len(logits),
		}
		m.checkErrors(t, want, values...)
	}
	l := must(NewSoftTargetLoss(SoftTargetConfig{Classes: 3, Gamma: 2}))
	check(nil, make([]float32, 4), nil, ErrNotConfigured)
	check(new(SoftTargetLoss), make([]float32, 4), nil, ErrNotConfigured)
	check(l, make([]float32, 7), make([]float32, 7), &ShapeError{"len(logits)", 7, 6}, 7)
	check(l, make([]float32, 6), make([]float32, 5), &ShapeError{"len(targets)", 5, 6}, 5, 6)
	for _, y := range []float32{-1, 1.5, nan32, inf32, -inf32, -1e-45} {
		for i := range 6 {
			targets := make([]float32, 6)
			targets[i] = y
			check(l, make([]float32, 6), targets, &TargetError{i, y}, i, y)
		}
	}
	m, untouched := canaries(24)
	in := m[8:14]
	other := make([]float32, 6)
	for _, out := range [][]float32{m[7:13], m[9:15], m[3:9]} {
		_, err := l.Grad(out, in, other, 1)
		_, err2 := l.Grad(out, other, in, 1)
		if err != ErrOverlap || err2 != ErrOverlap {
			t.Errorf("Grad: errors %v, %v, want ErrOverlap", err, err2)
		}
	}
	if err, err2 := l.Each(m[8:10], in, other), l.Each(m[13:15], other, in); err != ErrOverlap || err2 != ErrOverlap {
		t.Errorf("Each: errors %v, %v, want ErrOverlap", err, err2)
	}
	checkError(t, "Each", l.Each(m[:3], other, other), &ShapeError{"len(dst)", 3, 2})
	_, err := l.Grad(m[:5], other, other, 1)
	checkError(t, "Grad", err, &ShapeError{"len(grad)", 5, 6})
	untouched(t, "SoftTargetLoss")
	for _, v := range []float64{must(l.Sum(nil, nil)), must(l.Mean(nil, nil)), must(l.Grad(nil, nil, nil, 1))} {
		if math.Float64bits(v) != 0 {
			t.Errorf("of nothing: %v, want 0", v)
		}
	}
}

func TestSoftTargetSpecial(t *testing.T) {
	nan, inf := nan32, inf32
	forEachVariant(t, func(t *testing.T) {
		for _, gamma := range []float32{0, 0.5, 2, max32} {
			l := must(NewSoftTargetLoss(SoftTargetConfig{Classes: 3, Gamma: gamma, Alpha: []float32{1, 1, 0}}))
			for _, c := range []struct {
				name string
				z, y []float32
				loss float32
				grad []float32
			}{
				{"NaN", []float32{nan, 0, 0}, []float32{0, 0, 0}, nan, []float32{nan, nan, nan}},
				{"+Inf", []float32{0, inf, 0}, []float32{1, 0, 0}, nan, []float32{nan, nan, nan}},
				{"only -Inf", []float32{-inf, -inf, -inf}, []float32{0, 1, 0}, nan, []float32{nan, nan, nan}},
				{"target on a masked class", []float32{-inf, 0, 0}, []float32{1, 0, 0}, inf, []float32{-1, 0.5, 0.5}},
				{"target on a masked class of weight 0", []float32{0, 0, -inf}, []float32{0, 0, 1}, 0, []float32{0, 0, 0}},
				{"no target", []float32{3, 1, 2}, []float32{0, 0, 0}, 0, []float32{0, 0, 0}},
				{"nothing but one class", []float32{-inf, 7, -inf}, []float32{0, 1, 0}, 0, []float32{0, 0, 0}},
			} {
				var each [1]float32
				var grad [3]float32
				must(0, l.Each(each[:], c.z, c.y))
				checkBits(t, fmt.Sprintf("%s, gamma %g, loss", c.name, gamma), each[:], []float32{c.loss})
				must(l.Grad(grad[:], c.z, c.y, 1))
				for i, v := range c.grad {
					if g := grad[i]; g != v && math.Float32bits(g) != math.Float32bits(v) { // -0 is 0
						t.Errorf("%s, gamma %g: gradient %v, want %v", c.name, gamma, grad, c.grad)
						break
					}
				}
			}
		}
		r := newRNG(63)
		for range 3000 { // no finite logits and no gamma give NaN
			classes := 1 + r.below(9)
			z, _ := randomRow(r, rowKinds[r.below(len(rowKinds))], classes)
			gamma := identityGammas[r.below(len(identityGammas))]
			l := must(NewSoftTargetLoss(SoftTargetConfig{Classes: classes, Gamma: gamma}))
			y, grad := softTargets(r, z, classes, false), make([]float32, classes)
			sum := must(l.Grad(grad, z, y, 1))
			if sum != sum || slices.ContainsFunc(grad, func(g float32) bool { return g != g }) {
				t.Fatalf("%x, targets %x, gamma %g: loss %v, gradient %v", z, y, gamma, sum, grad)
			}
		}
	})
}
