package main

import "github.com/gofocal/focal/internal/coef"

// sigmoid is 1/(1+e^-x) for |x| <= 87, as sigmoid1 of focal_generic.go says: expGuard sees the others.
func sigmoid(m machine, x vec) vec {
	x = m.hold(x)
	y := expWithin(m, sigmoidArg(m, x))
	return sigmoidFrom(m, m.pickNegative(x, y, m.f32(1)), y)
}

// sigmoidSlow is sigmoid for any x.
func sigmoidSlow(m machine, x vec) vec {
	x = m.hold(x)
	m.comment("c = max(-104, -|x|), NaN kept; no subnormals")
	y := expClamped(m, m.max(m.f32(coef.ExpMin), sigmoidArg(m, x)))
	m.comment("below 2^-60, y is the result for x < 0; for x > 0 it is 1. Anyway it is at most v")
	least := m.f32(0x1p-60)
	v := m.pickNegative(x, y, m.f32(1))
	res := m.min(v, sigmoidFrom(m, m.max(least, v), m.max(least, y)))
	return m.umin(res, m.u32(nanBits))
}

// sigmoidArg is -|x|, and no subnormal.
func sigmoidArg(m machine, x vec) vec { return m.sub(m.or(x, m.u32(1<<31)), m.f32(tiny)) }

// sigmoidFrom is v - v q with q = y/(1+y): the sigmoid of x from y = e^-|x| and v = y for x < 0, else 1.
func sigmoidFrom(m machine, v, y vec) vec {
	m.comment("q = y/(1+y); v - v q, v = y for x < 0, else 1")
	return m.fnma(v, m.div(y, m.add(y, m.f32(1))), v)
}
