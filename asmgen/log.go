package main

import (
	"math"

	"github.com/gofocal/focal/internal/coef"
)

// log is the natural logarithm, as log1 of focal_generic.go says, for normal x: logGuard sees the others.
func log(m machine, x vec) vec { return logBits(m, m.hold(x), vec{}) }

// logGuard jumps to slow if one of the arguments is no positive normal number.
func logGuard(m machine, x []vec, slow string) {
	m.comment("any x not in [2^-126, Inf)?")
	var most vec
	for i, v := range x {
		v = m.iadd(v, m.u32(0x7f800000))
		if i > 0 {
			v = m.smax(most, v)
		}
		most = v
	}
	m.jumpIfAny(m.igt(most, m.u32(0xfeffffff)), slow)
}

// logSlow is log for any x.
func logSlow(m machine, x vec) vec {
	x = m.hold(x)
	m.comment("a subnormal x is the integer bits(x), times 2^-149")
	low := m.igt(m.u32(1<<23), x)
	y := logBits(m, m.pick(low, m.float(x), x), m.keep(low, m.u32(149<<23)))
	return logPatch(m, x, y)
}

// logPatch is y, the logarithm of x where x is positive and finite, put right elsewhere.
func logPatch(m machine, x, y vec) vec {
	m.comment("specials: NaN where x is negative or NaN, -Inf for 0, +Inf for +Inf")
	x = m.hold(x)
	inf := m.u32(0x7f800000)
	y = m.pick(m.either(m.igt(m.u32(0), x), m.igt(x, inf)), m.u32(nanBits), y)
	y = m.pick(m.ieq(m.iadd(x, x), m.u32(0)), m.u32(0xff800000), y)
	return m.pick(m.ieq(x, inf), inf, y)
}

// logBits is the logarithm of x / 2^(less >> 23): 2^k z with z in [0.9375, 1.875), and z near 1/R[j]. less may be none.
func logBits(m machine, x, less vec) vec {
	m.comment("x = 2^k z; e = k << 23, j is z's table cell")
	t := m.isub(x, m.u32(coef.LogOff))
	e := m.and(t, m.u32(0xff800000))
	j := m.shr(t, 21)
	z := m.isub(x, e)
	if less != (vec{}) {
		e = m.isub(e, less)
	}
	m.comment("f = z R[j] - 1, exact")
	f := m.fma(z, m.lookup(table{"log_r", bitsOf(coef.LogR[:])}, j), m.f32(-1))
	return logSum(m, f, m.float(e), j, coef.LogPoly[:], 0x1p-23)
}

// logSum is k ln2 - log R[j] + log(1+f). It takes k as e = k / unit.
func logSum(m machine, f, e, j vec, q []float32, unit float32) vec {
	th := m.lookup(table{"log_th", bitsOf(coef.LogTH[:])}, j)
	tl := m.lookup(table{"log_tl", bitsOf(coef.LogTL[:])}, j)
	return logTail(m, f, e, th, tl, q, unit)
}

func logTail(m machine, f, e, th, tl vec, q []float32, unit float32) vec {
	m.comment("g = k ln2_lo + TL[j] + f^2 Q(f)")
	f2 := m.mul(f, f)
	hi := m.fma(f2, m.f32(q[4]), m.fma(f, m.f32(q[3]), m.f32(q[2])))
	p := m.fma(f2, hi, m.fma(f, m.f32(q[1]), m.f32(q[0])))
	u := m.fma(e, m.f32(coef.LogLL*unit), tl)
	g := m.fma(f2, p, u)
	m.comment("A = k ln2_hi + TH[j], exact; B + d = A + f")
	a := m.fma(e, m.f32(coef.LogLH*unit), th)
	b := m.add(a, f)
	d := m.add(m.sub(a, b), f)
	return m.add(b, m.add(g, d))
}

// logMantissa is log by getexp and getmant: the cells are those of logBits, cut at the mantissa's first four bits. It is
// right for subnormals too, and NaN for all that is not positive and finite: logPatch puts that right.
func logMantissa(m machine, x vec) vec {
	x = m.hold(x)
	m.comment("x = 2^k z; j is z's table cell")
	k := m.getexp(x)
	z := m.getmant(x)
	j := m.shr(z, 19)
	m.comment("f = z R[j] - 1, exact")
	f := m.fma(z, m.lookup(table{"log_r16", bitsOf(spread(coef.LogR[:], 0.5))}, j), m.f32(-1))
	th := m.lookup(table{"log_th16", bitsOf(spread(coef.LogTH[:], coef.LogLH))}, j)
	tl := m.lookup(table{"log_tl16", bitsOf(spread(coef.LogTL[:], coef.LogLL))}, j)
	return logTail(m, f, k, th, tl, coef.LogPoly[:], 1)
}

// spread is t in 16 cells of [1, 2): two for z in [1, 1.125), four for each of the next, and for [1.875, 2), where
// logBits has z/2 and k+1, last.
func spread(t []float32, last float32) []float32 {
	s := []float32{t[0], t[0]}
	for _, v := range t[1:] {
		s = append(s, v, v, v, v)
	}
	return append(s, last, last)
}

// log1p is log(1+v) for 0 <= v <= 0x1.8p126, as log1p1 of focal_generic.go says. v must not be subnormal.
func log1p(m machine, v vec) vec {
	m.comment("1 + v = 2^k z; e = k << 23, j is z's table cell")
	t := m.isub(m.add(v, m.f32(1)), m.u32(coef.Log1pOff))
	e := m.and(t, m.u32(0xff800000))
	j := m.shr(t, 21)
	m.comment("f = (1 + v) 2^-k R[j] - 1, rounded once")
	s := m.mul(m.isub(m.u32(math.Float32bits(1)), e), m.lookup(table{"log_r", bitsOf(coef.LogR[:])}, j))
	f := m.fma(v, s, m.add(s, m.f32(-1)))
	return logSum(m, f, m.float(e), j, coef.Log1pPoly[:], 0x1p-23)
}

// log1pUnit is log(1+v) for v in [2^-126, 1], as log1pUnit of focal_generic.go says.
func log1pUnit(m machine, v vec) vec {
	m.comment("log1p(v) = v + v (v P(v))")
	q := coef.Log1pUnit
	p := m.fma(v, m.f32(q[7]), m.f32(q[6]))
	for i := 5; i >= 0; i-- {
		p = m.fma(v, p, m.f32(q[i]))
	}
	return m.fma(v, m.mul(v, p), v)
}
