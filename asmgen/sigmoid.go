package main

import "github.com/gofocal/focal/internal/coef"

// sigmoid is 1/(1+e^-x), as sigmoid1 of focal_generic.go says. It is right but slow where |x| > 87.
func sigmoid(m machine, x vec) vec {
	x = m.hold(x)
	y := expPositive(m, sigmoidClamp(m, x), false)
	return m.umin(sigmoidOf(m, x, y), m.u32(nanBits))
}

// sigmoidSlow is sigmoid at one speed for all x.
func sigmoidSlow(m machine, x vec) vec {
	x = m.hold(x)
	y := expPositive(m, sigmoidClamp(m, x), true)
	m.comment("below 2^-60, y is the result for x < 0, and 1 for x > 0")
	least := m.f32(0x1p-60)
	res := m.pick(m.lt(y, least), m.pickNegative(x, y, m.f32(1)), sigmoidOf(m, x, m.max(least, y)))
	return m.umin(res, m.u32(nanBits))
}

// sigmoidGuard jumps to slow if one of the arguments makes sigmoid slow. It may overlook one beside a NaN.
func sigmoidGuard(m machine, x []vec, slow string) {
	m.comment("any |x| > 87?")
	least, most := x[0], x[0]
	for _, v := range x[1:] {
		least = m.min(least, v)
		most = m.max(most, v)
	}
	m.jumpIfAny(m.either(m.lt(least, m.f32(expLeast)), m.lt(m.f32(-expLeast), most)), slow)
}

// sigmoidClamp is -|x| as expPositive wants it.
func sigmoidClamp(m machine, x vec) vec {
	m.comment("c = max(-104, -|x|), NaN kept; no subnormals")
	return m.max(m.f32(coef.ExpMin), m.sub(m.or(x, m.u32(1<<31)), m.f32(tiny)))
}

// sigmoidOf is the sigmoid of x from y = e^-|x|.
func sigmoidOf(m machine, x, y vec) vec {
	m.comment("q = y/(1+y); v - v q, v = y for x < 0, else 1")
	q := m.div(y, m.add(y, m.f32(1)))
	v := m.pickNegative(x, y, m.f32(1))
	return m.fnma(v, q, v)
}
