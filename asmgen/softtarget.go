package main

import "github.com/gofocal/focal/internal/coef"

// Soft targets in the softmax form: softtarget.go of the package.

const complementMax = coef.ComplementMax

// softTerms is newSoftTerm: the losses, H, and q in the place of the logarithms.
func softTerms(m machine) {
	var args lossArgs
	elementwise{
		outs: at0("losses", "slopes", "logs"), ins: at0("probs", "logs", "targets", "weights"), unroll: 1, fill: []float32{0.5, -0.7, 0, 0},
		prologue: func(m machine) { args = loadLossArgs(m, false) },
		step: func(m machine, x []vec) []vec {
			p, logP := m.hold(x[0]), m.hold(x[1])
			zero, one := m.hold(m.f32(0)), m.hold(m.f32(1))
			w := m.mul(m.hold(x[2]), x[3])
			l := m.sub(zero, logP)
			m.comment("q = 1 - e^-l")
			h := m.fma(logP, m.f32(coef.RowPoly[6]), m.f32(coef.RowPoly[5]))
			for i := 4; i >= 1; i-- {
				h = m.fma(logP, h, m.f32(coef.RowPoly[i]))
			}
			q := m.pick(m.lt(l, m.f32(complementMax)), m.mul(l, h), m.sub(one, p))
			m.comment("1 + gamma p l / q")
			ratio := m.pick(m.eq(q, zero), one, m.div(l, q))
			c := m.pick(m.eq(p, zero), zero, m.mul(p, ratio))
			g := m.fma(m.broadcast(args.params, lossFields.factor), c, one)
			loss := m.mul(w, l)
			loss = m.pick(m.both(m.eq(w, zero), m.eq(l, l)), zero, loss)
			f := focus(m, args, []vec{q}, false, q, w, g, loss)[0]
			m.comment("loss = (w l) q^gamma; H = w q^gamma (1 + gamma p l / q)")
			loss = m.pick(m.le(loss, m.u32(0x7f7fffff)), m.mul(loss, f), loss)
			return []vec{m.umin(loss, m.u32(nanBits)), m.mul(m.mul(w, f), g), q}
		},
	}.emit(m)
}

// softGrad is softTargetGeneric's last loop; sum has A, its rounding error, and the scale.
func softGrad(m machine) {
	var sum gp
	elementwise{
		outs: at0("grad"), ins: at0("probs", "complements", "slopes"), unroll: 2, fill: []float32{0, 0, 0},
		prologue: func(m machine) { sum = m.param("sum") },
		step: func(m machine, x []vec) []vec {
			h := m.hold(x[2])
			others := m.add(m.sub(m.broadcast(sum, 0), h), m.broadcast(sum, 4))
			d := m.fms(m.hold(x[0]), others, m.mul(h, x[1]))
			return []vec{canonical(m, m.mul(d, m.broadcast(sum, 8)))}
		},
	}.emit(m)
}

// addTerms adds to float64 lanes, as sumBlockGeneric does.
func addTerms(m machine) {
	total := loadSums(m, m.param("total"))
	tiles(m, "add", m.param("n"), m.param("x"), nil, m.u32(0), func(t tile) { m.laneSumsAdd(total, t.x) })
	storeSums(m, m.param("total"), total)
	m.ret()
}
