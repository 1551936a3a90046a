package main

import (
	"math"

	"github.com/gofocal/focal/internal/coef"
)

const (
	nanBits = 0x7fc00000 // of the one NaN that kernels write
	// tiny, added to x, takes subnormal numbers away (they are slow operands) and changes no x whose exponential is
	// not 1.
	tiny = 0x1p-100
	// expMost bounds the fast path: e^-87 is still a normal number.
	expMost = 87
)

// exp is e^x for |x| <= 87, as exp1 of focal_generic.go says.
func exp(m machine, x vec) vec { return expWithin(m, m.add(x, m.f32(tiny))) }

// expGuard jumps to slow if some argument is outside exp's range, or NaN.
func expGuard(m machine, x []vec, slow string) {
	absGuard(m, x, m.f32(expMost), slow)
}

// absGuard jumps to slow if some |x| is greater than limit, or NaN; always if limit is negative.
func absGuard(m machine, x []vec, limit vec, slow string) {
	m.comment("any |x| > limit, or NaN?")
	var most vec
	for i, v := range x {
		v = m.and(v, m.u32(0x7fffffff))
		if i > 0 {
			v = m.smax(most, v)
		}
		most = v
	}
	m.jumpIfAny(m.igt(most, limit), slow)
}

// expSlow is e^x for any x.
func expSlow(m machine, x vec) vec {
	m.comment("c = min(89, max(-104, x)), NaN kept; no subnormals")
	c := m.max(m.f32(coef.ExpMin), m.add(x, m.f32(tiny)))
	c = m.min(m.f32(coef.ExpMax), c)
	return m.umin(expClamped(m, c), m.u32(nanBits))
}

// expPoly reduces c: e^c = T[j] (1 + p) 2^n; the lowest bits of t are j and then n + 254.
func expPoly(m machine, c vec) (t, n, p vec) {
	m.comment("n = log2(e) c, to the nearest quarter; t holds it in its lowest bits")
	t = m.fma(c, m.f32(coef.Log2E), m.f32(coef.ExpMagic))
	n = m.sub(t, m.f32(coef.ExpMagic))
	m.comment("r = c - n ln2")
	r := m.fnma(n, m.f32(coef.Ln2Hi), c)
	r = m.fnma(n, m.f32(coef.Ln2Lo), r)
	m.comment("p = e^r / s - 1, s = T[0]")
	p = m.fma(r, m.f32(coef.ExpPoly[4]), m.f32(coef.ExpPoly[3]))
	for i := 2; i >= 0; i-- {
		p = m.fma(r, p, m.f32(coef.ExpPoly[i]))
	}
	return t, n, p
}

// expWithin is e^c for |c| <= 87, not subnormal.
func expWithin(m machine, c vec) vec {
	t, _, p := expPoly(m, c)
	m.comment("2^n T[j] (1 + p)")
	e := m.iadd(m.lookup(expTable("exp_one", 4, 21, 254), t), m.shl(t, 21))
	return m.fma(e, p, e)
}

// expClamped is e^c for c in [-104, 89], not subnormal; NaN for NaN. A subnormal result would be a slow product. So
// below -80 the result is computed 2^64 times too large.
func expClamped(m machine, c vec) vec {
	t, n, p := expPoly(m, c)
	low := m.lt(c, m.f32(-80))
	less := m.keep(low, m.u32(64<<23))
	var y vec
	if m.properties().scale {
		m.comment("y = 2^n T[j] (1 + p)")
		e := m.lookup(table{"exp_t", bitsOf(coef.ExpT[:4])}, t)
		y = m.scalef(m.fma(e, p, e), m.add(n, m.keep(low, m.f32(64))))
	} else {
		m.comment("y = 2^n T[j] (1 + p), half of the exponent n in either factor")
		half := m.shl(t, 20)
		e := m.iadd(m.lookup(expTable("exp_half", 8, 20, 127), t), half)
		b := m.iadd(m.and(half, m.u32(0xff800000)), less)
		y = m.mul(m.fma(e, p, e), b)
	}
	m.comment("times 2^-64 where c < -80: a normal result is the larger one, as an integer, of y with another exponent")
	m.comment("and of y + 2^-62, rounded at 2^-85, without its leading bit")
	least := m.f32(0x1p-62)
	return m.smax(m.isub(y, less), m.isub(m.add(y, least), least))
}

// expTable is T without the bits that t, shifted by shift, brings along: j, and the bias of the exponent.
func expTable(name string, n int, shift uint, bias uint32) table {
	entries := make([]uint32, n)
	for j := range entries {
		entries[j] = math.Float32bits(coef.ExpT[j]) - bias<<23 - uint32(j)<<shift
	}
	return table{name, entries}
}

func bitsOf(values []float32) []uint32 {
	bits := make([]uint32, len(values))
	for i, v := range values {
		bits[i] = math.Float32bits(v)
	}
	return bits
}
