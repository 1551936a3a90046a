package focal

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// identity has a test for every kernel of the generated table: whatever the input, its length and its place, the kernel
// on the active variant gives the bits of the specification.
var identity = map[string]func(t *testing.T){
	"exp":     func(t *testing.T) { testElementwise(t, "exp", expKernel, expGeneric) },
	"log":     func(t *testing.T) { testElementwise(t, "log", logKernel, logGeneric) },
	"sigmoid": func(t *testing.T) { testElementwise(t, "sigmoid", sigmoidKernel, sigmoidGeneric) },
	"pow":     testPowIdentity,
}

// shared is a test for several kernels, which runs once for a variant, with the first of them.
func shared(test func(t *testing.T)) func(t *testing.T) {
	passed := new(int) // the run of TestIdentity, and in its lowest bits the variants
	return func(t *testing.T) {
		if *passed>>8 != identityRuns {
			*passed = identityRuns << 8
		}
		if *passed>>active&1 == 0 {
			test(t)
			*passed |= 1 << active
		}
	}
}

// identityRuns counts, for go test -count.
var identityRuns int

func TestIdentity(t *testing.T) {
	identityRuns++
	for _, name := range generatedKernels {
		t.Run(name, func(t *testing.T) {
			test := identity[name]
			if test == nil {
				t.Fatalf("the generated kernel %q has no test in identity", name)
			}
			forEachVariant(t, test)
		})
	}
}

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// awkward are values at which kernels change their ways.
var awkward = func() []float32 {
	var values []float32
	for _, bits := range []uint32{
		0, 1, 2, 0x7fffff, 0x800000, 0x800001, 0xffffff, 0x1000000, // zero, subnormals, the least normal numbers
		0x3f800000, 0x3f7fffff, 0x3f800001, 0x3f700000, 0x3f6fffff, 0x3f733333, 0x3f000000, 0x40000000, // around 1
		0x7f7fffff, 0x7f800000, 0x7f800001, 0x7fbfffff, 0x7fc00000, 0x7fffffff, // the largest, Inf, NaN
		0x4b000000, 0x4b7fffff, 0x4b800000, 0x4f000000, 0x4f800000, 0x5f000000, // integers: 2^23, odd below 2^24, 2^31...
		0x40400000, 0x40a00000, 0x3fc00000, 0x40200000, // 3, 5, 1.5, 2.5
		0x1f800000, 0x1f760000, 0x1f75ffff, 0x5f760000, 0x5f75ffff, // pow's fast range ends
		0x42ae0000, 0x42adffff, 0x42ae0001, 0x42a00000, 0x42b17217, 0x42b17218, 0x42b20000, // exp: 87, 80, ln 2^128, 89
		0x42aeac50, 0x42cff1b4, 0x42d00000, 0x42cff1b5, 0x43000000, // ln 2^-126, ln 2^-150, 104
		0x0d800000, 0x0d7fffff, 0x21800000, 0x20800000, 0x2d800000, 0x33800000, 0x33000000, // 2^-100, 2^-60, ...
		0x01c18f9a, 0x2edbe6ff, 0x7e967699, // any
	} {
		values = append(values, math.Float32frombits(bits), math.Float32frombits(bits|1<<31))
	}
	return values
}()

// mixture fills x with values of every kind: any bits, around 0 and 1, awkward ones among ordinary ones.
func mixture(r *rand.Rand, x []float32) {
	for i := range x {
		switch r.IntN(5) {
		case 0:
			x[i] = math.Float32frombits(r.Uint32())
		case 1:
			x[i] = float32(40 * r.NormFloat64())
		case 2:
			x[i] = 1 + float32(math.Ldexp(r.NormFloat64(), -r.IntN(24)))
		case 3:
			x[i] = r.Float32()
		case 4:
			x[i] = awkward[r.IntN(len(awkward))]
		}
	}
}

// ordinary fills x with values that take no slow path in any kernel.
func ordinaryValues(r *rand.Rand, x []float32) {
	for i := range x {
		x[i] = 0.5 + r.Float32()
	}
}

func testElementwise(t *testing.T, name string, kernel, specification func(dst, x []float32)) {
	r := random(1)
	x := make([]float32, 3*chunk+37)
	want, got := make([]float32, len(x)), make([]float32, len(x))
	check := func(what string, x []float32) {
		t.Helper()
		specification(want[:len(x)], x)
		kernel(got[:len(x)], x)
		sameBits(t, name+", "+what, x, got[:len(x)], want[:len(x)])
		x = x[:min(len(x), 3000)]
		inPieces(kernel, got, x)
		sameBits(t, name+", "+what+", in pieces", x, got[:len(x)], want[:len(x)])
	}
	rounds := 20
	if testing.Short() {
		rounds = 2
	}
	for range rounds {
		mixture(r, x)
		check("mixture", x)
	}
	for i := range x {
		x[i] = math.Float32frombits(r.Uint32())
	}
	check("any bits", x)
	check("awkward", awkward)
	// One awkward value in every place of a block of ordinary ones.
	for i := range 160 {
		ordinaryValues(r, x[:160])
		x[i] = awkward[i%len(awkward)]
		check(fmt.Sprintf("awkward at %d", i), x[:160])
	}
	testPlaces(t, name, kernel, specification)
}

// inPieces runs kernel on pieces of 1, 2, 3... elements: all in the part of a vector at the end.
func inPieces(kernel func(dst, x []float32), dst, x []float32) {
	for n := 1; len(x) > 0; n = n%17 + 1 {
		n = min(n, len(x))
		kernel(dst[:n], x[:n])
		dst, x = dst[n:], x[n:]
	}
}

// testPlaces runs kernel on every length from 0 to 300 at every offset from 0 to 16, apart and in place: the neighbours
// stay as they are, the input too.
func testPlaces(t *testing.T, name string, kernel, specification func(dst, x []float32)) {
	const longest, margin = 300, 33
	r := random(2)
	x := make([]float32, longest)
	mixture(r, x)
	for i := 0; i < len(x); i += 3 { // a slow path in some blocks only
		ordinaryValues(r, x[i:min(i+2, len(x))])
	}
	ordinaryValues(r, x[100:250])
	want := make([]float32, longest)
	specification(want, x)
	sentinel := math.Float32frombits(0xdeadbeef)
	src, dst := make([]float32, longest+16+2*margin), make([]float32, longest+16+2*margin)
	step := 1
	if testing.Short() {
		step = 5
	}
	for n := 0; n <= longest; n += 1 + n/40*(step-1)/4 {
		for offset := 0; offset < 17; offset += step {
			for _, inPlace := range []bool{false, true} {
				for i := range src {
					src[i], dst[i] = sentinel, sentinel
				}
				in, out := src[margin+offset:][:n], dst[margin+(offset*7)%17:][:n]
				whole, start := dst, margin+(offset*7)%17
				if inPlace {
					out, whole, start = in, src, margin+offset
				}
				copy(in, x)
				kernel(out, in)
				what := fmt.Sprintf("%s, n = %d, offset %d, in place: %v", name, n, offset, inPlace)
				sameBits(t, what, x[:n], out, want[:n])
				if !inPlace {
					sameBits(t, what+": input", x[:n], in, x[:n])
				}
				for i, v := range whole {
					if (i < start || i >= start+n) && math.Float32bits(v) != 0xdeadbeef {
						t.Fatalf("%s: wrote to place %d of %d", what, i-start, n)
					}
				}
			}
		}
	}
}

// sameBits stops the test at the first difference.
func sameBits(t *testing.T, what string, x, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: at %d, x = %x (%08x): got %x (%08x), want %x (%08x)", what, i, x[i], math.Float32bits(x[i]),
				got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

func testPowIdentity(t *testing.T) {
	r := random(3)
	exponents := append([]float32{2.5, 0.5, 1.5, 2, 3, 5, 7, -1, -2, -2.5, 0.1, 100, 127.5, -1e-3}, awkward...)
	for range 100 {
		exponents = append(exponents, math.Float32frombits(r.Uint32()), float32(10*r.NormFloat64()), float32(r.IntN(200)-100))
	}
	x, got, want := make([]float32, 2000), make([]float32, 2000), make([]float32, 2000)
	for _, y := range exponents {
		p := newPowParams(y)
		mixture(r, x)
		copy(x, awkward)
		// Around the x for which x^y is at the ends of the range.
		for i := len(awkward); i < 4*len(awkward); i++ {
			e := []float64{-150, -149.5, -149, -126.01, -126, -64, 64, 127.99, 128}[r.IntN(9)]
			x[i] = float32(math.Exp2(e/float64(y))) * (1 + float32(r.NormFloat64())*0x1p-18)
		}
		powGeneric(want, x, &p)
		powKernel(got, x, &p)
		what := fmt.Sprintf("pow, y = %x (%08x)", y, math.Float32bits(y))
		sameBits(t, what, x, got, want)
		inPieces(func(dst, x []float32) { powKernel(dst, x, &p) }, got, x)
		sameBits(t, what+", in pieces", x, got, want)
	}
	for _, y := range []float32{2.5, -3, 0, float32(math.Inf(1))} {
		p := newPowParams(y)
		testPlaces(t, fmt.Sprintf("pow, y = %v", y), func(dst, x []float32) { powKernel(dst, x, &p) },
			func(dst, x []float32) { powGeneric(dst, x, &p) })
	}
}
