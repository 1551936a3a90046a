package focal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
)

// The fuzz targets take raw bits: of inputs, gamma, alpha and scale. Every variant must give the bits of the
// specification, and the specification must be as near to the references of reference_test.go as the bounds say. Inputs
// that failed once are kept in testdata/fuzz.

// fuzzMost is how many inputs a target uses at most: enough for a block of the sums and a piece of the next.
const fuzzMost = 700

// floatsOf reads float32 values from the fuzzer's bytes.
func floatsOf(data []byte) []float32 {
	x := make([]float32, min(len(data)/4, fuzzMost))
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return x
}

// bytesOf is the opposite, for seeds.
func bytesOf(x ...float32) []byte {
	var data []byte
	for _, v := range x {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return data
}

// seedRows are logits of every kind, and how many there are in a row.
func seedRows(f func(logits []byte, classes uint16)) {
	r := newRNG(15)
	for i, kind := range rowKinds {
		for _, classes := range []int{1, 3, 5 + 16*i, 300} {
			var logits []float32
			for range 1 + r.below(4) {
				z, _ := randomRow(r, kind, classes)
				logits = append(logits, z...)
			}
			f(bytesOf(logits...), uint16(classes))
		}
	}
	f(bytesOf(nan32, 1, inf32, 2, -inf32, 3), 2)
}

// wholeRows are the whole rows in the fuzzer's bytes, of a number of classes that is at least 1.
func wholeRows(data []byte, classes uint16) (logits []float32, rows, c int) {
	logits, c = floatsOf(data), int(max(classes, 1))
	rows = len(logits) / c
	return logits[:rows*c], rows, c
}

// seedRowLosses are rows with what else the losses of rows take: a seed of labels, and bits of gamma, alpha and scale.
func seedRowLosses(f *testing.F, seed uint64) {
	r := newRNG(seed)
	seedRows(func(logits []byte, classes uint16) {
		f.Add(logits, classes, r.next(), math.Float32bits(randomGamma(r)), math.Float32bits(float32(r.float())), math.Float32bits(float32(r.normal())))
	})
}

// weightsOf are gamma, alpha and scale of those bits: the first two without a sign, as losses take them.
func weightsOf(gammaBits, alphaBits, scaleBits uint32) (gamma, alpha, scale float32) {
	return math.Float32frombits(gammaBits &^ (1 << 31)), math.Float32frombits(alphaBits &^ (1 << 31)), math.Float32frombits(scaleBits)
}

// onEveryVariant returns the specification's results, and fails where another variant has other bits.
func onEveryVariant(t *testing.T, run func() []uint64) []uint64 {
	t.Helper()
	defer func(old variant) { active = old }(active)
	active = generic
	want := run()
	for _, v := range available {
		active = v
		if got := run(); !slices.Equal(got, want) {
			t.Fatalf("%v%s", v, difference(got, want))
		}
	}
	return want
}

// singles are the float32 results among bits.
func singles(bits []uint64) []float32 {
	x := make([]float32, len(bits))
	for i, b := range bits {
		x[i] = math.Float32frombits(uint32(b))
	}
	return x
}

func FuzzVector(f *testing.F) {
	r := newRNG(16)
	for i := range awkward {
		x := slices.Clone(awkward)
		for range i % 7 {
			x = append(x, r.bits())
		}
		f.Add(bytesOf(x...), math.Float32bits(awkward[i]))
	}
	for _, y := range []float32{2.5, -3, 0.1, 100} {
		f.Add(bytesOf(0.25, 0.5, 0.75, 1.5, 1e-20, 1e20, -2), math.Float32bits(y))
	}
	f.Fuzz(func(t *testing.T, data []byte, exponent uint32) {
		x, y := floatsOf(data), math.Float32frombits(exponent)
		for _, fn := range []struct {
			name  string
			f     func(dst, x []float32)
			ref   func(x float64) float64
			bound float64
		}{
			{"Exp", Exp, refExp, bounds.exp},
			{"Log", Log, refLog, bounds.log},
			{"Sigmoid", Sigmoid, refSigmoid1, bounds.sigmoid},
			{fmt.Sprintf("Pow(y = %x)", y), func(dst, x []float32) { Pow(dst, x, y) },
				func(x float64) float64 { return refPow(x, float64(y)) }, bounds.pow},
		} {
			results := onEveryVariant(t, func() []uint64 {
				dst, inPlace := make([]float32, len(x)), slices.Clone(x)
				fn.f(dst, x)
				fn.f(inPlace, inPlace)
				checkBits(t, fn.name+" in place", inPlace, dst)
				return bitsOf(dst)
			})
			for i, got := range singles(results) {
				// The references' own error matters only in a result that misses the bound by as little.
				if want := fn.ref(float64(x[i])); !(ulpError(got, want) <= fn.bound) {
					t.Errorf("%s(%x) = %x, want %x: %v ULP", fn.name, x[i], got, want, ulpError(got, want))
				}
			}
		}
	})
}

func FuzzRows(f *testing.F) {
	seedRows(func(logits []byte, classes uint16) { f.Add(logits, classes) })
	f.Fuzz(func(t *testing.T, data []byte, classes uint16) {
		logits, rows, c := wholeRows(data, classes)
		results := onEveryVariant(t, func() []uint64 {
			softmax, logSoftmax, logSumExp := make([]float32, rows*c), make([]float32, rows*c), make([]float32, rows)
			Softmax(softmax, logits, c)
			LogSoftmax(logSoftmax, logits, c)
			LogSumExp(logSumExp, logits, c)
			inPlace := slices.Clone(logits)
			Softmax(inPlace, inPlace, c)
			checkBits(t, "Softmax in place", inPlace, softmax)
			return bitsOf(slices.Concat(softmax, logSoftmax, logSumExp))
		})
		got := singles(results)
		softmax, logSoftmax, logSumExp := got[:rows*c], got[rows*c:][:rows*c], got[2*rows*c:]
		wants := make([]want, c)
		for i := range rows {
			z := logits[i*c:][:c]
			where := func(j int) func() string { return func() string { return fmt.Sprintf(" %d of %x", j, z) } }
			refSoftmax(wants, z)
			for j, w := range wants {
				(&worst{t: t, name: "Softmax"}).check(softmax[i*c+j], w, where(j))
			}
			refLogSoftmax(wants, z)
			for j, w := range wants {
				(&worst{t: t, name: "LogSoftmax"}).check(logSoftmax[i*c+j], w, where(j))
			}
			(&worst{t: t, name: "LogSumExp"}).check(logSumExp[i], refLogSumExp(z), where(0))
		}
	})
}

// fuzzLabels gives each row a label from below to above the range, -100 being ignored.
func fuzzLabels(seed uint64, rows, top int) []int32 {
	r := newRNG(seed)
	labels := make([]int32, rows)
	for i := range labels {
		labels[i] = int32(r.below(top + 1))
		if r.below(10) == 0 {
			labels[i] = -100
		}
	}
	return labels
}

// rowResults are what the methods of a loss with a label per row give: losses, gradient and the sums.
func rowResults(t *testing.T, l rowForm, logits []float32, labels []int32, scale float32) []uint64 {
	losses, grad := make([]float32, len(labels)), make([]float32, len(logits))
	must(0, l.Each(losses, logits, labels))
	sum := must(l.Grad(grad, logits, labels, scale))
	inPlace := slices.Clone(logits)
	must(l.Grad(inPlace, inPlace, labels, scale))
	checkBits(t, "Grad in place", inPlace, grad)
	return bitsOf(slices.Concat(losses, grad), sum, must(l.Sum(logits, labels)), must(l.Mean(logits, labels)))
}

func FuzzSoftmaxLoss(f *testing.F) {
	seedRowLosses(f, 17)
	f.Fuzz(func(t *testing.T, data []byte, classes uint16, seed uint64, gammaBits, alphaBits, scaleBits uint32) {
		logits, rows, c := wholeRows(data, classes)
		gamma, alpha, scale := weightsOf(gammaBits, alphaBits, scaleBits)
		alphas := slices.Repeat([]float32{alpha}, c)
		alphas[0] = 1
		l, err := NewSoftmaxLoss(SoftmaxConfig{Classes: c, Gamma: gamma, Alpha: alphas, IgnoreLabels: []int32{-100}})
		if err != nil {
			return // FuzzConfig's business
		}
		labels := fuzzLabels(seed, rows, c-1)
		got := singles(onEveryVariant(t, func() []uint64 { return rowResults(t, l, logits, labels, scale) }))
		losses, grad := got[:rows], got[rows:]
		wants := make([]want, c)
		for i, label := range labels {
			z := logits[i*c:][:c]
			clear(wants)
			var loss want
			if label >= 0 {
				loss = refSoftmaxLoss(wants, z, int(label), alphas[label], gamma, scale)
			}
			where := func(j int) func() string {
				return func() string {
					return fmt.Sprintf(" %d of %x, label %d, alpha %x, gamma %x, scale %x", j, z, label, alphas[max(label, 0)], gamma, scale)
				}
			}
			(&worst{t: t, name: "loss"}).check(losses[i], loss, where(int(label)))
			if math.IsInf(float64(scale), 0) {
				continue // which the reference does not know
			}
			for j, w := range wants {
				(&worst{t: t, name: "gradient"}).check(grad[i*c+j], w, where(j))
			}
		}
	})
}

func FuzzOneVsRestLoss(f *testing.F) {
	seedRowLosses(f, 18)
	f.Fuzz(func(t *testing.T, data []byte, classes uint16, seed uint64, gammaBits, alphaBits, scaleBits uint32) {
		logits, rows, c := wholeRows(data, classes)
		gamma, alpha, scale := weightsOf(gammaBits, alphaBits, scaleBits)
		l, err := NewOneVsRestLoss(OneVsRestConfig{Classes: c, Gamma: gamma, Alpha: alpha, IgnoreLabels: []int32{-100}})
		if err != nil {
			return
		}
		labels := fuzzLabels(seed, rows, c)
		got := singles(onEveryVariant(t, func() []uint64 { return rowResults(t, l, logits, labels, scale) }))
		losses, grad := got[:rows], got[rows:]
		for i, label := range labels {
			var sum want // of the terms' values and of what they may miss
			for j, x := range logits[i*c:][:c] {
				y := float32(0)
				if j == int(label) {
					y = 1
				}
				loss, g := refSigmoid(x, y, l.rows.params.positive, l.rows.params.negative, gamma, scale)
				if label < 0 {
					loss, g = want{}, want{}
				}
				sum.value += loss.value
				sum.lost += loss.lost
				sum.inf = sum.inf || loss.inf
				if !math.IsInf(float64(scale), 0) {
					(&worst{t: t, name: "gradient"}).check(grad[i*c+j], g, func() string {
						return fmt.Sprintf("(%x), target %v, alpha %x, gamma %x, scale %x", x, y, alpha, gamma, scale)
					})
				}
			}
			sum.unit, sum.bound = (1+float64(gamma))*ulpOf(sum.value), bounds.loss
			sum.lost += 0x1p-149 * float64(c) // each term may be rounded below the normal range
			(&worst{t: t, name: "loss"}).check(losses[i], sum, func() string {
				return fmt.Sprintf(" of %x, label %d, alpha %x, gamma %x", logits[i*c:][:c], label, alpha, gamma)
			})
		}
	})
}

func FuzzSigmoidLoss(f *testing.F) {
	r := newRNG(19)
	for range 60 {
		var x, y []float32
		for range 1 + r.below(80) {
			x = append(x, float32(r.normal()*[]float64{1, 10, 100}[r.below(3)]))
			y = append(y, []float32{0, 1, float32(r.float()), float32(math.Ldexp(1, -r.below(150)))}[r.below(4)])
		}
		f.Add(bytesOf(x...), bytesOf(y...), math.Float32bits(randomGamma(r)), math.Float32bits(float32(r.float())), math.Float32bits(float32(r.normal())))
	}
	f.Fuzz(func(t *testing.T, xData, yData []byte, gammaBits, alphaBits, scaleBits uint32) {
		x, y := floatsOf(xData), floatsOf(yData)
		n := min(len(x), len(y))
		x, y = x[:n], y[:n]
		for i, v := range y {
			if y[i] = float32(math.Abs(float64(v))); !(y[i] <= 1) {
				y[i] = float32(math.Float32bits(v)&0xffff) / 0xffff
			}
		}
		gamma, alpha, scale := weightsOf(gammaBits, alphaBits, scaleBits)
		l, err := NewSigmoidLoss(SigmoidConfig{Gamma: gamma, Alpha: alpha})
		if err != nil {
			return
		}
		got := singles(onEveryVariant(t, func() []uint64 {
			losses, grad := make([]float32, n), make([]float32, n)
			must(0, l.Each(losses, x, y))
			sum := must(l.Grad(grad, x, y, scale))
			return bitsOf(slices.Concat(losses, grad), sum, must(l.Sum(x, y)), must(l.Mean(x, y)))
		}))
		for i := range x {
			loss, grad := refSigmoid(x[i], y[i], l.params.positive, l.params.negative, gamma, scale)
			where := func() string {
				return fmt.Sprintf("(%x), target %x, alpha %x, gamma %x, scale %x", x[i], y[i], alpha, gamma, scale)
			}
			(&worst{t: t, name: "loss"}).check(got[i], loss, where)
			if !math.IsInf(float64(scale), 0) {
				(&worst{t: t, name: "gradient"}).check(got[n+i], grad, where)
			}
		}
	})
}

// FuzzConfig: any configuration and any shapes. New... must give an error exactly for what is documented, and so must the
// methods, which then leave the outputs alone; nothing may panic.
func FuzzConfig(f *testing.F) {
	f.Add(int64(3), math.Float32bits(2), bytesOf(1, 0.5, 0.25), int32(-100), int32(1), uint16(6), uint16(2), uint16(6))
	f.Add(int64(0), math.Float32bits(2), []byte{}, int32(0), int32(0), uint16(0), uint16(0), uint16(0))
	f.Add(int64(1), math.Float32bits(nan32), bytesOf(1), int32(1), int32(1), uint16(1), uint16(1), uint16(1))
	f.Add(int64(2), math.Float32bits(-1), bytesOf(1, -1), int32(2), int32(2), uint16(4), uint16(2), uint16(3))
	f.Add(int64(math.MaxInt64), math.Float32bits(0), []byte{}, int32(5), int32(math.MaxInt32), uint16(4), uint16(2), uint16(4))
	f.Add(int64(5), math.Float32bits(inf32), bytesOf(inf32), int32(math.MinInt32), int32(-1), uint16(10), uint16(2), uint16(10))
	f.Fuzz(func(t *testing.T, classes int64, gammaBits uint32, alphaData []byte, ignore, label int32, nLogits, nLabels, nOut uint16) {
		c, gamma, alpha := int(classes), math.Float32frombits(gammaBits), floatsOf(alphaData)
		if len(alphaData) == 0 {
			alpha = nil
		}
		valid := func(x float32) bool { return x >= 0 && !math.IsInf(float64(x), 0) }
		logits, labels := make([]float32, nLogits), slices.Repeat([]int32{label}, int(nLabels))

		softmax, err := NewSoftmaxLoss(SoftmaxConfig{Classes: c, Gamma: gamma, Alpha: alpha, IgnoreLabels: []int32{ignore, ignore}})
		ok := c >= 1 && valid(gamma) && (alpha == nil || len(alpha) == c)
		for _, a := range alpha {
			ok = ok && valid(a)
		}
		fuzzNew(t, softmax != nil, err, ok)
		if ok {
			fuzzMethods(t, softmax, logits, labels, int(nOut), c, label == ignore || label >= 0 && int(label) < c)
		}

		var a float32
		if len(alpha) > 0 {
			a = alpha[0]
		}
		oneVsRest, err := NewOneVsRestLoss(OneVsRestConfig{Classes: c, Gamma: gamma, Alpha: a, IgnoreLabels: []int32{ignore}})
		ok = c >= 1 && valid(gamma) && a >= 0 && a < 1
		fuzzNew(t, oneVsRest != nil, err, ok)
		if ok {
			fuzzMethods(t, oneVsRest, logits, labels, int(nOut), c, label == ignore || label >= 0 && int(label) <= c)
		}

		sigmoid, err := NewSigmoidLoss(SigmoidConfig{Gamma: gamma, Alpha: a})
		ok = valid(gamma) && a >= 0 && a < 1
		fuzzNew(t, sigmoid != nil, err, ok)
		if !ok {
			return
		}
		targets := slices.Repeat([]float32{math.Float32frombits(uint32(label))}, int(nLabels))
		y := append(targets, 0)[0]
		shapes := len(targets) == len(logits)
		out, untouched := canaries(int(nOut))
		err = sigmoid.Each(out, logits, targets)
		if ok := shapes && len(out) == len(logits) && y >= 0 && y <= 1; ok != (err == nil) {
			t.Errorf("Each: error %v for %d logits, %d targets of %v, dst %d", err, nLogits, nLabels, y, nOut)
		} else if !ok {
			untouched(t, "Each")
		}
		_, err = sigmoid.Sum(logits, targets)
		if ok := shapes && y >= 0 && y <= 1; ok != (err == nil) {
			t.Errorf("Sum: error %v for %d logits, %d targets of %v", err, nLogits, nLabels, y)
		}
	})
}

func fuzzNew(t *testing.T, made bool, err error, valid bool) {
	t.Helper()
	var e *ConfigError
	if made != valid || (err == nil) != valid || !valid && !errors.As(err, &e) {
		t.Errorf("made: %v, error %v, valid: %v", made, err, valid)
	}
}

// fuzzMethods calls every method; labelOK says whether the label of all rows is right. Zero logits have no NaN.
func fuzzMethods(t *testing.T, l rowForm, logits []float32, labels []int32, nOut, classes int, labelOK bool) {
	t.Helper()
	labelOK = labelOK || len(labels) == 0
	valid := labelOK && len(logits)%classes == 0 && len(labels) == len(logits)/classes
	check := func(name string, result float64, err error, valid bool) {
		t.Helper()
		if (err == nil) != valid || !(result >= 0) || !valid && result != 0 {
			t.Errorf("%s: %v, error %v, valid: %v (%d logits, labels %d, %d classes, output %d)", name, result, err, valid, len(logits), labels, classes, nOut)
		}
	}
	sum, err := l.Sum(logits, labels)
	check("Sum", sum, err, valid)
	mean, err := l.Mean(logits, labels)
	check("Mean", mean, err, valid)
	n, err := l.Count(labels)
	check("Count", float64(n), err, labelOK)
	out, untouched := canaries(nOut)
	err = l.Each(out, logits, labels)
	check("Each", 0, err, valid && nOut == len(labels))
	if err != nil {
		untouched(t, "Each")
	}
	out, untouched = canaries(nOut)
	sum, err = l.Grad(out, logits, labels, 1)
	check("Grad", sum, err, valid && nOut == len(logits))
	if err != nil {
		untouched(t, "Grad")
	}
}
