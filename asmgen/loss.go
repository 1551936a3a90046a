package main

import (
	"strconv"

	"github.com/gofocal/focal/internal/coef"
)

// lossFields are the byte offsets in lossParams of focal_generic.go.
var lossFields = struct{ focus, factor, positive, negative, power, smooth int }{0, 8, 12, 16, 20, 44}

// The values of focusKind in focal_generic.go.
const (
	focus2 = iota
	focus0
	focus1
	focusHalf
	focus1Half
	focus2Half
	focus3
	focus4
	focus5
	focusPow
)

// A lossArgs is what the kernels of the losses load before their loop.
type lossArgs struct {
	params, scale gp
	kind          gp
	scales        *vec // in place of scale: a scale for each lane
}

// scaled is what the gradient is multiplied by.
func (a lossArgs) scaled(m machine) vec {
	if a.scales != nil {
		return *a.scales
	}
	return m.broadcast(a.scale, 0)
}

func loadLossArgs(m machine, grad bool) lossArgs {
	a := lossArgs{params: m.param("p")}
	a.kind = m.field(a.params, lossFields.focus)
	if grad {
		a.scale = m.param("scale")
	}
	return a
}

// focusUnique numbers the labels of focus.
var focusUnique int

// focus is q^gamma for q in [0, 1], as lossParams.focus of focal_generic.go says: the way is chosen by kind, once more for
// each vector, which a branch predictor makes free. live is what else the caller still needs.
func focus(m machine, a lossArgs, q vec, live ...vec) vec {
	focusUnique++
	name := func(s string) string { return "focus" + s + strconv.Itoa(focusUnique) }
	done := name("done")
	p := m.variable(q)
	square := func() (sq, low vec) {
		sq = m.mul(q, q)
		return sq, m.fms(q, q, sq)
	}
	ways := []func() vec{
		focus2: func() vec { return m.mul(q, q) },
		focus0: func() vec { return m.f32(1) },
		focus1: nil,
		focusHalf: func() vec {
			return m.sqrt(q)
		},
		focus1Half: func() vec {
			s := m.sqrt(q)
			return m.fma(q, s, m.mul(m.fnma(s, s, q), m.mul(s, m.f32(0.5))))
		},
		focus2Half: func() vec {
			s := m.sqrt(q)
			sq, low := square()
			c := m.fma(m.mul(q, m.fnma(s, s, q)), m.f32(0.5), low)
			return m.fma(sq, s, m.mul(c, s))
		},
		focus3: func() vec {
			sq, low := square()
			return m.fma(sq, q, m.mul(low, q))
		},
		focus4: func() vec {
			sq, low := square()
			return m.fma(sq, sq, m.mul(m.add(sq, sq), low))
		},
		focus5: func() vec {
			sq, low := square()
			f := m.mul(sq, sq)
			fLow := m.fma(m.add(sq, sq), low, m.fms(sq, sq, f))
			return m.fma(f, q, m.mul(fLow, q))
		},
		focusPow: func() vec {
			power := m.offset(a.params, lossFields.power)
			m.aside(live, func() { m.set(p, powSlow(m, p, loadExponent(m, power), power)) })
			return p
		},
	}
	m.comment("q^gamma")
	for i, way := range ways {
		if i < len(ways)-1 {
			m.jumpIfAtLeast(a.kind, i+1, name("not"+strconv.Itoa(i)+"_"))
		}
		if way != nil {
			if v := way(); v != p {
				m.set(p, v)
			}
		}
		if i < len(ways)-1 {
			m.jump(done)
			m.label(name("not" + strconv.Itoa(i) + "_"))
		}
	}
	m.label(done)
	return p
}

// sigmoidLoss is the loss of the sigmoid form and, with grad, its gradient: newSigmoidTerm, weighted and sigmoidTerm.grad
// of focal_generic.go, for |x| <= 87; with slow for any x.
func sigmoidLoss(m machine, x, y vec, args lossArgs, grad, slow bool) []vec {
	x, y = m.hold(x), m.hold(y)
	one := m.f32(1)
	m.comment("e = e^-|x|; the likelier side has 1/(1+e), the other e/(1+e)")
	var e, exact vec // exact is e where slow limits e
	var small mask
	if slow {
		exact = m.umin(expClamped(m, m.max(m.f32(coef.ExpMin), sigmoidArg(m, x))), m.u32(nanBits))
		m.comment("below 2^-60, log1p(e) and e/(1+e) are e")
		small = m.lt(exact, m.f32(0x1p-60))
		e = m.max(m.f32(0x1p-60), exact)
	} else {
		e = expWithin(m, sigmoidArg(m, x))
	}
	likely := m.div(m.hold(one), m.add(e, one))
	other := m.mul(e, likely)
	l1p := log1p(m, e)
	if slow {
		other, l1p = m.pick(small, exact, other), m.pick(small, exact, l1p)
	}
	p, n := m.pickNegative(x, other, likely), m.pickNegative(x, likely, other)
	m.comment("ce = log1p(e) + |x| times the target's distance from the likelier side")
	y0 := m.sub(m.hold(one), y)
	away := m.pickNegative(x, y, y0)
	smooth := args.scales != nil // that kernel alone
	if smooth {
		away = m.fma(m.fnma(away, m.f32(2), one), m.broadcast(args.params, lossFields.smooth), away)
	}
	abs := m.keep(m.lt(m.hold(m.f32(0)), away), m.and(x, m.u32(0x7fffffff)))
	ce := m.fma(away, abs, l1p)
	m.comment("q = p (1-y) + n y; alpha = positive y + negative (1-y)")
	ny := m.mul(n, y)
	q := m.fma(p, y0, ny)
	alpha := m.fma(m.broadcast(args.params, lossFields.positive), y, m.mul(m.broadcast(args.params, lossFields.negative), y0))
	l := m.mul(alpha, ce)
	live := []vec{l}
	if grad {
		live = []vec{l, q, p, n, y, y0, ny, ce, alpha}
		if args.scales != nil {
			live = append(live, *args.scales)
		}
	}
	f := focus(m, args, q, live...)
	m.comment("loss = (alpha ce) q^gamma")
	l = m.pick(m.le(l, m.u32(0x7f7fffff)), m.mul(l, f), l)
	var vanished mask
	if smooth {
		m.comment("a smoothed loss is 0 where q^gamma is")
		vanished = m.both(m.lt(m.hold(m.f32(0)), m.broadcast(args.params, lossFields.smooth)), m.eq(f, m.f32(0)))
		l = m.pick(vanished, m.hold(m.f32(0)), l)
	}
	out := []vec{m.umin(l, m.u32(nanBits))}
	if !grad {
		return out
	}
	m.comment("c = p n / q, without a loss of digits at y = 0 or 1")
	half := m.lt(y, m.f32(0.5))
	ratio := m.div(m.pick(half, p, n), q)
	ratio = m.pick(m.eq(q, m.f32(0)), one, ratio)
	c := m.mul(m.pick(half, n, p), ratio)
	cross := m.keep(m.lt(m.hold(m.f32(0)), c), m.mul(ce, c))
	d := m.fms(p, y0, ny)
	if smooth {
		cross = m.keep(m.lt(m.hold(m.f32(0)), m.broadcast(args.params, lossFields.factor)), cross)
		d = m.fma(m.fms(y, m.f32(2), one), m.broadcast(args.params, lossFields.smooth), d)
	}
	m.comment("D = (p (1-y) - n y) + gamma (1-2y) ce c; gradient = scale alpha q^gamma D")
	d = m.fma(m.mul(m.broadcast(args.params, lossFields.factor), m.fnma(y, m.f32(2), one)), cross, d)
	if smooth {
		d = m.pick(vanished, m.hold(m.f32(0)), d)
	}
	g := canonical(m, m.mul(m.mul(args.scaled(m), m.mul(alpha, f)), d))
	if args.scales != nil {
		g = m.pick(m.eq(*args.scales, m.f32(0)), m.hold(m.f32(0)), g)
	}
	return append(out, g)
}

// sigmoidLossKernel is a kernel of the sigmoid form.
func sigmoidLossKernel(m machine, grad bool) {
	var args lossArgs
	outs := at0("losses")
	if grad {
		outs = at0("losses", "grad")
	}
	elementwise{
		outs: outs, ins: at0("logits", "targets"), unroll: 1, fill: []float32{1, 0},
		guard:    func(m machine, x [][]vec, slow string) { expGuard(m, x[0], slow) },
		prologue: func(m machine) { args = loadLossArgs(m, grad) },
		step:     func(m machine, x []vec) []vec { return sigmoidLoss(m, x[0], x[1], args, grad, false) },
		slow:     func(m machine, x []vec) []vec { return sigmoidLoss(m, x[0], x[1], args, grad, true) },
	}.emit(m)
}

// sigmoidGradScaled is sigmoidGrad with a scale for each element, and with smoothing.
func sigmoidGradScaled(m machine) {
	var args lossArgs
	step := func(slow bool) func(m machine, x []vec) []vec {
		return func(m machine, x []vec) []vec {
			scales := m.hold(x[2])
			args.scales = &scales
			return sigmoidLoss(m, x[0], x[1], args, true, slow)
		}
	}
	elementwise{
		outs: at0("losses", "grad"), ins: at0("logits", "targets", "scales"), unroll: 1, fill: []float32{1, 0, 1},
		guard:    func(m machine, x [][]vec, slow string) { expGuard(m, x[0], slow) },
		prologue: func(m machine) { args = loadLossArgs(m, false) },
		step:     step(false),
		slow:     step(true),
	}.emit(m)
}

// weigh multiplies losses by scales, +0 where the scale is 0.
func weigh(m machine) {
	elementwise{
		outs: at0("losses"), ins: at0("losses", "scales"), unroll: 2, fill: []float32{1, 1},
		step: func(m machine, x []vec) []vec {
			scales := m.hold(x[1])
			l := canonical(m, m.mul(scales, x[0]))
			return []vec{m.pick(m.eq(scales, m.f32(0)), m.hold(m.f32(0)), l)}
		},
	}.emit(m)
}
