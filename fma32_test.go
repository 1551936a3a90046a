package focal

import (
	"math"
	"math/big"
	"runtime"
	"sync"
	"testing"

	"github.com/gofocal/focal/internal/coef"
)

// bigFMA32 is x*y + z with one rounding, by math/big: 600 bits hold every product and sum exactly. Where the result is zero, NaN
// or Inf without a rounding, float64 gives the same.
func bigFMA32(x, y, z float32) float32 {
	p := float64(x) * float64(y)
	s := p + float64(z)
	if s == 0 || s != s || math.IsInf(s, 0) {
		return float32(s)
	}
	b := new(big.Float).SetPrec(600).SetFloat64(p) // exact
	f, _ := b.Add(b, new(big.Float).SetFloat64(float64(z))).Float32()
	return f
}

// hardTriples calls f with products and sums that are hard to round.
func hardTriples(r *rng, n int, f func(x, y, z float32)) {
	scale := func(x float32, e int) float32 { return float32(math.Ldexp(float64(x), e)) }
	for range n {
		x, y := float32(1+r.float()), float32(1+r.float())
		e := r.below(170) - 85
		x = scale(x, e)
		p := float64(x) * float64(y)
		z := float32(r.normal())
		switch r.below(8) {
		case 0: // the sum is near the border of two floats, and z decides
			m := math.Float32frombits(math.Float32bits(float32(p)) &^ uint32(r.below(4)))
			ulp := math.Ldexp(1, math.Ilogb(float64(m))-24)
			x, y = m, 1
			if r.below(2) == 0 {
				x, y = scale(m, r.below(3)-30), 0x1p30
			}
			z = float32(ulp * (1 + math.Ldexp(float64(r.below(5)-2), -r.below(24))))
		case 1: // the product is near the border, and a tiny z decides: odd 25-bit products
			a, b := 2*r.below(1<<12)+1|1<<12, 2*r.below(1<<11)+1|1<<12
			x, y = scale(float32(a), e-12), float32(b)
			z = scale(z, e-20-r.below(60))
		case 2: // cancellation
			z = math.Float32frombits(math.Float32bits(float32(-p)) + uint32(r.below(5)) - 2)
		case 3: // exact cancellation, of either sign
			y = float32(r.below(1 << 10))
			x = scale(float32(r.below(1<<12)), e)
			z = -x * y
		case 4: // subnormal results and the border of the normal range
			x = scale(x, -e-70-r.below(10))
			y = scale(y, -60-r.below(10))
			z = math.Float32frombits(uint32(r.below(1 << (1 + r.below(24)))))
		case 5: // subnormal borders: a product of odd multiples of 2^-150, z a few units
			x, y = scale(float32(2*r.below(1<<11)+1), -75), scale(float32(2*r.below(1<<11)+1), -75)
			z = math.Float32frombits(uint32(r.below(1 << 12)))
			if r.below(2) == 0 {
				x = math.Nextafter32(x, 0)
			}
		case 6: // overflow
			x, y = scale(x, -e+63), scale(y, 64-r.below(2))
			z = scale(z, 100+r.below(28))
			if r.below(3) == 0 {
				x, y, z = max32, 1, scale(1+z*0x1p-23, 103)
			}
		default: // z far away
			z = scale(z, r.below(250)-125)
		}
		if r.below(2) == 0 {
			x = -x
		}
		if r.below(2) == 0 {
			z = -z
		}
		f(x, y, z)
	}
}

func TestFMA32(t *testing.T) {
	n := 1 << 19
	if testing.Short() {
		n = 1 << 16
	}
	r := newRNG(4)
	failures, borders := 0, 0
	check := func(x, y, z float32) {
		got, want := fma32(x, y, z), bigFMA32(x, y, z)
		if got != want && (got == got || want == want) || got == 0 && math.Signbit(float64(got)) != math.Signbit(float64(want)) {
			if failures++; failures <= 10 {
				t.Errorf("fma32(%x, %x, %x) = %x, want %x", x, y, z, got, want)
			}
		}
		if p := float64(x) * float64(y); want == want && float32(p+float64(z)) != want {
			borders++
		}
	}
	special := []float32{0, float32(math.Copysign(0, -1)), 1, -1, inf32, -inf32, nan32, max32, -max32, 0x1p-149, -0x1p-149, 0x1p-126}
	for _, x := range special {
		for _, y := range special {
			for _, z := range special {
				check(x, y, z)
			}
		}
	}
	hardTriples(r, n, check)
	for range n {
		check(r.bits(), r.bits(), r.bits())
	}
	t.Logf("%d triples where two roundings would be wrong", borders)
	if borders < n/1000 {
		t.Errorf("only %d triples where two roundings would be wrong: the test is too easy", borders)
	}
}

//go:noinline
func mayFuse(x, y, z float32) float32 { return x*y + z }

// hardwareTriples is how many triples TestFMA32Hardware tries.
var hardwareTriples = 1 << 21

// TestFMA32Hardware holds fma32 against the CPU's instruction where the compiler fuses x*y + z.
func TestFMA32Hardware(t *testing.T) {
	if mayFuse(1+0x1p-12, 1+0x1p-12, -1-0x1p-11) != 0x1p-24 {
		t.Skip("the compiler does not fuse x*y + z here")
	}
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			r := newRNG(uint64(5 + w))
			failures := 0
			check := func(x, y, z float32) {
				got, want := fma32(x, y, z), mayFuse(x, y, z)
				if math.Float32bits(got) != math.Float32bits(want) && (got == got || want == want) {
					if failures++; failures <= 5 {
						t.Errorf("fma32(%x, %x, %x) = %x, the CPU says %x", x, y, z, got, want)
					}
				}
			}
			n := hardwareTriples / workers
			hardTriples(r, n/2, check)
			for range n / 2 {
				check(r.bits(), r.bits(), r.bits())
			}
		})
	}
	wg.Wait()
}

// TestOneConversion: where the specification rounds a float64 sum once in place of an FMA, or claims that a float32 is exact.
func TestOneConversion(t *testing.T) {
	// logSum: k from the least subnormal, and from log1p's largest v.
	for k := -150; k <= 128; k++ {
		for j := range coef.LogTL {
			u := float32(float64(k)*coef.LogLL + float64(coef.LogTL[j]))
			if want := fma32(float32(k), coef.LogLL, coef.LogTL[j]); u != want {
				t.Errorf("logSum's u for k = %d, j = %d is %x, the FMA %x", k, j, u, want)
			}
			a := float64(k)*coef.LogLH + float64(coef.LogTH[j]) // both terms are multiples of 2^-17 below 2^7
			if float64(float32(a)) != a {
				t.Errorf("logSum's a for k = %d, j = %d is not exact", k, j)
			}
		}
	}
	// The f of log1 and of powCore, for every mantissa.
	for m := uint32(0); m < 1<<23; m++ {
		z := float64(math.Float32frombits(m + coef.LogOff))
		if f := z*float64(coef.LogR[m>>21&3]) - 1; float64(float32(f)) != f {
			t.Fatalf("log1's f for z = %x is not exact", z)
		}
		z = float64(math.Float32frombits(m + coef.PowZOff))
		if f := z*float64(coef.PowR[m>>20&7]) - 1; float64(float32(f)) != f {
			t.Fatalf("powCore's f for z = %x is not exact", z)
		}
	}
	// sqrt32: the root lies between the two borders of its float, whose squares have 50 bits. Two binades are all there is.
	for b := math.Float32bits(1); b < math.Float32bits(4); b++ {
		x := math.Float32frombits(b)
		s := sqrt32(x)
		lo := (float64(s) + float64(math.Nextafter32(s, 0))) / 2
		hi := (float64(s) + float64(math.Nextafter32(s, 4))) / 2
		if !(lo*lo <= float64(x) && float64(x) <= hi*hi) {
			t.Fatalf("sqrt32(%x) = %x is not correctly rounded", x, s)
		}
	}
}
