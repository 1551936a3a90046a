package focal

import (
	"math"
	"math/big"
	"testing"

	"github.com/gofocal/focal/internal/bigfloat"
	"github.com/gofocal/focal/internal/coef"
)

// The references of the vector functions, in float64: refError is their relative error at most, refPowError that of refPow.
// That is 2^-24 ULP of float32, far less than the tests' fourth digit; TestVectorReference measures it. math/big below
// decides where it does not, and is what they are measured against.

const refError, refPowError = 0x1p-48, 0x1p-43

func refExp(x float64) float64 { return math.Exp(x) }

func refLog(x float64) float64 { return math.Log(x) }

// refSigmoid1: e^-|x| enters as 1 + e or e/(1+e), so the relative errors of at most three operations add.
func refSigmoid1(x float64) float64 {
	e := math.Exp(-math.Abs(x))
	if x < 0 {
		return e / (1 + e)
	}
	return 1 / (1 + e)
}

// refPow: a result that float32 can tell from 0 and Inf has |y log x| < 104, so log's relative error and the rounding of the
// product are an absolute error of 104 * 2^-51 at most: the result is right to 2^-44. (math.Pow itself multiplies too often.)
func refPow(x, y float64) float64 {
	if x == 0 || math.IsInf(x, 0) || math.IsInf(y, 0) || y == 0 || x != x || y != y || x < 0 && y != math.Trunc(y) {
		return math.Pow(x, y)
	}
	p := math.Exp(y * math.Log(math.Abs(x)))
	if x < 0 && math.Mod(y, 2) != 0 {
		return -p
	}
	return p
}

// exactly is x with 200 bits to work with.
func exactly(x float32) *big.Float { return new(big.Float).SetPrec(200).SetFloat64(float64(x)) }

func bigExp(x *big.Float) *big.Float { return bigfloat.Exp(x) }

func bigLog(x *big.Float) *big.Float { return bigfloat.Log(x) }

func bigSigmoid(x *big.Float) *big.Float {
	e := bigfloat.Exp(x.Neg(x))
	one := exactly(1)
	return one.Quo(one, e.Add(e, one))
}

// bigLog1p: 1 + x needs the bits of x beside that of 1.
func bigLog1p(x *big.Float) *big.Float {
	y := new(big.Float).SetPrec(400).SetInt64(1)
	return bigfloat.Log(y.Add(y, x))
}

// bigPow is |x|^y with the sign of x^y, for finite x other than 0. The last bits are rounded off: so a result that lies right
// on the border of two floats comes out there.
func bigPow(x, y float32) *big.Float {
	p := bigfloat.Log(exactly(float32(math.Abs(float64(x)))))
	p = bigfloat.Exp(p.Mul(p, exactly(y)))
	if x < 0 && math.Mod(float64(y), 2) != 0 {
		p.Neg(p)
	}
	return p.SetPrec(150)
}

// bigPowHalves is x^y for a positive multiple y of 1/2, up to 5: no rounding but that of a square root.
func bigPowHalves(x *big.Float, y float32) *big.Float {
	p := new(big.Float).SetPrec(400).SetInt64(1)
	for range int(y) {
		p.Mul(p, x)
	}
	if y != float32(int(y)) {
		p.Mul(p, new(big.Float).SetPrec(400).Sqrt(x))
	}
	return p
}

// TestVectorReference measures the references against math/big.
func TestVectorReference(t *testing.T) {
	r := newRNG(0xf00d)
	n := 5000
	if testing.Short() {
		n = 500
	}
	worst := map[string]float64{}
	check := func(name string, got float64, want *big.Float) {
		if want.Sign() == 0 && got == 0 {
			return
		}
		d := new(big.Float).SetPrec(400).SetFloat64(got)
		d.Quo(d.Sub(d, want), want)
		err, _ := d.Float64()
		worst[name] = max(worst[name], math.Abs(err))
	}
	for range n {
		x := float32(r.normal() * 30)
		if r.below(2) == 0 {
			x = float32(r.normal())
		}
		check("Exp", refExp(float64(x)), bigExp(exactly(x)))
		check("Sigmoid", refSigmoid1(float64(x)), bigSigmoid(exactly(x)))
		x = float32(1 + 0.1*r.normal())
		if r.below(2) == 0 {
			x = math.Float32frombits(uint32(r.below(0x7f7fffff)) + 1)
		}
		check("Log", refLog(float64(x)), bigLog(exactly(x)))
		check("Log1p", math.Log1p(float64(x)), bigLog1p(exactly(x)))
		y := float32(104 / math.Log(float64(x)) * (2*r.float() - 1))
		if y == y && !math.IsInf(float64(y), 0) && y != 0 {
			check("Pow", refPow(float64(x), float64(y)), bigPow(x, y))
		}
	}
	for name, err := range worst {
		t.Logf("%s: relative error 2^%.2f", name, math.Log2(err))
		// A quarter: these are random samples.
		if allowed := map[bool]float64{false: refError, true: refPowError}[name == "Pow"]; !(err <= allowed/4) {
			t.Errorf("%s: the relative error is 2^%.2f", name, math.Log2(err))
		}
	}
}

// vectorInputs has, for any function of one variable: special values, every binade's ends and middle, both signs; the
// neighbours of every place where exp or log change cell or reach their limits; random bits; random numbers of usual size.
func vectorInputs(r *rng) []float32 {
	x := []float32{0, inf32, nan32, math.Float32frombits(0x7f800001), math.Float32frombits(0x7fffffff)}
	around := func(v float64) {
		b := math.Float32bits(float32(v))
		for d := uint32(0); d < 17; d++ {
			x = append(x, math.Float32frombits(b+d-8))
		}
	}
	for e := uint32(0); e < 256; e++ {
		for _, m := range []uint32{0, 1, 2, 0x3fffff, 0x400000, 0x555555, 0x600000, 0x700000, 0x7ffffe, 0x7fffff} {
			x = append(x, math.Float32frombits(e<<23|m))
		}
	}
	for k := range 1300 { // exp's cells change at odd multiples of ln2/8, rows' at those of ln2/2
		around((float64(k) + 0.5) * math.Ln2 / 8)
	}
	for k := -150; k < 129; k++ { // log's at 2^k times eighths and sixteenths
		for i := range 16 {
			around(math.Ldexp(1+float64(i)/16, k))
		}
		around(math.Ldexp(float64(math.Float32frombits(coef.PowZOff)), k))
		around(math.Ldexp(float64(math.Float32frombits(coef.Log1pOff)), k))
	}
	for _, v := range []float64{17.3287, 87.3365, 88.7228, 89, 102.4, 103.2789, 103.9721, 104, 149 * math.Ln2} {
		around(v)
	}
	for range 1 << 15 {
		x = append(x, r.bits(), float32(r.normal()), float32(r.float()*104), float32(1+0.1*r.normal()))
	}
	for _, v := range x {
		x = append(x, math.Float32frombits(math.Float32bits(v)^1<<31))
	}
	return x
}

// checkVector1 holds a function's results against the reference and logs the worst.
func checkVector1(t *testing.T, name string, got, x []float32, ref func(float64) float64, bound float64) {
	t.Helper()
	var worst float64
	var at float32
	failures := 0
	for i, v := range x {
		err := ulpError(got[i], ref(float64(v)))
		if !(err <= bound) {
			if failures++; failures <= 5 {
				t.Errorf("%s(%x) = %x (%#08x), want %x: off by %.4g ULP, at most %g allowed",
					name, v, got[i], math.Float32bits(got[i]), ref(float64(v)), err, bound)
			}
		}
		if err > worst {
			worst, at = err, v
		}
	}
	t.Logf("%s: at most %.4f ULP, at %x; %d inputs", name, worst, at, len(x))
}

func TestVectorAccuracy(t *testing.T) {
	x := vectorInputs(newRNG(1))
	got := make([]float32, len(x))
	forEachVariant(t, func(t *testing.T) {
		Exp(got, x)
		checkVector1(t, "Exp", got, x, refExp, bounds.exp)
		Log(got, x)
		checkVector1(t, "Log", got, x, refLog, bounds.log)
		Sigmoid(got, x)
		checkVector1(t, "Sigmoid", got, x, refSigmoid1, bounds.sigmoid)
		for _, y := range powExponents {
			Pow(got, x, y)
			checkVector1(t, "Pow^"+show([]float32{y}), got, x, func(x float64) float64 { return refPow(x, float64(y)) }, bounds.pow)
		}
	})
}

var powExponents = []float32{
	0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, -1, -0.5, 0.1, 1.0 / 3, -2.5, 7.25, 17, -35.5, 1e-3, 1e-20, -1e-40, 0x1p-149,
	1e4, -99999, 0x1p23 + 1, 0x1p24 - 1, 0x1p24 + 2, -0x1p31, 0x1p32, 0x1.000002p32, -1e30, math.MaxFloat32,
	nan32, inf32, -inf32,
}

// TestPowAccuracy: random pairs, of three kinds.
func TestPowAccuracy(t *testing.T) {
	pairs := 2000000
	if testing.Short() {
		pairs = 100000
	}
	forEachVariant(t, func(t *testing.T) {
		r := newRNG(2)
		var worst float64
		var atX, atY float32
		failures := 0
		var x, got [16]float32
		for range pairs / len(x) {
			y := r.bits()
			kind := r.below(3)
			if kind == 1 { // |y log x| near where results underflow or overflow
				y = float32(math.Ldexp(r.normal(), r.below(30)-3))
			}
			for i := range x {
				switch kind {
				case 0:
					x[i] = r.bits()
				case 1:
					x[i] = float32(math.Exp(104 / float64(y) * r.float() * float64(1-2*r.below(2))))
				default: // x near 1, y as large as it takes
					x[i] = float32(1 + r.normal()*0x1p-10)
					y = float32(math.Ldexp(1+r.float(), 4+r.below(24)))
				}
			}
			Pow(got[:], x[:], y)
			for i, v := range x {
				want := refPow(float64(v), float64(y))
				err := ulpError(got[i], want)
				if !(err <= bounds.pow) {
					if failures++; failures <= 5 {
						t.Errorf("Pow(%x, %x) = %x, want %x: off by %.4g ULP", v, y, got[i], want, err)
					}
				}
				if err > worst {
					worst, atX, atY = err, v, y
				}
			}
		}
		t.Logf("Pow: at most %.4f ULP, at %x^%x", worst, atX, atY)
	})
}

func TestLog1pAccuracy(t *testing.T) {
	x := vectorInputs(newRNG(3))
	n := 0
	for _, v := range x {
		if v > 0 && v <= 0x1.e4p126 || math.Float32bits(v) == 0 {
			x[n] = v
			n++
		}
	}
	x = x[:n]
	got := make([]float32, n)
	for i, v := range x {
		got[i] = log1p1(v)
	}
	checkVector1(t, "log1p1", got, x, math.Log1p, bounds.log1p)
}

// TestVectorSpecial: C99 Annex F, to the bit.
func TestVectorSpecial(t *testing.T) {
	nan, inf, negZero := nan32, inf32, float32(math.Copysign(0, -1))
	quiet, signalling, negative := math.Float32frombits(0x7fc12345), math.Float32frombits(0x7f800001), math.Float32frombits(0xffc00000)
	type table []struct{ x, want float32 }
	forEachVariant(t, func(t *testing.T) {
		check := func(name string, f func(dst, x []float32), tab table) {
			t.Helper()
			// Alone, and in vectors full of other values.
			for _, n := range []int{1, 67} {
				for _, c := range tab {
					x, got, want := make([]float32, n), make([]float32, n), make([]float32, n)
					for i := range x {
						x[i] = 1
					}
					f(want, x)
					x[n/2], want[n/2] = c.x, c.want
					f(got, x)
					checkBits(t, name+show([]float32{c.x}), got, want)
				}
			}
		}
		nans := table{{nan, nan}, {quiet, nan}, {signalling, nan}, {negative, nan}}
		check("Exp", Exp, append(table{{0, 1}, {negZero, 1}, {inf, inf}, {-inf, 0}, {89, inf}, {-104, 0}, {max32, inf},
			{-max32, 0}, {0x1p-149, 1}, {-0x1p-149, 1}}, nans...))
		check("Log", Log, append(table{{0, -inf}, {negZero, -inf}, {1, 0}, {inf, inf}, {-1, nan}, {-inf, nan},
			{-0x1p-149, nan}, {-max32, nan}}, nans...))
		check("Sigmoid", Sigmoid, append(table{{0, 0.5}, {negZero, 0.5}, {inf, 1}, {-inf, 0}, {max32, 1}, {-max32, 0},
			{104, 1}, {-104.5, 0}}, nans...))

		for _, c := range []struct {
			y   float32
			tab table
		}{
			{0, append(table{{0, 1}, {negZero, 1}, {inf, 1}, {-inf, 1}, {-3, 1}}, table{{nan, 1}, {signalling, 1}, {negative, 1}}...)},
			{negZero, table{{0, 1}, {-inf, 1}, {nan, 1}, {-0.5, 1}}},
			{nan, append(table{{1, 1}, {-1, nan}, {0, nan}, {inf, nan}, {2, nan}}, nans...)},
			{negative, table{{1, 1}, {2, nan}}},
			{inf, append(table{{0, 0}, {negZero, 0}, {0.5, 0}, {-0.5, 0}, {1, 1}, {-1, 1}, {2, inf}, {-2, inf}, {inf, inf}, {-inf, inf}}, nans...)},
			{-inf, append(table{{0, inf}, {negZero, inf}, {0.5, inf}, {-0.5, inf}, {1, 1}, {-1, 1}, {2, 0}, {-2, 0}, {inf, 0}, {-inf, 0}}, nans...)},
			{3, append(table{{0, 0}, {negZero, negZero}, {inf, inf}, {-inf, -inf}, {-2, -8}, {1, 1}, {-1, -1}}, nans...)},
			{2, append(table{{0, 0}, {negZero, 0}, {inf, inf}, {-inf, inf}, {-3, 9}, {-1, 1}}, nans...)},
			{2.5, append(table{{0, 0}, {negZero, 0}, {inf, inf}, {-inf, inf}, {-3, nan}, {-0x1p-149, nan}, {-max32, nan}, {1, 1}}, nans...)},
			{0.5, table{{0, 0}, {negZero, 0}, {inf, inf}, {-inf, inf}, {-1, nan}, {4, 2}}},
			{-3, table{{0, inf}, {negZero, -inf}, {inf, 0}, {-inf, negZero}, {-2, -0.125}}},
			{-2, table{{0, inf}, {negZero, inf}, {inf, 0}, {-inf, 0}, {-2, 0.25}}},
			{-0.5, table{{0, inf}, {negZero, inf}, {inf, 0}, {-inf, 0}, {-2, nan}, {4, 0.5}}},
			{0x1p24 - 1, table{{negZero, negZero}, {-1, -1}, {-inf, -inf}, {-2, -inf}, {-0.5, negZero}}},
			{0x1p24, table{{negZero, 0}, {-1, 1}, {-inf, inf}, {-2, inf}, {-0.5, 0}}},
			{0x1p23, table{{negZero, 0}, {-1, 1}}},
			{0x1p22 + 0.5, table{{negZero, 0}, {-1, nan}, {-inf, inf}}},
			{max32, table{{-2, inf}, {-0.5, 0}, {-1, 1}, {1, 1}, {1 - 0x1p-24, 0}, {1 + 0x1p-23, inf}}},
			{-max32, table{{-2, 0}, {-0.5, inf}, {-1, 1}, {1 - 0x1p-24, inf}, {1 + 0x1p-23, 0}}},
			{0x1p-149, table{{0, 0}, {max32, 1}, {0x1p-149, 1}, {-1, nan}, {inf, inf}}},
			{1, table{{negZero, negZero}, {-inf, -inf}, {0x1p-149, 0x1p-149}, {-max32, -max32}, {0x1.fffffcp-127, 0x1.fffffcp-127}}},
		} {
			check("Pow^"+show([]float32{c.y}), func(dst, x []float32) { Pow(dst, x, c.y) }, c.tab)
		}
	})
}
