package focal

import (
	"encoding/binary"
	"math"
	"testing"
)

// FuzzFeatures takes logits, labels, targets, gamma, smoothing and scales as raw bits through views, smoothing, soft targets
// and GradRows: every variant must give the bits of the specification, and a view those of packed rows.
func FuzzFeatures(f *testing.F) {
	seedRows(func(logits []byte, classes uint16) {
		f.Add(logits, classes, uint64(classes), math.Float32bits(2), math.Float32bits(0.1), math.Float32bits(-0.5), uint8(3))
	})
	f.Fuzz(func(t *testing.T, data []byte, classes uint16, seed uint64, gammaBits, smoothBits, scaleBits uint32, size uint8) {
		x := floatsOf(data)
		c := 1 + int(classes)%fuzzMost
		rows := len(x) / c
		x = x[:rows*c]
		labels := fuzzLabels(seed, rows, c-1)
		gamma, eps, scale := math.Float32frombits(gammaBits), math.Float32frombits(smoothBits), math.Float32frombits(scaleBits)
		if !finite(gamma) || !(eps >= 0 && eps < 1) {
			t.Skip()
		}
		r := newRNG(seed)
		targets, scales := make([]float32, len(x)), make([]float32, rows)
		for i := range targets {
			targets[i] = float32(r.float())
		}
		for i := range scales {
			scales[i] = []float32{0, scale, float32(r.normal())}[r.below(3)]
		}
		for _, l := range []scaledForm{
			must(NewSoftmaxLoss(SoftmaxConfig{Classes: c, Gamma: gamma, Smoothing: eps, IgnoreLabels: []int32{-100}})),
			must(NewOneVsRestLoss(OneVsRestConfig{Classes: c, Gamma: gamma, Smoothing: eps, IgnoreLabels: []int32{-100}})),
		} {
			onEveryVariant(t, func() []uint64 {
				grad := make([]float32, len(x))
				sum := must(l.GradRows(grad, x, labels, scales))
				return append(rowResults(t, l, x, labels, scale), append(bitsOf(grad), math.Float64bits(sum))...)
			})
			checkFuzzedView(t, l, x, labels, scale, c, rows, int(size))
		}
		soft := must(NewSoftTargetLoss(SoftTargetConfig{Classes: c, Gamma: gamma}))
		onEveryVariant(t, func() []uint64 {
			losses, grad := make([]float32, rows), make([]float32, len(x))
			must(0, soft.Each(losses, x, targets))
			sum := must(soft.Grad(grad, x, targets, scale))
			return append(append(bitsOf(losses), bitsOf(grad)...), math.Float64bits(sum))
		})
	})
}

// checkFuzzedView holds planes and padded rows against packed ones.
func checkFuzzedView(t *testing.T, l rowForm, x []float32, labels []int32, scale float32, classes, rows, size int) {
	t.Helper()
	inner, stride := 1+size%(rows+1), classes+size%5
	rows -= rows % inner
	var planar, strided rowForm
	switch l := l.(type) {
	case *SoftmaxLoss:
		p, s := l.Planes(inner), l.Strided(stride)
		planar, strided = &p, &s
	case *OneVsRestLoss:
		p, s := l.Planes(inner), l.Strided(stride)
		planar, strided = &p, &s
	}
	want, wantEach := make([]float32, rows*classes), make([]float32, rows)
	must(l.Grad(want, x[:rows*classes], labels[:rows], scale))
	must(0, l.Each(wantEach, x[:rows*classes], labels[:rows]))
	for _, v := range []struct {
		name string
		l    rowForm
		n    int
		at   func(row, c int) int
	}{
		{"planes", planar, rows * classes, func(row, c int) int { return (row/inner*classes+c)*inner + row%inner }},
		{"strided", strided, rows * stride, func(row, c int) int { return row*stride + c }},
	} {
		z, grad, each := make([]float32, v.n), make([]float32, v.n), make([]float32, rows)
		for row := range rows {
			for c := range classes {
				z[v.at(row, c)] = x[row*classes+c]
			}
		}
		must(v.l.Grad(grad, z, labels[:rows], scale))
		must(0, v.l.Each(each, z, labels[:rows]))
		checkBits(t, v.name+", losses", each, wantEach)
		got := make([]float32, rows*classes)
		for row := range rows {
			for c := range classes {
				got[row*classes+c] = grad[v.at(row, c)]
			}
		}
		checkBits(t, v.name+", gradient", got, want)
	}
}

// FuzzHalf takes raw bits through the conversions: every variant must give the bits of the specification, and what was wide
// enough must come back.
func FuzzHalf(f *testing.F) {
	f.Add(bytesOf(awkward...))
	f.Fuzz(func(t *testing.T, data []byte) {
		x := floatsOf(data)
		words := make([]uint16, min(len(data)/2, fuzzMost))
		for i := range words {
			words[i] = binary.LittleEndian.Uint16(data[2*i:])
		}
		for _, h := range halfFormats {
			onEveryVariant(t, func() []uint64 {
				narrow, wide, back := make([]uint16, len(x)), make([]float32, len(words)), make([]uint16, len(words))
				h.narrow(narrow, x)
				h.widen(wide, words)
				h.narrow(back, wide)
				for i, w := range words {
					if w&0x7fff <= h.inf() && back[i] != w {
						t.Fatalf("%s: %#04x comes back as %#04x", h.name, w, back[i])
					}
				}
				results := bitsOf(wide)
				for _, w := range narrow {
					results = append(results, uint64(w))
				}
				return results
			})
		}
	})
}
