package main

import (
	"slices"
	"strconv"

	"github.com/gofocal/focal/internal/coef"
)

// lossFields are the byte offsets in lossParams of focal_generic.go.
var lossFields = struct{ focus, factor, positive, negative, limit, power, smooth, least int }{0, 8, 12, 16, 20, 24, 48, 52}

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
)

// A lossArgs is what the kernels of the losses load before their loop.
type lossArgs struct {
	params, scale gp
	kind          gp
	scales        *vec // in place of scale: a scale for each lane. The kernel that has it is also the one with smoothing
}

// smooth is half the label smoothing, 0 where there is none.
func (a lossArgs) smooth(m machine) vec { return m.broadcast(a.params, lossFields.smooth) }

// least is what e may be taken for where it is smaller: see lossParams of focal_generic.go.
func (a lossArgs) least(m machine) vec { return m.broadcast(a.params, lossFields.least) }

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

// focus is q^gamma for q in [0, 1], as lossParams.focus of focal_generic.go says, for some vectors together: the way is
// chosen by kind, once more for each block, which a branch predictor makes free. With hard, powers take their slow path at
// once. live is what else the caller still needs.
func focus(m machine, a lossArgs, q []vec, hard bool, live ...vec) []vec {
	focusUnique++
	name := func(s string) string { return "focus" + s + strconv.Itoa(focusUnique) }
	done := name("done")
	p := make([]vec, len(q))
	for i := range q {
		p[i] = m.variable(q[i])
	}
	square := func(q vec) (sq, low vec) {
		sq = m.mul(q, q)
		return sq, m.fms(q, q, sq)
	}
	ways := []func(q vec) vec{
		focus2: func(q vec) vec { return m.mul(q, q) },
		focus0: func(q vec) vec { return m.f32(1) },
		focus1: nil,
		focusHalf: func(q vec) vec {
			return m.sqrt(q)
		},
		focus1Half: func(q vec) vec {
			s := m.sqrt(q)
			return m.fma(q, s, m.mul(m.fnma(s, s, q), m.mul(s, m.f32(0.5))))
		},
		focus2Half: func(q vec) vec {
			s := m.sqrt(q)
			sq, low := square(q)
			c := m.fma(m.mul(q, m.fnma(s, s, q)), m.f32(0.5), low)
			return m.fma(sq, s, m.mul(c, s))
		},
		focus3: func(q vec) vec {
			sq, low := square(q)
			return m.fma(sq, q, m.mul(low, q))
		},
		focus4: func(q vec) vec {
			sq, low := square(q)
			return m.fma(sq, sq, m.mul(m.add(sq, sq), low))
		},
		focus5: func(q vec) vec {
			sq, low := square(q)
			f := m.mul(sq, sq)
			fLow := m.fma(m.add(sq, sq), low, m.fms(sq, sq, f))
			return m.fma(f, q, m.mul(fLow, q))
		},
	}
	m.comment("q^gamma")
	for i, way := range ways {
		m.jumpIfAtLeast(a.kind, i+1, name("not"+strconv.Itoa(i)+"_"))
		for _, p := range p {
			if way != nil {
				m.set(p, way(p))
			}
		}
		m.jump(done)
		m.label(name("not" + strconv.Itoa(i) + "_"))
	}
	m.cold(func() {
		power := m.offset(a.params, lossFields.power)
		for i := range p {
			others := append(slices.Clone(live), slices.Delete(slices.Clone(p), i, i+1)...)
			m.aside(others, func() {
				y, easy := loadExponent(m, power), name("easy"+strconv.Itoa(i)+"_")
				if !hard {
					v, bad := pow(m, p[i], y)
					m.jumpIfBits(bad, name("hard"+strconv.Itoa(i)+"_"))
					m.set(p[i], v)
					m.jump(easy)
					m.label(name("hard" + strconv.Itoa(i) + "_"))
				}
				m.set(p[i], powSlow(m, p[i], y, power))
				m.label(easy)
			})
		}
	})
	m.reload()
	m.label(done)
	return p
}

// A sigmoidTerm is what a vector of the sigmoid form has before q^gamma is known: the loss is (alpha ce) q^gamma, the
// gradient scale (alpha q^gamma) d.
type sigmoidTerm struct{ l, q, alpha, d vec }

func (t sigmoidTerm) live(grad bool) []vec {
	if !grad {
		return []vec{t.l}
	}
	return []vec{t.l, t.q, t.alpha, t.d}
}

// sigmoidSides are e = e^-|x| and the probabilities of the likelier side and of the other, for |x| <= 87.
func sigmoidSides(m machine, x vec) (e, likely, other vec) {
	m.comment("e = e^-|x|; the likelier side has 1/(1+e), the other e/(1+e)")
	e = expWithin(m, sigmoidArg(m, x))
	likely = m.div(m.hold(m.f32(1)), m.add(e, m.f32(1)))
	return e, likely, m.mul(e, likely)
}

// newHardTerm is newSigmoidTerm of focal_generic.go for |x| <= 87 and y = 0 or 1; for y = 0 everywhere y is none. With v = x
// for y = 0 and -x for y = 1, q is the probability of v's side.
func newHardTerm(m machine, x, y vec, args lossArgs, grad bool) (t sigmoidTerm) {
	e, likely, other := sigmoidSides(m, x)
	none := y == vec{}
	one := func() vec { return m.shl(m.hold(y), 2) } // its sign bit is set for y = 1 only
	if !none && (!grad || m.properties().registers >= 32) {
		v := one()
		one = func() vec { return v }
	}
	sign := func() vec { return m.and(one(), m.u32(1<<31)) }
	m.comment("v = x for y = 0, -x for y = 1; q is e/(1+e) for v < 0")
	v := m.hold(x)
	if !none {
		v = m.xor(sign(), x)
	}
	t.q = m.pickNegative(v, other, likely)
	var pt vec
	if grad {
		pt = m.pickNegative(v, likely, other)
	}
	l1p := log1pUnit(m, e)
	m.comment("ce = log1p(e) + max(v, 0)")
	ce := m.add(l1p, m.max(v, m.f32(0)))
	if grad {
		m.comment("D = q + gamma ce (1-q), with v's sign")
		t.d = m.fma(m.broadcast(args.params, lossFields.factor), m.mul(ce, pt), t.q)
		if !none {
			t.d = m.xor(t.d, sign())
		}
	}
	t.alpha = m.broadcast(args.params, lossFields.negative)
	if !none {
		t.alpha = m.pickNegative(one(), m.broadcast(args.params, lossFields.positive), t.alpha)
	}
	t.l = m.mul(t.alpha, ce)
	return t
}

// newSoftTerm is newSigmoidTerm of focal_generic.go for |x| <= 87; with slow for any x.
func newSoftTerm(m machine, x, y vec, args lossArgs, grad, slow bool) (t sigmoidTerm) {
	x, y = m.hold(x), m.hold(y)
	one := m.f32(1)
	var e, likely, other, l1p vec
	if slow {
		m.comment("e = e^-|x|; the likelier side has 1/(1+e), the other e/(1+e)")
		exact := m.umin(expClamped(m, m.max(m.f32(coef.ExpMin), sigmoidArg(m, x))), m.u32(nanBits))
		if args.scales == nil {
			m.comment("for targets 0 and 1 whose q^gamma will be 0, e is taken for larger: nothing is subnormal then")
			hard := m.both(m.eq(m.fnma(y, y, y), m.f32(0)), m.lt(m.hold(m.f32(0)), exact))
			exact = m.pick(hard, m.max(args.least(m), exact), exact)
		}
		m.comment("below 2^-60, log1p(e) and e/(1+e) are e")
		small := m.lt(exact, m.f32(0x1p-60))
		e = m.max(m.f32(0x1p-60), exact)
		likely = m.div(m.hold(one), m.add(e, one))
		other, l1p = m.pick(small, exact, m.mul(e, likely)), m.pick(small, exact, log1pUnit(m, e))
	} else {
		e, likely, other = sigmoidSides(m, x)
		l1p = log1pUnit(m, e)
	}
	p, n := m.pickNegative(x, other, likely), m.pickNegative(x, likely, other)
	m.comment("ce = log1p(e) + |x| times the target's distance from the likelier side")
	y0 := m.sub(m.hold(one), y)
	away := m.pickNegative(x, y, y0)
	if args.scales != nil {
		away = m.fma(m.fnma(away, m.f32(2), one), args.smooth(m), away)
	}
	abs := m.and(x, m.u32(0x7fffffff))
	if slow { // a term of weight 0 is 0 for infinite x too
		abs = m.keep(m.lt(m.hold(m.f32(0)), away), abs)
	}
	ce := m.fma(away, abs, l1p)
	m.comment("q = p (1-y) + n y; alpha = positive y + negative (1-y)")
	ny := m.mul(n, y)
	t.q = m.fma(p, y0, ny)
	t.alpha = m.fma(m.broadcast(args.params, lossFields.positive), y, m.mul(m.broadcast(args.params, lossFields.negative), y0))
	t.l = m.mul(t.alpha, ce)
	if !grad {
		return t
	}
	m.comment("c = p n / q, without a loss of digits at y = 0 or 1")
	half := m.lt(y, m.f32(0.5))
	ratio := m.div(m.pick(half, p, n), t.q)
	if slow {
		ratio = m.pick(m.eq(t.q, m.f32(0)), one, ratio)
	}
	c := m.mul(m.pick(half, n, p), ratio)
	cross := m.mul(ce, c)
	if slow {
		cross = m.keep(m.lt(m.hold(m.f32(0)), c), cross)
	}
	m.comment("D = (p (1-y) - n y) + gamma (1-2y) ce c")
	d, factor := m.fms(p, y0, ny), m.broadcast(args.params, lossFields.factor)
	if args.scales != nil {
		cross = m.keep(m.lt(m.hold(m.f32(0)), factor), cross)
		d = m.fma(m.fms(y, m.f32(2), one), args.smooth(m), d)
	}
	t.d = m.fma(m.mul(factor, m.fnma(y, m.f32(2), one)), cross, d)
	return t
}

// sigmoidLosses are losses of the sigmoid form and, with grad, gradients: weighted and sigmoidTerm.grad of
// focal_generic.go. slow is where to jump from the fast path; the slow path has none.
func sigmoidLosses(m machine, terms []sigmoidTerm, args lossArgs, grad bool, slow string) (out [][]vec) {
	var q, live []vec
	for _, t := range terms {
		if slow == "" {
			t.q = m.drop(m.le(t.q, args.least(m)), t.q)
		}
		q = append(q, t.q)
		live = append(live, t.live(grad)...)
	}
	for i, f := range focus(m, args, q, slow == "", live...) {
		t := terms[i]
		m.comment("loss = (alpha ce) q^gamma")
		l := m.mul(t.l, f)
		if slow == "" {
			l = m.umin(m.pick(m.le(t.l, m.u32(0x7f7fffff)), l, t.l), m.u32(nanBits))
		}
		y := []vec{l}
		if grad {
			m.comment("gradient = scale alpha q^gamma D")
			g := m.mul(m.mul(m.broadcast(args.scale, 0), m.mul(t.alpha, f)), t.d)
			if slow == "" {
				g = m.pick(m.unordered(g, g), m.u32(nanBits), g)
			}
			y = append(y, g)
		}
		out = append(out, y)
	}
	return out
}

// sigmoidLossKernel is a kernel of the sigmoid form; without targets they are all 0.
//
// Two vectors are interleaved. Tried on Zen 4, hard targets, gamma 2, ns an element forward in AVX2 and AVX-512: one after
// the other 0.96 and 0.59; interleaved 0.76 and 0.55, as here; constants loaded once for both 0.80 and 0.55; blocks of four
// (AVX-512) 0.57; log1p in two chains 0.78 and 0.55, but 2.5 in place of 1.3 beyond |x| = 43, where squares are subnormal.
func sigmoidLossKernel(m machine, grad, targets bool) {
	var args lossArgs
	outs := at0("losses")
	if grad {
		outs = at0("losses", "grad")
	}
	plenty := m.properties().registers >= 32
	target := func(x []vec) (y vec) { // of a vector of inputs
		if targets {
			y = x[1]
		}
		return y
	}
	steps := func(together bool, term func(x, y vec) sigmoidTerm) func(m machine, x [][]vec, slow string) [][]vec {
		return func(m machine, x [][]vec, slow string) [][]vec {
			terms := make([]sigmoidTerm, len(x))
			var fs []func()
			for u, x := range x {
				fs = append(fs, func() { terms[u] = term(x[0], target(x)) })
			}
			if together {
				m.interleave(fs...)
			} else {
				for _, f := range fs {
					f()
				}
			}
			return sigmoidLosses(m, terms, args, grad, slow)
		}
	}
	e := elementwise{
		outs: outs, ins: at0("logits"), unroll: 2, fill: []float32{1, 0},
		guard: func(m machine, x [][]vec, slow string) {
			absGuard(m, x[0], m.broadcast(args.params, lossFields.limit), slow)
		},
		prologue: func(m machine) { args = loadLossArgs(m, grad) },
		steps:    steps(true, func(x, y vec) sigmoidTerm { return newHardTerm(m, x, y, args, grad) }),
		slow: func(m machine, x []vec) []vec {
			y := target(x)
			if !targets {
				y = m.f32(0)
			}
			return sigmoidLosses(m, []sigmoidTerm{newSoftTerm(m, x[0], y, args, grad, true)}, args, grad, "")[0]
		},
	}
	if targets {
		e.ins = at0("logits", "targets")
		e.otherGuard = func(m machine, x [][]vec, soft string) {
			m.comment("any target but 0 and 1? y - y^2 is 0 for these")
			var bits vec
			for i, y := range x[1] {
				y = m.hold(y)
				y = m.fnma(y, y, y)
				if i > 0 {
					y = m.or(bits, y)
				}
				bits = y
			}
			m.jumpIfBits(bits, soft)
		}
		e.otherSteps = steps(!grad || plenty, func(x, y vec) sigmoidTerm { return newSoftTerm(m, x, y, args, grad, false) })
	}
	e.emit(m)
}

// sigmoidGradScaled is sigmoidGrad with a scale for each element, and with smoothing. It has the slow path alone.
func sigmoidGradScaled(m machine) {
	var args lossArgs
	elementwise{
		outs: at0("losses", "grad"), ins: at0("logits", "targets", "scales"), unroll: 1, fill: []float32{1, 0, 1},
		prologue: func(m machine) { args = loadLossArgs(m, false) },
		step: func(m machine, x []vec) []vec {
			scales, zero := m.hold(x[2]), m.f32(0)
			args := args
			args.scales = &scales
			t := newSoftTerm(m, x[0], x[1], args, true, true)
			f := focus(m, args, []vec{t.q}, true, append(t.live(true), scales)...)[0]
			m.comment("a smoothed loss is 0 where q^gamma is")
			vanished := m.both(m.lt(m.hold(zero), args.smooth(m)), m.eq(f, zero))
			l := m.pick(m.le(t.l, m.u32(0x7f7fffff)), m.mul(t.l, f), t.l)
			l = m.umin(m.pick(vanished, m.hold(zero), l), m.u32(nanBits))
			g := m.mul(m.mul(scales, m.mul(t.alpha, f)), m.pick(vanished, m.hold(zero), t.d))
			return []vec{l, m.pick(m.eq(scales, zero), m.hold(zero), canonical(m, g))}
		},
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
