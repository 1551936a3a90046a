package focal

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
)

// A viewCase is a loss, a view of it, and where the view has logit c of a row.
type viewCase struct {
	name         string
	packed, view scaledForm
	place        func(row, c int) int
	size         func(rows int) int // of the view's logits
	wholeRows    int                // rows come in multiples of it
}

func init() {
	test := shared(testPlaneIdentity)
	for _, name := range []string{"planeSum", "planeShifted", "planeSoftmax", "planeGrad"} {
		identity[name] = test
	}
}

// testPlaneIdentity holds planes on the active variant against packed rows by the specification.
func testPlaneIdentity(t *testing.T) {
	r, v := newRNG(73), active
	for classes := 2; classes <= planeMost+2; classes += 1 + classes/24 {
		for k, kind := range rowKinds {
			if testing.Short() && (classes+k)%5 > 0 {
				continue
			}
			inner := 1 + r.below(90)
			rows := inner * (1 + r.below(2))
			logits, labels := identityRows(r, kind, rows, classes)
			at := func(row, c int) int { return (row/inner*classes+c)*inner + row%inner }
			planar := make([]float32, len(logits))
			for row := range rows {
				for c := range classes {
					planar[at(row, c)] = logits[row*classes+c]
				}
			}
			p := newLossParams(classes, identityGammas[r.below(len(identityGammas))], randomAlpha(r, classes), 1, 1)
			l := rowLoss{params: p, top: topLabel(classes - 1), ignore: []int32{noLabel}}
			view, scale := l.with(layout{planes, inner}), featureScales[r.below(len(featureScales))]
			losses, want, grad, wantGrad := make([]float32, rows), make([]float32, rows), make([]float32, len(logits)), make([]float32, len(logits))
			active = generic
			softmaxGradGeneric(want, wantGrad, logits, labels, &p, scale)
			active = v
			what := fmt.Sprintf("%s, %d classes, inner %d, gamma %g, scale %g", kind, classes, inner, p.factor, scale)
			check := func(name string, grad []float32) {
				t.Helper()
				for row := range rows {
					for c := range classes {
						if g, w := grad[at(row, c)], wantGrad[row*classes+c]; math.Float32bits(g) != math.Float32bits(w) {
							t.Fatalf("%s, %s: row %d, class %d, label %d: %x (%08x), want %x (%08x)", what, name, row, c, labels[row],
								g, math.Float32bits(g), w, math.Float32bits(w))
						}
					}
				}
			}
			must(0, view.each(losses, planar, labels))
			sameBits(t, what+", losses", want, losses, want)
			must(view.grad(grad, planar, labels, scale))
			check("gradient", grad)
			softmaxGeneric(wantGrad, logits, classes)
			SoftmaxPlanes(grad, planar, classes, inner)
			check("softmax", grad)
			SoftmaxPlanes(planar, planar, classes, inner)
			check("softmax in place", planar)
		}
	}
}

// viewCases are planes of inner and rows padded by pad, for both forms, with and without smoothing.
func viewCases(classes, inner, pad int) []viewCase {
	var cases []viewCase
	planar := func(row, c int) int { return (row/inner*classes+c)*inner + row%inner }
	strided := func(row, c int) int { return row*(classes+pad) + c }
	for _, eps := range []float32{0, 0.1} {
		s := must(NewSoftmaxLoss(SoftmaxConfig{Classes: classes, Gamma: 2, IgnoreLabels: []int32{-100}, Smoothing: eps}))
		o := must(NewOneVsRestLoss(OneVsRestConfig{Classes: classes, Gamma: 1.5, Alpha: 0.25, IgnoreLabels: []int32{-100}, Smoothing: eps}))
		sp, op, ss, os := s.Planes(inner), o.Planes(inner), s.Strided(classes+pad), o.Strided(classes+pad)
		planes := func(rows int) int { return rows * classes }
		padded := func(rows int) int { return rows * (classes + pad) }
		cases = append(cases,
			viewCase{fmt.Sprintf("softmax planes, smoothing %v", eps), s, &sp, planar, planes, inner},
			viewCase{fmt.Sprintf("one-vs-rest planes, smoothing %v", eps), o, &op, planar, planes, inner},
			viewCase{fmt.Sprintf("softmax strided, smoothing %v", eps), s, &ss, strided, padded, 1},
			viewCase{fmt.Sprintf("one-vs-rest strided, smoothing %v", eps), o, &os, strided, padded, 1})
	}
	return cases
}

// TestViews: every row has the bits that it has in a packed matrix, padding is left alone, and sums, means, counts agree.
func TestViews(t *testing.T) {
	forEachVariant(t, func(t *testing.T) {
		r := newRNG(71)
		for _, classes := range []int{1, 2, 3, 4, 5, 13, 16, 17, 21, 33, 80, 127, 128, 129, 300, 4096, 5000} {
			inners := []int{1, 2, 5, 16, 31, 70, 300}
			if classes > 128 {
				inners = []int{1, 3}
			}
			if classes == 3 || classes == 21 {
				inners = nil
				for i := 1; i <= 70; i++ {
					inners = append(inners, i)
				}
			}
			for _, inner := range inners {
				if testing.Short() && (inner+classes)%3 > 0 {
					continue
				}
				for _, c := range viewCases(classes, inner, r.below(4)) {
					rows := c.wholeRows * (1 + r.below(3))
					checkView(t, r, fmt.Sprintf("%s, %d classes, inner %d, %d rows", c.name, classes, inner, rows), c, classes, rows)
				}
				if t.Failed() {
					return
				}
			}
		}
	})
}

func checkView(t *testing.T, r *rng, what string, c viewCase, classes, rows int) {
	t.Helper()
	var logits []float32
	var labels []int32
	kind := []string{"normal", "spread", "masks", "large", "close"}[r.below(5)]
	for range rows {
		z, label := randomRow(r, kind, classes)
		if r.below(10) == 0 {
			label = -100
		}
		logits, labels = append(logits, z...), append(labels, int32(label))
	}
	viewed := slices.Repeat([]float32{canary}, c.size(rows))
	for row := range rows {
		for j := range classes {
			viewed[c.place(row, j)] = logits[row*classes+j]
		}
	}
	n := len(viewed)
	if pad := n/rows - classes; pad > 0 {
		n -= r.below(pad + 1) // the last row's padding may be missing
		viewed = viewed[:n]
	}
	same := func(name string, grad, want []float32) {
		t.Helper()
		seen := make([]bool, n)
		for row := range rows {
			for j := range classes {
				at := c.place(row, j)
				seen[at] = true
				if g, w := grad[at], want[row*classes+j]; math.Float32bits(g) != math.Float32bits(w) {
					t.Fatalf("%s, %s: row %d, class %d: %x (%08x), packed %x (%08x)", what, name, row, j, g, math.Float32bits(g), w, math.Float32bits(w))
				}
			}
		}
		for at := range seen {
			if !seen[at] && math.Float32bits(grad[at]) != math.Float32bits(canary) {
				t.Fatalf("%s, %s: wrote %v to the padding at %d", what, name, grad[at], at)
			}
		}
	}
	each, want := make([]float32, rows), make([]float32, rows)
	grad, wantGrad := slices.Repeat([]float32{canary}, n), make([]float32, len(logits))
	scales := make([]float32, rows)
	for i := range scales {
		scales[i] = []float32{0, 1, float32(r.normal())}[r.below(3)]
	}
	sum, err := c.view.Grad(grad, viewed, labels, -2)
	wantSum, err2 := c.packed.Grad(wantGrad, logits, labels, -2)
	if err := errors.Join(err, err2, c.view.Each(each, viewed, labels), c.packed.Each(want, logits, labels)); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	sameBits(t, what+", losses", want, each, want)
	same("gradient", grad, wantGrad)
	mean, wantMean := must(c.view.Mean(viewed, labels)), must(c.packed.Mean(logits, labels))
	for _, p := range [][2]float64{{sum, wantSum}, {must(c.view.Sum(viewed, labels)), wantSum}, {mean, wantMean}} {
		if math.Float64bits(p[0]) != math.Float64bits(p[1]) {
			t.Errorf("%s: sum or mean %x, packed %x", what, p[0], p[1])
		}
	}
	if got, want := must(c.view.Count(labels)), must(c.packed.Count(labels)); got != want {
		t.Errorf("%s: Count = %d, want %d", what, got, want)
	}
	for i := range grad {
		grad[i] = canary
	}
	sum, wantSum = must(c.view.GradRows(grad, viewed, labels, scales)), must(c.packed.GradRows(wantGrad, logits, labels, scales))
	same("GradRows", grad, wantGrad)
	if math.Float64bits(sum) != math.Float64bits(wantSum) {
		t.Errorf("%s: GradRows returns %x, packed %x", what, sum, wantSum)
	}
	must(c.packed.Grad(wantGrad, logits, labels, 0.5))
	must(c.view.Grad(viewed, viewed, labels, 0.5))
	same("gradient in place", viewed, wantGrad)
}

// TestSoftmaxPlanes: the bits of Softmax classes-last, apart and in place.
func TestSoftmaxPlanes(t *testing.T) {
	forEachVariant(t, func(t *testing.T) {
		r := newRNG(72)
		for _, classes := range []int{1, 2, 3, 4, 16, 17, 21, 80, 129, 5000} {
			for _, inner := range []int{1, 2, 7, 16, 33, 70} {
				rows := 2 * inner
				if classes == 5000 && inner > 2 {
					continue
				}
				var logits []float32
				kind := rowKinds[r.below(len(rowKinds))]
				for range rows {
					z, _ := randomRow(r, kind, classes)
					logits = append(logits, z...)
				}
				want, planar := make([]float32, len(logits)), make([]float32, len(logits))
				Softmax(want, logits, classes)
				place := func(row, c int) int { return (row/inner*classes+c)*inner + row%inner }
				for row := range rows {
					for c := range classes {
						planar[place(row, c)] = logits[row*classes+c]
					}
				}
				got := make([]float32, len(planar))
				SoftmaxPlanes(got, planar, classes, inner)
				SoftmaxPlanes(planar, planar, classes, inner)
				for row := range rows {
					for c := range classes {
						g, p, w := got[place(row, c)], planar[place(row, c)], want[row*classes+c]
						if math.Float32bits(g) != math.Float32bits(w) || math.Float32bits(p) != math.Float32bits(w) {
							t.Fatalf("%s, %d classes, inner %d: row %d, class %d: %x, in place %x, want %x", kind, classes, inner, row, c, g, p, w)
						}
					}
				}
			}
		}
		SoftmaxPlanes(nil, nil, 3, 4)
	})
	x, untouched := canaries(40)
	checkPanic(t, func() { SoftmaxPlanes(x[:12], x[12:24], 3, 0) }, "SoftmaxPlanes", "inner", 0)
	checkPanic(t, func() { SoftmaxPlanes(x[:12], x[12:24], 3, 3) }, "SoftmaxPlanes", 12, 3)
	checkPanic(t, func() { SoftmaxPlanes(x[:12], x[12:24], 0, 3) }, "SoftmaxPlanes", "classes", 0)
	checkPanic(t, func() { SoftmaxPlanes(x[:12], x[1:13], 3, 4) }, "SoftmaxPlanes", "overlaps")
	checkPanic(t, func() { SoftmaxPlanes(x[:9], x[12:24], 3, 4) }, "SoftmaxPlanes", 9, 12)
	untouched(t, "SoftmaxPlanes")
}

func TestViewErrors(t *testing.T) {
	var noSoftmax *SoftmaxLoss
	var noOneVsRest *OneVsRestLoss
	for _, v := range []SoftmaxLoss{noSoftmax.Planes(1), noSoftmax.Strided(3), new(SoftmaxLoss).Planes(0)} {
		checkRowsError(t, &v, []float32{1}, []int32{0}, ErrNotConfigured)
	}
	for _, v := range []OneVsRestLoss{noOneVsRest.Planes(1), noOneVsRest.Strided(3), new(OneVsRestLoss).Planes(0)} {
		checkRowsError(t, &v, []float32{1}, []int32{0}, ErrNotConfigured)
	}
	views := func(classes int, planes bool, size int) []rowForm {
		s := must(NewSoftmaxLoss(SoftmaxConfig{Classes: classes}))
		o := must(NewOneVsRestLoss(OneVsRestConfig{Classes: classes}))
		if planes {
			sv, ov := s.Planes(size), o.Planes(size)
			return []rowForm{&sv, &ov}
		}
		sv, ov := s.Strided(size), o.Strided(size)
		return []rowForm{&sv, &ov}
	}
	logits := make([]float32, 24)
	for _, size := range []int{0, -1, math.MinInt} {
		for _, l := range views(3, true, size) {
			checkRowsError(t, l, logits, make([]int32, 8), &ConfigError{"inner", size, "inner", "at least 1"}, size)
			if _, err := l.Count(nil); fmt.Sprintf("%#v", err) != fmt.Sprintf("%#v", &ConfigError{"inner", size, "inner", "at least 1"}) {
				t.Errorf("Count: %v", err)
			}
		}
	}
	for _, size := range []int{2, 0, -1, math.MinInt} {
		for _, l := range views(3, false, size) {
			checkRowsError(t, l, logits, make([]int32, 8), &ConfigError{"stride", size, "stride", "at least 3, the number of classes"}, size, 3)
		}
	}
	for _, l := range views(3, true, 4) { // images of 12 logits
		checkRowsError(t, l, logits[:23], make([]int32, 8), &ShapeError{"len(logits)", 23, 12}, 23)
		checkRowsError(t, l, logits[:18], make([]int32, 6), &ShapeError{"len(logits)", 18, 12}, 18)
		checkRowsError(t, l, logits, make([]int32, 7), &ShapeError{"len(labels)", 7, 8}, 7, 8)
		checkRowsError(t, l, logits, []int32{0, 0, 0, 0, 0, -1, 0, 0}, &LabelError{5, -1, 3}, 5, -1)
	}
	for _, l := range views(3, false, 5) {
		checkRowsError(t, l, logits[:22], make([]int32, 4), &ShapeError{"len(logits)", 22, 20}, 22, 20)
		checkRowsError(t, l, logits[:17], make([]int32, 4), &ShapeError{"len(logits)", 17, 20}, 17, 20)
		checkRowsError(t, l, logits[:18], make([]int32, 3), &ShapeError{"len(logits)", 18, 15})
		checkRowsError(t, l, nil, make([]int32, 1), &ShapeError{"len(logits)", 0, 5})
		checkRowsError(t, l, logits[:18], []int32{0, 0, 0, 9}, &LabelError{3, 9, 3})
		must(l.Sum(nil, nil))
		must(l.Sum(logits[:18], make([]int32, 4)))
		must(l.Sum(logits[:20], make([]int32, 4)))
	}
	for _, l := range append(views(math.MaxInt, true, math.MaxInt), views(math.MaxInt-1, false, math.MaxInt)...) {
		must(l.Sum(nil, nil))
		if _, err := l.Sum(logits, make([]int32, 2)); err == nil {
			t.Error("no error for a product that overflows")
		}
	}
	// The last view counts, and the loss stays as it is.
	s := must(NewSoftmaxLoss(SoftmaxConfig{Classes: 3, Gamma: 2}))
	p := s.Planes(4)
	q := p.Strided(3)
	labels, z := []int32{0, 1, 2, 0}, make([]float32, 12)
	for i := range z {
		z[i] = float32(i * i % 7)
	}
	if a, b, c := must(s.Sum(z, labels)), must(q.Sum(z, labels)), must(p.Sum(z, labels)); a != b || a == c {
		t.Errorf("packed %v, stride 3 %v, planes %v", a, b, c)
	}
}
