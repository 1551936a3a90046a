package main

import "github.com/gofocal/focal/internal/coef"

// powMagicBits are the bits of 1.5 2^20.
const powMagicBits = 0x49c00000

// powFields are the byte offsets in powParams of focal_generic.go.
var powFields = struct{ y, ah, al, odd, fraction int }{0, 4, 8, 12, 16}

// powExponent is the exponent, ready for pow: see powParams.
type powExponent struct{ y, ah, al vec }

func loadExponent(m machine, params gp) powExponent {
	return powExponent{
		y:  m.broadcast(params, powFields.y),
		ah: m.broadcast(params, powFields.ah),
		al: m.broadcast(params, powFields.al),
	}
}

// A powState is what the core of pow leaves: x^y is (EH[j] + a) 2^k, k = (bits(t) - bits(1.5 2^20 + 64)) >> 3, with s
// close to y log2 x.
type powState struct{ eh, a, t, s vec }

// pow is x^y, as pow1 of focal_generic.go says, where x and the result are positive and in about 2^-64..2^64; bad has
// bits set in the other lanes.
func pow(m machine, x vec, y powExponent) (res, bad vec) {
	m.comment("x = 2^(E-64) z; j is z's table cell")
	tmp := m.isub(x, m.u32(coef.PowOff))
	eb := m.shr(tmp, 23)
	p := powCore(m, tmp, eb, y, powTimes(coef.PowEH[:], 0x1p-64), powTimes(coef.PowEL[:], 0x1p-64), "exp")
	m.comment("times 2^k")
	res = m.iadd(m.add(p.eh, p.a), m.and(m.shl(p.t, 20), m.u32(0xff800000)))
	m.comment("x or result out of range?")
	bad = m.or(m.andnot(m.u32(127), eb), m.andnot(m.u32(1023), m.xor(p.t, m.u32(powMagicBits))))
	return res, bad
}

func powTimes(t []float32, scale float32) []float32 {
	r := make([]float32, len(t))
	for i, v := range t {
		r[i] = v * scale
	}
	return r
}

// powCore computes y log2 x in two parts and the power of 2 of what is behind the point.
func powCore(m machine, tmp, eb vec, y powExponent, eh, el []float32, suffix string) powState {
	j := m.shr(tmp, 20)
	z := m.iadd(m.and(tmp, m.u32(0x7fffff)), m.u32(coef.PowZOff))
	e := m.float(eb)
	m.comment("f = z R[j] - 1, exact; u + l = log(1+f)")
	f := m.fma(z, m.lookup(table{"pow_r", bitsOf(coef.PowR[:])}, j), m.f32(-1))
	h := m.mul(f, m.f32(-0.5))
	u := m.fma(f, h, f)
	d := m.sub(f, u)
	l := m.fma(f, h, d)
	f2 := m.mul(f, f)
	p := m.fma(f, m.f32(coef.PowLog[4]), m.f32(coef.PowLog[3]))
	for i := 2; i >= 0; i-- {
		p = m.fma(f, p, m.f32(coef.PowLog[i]))
	}
	l = m.fma(m.mul(f2, f), p, l)
	v := m.add(u, l)
	m.comment("zh + zl = y (E + TH[j]), the large part; s = y log2 x")
	lh := m.add(e, m.lookup(table{"pow_th", bitsOf(coef.PowTH[:])}, j))
	zh := m.mul(y.y, lh)
	zl := m.fms(y.y, lh, zh)
	s := m.fma(y.ah, v, zh)
	m.comment("n = s to the nearest eighth; r = y log2 x - n")
	t := m.add(s, m.f32(coef.PowMagic))
	n := m.sub(t, m.f32(coef.PowMagic))
	r1 := m.fma(y.ah, u, m.sub(zh, n))
	lo := m.fma(y.y, m.lookup(table{"pow_tl", bitsOf(coef.PowTL[:])}, j), zl)
	lo = m.fma(y.al, u, lo)
	lo = m.fma(y.ah, l, lo)
	r := m.add(r1, lo)
	m.comment("p = 2^r - 1; 2^(j/8) (1 + p) = EH[j] + a")
	w := m.fma(r, m.f32(coef.PowExp[3]), m.f32(coef.PowExp[2]))
	w = m.fma(r, w, m.f32(coef.PowExp[1]))
	w = m.mul(m.mul(r, r), w)
	p = m.fma(r, m.f32(coef.PowExp[0]), w)
	ehj := m.lookup(table{"pow_" + suffix + "_hi", bitsOf(eh)}, t)
	a := m.fma(ehj, p, m.lookup(table{"pow_" + suffix + "_lo", bitsOf(el)}, t))
	return powState{eh: ehj, a: a, t: t, s: s}
}

// powSlow is x^y for any x.
func powSlow(m machine, x vec, y powExponent, params gp) vec {
	m.comment("|x| = 2^(E-64) z; a subnormal is the integer bits(x), times 2^-149")
	x = m.hold(x)
	abs := m.and(x, m.u32(0x7fffffff))
	tmp := m.isub(abs, m.u32(coef.PowOff))
	low := m.isub(m.float(abs), m.u32(coef.PowOff+149<<23))
	tmp = m.pick(m.igt(m.u32(1<<23), abs), low, tmp)
	p := powCore(m, tmp, m.sar(tmp, 23), y, coef.PowEH[:], coef.PowEL[:], "full")
	m.comment("normal results: times 2^k, +Inf from 2^128 on")
	k := m.sar(m.isub(p.t, m.u32(powMagicBits+64<<3)), 3)
	res := m.add(p.eh, p.a)
	normal := m.umin(m.iadd(res, m.shl(k, 23)), m.u32(0x7f800000))
	m.comment("subnormal ones: R = B + EH[j] + a, B = 2^(-126-k), has them as lowest bits, rounded once")
	b := m.shl(m.isub(m.u32(1), m.smin(k, m.u32(0))), 23)
	sum := m.add(b, p.eh)
	sum = m.add(sum, m.add(m.sub(p.eh, m.sub(sum, b)), p.a))
	res = m.pick(m.lt(res, b), m.isub(sum, b), normal)
	m.comment("overflow, underflow, x = 0 and Inf")
	inf := m.u32(0x7f800000)
	res = m.pick(m.lt(m.f32(129), p.s), m.u32(0x7f800000), res)
	res = m.pick(m.lt(p.s, m.f32(-152)), m.u32(0), res)
	res = m.pick(m.ieq(abs, m.u32(0)), m.pickNegative(y.y, inf, m.u32(0)), res)
	res = m.pick(m.ieq(abs, inf), m.pickNegative(y.y, m.u32(0), inf), res)
	m.comment("negative x: the sign for odd y, NaN for fractions")
	res = m.or(res, m.and(x, m.broadcast(params, powFields.odd)))
	number := m.both(m.igt(abs, m.u32(0)), m.igt(inf, abs)) // neither 0, Inf nor NaN
	negative := m.igt(m.u32(0), m.and(x, m.broadcast(params, powFields.fraction)))
	return m.pick(m.either(m.both(number, negative), m.igt(abs, inf)), m.u32(nanBits), res)
}
