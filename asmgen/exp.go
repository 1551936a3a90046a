package main

import (
	"math"

	"github.com/gofocal/focal/internal/coef"
)

const (
	nanBits = 0x7fc00000 // of the one NaN that kernels write
	// tiny, added to x, takes subnormal numbers away and leaves every x whose exponential is not 1.
	tiny = 0x1p-100
	// expLeast: a result may be subnormal below it. Such results are computed 2^64 times too large, which takes a slow
	// path: a product that is subnormal or 0 costs 100 cycles on Intel's CPUs.
	expLeast = -87
)

// exp is e^x, as exp1 of focal_generic.go says. Results below 2^-126 are right but slow.
func exp(m machine, x vec) vec {
	return m.umin(expPositive(m, expClamp(m, x), false), m.u32(nanBits))
}

// expSlow is exp at one speed for all x.
func expSlow(m machine, x vec) vec {
	return m.umin(expPositive(m, expClamp(m, x), true), m.u32(nanBits))
}

// expGuard jumps to slow if one of the arguments makes exp slow. It may overlook one beside a NaN.
func expGuard(m machine, x []vec, slow string) {
	m.comment("any x < -87?")
	least := x[0]
	for _, v := range x[1:] {
		least = m.min(least, v)
	}
	m.jumpIfAny(m.lt(least, m.f32(expLeast)), slow)
}

func expClamp(m machine, x vec) vec {
	m.comment("c = min(89, max(-104, x)), NaN kept; no subnormals")
	c := m.max(m.f32(coef.ExpMin), m.add(x, m.f32(tiny)))
	return m.min(m.f32(coef.ExpMax), c)
}

// expPositive is e^c for c in [-104, 89]; NaN for NaN. With low, results below 2^-115 are computed in a way that costs
// the same as others.
func expPositive(m machine, c vec, low bool) vec {
	m.comment("n = log2(e) c, to the nearest quarter; t holds it in its lowest bits")
	t := m.fma(c, m.f32(coef.Log2E), m.f32(coef.ExpMagic))
	n := m.sub(t, m.f32(coef.ExpMagic))
	m.comment("r = c - n ln2")
	r := m.fnma(n, m.f32(coef.Ln2Hi), c)
	r = m.fnma(n, m.f32(coef.Ln2Lo), r)
	m.comment("p = e^r / s - 1, s = T[0]")
	p := m.fma(r, m.f32(coef.ExpPoly[4]), m.f32(coef.ExpPoly[3]))
	p = m.fma(r, p, m.f32(coef.ExpPoly[2]))
	p = m.fma(r, p, m.f32(coef.ExpPoly[1]))
	p = m.fma(r, p, m.f32(coef.ExpPoly[0]))
	var lowest mask
	if low {
		lowest = m.lt(c, m.f32(-80))
	}
	var y vec
	if m.properties().scale {
		m.comment("y = 2^n (T[j] + T[j] p)")
		if low {
			n = m.add(n, m.keep(lowest, m.f32(64)))
		}
		e := m.lookup(table{"exp_t", bitsOf(coef.ExpT[:4])}, t)
		y = m.scalef(m.fma(e, p, e), n)
	} else {
		m.comment("y = 2^n (T[j] + T[j] p), half of the exponent n in either factor")
		sh := m.shl(t, 20)
		e := m.iadd(m.lookup(table{"exp_tt", expTT()}, t), sh)
		b := m.and(sh, m.u32(0xff800000))
		if low {
			b = m.iadd(b, m.keep(lowest, m.u32(64<<23)))
		}
		y = m.mul(m.fma(e, p, e), b)
	}
	if !low {
		return y
	}
	m.comment("times 2^-64 where c < -80, rounded once: adding 2^-62 rounds y to a multiple of 2^-85")
	subnormal := m.isub(m.add(y, m.f32(0x1p-62)), m.f32(0x1p-62))
	normal := m.isub(y, m.u32(64<<23))
	scaled := m.pick(m.lt(y, m.f32(0x1p-62)), subnormal, normal)
	return m.pick(lowest, scaled, y)
}

// expTT is T without the exponent that the lowest bits of t bring with them.
func expTT() []uint32 {
	tt := make([]uint32, 8)
	for j := range tt {
		tt[j] = math.Float32bits(coef.ExpT[j]) - 127<<23 - uint32(j)<<20
	}
	return tt
}

func bitsOf(values []float32) []uint32 {
	bits := make([]uint32, len(values))
	for i, v := range values {
		bits[i] = math.Float32bits(v)
	}
	return bits
}
