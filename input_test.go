package focal

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// rowForm is what the losses with a label per row have in common.
type rowForm interface {
	Sum(logits []float32, labels []int32) (float64, error)
	Mean(logits []float32, labels []int32) (float64, error)
	Each(dst, logits []float32, labels []int32) error
	Grad(grad, logits []float32, labels []int32, scale float32) (float64, error)
	GradRows(grad, logits []float32, labels []int32, scales []float32) (float64, error)
	Count(labels []int32) (int, error)
}

func must[T any](loss T, err error) T {
	if err != nil {
		panic(err)
	}
	return loss
}

// forBothForms runs f on a loss of each form with a label per row. top is the largest label in range.
func forBothForms(t *testing.T, classes int, ignore []int32, f func(t *testing.T, l rowForm, top int32)) {
	t.Helper()
	t.Run("softmax", func(t *testing.T) {
		cfg := SoftmaxConfig{Classes: classes, Gamma: 2, IgnoreLabels: ignore}
		f(t, must(NewSoftmaxLoss(cfg)), int32(min(classes-1, math.MaxInt32)))
	})
	t.Run("onevsrest", func(t *testing.T) {
		cfg := OneVsRestConfig{Classes: classes, Gamma: 2, Alpha: 0.25, IgnoreLabels: ignore}
		f(t, must(NewOneVsRestLoss(cfg)), int32(min(classes, math.MaxInt32)))
	})
}

var canary = math.Float32frombits(0x7fabcdef) // a NaN that focal never writes

// canaries makes a slice of n elements amid others, and the check that nobody has written to any of them.
func canaries(n int) (inner []float32, check func(t *testing.T, who string)) {
	all := slices.Repeat([]float32{canary}, n+16)
	return all[8 : 8+n : 8+n], func(t *testing.T, who string) {
		t.Helper()
		for i, x := range all {
			if math.Float32bits(x) != math.Float32bits(canary) {
				t.Errorf("%s has written %v to element %d of an output of %d", who, x, i-8, n)
				return
			}
		}
	}
}

// checkError compares errors by type and fields (%#v, in which NaN equals NaN) and wants every value in the message.
func checkError(t *testing.T, who string, got, want error, values ...any) {
	t.Helper()
	if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
		t.Errorf("%s: error %#v, want %#v", who, got, want)
		return
	}
	checkMessage(t, who, got.Error(), values...)
}

func checkMessage(t *testing.T, who, message string, values ...any) {
	t.Helper()
	if !strings.HasPrefix(message, "focal: ") {
		t.Errorf("%s: message %q does not begin with the package", who, message)
	}
	for _, v := range values {
		if !strings.Contains(message, fmt.Sprint(v)) {
			t.Errorf("%s: message %q does not name %v", who, message, v)
		}
	}
}

// methods are those of a loss on one input; dst and len are the lengths of the outputs of Each and Grad.
type methods struct {
	sum, mean func() (float64, error)
	each      func(dst []float32) error
	grad      func(grad []float32) (float64, error)
	dst, len  int
}

// checkErrors calls every method: each must return the error and write nothing.
func (m *methods) checkErrors(t *testing.T, want error, values ...any) {
	t.Helper()
	sum, err := m.sum()
	checkError(t, "Sum", err, want, values...)
	mean, err := m.mean()
	checkError(t, "Mean", err, want, values...)
	dst, untouched := canaries(m.dst)
	checkError(t, "Each", m.each(dst), want, values...)
	untouched(t, "Each")
	grad, untouched := canaries(m.len)
	gradSum, err := m.grad(grad)
	checkError(t, "Grad", err, want, values...)
	untouched(t, "Grad")
	if sum != 0 || mean != 0 || gradSum != 0 {
		t.Errorf("with the error come Sum = %v, Mean = %v, Grad = %v, want 0", sum, mean, gradSum)
	}
}

// checkRowsError wants the error of every method that takes logits, given outputs of the right length; in place too.
func checkRowsError(t *testing.T, l rowForm, logits []float32, labels []int32, want error, values ...any) {
	t.Helper()
	keep, keepLabels := slices.Clone(logits), slices.Clone(labels)
	m := methods{
		sum:  func() (float64, error) { return l.Sum(logits, labels) },
		mean: func() (float64, error) { return l.Mean(logits, labels) },
		each: func(dst []float32) error { return l.Each(dst, logits, labels) },
		grad: func(grad []float32) (float64, error) { return l.Grad(grad, logits, labels, 1) },
		dst:  len(labels), len: len(logits),
	}
	m.checkErrors(t, want, values...)
	_, err := l.Grad(logits, logits, labels, 1)
	checkError(t, "Grad in place", err, want)
	checkBits(t, "logits after an error", logits, keep)
	if !slices.Equal(labels, keepLabels) {
		t.Errorf("labels after an error: %v, were %v", labels, keepLabels)
	}
}

// checkSigmoidError does the same for the dense form.
func checkSigmoidError(t *testing.T, l *SigmoidLoss, logits, targets []float32, want error, values ...any) {
	t.Helper()
	keep, keepTargets := slices.Clone(logits), slices.Clone(targets)
	m := methods{
		sum:  func() (float64, error) { return l.Sum(logits, targets) },
		mean: func() (float64, error) { return l.Mean(logits, targets) },
		each: func(dst []float32) error { return l.Each(dst, logits, targets) },
		grad: func(grad []float32) (float64, error) { return l.Grad(grad, logits, targets, 1) },
		dst:  len(logits), len: len(logits),
	}
	m.checkErrors(t, want, values...)
	if len(targets) == len(logits) {
		checkError(t, "Each in place", l.Each(targets, logits, targets), want)
		_, err := l.Grad(logits, logits, targets, 1)
		checkError(t, "Grad in place", err, want)
	}
	checkBits(t, "logits after an error", logits, keep)
	checkBits(t, "targets after an error", targets, keepTargets)
}

// places are where errors are put among n inputs: everywhere, or where loops begin and end.
func places(n int) []int {
	var all []int
	for i := range n {
		if n < 20 || i < 8 || i >= n-8 || i%SumBlock < 2 {
			all = append(all, i)
		}
	}
	return all
}

func TestConfigErrors(t *testing.T) {
	nan, inf, negative := float32(math.NaN()), float32(math.Inf(1)), -float32(math.SmallestNonzeroFloat32)
	softmax := func(cfg SoftmaxConfig) func() (bool, error) {
		return func() (bool, error) { l, err := NewSoftmaxLoss(cfg); return l != nil, err }
	}
	oneVsRest := func(cfg OneVsRestConfig) func() (bool, error) {
		return func() (bool, error) { l, err := NewOneVsRestLoss(cfg); return l != nil, err }
	}
	sigmoid := func(cfg SigmoidConfig) func() (bool, error) {
		return func() (bool, error) { l, err := NewSigmoidLoss(cfg); return l != nil, err }
	}
	type test struct {
		name  string
		make  func() (bool, error)
		field string
		value any
		says  []any
	}
	var tests []test
	for _, c := range []int{0, -1, math.MinInt} {
		tests = append(tests,
			test{"softmax", softmax(SoftmaxConfig{Classes: c}), "Classes", c, []any{c, "at least 1"}},
			test{"onevsrest", oneVsRest(OneVsRestConfig{Classes: c}), "Classes", c, []any{c, "at least 1"}})
	}
	for _, g := range []float32{nan, inf, -inf, -1, negative} {
		tests = append(tests,
			test{"softmax", softmax(SoftmaxConfig{Classes: 2, Gamma: g}), "Gamma", g, []any{g, "finite"}},
			test{"onevsrest", oneVsRest(OneVsRestConfig{Classes: 2, Gamma: g}), "Gamma", g, []any{g, "finite"}},
			test{"sigmoid", sigmoid(SigmoidConfig{Gamma: g}), "Gamma", g, []any{g, "finite"}})
	}
	for _, a := range []float32{nan, inf, -inf, -1, negative, 1, 2} {
		tests = append(tests,
			test{"onevsrest", oneVsRest(OneVsRestConfig{Classes: 2, Alpha: a}), "Alpha", a, []any{a, "(0, 1)"}},
			test{"sigmoid", sigmoid(SigmoidConfig{Alpha: a}), "Alpha", a, []any{a, "(0, 1)"}})
	}
	for _, a := range []float32{nan, inf, -inf, -1, negative} {
		tests = append(tests, test{"softmax", softmax(SoftmaxConfig{Classes: 3, Alpha: []float32{1, 0, a}}),
			"Alpha", a, []any{"Alpha[2]", a, "finite"}})
	}
	for _, alpha := range [][]float32{{}, {1}, {1, 1}, {1, 1, 1, 1}, {nan, nan}} {
		tests = append(tests, test{"softmax", softmax(SoftmaxConfig{Classes: 3, Alpha: alpha}),
			"Alpha", len(alpha), []any{"len(Alpha)", len(alpha), 3}})
	}
	for _, c := range tests {
		name := fmt.Sprintf("%s: %s %v", c.name, c.field, c.value)
		made, err := c.make()
		var e *ConfigError
		if made || !errors.As(err, &e) {
			t.Errorf("%s: loss made: %v, error %v, want a ConfigError", name, made, err)
			continue
		}
		if e.Field != c.field || fmt.Sprintf("%T %v", e.Value, e.Value) != fmt.Sprintf("%T %v", c.value, c.value) {
			t.Errorf("%s: ConfigError{%q, %T %v}", name, e.Field, e.Value, e.Value)
		}
		checkMessage(t, name, err.Error(), c.says...)
	}
	checkMessage(t, "a ConfigError made elsewhere", (&ConfigError{Field: "Gamma", Value: -1}).Error(), "Gamma", -1)
}

// What lies just inside the limits must pass.
func TestConfigLimits(t *testing.T) {
	const tiny, huge = math.SmallestNonzeroFloat32, math.MaxFloat32
	below1 := math.Nextafter32(1, 0)
	for _, gamma := range []float32{0, tiny, huge} {
		must(NewSoftmaxLoss(SoftmaxConfig{Classes: 1, Gamma: gamma, Alpha: []float32{huge}}))
		must(NewSoftmaxLoss(SoftmaxConfig{Classes: 3, Gamma: gamma, Alpha: []float32{0, tiny, 1}}))
		must(NewSoftmaxLoss(SoftmaxConfig{Classes: math.MaxInt, Gamma: gamma}))
		must(NewOneVsRestLoss(OneVsRestConfig{Classes: math.MaxInt, Gamma: gamma, Alpha: tiny}))
		must(NewSigmoidLoss(SigmoidConfig{Gamma: gamma, Alpha: below1}))
	}
}

// A configuration is copied, and -0 is 0.
func TestConfigCopied(t *testing.T) {
	minus := float32(math.Copysign(0, -1))
	cfg := SoftmaxConfig{Classes: 2, Gamma: minus, Alpha: []float32{minus, 1}, IgnoreLabels: []int32{7, -3, 7}}
	l := must(NewSoftmaxLoss(cfg))
	if !slices.Equal(cfg.IgnoreLabels, []int32{7, -3, 7}) {
		t.Errorf("NewSoftmaxLoss has changed IgnoreLabels to %v", cfg.IgnoreLabels)
	}
	clear(cfg.Alpha)
	clear(cfg.IgnoreLabels)
	logits, labels := []float32{1, 2, 3, 4, 5, 6, 7, 8}, []int32{0, 1, 7, -3}
	var dst [4]float32
	if err := l.Each(dst[:], logits, labels); err != nil {
		t.Fatal(err)
	}
	if math.Float32bits(dst[0]) != 0 || dst[1] == 0 || math.Float32bits(dst[2]) != 0 || math.Float32bits(dst[3]) != 0 {
		t.Errorf("Each = %v, want +0 for alpha -0, some loss for alpha 1, +0 for ignored rows", dst)
	}
	if n, err := l.Count(labels); n != 2 || err != nil {
		t.Errorf("Count(%v) = %d, %v, want 2", labels, n, err)
	}
	if bits := math.Float32bits(l.rows.params.alpha[0]); bits != 0 {
		t.Errorf("alpha -0 is kept as %#08x", bits)
	}
	if bits := math.Float32bits(l.rows.params.factor); bits != 0 {
		t.Errorf("gamma -0 is kept as %#08x", bits)
	}
}

func TestNotConfigured(t *testing.T) {
	for _, l := range []rowForm{(*SoftmaxLoss)(nil), (*OneVsRestLoss)(nil), new(SoftmaxLoss), new(OneVsRestLoss)} {
		// Wrong in every way: that the loss is not configured comes first.
		checkRowsError(t, l, []float32{1, 2, 3}, []int32{-1}, ErrNotConfigured)
		checkRowsError(t, l, nil, nil, ErrNotConfigured)
		if n, err := l.Count([]int32{-1}); n != 0 || err != ErrNotConfigured {
			t.Errorf("%T: Count = %d, %v", l, n, err)
		}
		if o, ok := l.(*OneVsRestLoss); ok {
			if n, err := o.Positives(nil); n != 0 || err != ErrNotConfigured {
				t.Errorf("Positives = %d, %v", n, err)
			}
		}
	}
	for _, l := range []*SigmoidLoss{nil, new(SigmoidLoss)} {
		checkSigmoidError(t, l, []float32{1, 2}, []float32{-1}, ErrNotConfigured)
		checkSigmoidError(t, l, nil, nil, ErrNotConfigured)
	}
}

func TestRowShapes(t *testing.T) {
	forBothForms(t, 5, nil, func(t *testing.T, l rowForm, top int32) {
		for _, c := range []struct {
			logits, labels int
			want           *ShapeError
		}{
			{7, 2, &ShapeError{"len(logits)", 7, 10}},
			{7, 1, &ShapeError{"len(logits)", 7, 5}},
			{1, 0, &ShapeError{"len(logits)", 1, 0}},
			{10, 1, &ShapeError{"len(labels)", 1, 2}},
			{10, 3, &ShapeError{"len(labels)", 3, 2}},
			{0, 1, &ShapeError{"len(labels)", 1, 0}},
			{5, 0, &ShapeError{"len(labels)", 0, 1}},
		} {
			labels := slices.Repeat([]int32{-9}, c.labels) // a wrong label too: the shape comes first
			checkRowsError(t, l, make([]float32, c.logits), labels, c.want, c.want.What, c.want.Got, c.want.Want)
		}
		logits, labels := make([]float32, 10), []int32{-9, 0}
		for _, n := range []int{0, 1, 3, 10} {
			dst, untouched := canaries(n)
			checkError(t, "Each", l.Each(dst, logits, labels), &ShapeError{"len(dst)", n, 2}, "len(dst)", n, 2)
			untouched(t, "Each")
		}
		for _, n := range []int{0, 2, 9, 11} {
			grad, untouched := canaries(n)
			_, err := l.Grad(grad, logits, labels, 1)
			checkError(t, "Grad", err, &ShapeError{"len(grad)", n, 10}, "len(grad)", n, 10)
			untouched(t, "Grad")
		}
		// Shape before overlap.
		_, err := l.Grad(logits[:9], logits, labels, 1)
		checkError(t, "Grad", err, &ShapeError{"len(grad)", 9, 10})
	})
}

// rows * classes is 0 modulo 2^64 (2^32), or more than an int.
func TestRowShapesOverflow(t *testing.T) {
	classes := math.MaxInt/2 + 1
	forBothForms(t, classes, nil, func(t *testing.T, l rowForm, top int32) {
		checkRowsError(t, l, nil, make([]int32, 4), &ShapeError{"len(labels)", 4, 0}, 4, 0)
		checkRowsError(t, l, make([]float32, 3), make([]int32, 4), &ShapeError{"len(logits)", 3, math.MaxInt}, 3, math.MaxInt)
		checkRowsError(t, l, make([]float32, 3), make([]int32, 1), &ShapeError{"len(logits)", 3, classes}, 3, classes)
	})
	x, untouched := canaries(4)
	checkPanic(t, func() { Softmax(x, x, classes) }, "len(logits) is 4", classes)
	checkPanic(t, func() { LogSumExp(x, x, classes) }, "len(logits) is 4", classes)
	untouched(t, "Softmax")
}

// The first label that is out of range is reported, wherever it stands.
func TestLabelErrors(t *testing.T) {
	const classes = 5
	ignore := []int32{-100, 255}
	forBothForms(t, classes, ignore, func(t *testing.T, l rowForm, top int32) {
		for _, rows := range []int{1, 2, 7, 8, 9, 16, 17, SumBlock, SumBlock + 1, 3*SumBlock + 5} {
			logits := make([]float32, rows*classes)
			for i, bad := range []int32{top + 1, top + 2, -1, -99, math.MinInt32, math.MaxInt32, 256, -256, 1 << 16} {
				labels := make([]int32, rows)
				for r := range labels { // in range, which is quick, or every third one ignored
					labels[r] = int32(r % classes)
					if i%2 == 1 && r%3 == 0 {
						labels[r] = ignore[r%2]
					}
				}
				for _, row := range places(rows) {
					keep := labels[row]
					labels[row] = bad
					want := &LabelError{row, bad, classes}
					checkRowsError(t, l, logits, labels, want, row, bad, classes)
					n, err := l.Count(labels)
					checkError(t, "Count", err, want)
					if n != 0 {
						t.Errorf("Count = %d with an error", n)
					}
					if o, ok := l.(*OneVsRestLoss); ok {
						n, err := o.Positives(labels)
						checkError(t, "Positives", err, want)
						if n != 0 {
							t.Errorf("Positives = %d with an error", n)
						}
					}
					last := labels[rows-1] // a second one does not matter
					if row < rows-1 {
						labels[rows-1] = math.MinInt32
						checkRowsError(t, l, logits, labels, want)
					}
					labels[rows-1] = last
					labels[row] = keep
				}
				if _, err := l.Sum(logits, labels); err != nil {
					t.Fatalf("Sum of valid labels: %v", err)
				}
			}
			if t.Failed() {
				return
			}
		}
	})
}

// All labels that a form has, and none besides.
func TestLabelRange(t *testing.T) {
	for _, classes := range []int{1, 2, 80} {
		forBothForms(t, classes, nil, func(t *testing.T, l rowForm, top int32) {
			for label := int32(-3); label <= top+3; label++ {
				n, err := l.Count([]int32{label})
				if label >= 0 && label <= top {
					if n != 1 || err != nil {
						t.Errorf("%d classes: Count(%d) = %d, %v", classes, label, n, err)
					}
				} else {
					checkError(t, "Count", err, &LabelError{0, label, classes}, label, classes)
				}
			}
		})
	}
	// More classes than an int32 can name: all but the negative ones are labels, none is background.
	if math.MaxInt > math.MaxInt32 {
		var classes int64 = 1 << 32 // as an int32 it would be class 0
		o := must(NewOneVsRestLoss(OneVsRestConfig{Classes: int(classes)}))
		if n, err := o.Positives([]int32{0, math.MaxInt32}); n != 2 || err != nil {
			t.Errorf("Positives = %d, %v", n, err)
		}
		forBothForms(t, math.MaxInt, nil, func(t *testing.T, l rowForm, top int32) {
			if n, err := l.Count([]int32{0, math.MaxInt32}); n != 2 || err != nil {
				t.Errorf("Count = %d, %v", n, err)
			}
			_, err := l.Count([]int32{0, -1})
			checkError(t, "Count", err, &LabelError{1, -1, math.MaxInt}, -1, math.MaxInt)
			if o, ok := l.(*OneVsRestLoss); ok {
				if n, err := o.Positives([]int32{0, math.MaxInt32}); n != 2 || err != nil {
					t.Errorf("Positives = %d, %v", n, err)
				}
			}
		})
	}
}

func TestSigmoidErrors(t *testing.T) {
	l := must(NewSigmoidLoss(SigmoidConfig{Gamma: 2, Alpha: 0.25}))
	for _, c := range []struct{ logits, targets int }{{3, 2}, {3, 4}, {0, 1}, {1, 0}} {
		targets := slices.Repeat([]float32{-9}, c.targets)
		want := &ShapeError{"len(targets)", c.targets, c.logits}
		checkSigmoidError(t, l, make([]float32, c.logits), targets, want, "len(targets)", c.targets, c.logits)
	}
	logits, targets := make([]float32, 3), []float32{-9, 0, 0}
	for _, n := range []int{0, 2, 4} {
		out, untouched := canaries(n)
		checkError(t, "Each", l.Each(out, logits, targets), &ShapeError{"len(dst)", n, 3}, "len(dst)", n, 3)
		_, err := l.Grad(out, logits, targets, 1)
		checkError(t, "Grad", err, &ShapeError{"len(grad)", n, 3}, "len(grad)", n, 3)
		untouched(t, "Each or Grad")
	}
	minus := float32(math.Copysign(0, -1))
	bad := []float32{
		-1, 2, -math.SmallestNonzeroFloat32, math.Nextafter32(1, 2), float32(math.NaN()), math.Float32frombits(0xffc00000),
		float32(math.Inf(1)), float32(math.Inf(-1)), math.MaxFloat32, -math.MaxFloat32, math.Float32frombits(0x7f800001),
	}
	for _, n := range []int{1, 2, 7, 8, 9, 17, SumBlock, SumBlock + 1, 3*SumBlock + 5} {
		logits, targets := make([]float32, n), make([]float32, n)
		for i := range targets {
			targets[i] = []float32{0, 1, minus, 0.5, math.SmallestNonzeroFloat32, math.Nextafter32(1, 0)}[i%6]
		}
		quick := slices.Repeat([]float32{1}, n) // -0 takes a slower path
		if _, err := l.Sum(logits, targets); err != nil {
			t.Fatalf("Sum of valid targets: %v", err)
		}
		for _, y := range bad {
			for _, i := range places(n) {
				for _, valid := range [][]float32{targets, quick} {
					wrong := slices.Clone(valid)
					wrong[i] = y
					checkSigmoidError(t, l, logits, wrong, &TargetError{i, y}, i, y)
					if i < n-1 {
						wrong[n-1] = -2
						checkSigmoidError(t, l, logits, wrong, &TargetError{i, y}, i, y)
					}
				}
			}
		}
		if t.Failed() {
			return
		}
	}
}

// asLabels gives floats' memory as labels.
func asLabels(x []float32) []int32 {
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(x))), len(x))
}

// Outputs at every offset from an input: only the documented one passes.
func TestOverlap(t *testing.T) {
	const rows, classes, n = 4, 3, 12
	// memory is canaries but for an input at 16 to 16+size.
	memory := func(size int) []float32 {
		m := slices.Repeat([]float32{canary}, 48)
		clear(m[16 : 16+size])
		return m
	}
	check := func(t *testing.T, who string, m, before []float32, err error, apart, allowed bool) {
		t.Helper()
		switch {
		case apart || allowed:
			if err != nil {
				t.Errorf("%s: %v", who, err)
			}
		case err != ErrOverlap:
			t.Errorf("%s: error %v, want ErrOverlap", who, err)
		default:
			checkBits(t, who, m, before)
		}
	}
	apart := func(at, size, inSize int) bool { return at+size <= 16 || at >= 16+inSize }
	forBothForms(t, classes, nil, func(t *testing.T, l rowForm, top int32) {
		labels, logits := make([]int32, rows), make([]float32, n)
		for at := range 48 - n {
			who := func(what string) string { return fmt.Sprintf("%s at %+d", what, at-16) }
			m := memory(n)
			before := slices.Clone(m)
			err := l.Each(m[at:at+rows], m[16:16+n], labels)
			check(t, who("Each: dst and logits"), m, before, err, apart(at, rows, n), false)

			m = memory(rows)
			before = slices.Clone(m)
			err = l.Each(m[at:at+rows], logits, asLabels(m[16:16+rows]))
			check(t, who("Each: dst and labels"), m, before, err, apart(at, rows, rows), false)

			m = memory(n)
			before = slices.Clone(m)
			_, err = l.Grad(m[at:at+n], m[16:16+n], labels, 1)
			check(t, who("Grad: grad and logits"), m, before, err, apart(at, n, n), at == 16)

			m = memory(rows)
			before = slices.Clone(m)
			_, err = l.Grad(m[at:at+n], logits, asLabels(m[16:16+rows]), 1)
			check(t, who("Grad: grad and labels"), m, before, err, apart(at, n, rows), false)
		}
	})
	l := must(NewSigmoidLoss(SigmoidConfig{Gamma: 2}))
	other := make([]float32, n)
	for at := range 48 - n {
		who := func(what string) string { return fmt.Sprintf("Sigmoid %s at %+d", what, at-16) }
		for i, call := range []func(m, out, in []float32) error{
			func(m, out, in []float32) error { return l.Each(out, in, other) },
			func(m, out, in []float32) error { return l.Each(out, other, in) },
			func(m, out, in []float32) error { return l.Each(out, in, in) },
			func(m, out, in []float32) error { _, err := l.Grad(out, in, other, 1); return err },
			func(m, out, in []float32) error { _, err := l.Grad(out, other, in, 1); return err },
			func(m, out, in []float32) error { _, err := l.Grad(out, in, in, 1); return err },
		} {
			m := memory(n)
			before := slices.Clone(m)
			err := call(m, m[at:at+n], m[16:16+n])
			check(t, who(fmt.Sprint("call ", i)), m, before, err, apart(at, n, n), at == 16)
		}
	}
	// With one class dst may be exactly logits, and is refused; so is grad as labels.
	forBothForms(t, 1, nil, func(t *testing.T, l rowForm, top int32) {
		m, untouched := canaries(4)
		if err := l.Each(m, m, make([]int32, 4)); err != ErrOverlap {
			t.Errorf("Each in place: error %v, want ErrOverlap", err)
		}
		if _, err := l.Grad(m, make([]float32, 4), asLabels(m), 1); err != ErrOverlap {
			t.Errorf("Grad on labels: error %v, want ErrOverlap", err)
		}
		untouched(t, "Each or Grad")
	})
	// An overlap comes before a wrong label or target.
	x := make([]float32, 4)
	if err := l.Each(x[1:3], x[:2], []float32{-1, -1}); err != ErrOverlap {
		t.Errorf("Each: error %v, want ErrOverlap", err)
	}
	s := must(NewSoftmaxLoss(SoftmaxConfig{Classes: 1}))
	if err := s.Each(x[1:3], x[:2], []int32{-1, -1}); err != ErrOverlap {
		t.Errorf("Each: error %v, want ErrOverlap", err)
	}
	checkMessage(t, "ErrOverlap", ErrOverlap.Error(), "overlap")
}

// checkPanic wants a panic whose message names the values.
func checkPanic(t *testing.T, f func(), values ...any) {
	t.Helper()
	defer func() {
		t.Helper()
		if r := recover(); r == nil {
			t.Errorf("no panic, want one that names %v", values)
		} else {
			checkMessage(t, "panic", fmt.Sprint(r), values...)
		}
	}()
	f()
}

func TestVectorPanics(t *testing.T) {
	for name, f := range map[string]func(dst, x []float32){
		"Exp": Exp, "Log": Log, "Sigmoid": Sigmoid,
		"Pow": func(dst, x []float32) { Pow(dst, x, 2.5) },
	} {
		for _, n := range []int{0, 1, 16, 18, 100} {
			dst, untouched := canaries(n)
			checkPanic(t, func() { f(dst, make([]float32, 17)) }, name, n, 17)
			untouched(t, name)
		}
		dst, untouched := canaries(40)
		for _, by := range []int{1, 7, 16} {
			checkPanic(t, func() { f(dst[:17], dst[by:by+17]) }, name, 17, "overlaps")
			checkPanic(t, func() { f(dst[by:by+17], dst[:17]) }, name, 17, "overlaps")
		}
		untouched(t, name)
		f(dst[17:34], dst[:17]) // side by side
		f(dst[:17], dst[:17])
		f(nil, nil)
		f([]float32{}, nil)
		f(dst[:0], dst[:0])
	}
	type rowFunction func(dst, logits []float32, classes int)
	for name, f := range map[string]rowFunction{"Softmax": Softmax, "LogSoftmax": LogSoftmax} {
		x, untouched := canaries(40)
		for _, classes := range []int{0, -1, math.MinInt} {
			checkPanic(t, func() { f(x[:10], x[10:20], classes) }, name, classes)
			checkPanic(t, func() { f(nil, nil, classes) }, name, classes)
		}
		checkPanic(t, func() { f(x[:10], x[10:20], 3) }, name, 10, 3)
		checkPanic(t, func() { f(x[:9], x[10:20], 5) }, name, 9, 10)
		checkPanic(t, func() { f(x[:11], x[20:30], 5) }, name, 11, 10)
		checkPanic(t, func() { f(x[:10], x[5:15], 5) }, name, 10, "overlaps")
		checkPanic(t, func() { f(x[1:11], x[:10], 5) }, name, 10, "overlaps")
		untouched(t, name)
		f(x[:10], x[:10], 5)
		f(x[:10], x[10:20], 1)
		f(nil, nil, 5)
	}
	x, untouched := canaries(40)
	for _, classes := range []int{0, -1, math.MinInt} {
		checkPanic(t, func() { LogSumExp(x[:2], x[10:20], classes) }, "LogSumExp", classes)
	}
	checkPanic(t, func() { LogSumExp(x[:3], x[10:20], 3) }, "LogSumExp", 10, 3)
	for _, n := range []int{0, 1, 3, 10} {
		checkPanic(t, func() { LogSumExp(x[:n], x[10:20], 5) }, "LogSumExp", n, 2, 10)
	}
	checkPanic(t, func() { LogSumExp(x[:2], x[:10], 5) }, "LogSumExp", 2, 10, "overlaps")
	checkPanic(t, func() { LogSumExp(x[9:11], x[:10], 5) }, "LogSumExp", 2, 10, "overlaps")
	checkPanic(t, func() { LogSumExp(x[1:11], x[:10], 1) }, "LogSumExp", 10, "overlaps")
	untouched(t, "LogSumExp")
	LogSumExp(x[:10], x[:10], 1)
	LogSumExp(x[:2], x[2:12], 5)
	LogSumExp(nil, nil, 5)

	for _, classes := range []int{0, -1} {
		checkPanic(t, func() { BackgroundAlpha(0.25, classes) }, "BackgroundAlpha", classes)
	}
}

func TestBackgroundAlpha(t *testing.T) {
	for _, c := range []struct {
		classes int
		want    []float32
	}{{1, []float32{0.25}}, {2, []float32{0.25, 0.75}}, {4, []float32{0.25, 0.75, 0.75, 0.75}}} {
		if got := BackgroundAlpha(0.25, c.classes); !slices.Equal(got, c.want) {
			t.Errorf("BackgroundAlpha(0.25, %d) = %v, want %v", c.classes, got, c.want)
		}
	}
}

// No rows, or ignored ones alone: everything is +0.
func TestNothing(t *testing.T) {
	nan := float32(math.NaN())
	check := func(t *testing.T, who string, got float64, err error) {
		t.Helper()
		if math.Float64bits(got) != 0 || err != nil {
			t.Errorf("%s = %v, %v, want +0", who, got, err)
		}
	}
	forBothForms(t, 3, []int32{-100}, func(t *testing.T, l rowForm, top int32) {
		for _, rows := range []int{0, 1, 20, SumBlock + 9} {
			for _, scale := range []float32{1, 0, -1, nan} {
				logits := slices.Repeat([]float32{nan}, 3*rows) // never used
				labels := slices.Repeat([]int32{-100}, rows)
				if rows == 0 {
					logits, labels = nil, []int32{}
				}
				dst, _ := canaries(rows)
				grad, _ := canaries(3 * rows)
				sum, err := l.Sum(logits, labels)
				check(t, "Sum", sum, err)
				mean, err := l.Mean(logits, labels)
				check(t, "Mean", mean, err)
				check(t, "Each", 0, l.Each(dst, logits, labels))
				sum, err = l.Grad(grad, logits, labels, scale)
				check(t, "Grad", sum, err)
				n, err := l.Count(labels)
				check(t, "Count", float64(n), err)
				checkBits(t, "dst", dst, make([]float32, rows))
				checkBits(t, "grad", grad, make([]float32, 3*rows))
			}
		}
	})
	l := must(NewSigmoidLoss(SigmoidConfig{}))
	sum, err := l.Sum(nil, []float32{})
	check(t, "Sum", sum, err)
	mean, err := l.Mean([]float32{}, nil)
	check(t, "Mean", mean, err)
	check(t, "Each", 0, l.Each(nil, nil, nil))
	sum, err = l.Grad(nil, nil, nil, 1)
	check(t, "Grad", sum, err)
}

// Sums and means that are NaN have one NaN.
func TestNaNSums(t *testing.T) {
	nan := math.Float32frombits(0xffc12345)
	check := func(t *testing.T, who string, got float64, err error) {
		t.Helper()
		if math.Float64bits(got) != math.Float64bits(math.NaN()) || err != nil {
			t.Errorf("%s = %v (%#x), %v, want math.NaN()", who, got, math.Float64bits(got), err)
		}
	}
	forEachVariant(t, func(t *testing.T) {
		forBothForms(t, 2, nil, func(t *testing.T, l rowForm, top int32) {
			logits, labels, grad := []float32{1, 2, nan, 4}, []int32{0, 1}, make([]float32, 4)
			sum, err := l.Sum(logits, labels)
			check(t, "Sum", sum, err)
			mean, err := l.Mean(logits, labels)
			check(t, "Mean", mean, err)
			sum, err = l.Grad(grad, logits, labels, 1)
			check(t, "Grad", sum, err)
		})
		l := must(NewSigmoidLoss(SigmoidConfig{Gamma: 2}))
		logits, targets, grad := []float32{1, nan}, []float32{0, 1}, make([]float32, 2)
		sum, err := l.Sum(logits, targets)
		check(t, "Sum", sum, err)
		mean, err := l.Mean(logits, targets)
		check(t, "Mean", mean, err)
		sum, err = l.Grad(grad, logits, targets, 1)
		check(t, "Grad", sum, err)
	})
}

// Labels are ignored before anything else: also a class, background, or any number.
func TestIgnoredLabels(t *testing.T) {
	const classes = 4
	labels := []int32{0, 1, 2, 3, 1, -7, 3, 1, 0, math.MinInt32, 2}
	for _, ignore := range [][]int32{
		{-7, math.MinInt32, 1}, {1, 3, -7, math.MinInt32, 1, 3}, {-7, math.MinInt32, 99, noLabel},
	} {
		forBothForms(t, classes, ignore, func(t *testing.T, l rowForm, top int32) {
			checkIgnored(t, l, ignore, labels, classes)
		})
	}
	ignore := []int32{-7, math.MinInt32, classes, 0}
	labels = append(labels, classes, 3, classes)
	forBothForms(t, classes, ignore, func(t *testing.T, l rowForm, top int32) {
		checkIgnored(t, l, ignore, labels, classes)
		o, ok := l.(*OneVsRestLoss)
		if !ok {
			return
		}
		if n, err := o.Positives(labels); n != 8 || err != nil {
			t.Errorf("background ignored: Positives = %d, %v, want 8", n, err)
		}
		o = must(NewOneVsRestLoss(OneVsRestConfig{Classes: classes, IgnoreLabels: []int32{-7, math.MinInt32, 0}}))
		if n, err := o.Count(labels); n != 10 || err != nil {
			t.Errorf("Count = %d, %v, want 10", n, err)
		}
		if n, err := o.Positives(labels); n != 8 || err != nil {
			t.Errorf("Positives = %d, %v, want 8", n, err)
		}
	})
}

// checkIgnored compares l on all rows, many times over, with the same rows without the ignored ones.
func checkIgnored(t *testing.T, l rowForm, ignore, pattern []int32, classes int) {
	t.Helper()
	r := random(7)
	var logits, kept []float32
	var labels, keptLabels []int32
	for range 60 { // more than two blocks
		for _, label := range pattern {
			row := make([]float32, classes)
			for i := range row {
				row[i] = float32(3 * r.NormFloat64())
			}
			labels = append(labels, label)
			if slices.Contains(ignore, label) {
				row[r.IntN(classes)] = float32(math.NaN())
			} else {
				kept, keptLabels = append(kept, row...), append(keptLabels, label)
			}
			logits = append(logits, row...)
		}
	}
	dst, grad := make([]float32, len(labels)), make([]float32, len(logits))
	want, wantGrad := make([]float32, len(keptLabels)), make([]float32, len(kept))
	sum, err := l.Grad(grad, logits, labels, 3)
	_, wantErr := l.Grad(wantGrad, kept, keptLabels, 3)
	err = errors.Join(err, wantErr, l.Each(dst, logits, labels), l.Each(want, kept, keptLabels))
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for i, label := range labels {
		g := grad[i*classes:][:classes]
		if slices.Contains(ignore, label) {
			checkBits(t, "ignored loss", dst[i:i+1], []float32{0})
			checkBits(t, "ignored gradient", g, make([]float32, classes))
			continue
		}
		checkBits(t, "loss", dst[i:i+1], want[at:at+1])
		checkBits(t, "gradient", g, wantGrad[at*classes:][:classes])
		at++
	}
	if n, err := l.Count(labels); n != at || err != nil {
		t.Errorf("Count = %d, %v, want %d", n, err, at)
	}
	mean, err := l.Mean(logits, labels)
	if err != nil || mean != sum/float64(at) || !(mean > 0) {
		t.Errorf("Mean = %v, %v, want %v", mean, err, sum/float64(at))
	}
}

// splits are lengths around those at which sums are cut.
var splits = []int{1, 2, 15, 16, 17, 100, SumBlock - 1, SumBlock, SumBlock + 1, 2 * SumBlock, 5*SumBlock + 77}

// checkSplit holds sums against the losses that each writes and against the sums of blocks.
func checkSplit(t *testing.T, n int, sum func(start, end int) float64, gradSum float64, losses []float32) {
	t.Helper()
	var ofLosses, ofSums float64
	for start := 0; start < n; start += SumBlock {
		end := min(start+SumBlock, n)
		ofLosses += sumBlock(losses[start:end])
		ofSums += sum(start, end)
	}
	whole := sum(0, n)
	if !(whole > 0) || whole != ofLosses || whole != ofSums || whole != gradSum {
		t.Errorf("%d losses: Sum = %v, of single blocks %v, of Each %v, of Grad %v", n, whole, ofSums, ofLosses, gradSum)
	}
}

// Sum, Each and Grad agree, sums can be split, rows don't depend on their place, and grad may be logits.
func TestSplit(t *testing.T) {
	const classes = 3
	forEachVariant(t, func(t *testing.T) {
		for _, ignore := range [][]int32{nil, {2}} {
			forBothForms(t, classes, ignore, func(t *testing.T, l rowForm, top int32) {
				r := random(8)
				for _, n := range splits {
					logits, labels := make([]float32, n*classes), make([]int32, n)
					for i := range logits {
						logits[i] = float32(3 * r.NormFloat64())
					}
					for i := 1; i < n; i++ {
						labels[i] = r.Int32N(top + 1)
					}
					losses, grad := make([]float32, n), make([]float32, len(logits))
					gradSum, err := l.Grad(grad, logits, labels, 2)
					if err := errors.Join(err, l.Each(losses, logits, labels)); err != nil {
						t.Fatal(err)
					}
					checkSplit(t, n, func(start, end int) float64 {
						return must(l.Sum(logits[start*classes:end*classes], labels[start:end]))
					}, gradSum, losses)
					for i := range n {
						var loss [1]float32
						var g [classes]float32
						row := logits[i*classes:][:classes]
						_, err := l.Grad(g[:], row, labels[i:i+1], 2)
						if err := errors.Join(err, l.Each(loss[:], row, labels[i:i+1])); err != nil {
							t.Fatal(err)
						}
						checkBits(t, "loss of a row alone", loss[:], losses[i:i+1])
						checkBits(t, "gradient of a row alone", g[:], grad[i*classes:][:classes])
					}
					must(l.Grad(logits, logits, labels, 2))
					checkBits(t, "gradient in place", logits, grad)
				}
			})
		}
		l := must(NewSigmoidLoss(SigmoidConfig{Gamma: 1.5, Alpha: 0.25}))
		r := random(9)
		for _, n := range splits {
			logits, targets := make([]float32, n), make([]float32, n)
			for i := range logits {
				logits[i], targets[i] = float32(3*r.NormFloat64()), []float32{0, 1, r.Float32()}[r.IntN(3)]
			}
			losses, grad := make([]float32, n), make([]float32, n)
			gradSum, err := l.Grad(grad, logits, targets, 2)
			if err := errors.Join(err, l.Each(losses, logits, targets)); err != nil {
				t.Fatal(err)
			}
			checkSplit(t, n, func(start, end int) float64 {
				return must(l.Sum(logits[start:end], targets[start:end]))
			}, gradSum, losses)
			if mean := must(l.Mean(logits, targets)); mean != gradSum/float64(n) {
				t.Errorf("Mean = %v, want %v", mean, gradSum/float64(n))
			}
			for _, in := range []int{0, 1} { // the output is the logits, or the targets
				inputs := [][]float32{slices.Clone(logits), slices.Clone(targets)}
				must(l.Grad(inputs[in], inputs[0], inputs[1], 2))
				checkBits(t, "gradient in place", inputs[in], grad)
				inputs = [][]float32{slices.Clone(logits), slices.Clone(targets)}
				must(0, l.Each(inputs[in], inputs[0], inputs[1]))
				checkBits(t, "losses in place", inputs[in], losses)
			}
		}
	})
}
