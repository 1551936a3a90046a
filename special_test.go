package focal

import (
	"fmt"
	"math"
	"testing"
)

var (
	inf32 = float32(math.Inf(1))
	max32 = float32(math.MaxFloat32)
)

// checkBits fails unless got and want are the same numbers to the bit.
func checkBits[T float32 | uint16](t *testing.T, name string, got, want []T) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", name, len(got), len(want))
	}
	bits := func(v T) uint32 {
		if f, ok := any(v).(float32); ok {
			return math.Float32bits(f)
		}
		return uint32(v)
	}
	for i := range got {
		if g, w := bits(got[i]), bits(want[i]); g != w {
			t.Errorf("%s[%d] = %x (%#08x), want %x (%#08x)", name, i, got[i], g, want[i], w)
			return
		}
	}
}

// TestSpecialRows: what NaN, infinite and masked logits give, to the bit where there is nothing to round.
func TestSpecialRows(t *testing.T) {
	nan, inf := nan32, inf32
	tests := []struct {
		name                string
		z                   []float32
		softmax, logSoftmax []float32
		logSumExp           float32
	}{
		{"NaN", []float32{0, math.Float32frombits(0xffc12345), 1}, []float32{nan, nan, nan}, []float32{nan, nan, nan}, nan},
		{"+Inf", []float32{0, inf, 1}, []float32{nan, nan, nan}, []float32{nan, nan, nan}, inf},
		{"+Inf and NaN", []float32{inf, nan, 1}, []float32{nan, nan, nan}, []float32{nan, nan, nan}, nan},
		{"-Inf and NaN", []float32{-inf, nan, -inf}, []float32{nan, nan, nan}, []float32{nan, nan, nan}, nan},
		{"only -Inf", []float32{-inf, -inf, -inf}, []float32{nan, nan, nan}, []float32{nan, nan, nan}, -inf},
		{"one left", []float32{-inf, 3, -inf}, []float32{0, 1, 0}, []float32{-inf, 0, -inf}, 3},
		{"one far ahead", []float32{-max32, max32, 0}, []float32{0, 1, 0}, []float32{-inf, 0, -max32}, max32},
		{"two equal", []float32{-inf, 0, 0}, []float32{0, 0.5, 0.5}, []float32{-inf, -math.Ln2, -math.Ln2}, math.Ln2},
		{"all at the bottom", []float32{-max32, -inf, -inf}, []float32{1, 0, 0}, []float32{0, -inf, -inf}, -max32},
	}
	forEachVariant(t, func(t *testing.T) {
		for _, c := range tests {
			t.Run(c.name, func(t *testing.T) {
				// Between two ordinary rows, which it must not disturb.
				logits := append(append([]float32{1, 2, 3}, c.z...), 3, 2, 1)
				var plain, got, lse [9]float32
				Softmax(plain[:], []float32{1, 2, 3, 1, 2, 3, 3, 2, 1}, 3)
				Softmax(got[:], logits, 3)
				checkBits(t, "Softmax", got[3:6], c.softmax)
				checkBits(t, "row before", got[:3], plain[:3])
				checkBits(t, "row after", got[6:], plain[6:])
				LogSoftmax(got[:], logits, 3)
				for i, v := range c.logSoftmax { // -0 is 0 there, and log 2 may be rounded
					if g := got[3+i]; !(math.Abs(float64(g-v)) <= 1e-7) && math.Float32bits(g) != math.Float32bits(v) {
						t.Errorf("LogSoftmax[%d] = %x, want %x", i, g, v)
					}
				}
				LogSumExp(lse[:3], logits, 3)
				if g := lse[1]; !(math.Abs(float64(g-c.logSumExp)) <= 1e-7) && math.Float32bits(g) != math.Float32bits(c.logSumExp) {
					t.Errorf("LogSumExp = %x, want %x", g, c.logSumExp)
				}
			})
		}
	})
}

// TestSpecialLosses: the softmax form on masked, infinite and NaN logits, with gammas from 0 to the largest.
func TestSpecialLosses(t *testing.T) {
	nan, inf := nan32, inf32
	alpha := []float32{0.5, 2, 0}
	tests := []struct {
		name  string
		z     []float32
		label int32
		loss  float32
		grad  []float32
	}{
		{"NaN", []float32{nan, 0, 0}, 1, nan, []float32{nan, nan, nan}},
		{"NaN label", []float32{0, nan, 0}, 1, nan, []float32{nan, nan, nan}},
		{"+Inf", []float32{inf, 0, 0}, 1, nan, []float32{nan, nan, nan}},
		{"+Inf label", []float32{0, inf, 0}, 1, nan, []float32{nan, nan, nan}},
		{"only -Inf", []float32{-inf, -inf, -inf}, 1, nan, []float32{nan, nan, nan}},
		{"masked label", []float32{0, -inf, 0}, 1, inf, []float32{1, -2, 1}},
		{"masked label, alpha 0", []float32{0, 0, -inf}, 2, 0, []float32{0, 0, 0}},
		{"nothing but the label", []float32{-inf, 7, -inf}, 1, 0, []float32{0, 0, 0}},
		{"certain", []float32{-500, 7e5, -3e38}, 1, 0, []float32{0, 0, 0}},
		{"hopeless", []float32{3e38, -1, -inf}, 1, inf /* 6e38 */, []float32{2, -2, 0}},
	}
	forEachVariant(t, func(t *testing.T) {
		for _, gamma := range []float32{0, 1e-45, 1e-30, 0.3, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 7, 1e10, 1e38, max32} {
			l, err := NewSoftmaxLoss(SoftmaxConfig{Classes: 3, Gamma: gamma, Alpha: alpha, IgnoreLabels: []int32{-100}})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range tests {
				t.Run(fmt.Sprintf("%s/gamma=%g", c.name, gamma), func(t *testing.T) {
					logits := append(append([]float32{nan, inf, 0}, c.z...), 1, 2, 3)
					labels := []int32{-100, c.label, 0}
					var each [3]float32
					var grad [9]float32
					if err := l.Each(each[:], logits, labels); err != nil {
						t.Fatal(err)
					}
					checkBits(t, "loss", each[:2], []float32{0, c.loss})
					if each[2] != each[2] {
						t.Error("the row after is NaN")
					}
					if _, err := l.Grad(grad[:], logits, labels, 1); err != nil {
						t.Fatal(err)
					}
					checkBits(t, "ignored row", grad[:3], []float32{0, 0, 0})
					for i, v := range c.grad {
						if g := grad[3+i]; g != v && math.Float32bits(g) != math.Float32bits(v) { // -0 is 0
							t.Errorf("grad[%d] = %x, want %x", i, g, v)
						}
					}
					if _, err := l.Grad(grad[:], logits, labels, 0); err != nil {
						t.Fatal(err)
					}
					checkBits(t, "scale 0", grad[:], make([]float32, 9))
				})
			}
		}
	})
}

// TestSpecialSigmoid: the sigmoid form at the ends.
func TestSpecialSigmoid(t *testing.T) {
	nan, inf := nan32, inf32
	forEachVariant(t, func(t *testing.T) {
		for _, gamma := range []float32{0, 1e-45, 0.5, 1, 2, 2.5, 7, 1e10, max32} {
			l, err := NewSigmoidLoss(SigmoidConfig{Gamma: gamma, Alpha: 0.25})
			if err != nil {
				t.Fatal(err)
			}
			x := []float32{inf, -inf, inf, -inf, nan, nan, inf, -inf}
			y := []float32{1, 1, 0, 0, 0, 0.5, 0.5, 0.5}
			want := []float32{0, inf, inf, 0, nan, nan, inf, inf}
			wantGrad := []float32{0, -0.25, 0.75, 0, nan, nan}
			got := make([]float32, len(x))
			if err := l.Each(got, x, y); err != nil {
				t.Fatal(err)
			}
			checkBits(t, fmt.Sprintf("loss, gamma %g", gamma), got, want)
			if _, err := l.Grad(got, x, y, 1); err != nil {
				t.Fatal(err)
			}
			for i, v := range wantGrad {
				if got[i] != v && math.Float32bits(got[i]) != math.Float32bits(v) {
					t.Errorf("gamma %g: grad(%g, target %g) = %x, want %x", gamma, x[i], y[i], got[i], v)
				}
			}
			for i, v := range got[6:] {
				if v != v {
					t.Errorf("gamma %g: grad(%g, target %g) is NaN", gamma, x[6+i], y[6+i])
				}
			}
			if _, err := l.Grad(got, x, y, 0); err != nil {
				t.Fatal(err)
			}
			checkBits(t, "scale 0", got, make([]float32, len(x)))
		}
	})
}

// TestNeverNaN: no finite logit and no gamma gives NaN, loss or gradient.
func TestNeverNaN(t *testing.T) {
	forEachVariant(t, func(t *testing.T) {
		r := newRNG(3)
		finite := func() float32 {
			for {
				if x := r.bits(); x == x && !math.IsInf(float64(x), 0) {
					return x
				}
			}
		}
		for range 20000 {
			gamma := float32(math.Abs(float64(finite())))
			var z, g, y, each [8]float32
			for i := range z {
				z[i] = finite()
				if r.below(2) == 0 {
					z[i] = float32(r.normal() * 40)
				}
				y[i] = []float32{0, 1, float32(r.float()), float32(math.Abs(float64(finite()))) / max32}[r.below(4)]
			}
			soft, err := NewSoftmaxLoss(SoftmaxConfig{Classes: 4, Gamma: gamma})
			if err != nil {
				t.Fatal(err)
			}
			sigmoid, err := NewSigmoidLoss(SigmoidConfig{Gamma: gamma, Alpha: 0.25})
			if err != nil {
				t.Fatal(err)
			}
			check := func(name string, s []float32) {
				for i, v := range s {
					if v != v {
						t.Fatalf("%s[%d] is NaN: logits %x, targets %x, gamma %x", name, i, z, y, gamma)
					}
				}
			}
			labels := []int32{int32(r.below(4)), int32(r.below(4))}
			if _, err := soft.Grad(g[:], z[:], labels, 1); err != nil {
				t.Fatal(err)
			}
			check("softmax gradient", g[:])
			if err := soft.Each(each[:2], z[:], labels); err != nil {
				t.Fatal(err)
			}
			check("softmax loss", each[:2])
			if _, err := sigmoid.Grad(g[:], z[:], y[:], 1); err != nil {
				t.Fatal(err)
			}
			check("sigmoid gradient", g[:])
			if err := sigmoid.Each(each[:], z[:], y[:]); err != nil {
				t.Fatal(err)
			}
			check("sigmoid loss", each[:])
		}
	})
}
