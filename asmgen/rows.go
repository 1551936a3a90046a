package main

import "github.com/gofocal/focal/internal/coef"

// The rows of the softmax form, one after another: a row's exponentials are summed here, its loss is finished by
// softmaxTail, where a lane is a row. All names are those of focal_generic.go.

const (
	rowTile  = 16  // virtual lanes
	rowBlock = 128 // a block of the sum
	rowBias  = 64
	clampAt  = 0x1p21
	shiftAt  = 0x1p20
	rowMagic = 0x1.8p23 // round(x log2 e) in the low bits
)

// floorN is the N of a row without a class.
var floorN = int32(-3025501 - rowBias)

// targetWords is how far a target's word is from either end of the table that masks it: beyond a block and a tile.
const targetWords = rowBlock + rowTile

// targetTable is -Inf for the target and +Inf for others: what a logit is at most.
var targetTable = func() table {
	words := make([]uint32, 2*targetWords+2)
	for i := range words {
		words[i] = 0x7f800000
	}
	words[targetWords] = 0xff800000
	return table{"target", words}
}()

// rowExp is the row's e_j as factor and power. bias is rowMagic + 127 - N, least the logit from which the power is 0.
func rowExp(m machine, x, bias, least vec) (p, power vec) {
	c := m.max(least, x) // NaN stays
	t := m.fma(c, m.f32(coef.Log2E), bias)
	n := m.sub(t, bias)
	r := m.fnma(n, m.f32(coef.Ln2Hi), c)
	r = m.fnma(n, m.f32(coef.Ln2Lo), r)
	p = m.fma(r, m.f32(coef.RowPoly[6]), m.f32(coef.RowPoly[5]))
	for i := 4; i >= 0; i-- {
		p = m.fma(r, p, m.f32(coef.RowPoly[i]))
	}
	return p, m.shl(t, 23)
}

// rowConstants gives bias and least for N, an integer in every lane.
func rowConstants(m machine, n vec) (bias, least vec) {
	f := m.sub(m.float(n), m.f32(127))
	return m.sub(m.f32(rowMagic), f), m.mul(f, m.f32(0x1.62e43p-1))
}

// rowExponent is N for a largest logit.
func rowExponent(m machine, most vec) vec {
	c := m.max(m.f32(-clampAt), m.min(m.f32(clampAt), most))
	t := m.fma(c, m.f32(coef.Log2E), m.f32(rowMagic))
	return m.isub(t, m.u32(0x4b400000+rowBias)) // bits(rowMagic)
}

// across combines the lanes of v by f: the result is in every lane.
func across(m machine, v vec, f func(a, b vec) vec) vec {
	for h := m.properties().lanes / 2; h > 0; h /= 2 {
		v = f(v, m.swapped(v, h))
	}
	return v
}

// tiles runs step for every tile of z: x has the tile's vectors, -Inf behind the end, where parts are. left is the number of
// elements, at least 1, and is used up; z and other move along, over whole tiles.
func tiles(m machine, name string, left, z, other gp, step func(x []vec, parts []part)) {
	filled(m, name, left, z, other, m.u32(0xff800000), step)
}

// filled is tiles with fill behind the end.
func filled(m machine, name string, left, z, other gp, fill vec, step func(x []vec, parts []part)) {
	lanes := m.properties().lanes
	m.jumpIfLess(left, rowTile, name+"_part")
	m.label(name + "_tile")
	var x []vec
	for u := range rowTile / lanes {
		x = append(x, m.load(z, 4*u*lanes))
	}
	step(x, nil)
	m.advance(z, 4*rowTile)
	m.advance(other, 4*rowTile)
	m.advance(left, -rowTile)
	m.jumpIfAtLeast(left, rowTile, name+"_tile")
	m.label(name + "_part")
	m.jumpIfLess(left, 1, name+"_done")
	x = nil
	var parts []part
	for u := range rowTile / lanes {
		if u > 0 {
			left = m.excess(left, lanes)
		}
		parts = append(parts, m.part(left))
		x = append(x, m.loadPart(parts[u], z, 4*u*lanes, fill))
	}
	step(x, parts)
	m.label(name + "_done")
}

// rowsAtOnce is the number of rows in a call, and the distance of the arrays behind rowSums in focal_generic.go.
const rowsAtOnce = 64

// softmaxSum is rowSum for each row, in sums: R, N, and the largest logit M of the classes other than the label's. A label
// of -1 is none.
func softmaxSum(m machine) {
	lanes := m.properties().lanes
	vectors := rowTile / lanes

	m.label("row")
	shift := m.variable(m.u32(0))

	pass := func(name string, shifted bool) {
		m.label(name)
		n := m.variable(m.u32(uint32(floorN)))
		rowMost := m.variable(m.u32(0xff800000))
		total := m.doubles()
		left, z := m.param("classes"), m.param("logits")
		target := m.loadInt32(m.param("labels"), 0)

		m.label(name + "_block")
		m.comment("the largest logit of the block but the target's, which is made -Inf")
		acc := make([]vec, vectors)
		for u := range acc {
			acc[u] = m.variable(m.u32(0xff800000))
		}
		limit := m.wordBefore(targetTable, targetWords, m.atMost(target, targetWords))
		tiles(m, name+"_most", m.atMost(left, rowBlock), m.copyOf(z), limit, func(x []vec, _ []part) {
			for u, v := range x {
				m.set(acc[u], m.max(m.min(m.load(limit, 4*u*lanes), v), acc[u]))
			}
		})
		blockMost := acc[0]
		for _, a := range acc[1:] {
			blockMost = m.max(a, blockMost)
		}
		blockMost = across(m, blockMost, m.max)
		m.set(rowMost, m.max(blockMost, rowMost))
		m.comment("N, and what was summed before rescaled to it")
		if shifted {
			blockMost = m.sub(blockMost, shift)
		}
		raised := m.smax(n, rowExponent(m, blockMost))
		m.doublesScale(total, m.isub(n, raised))
		m.set(n, raised)
		bias, least := rowConstants(m, n)

		m.comment("the sum of the block")
		for u := range acc {
			m.set(acc[u], m.u32(0))
		}
		limit = m.wordBefore(targetTable, targetWords, m.atMost(target, targetWords))
		tiles(m, name+"_sum", m.atMost(left, rowBlock), z, limit, func(x []vec, _ []part) {
			for u, v := range x {
				v = m.min(m.load(limit, 4*u*lanes), v)
				if shifted {
					v = m.sub(v, shift)
				}
				p, power := rowExp(m, v, bias, least)
				m.set(acc[u], m.fma(p, power, acc[u]))
			}
		})
		m.doublesAdd(total, acc)
		m.advance(target, -rowBlock)
		m.advance(left, -rowBlock)
		m.jumpIfAtLeast(left, 1, name+"_block")

		if !shifted {
			m.comment("|M| > 2^20, and finite: once more with z - M")
			abs := m.and(rowMost, m.u32(0x7fffffff))
			m.set(shift, rowMost)
			m.jumpIfAny(m.both(m.lt(m.hold(m.f32(shiftAt)), abs), m.lt(abs, m.u32(0x7f800000))), "shifted")
		}
		sums := m.param("sums")
		m.storeFirst(sums, 0, m.doublesFold(total))
		m.storeFirst(sums, 4*rowsAtOnce, n)
		m.storeFirst(sums, 2*4*rowsAtOnce, rowMost)
		m.advanceParam("sums", 4)
		m.advanceParam("labels", 4)
		bytes := m.param("classes")
		m.quadruple(bytes)
		m.advanceParamBy("logits", bytes)
		m.advanceParam("rows", -1)
		m.jumpIfParam("rows", "row")
		m.ret()
	}
	pass("plain", false)
	pass("shifted", true)
}

// The fields of rowSums, as byte offsets for row 0.
const (
	rowSumField = 4 * rowsAtOnce * iota
	rowNField
	rowMostField
	rowTargetField
	rowShiftField
	rowPreField
	rowFactorField
	rowLowField
)

// rowKernel maps the logits of rows to dst, by what sums has for each row. prepare loads that, step maps a vector.
func rowKernel(m machine, prepare func(sums gp) []vec, step func(x vec, row []vec) vec) {
	lanes := m.properties().lanes
	m.label("row")
	row := prepare(m.param("sums"))
	z, dst := m.param("logits"), m.param("dst")
	tiles(m, "all", m.param("classes"), z, dst, func(x []vec, parts []part) {
		for u, v := range x {
			y := step(v, row)
			if parts == nil {
				m.store(dst, 4*u*lanes, y)
			} else {
				m.storePart(parts[u], dst, 4*u*lanes, y)
			}
		}
	})
	m.advanceParam("sums", 4)
	bytes := m.param("classes")
	m.quadruple(bytes)
	m.advanceParamBy("logits", bytes)
	m.advanceParamBy("dst", bytes)
	m.advanceParam("rows", -1)
	m.jumpIfParam("rows", "row")
	m.ret()
}

func canonical(m machine, x vec) vec { return m.pick(m.unordered(x, x), m.u32(nanBits), x) }

// rowTerm is e_j of z - shift.
func rowTerm(m machine, x vec, row []vec) vec {
	p, power := rowExp(m, m.sub(m.hold(x), row[0]), row[1], row[2])
	return m.mul(p, power)
}

func prepareTerm(m machine, sums gp) []vec {
	bias, least := rowConstants(m, m.broadcast(sums, rowNField))
	return []vec{m.broadcast(sums, rowShiftField), m.hold(bias), m.hold(least)}
}

// softmaxRows is the second half of softmaxRow; 1/S and its rounding error are in factor and low.
func softmaxRows(m machine) {
	rowKernel(m, func(sums gp) []vec {
		return append(prepareTerm(m, sums), m.broadcast(sums, rowFactorField), m.broadcast(sums, rowLowField))
	}, func(x vec, row []vec) vec {
		e := rowTerm(m, x, row)
		return canonical(m, m.fma(e, row[3], m.mul(e, row[4])))
	})
}

// softmaxGradRows is the last loop of softmaxGradGeneric, with pre and factor.
func softmaxGradRows(m machine) {
	rowKernel(m, func(sums gp) []vec {
		return append(prepareTerm(m, sums), m.broadcast(sums, rowPreField), m.broadcast(sums, rowFactorField))
	}, func(x vec, row []vec) vec {
		return canonical(m, m.mul(m.mul(rowTerm(m, x, row), row[3]), row[4]))
	})
}

// logSoftmaxRows is the last loop of logSoftmaxRow: -log p_t is in factor, M in most.
func logSoftmaxRows(m machine) {
	rowKernel(m, func(sums gp) []vec {
		return []vec{m.broadcast(sums, rowMostField), m.broadcast(sums, rowFactorField)}
	}, func(x vec, row []vec) vec {
		return canonical(m, m.sub(m.sub(m.hold(x), row[0]), row[1]))
	})
}

// rowEnd is finishRow for a row in each lane, and what follows: the loss and, with grad, s q, pre and f.
func rowEnd(m machine, sum, n, most, zt, alpha vec, args lossArgs, grad bool) []vec {
	sum, most, zt, alpha = m.hold(sum), m.hold(most), m.hold(zt), m.hold(alpha)
	zero, one := m.hold(m.f32(0)), m.f32(1)
	m.comment("the shift; a label on +Inf or NaN, or no class unmasked")
	abs := m.and(most, m.u32(0x7fffffff))
	shift := m.keep(m.both(m.lt(m.hold(m.f32(shiftAt)), abs), m.lt(abs, m.u32(0x7f800000))), most)
	sum = m.pick(m.le(zt, m.u32(0x7f7fffff)), sum, m.hold(m.u32(nanBits)))
	sum = m.pick(m.eq(m.max(zt, most), m.u32(0xff800000)), m.u32(nanBits), sum)
	m.comment("e^(r_t) = p + pLow")
	zt = m.sub(zt, shift)
	x := m.max(m.f32(-clampAt), m.min(m.f32(clampAt), zt))
	t := m.fma(x, m.f32(coef.Log2E), m.f32(rowMagic))
	nt := m.sub(t, m.f32(rowMagic))
	r := m.fnma(nt, m.f32(coef.Ln2Hi), x)
	r = m.fnma(nt, m.f32(coef.Ln2Lo), r)
	beyond := m.keep(m.both(m.lt(zt, x), m.lt(zero, sum)), m.sub(x, zt))
	h := m.fma(r, m.f32(coef.RowPoly[6]), m.f32(coef.RowPoly[5]))
	for i := 4; i >= 1; i-- {
		h = m.fma(r, h, m.f32(coef.RowPoly[i]))
	}
	p := m.fma(r, h, one)
	pLow := m.fma(r, h, m.sub(m.hold(one), p))
	m.comment("v = R / e^(r_t), u = v 2^(N - n_t)")
	inv := m.div(m.hold(one), p)
	v := m.mul(sum, inv)
	vLow := m.mul(m.sub(m.fnma(v, p, sum), m.mul(v, pLow)), inv)
	k := m.isub(m.hold(n), m.isub(t, m.u32(0x4b400000)))
	over := m.smax(m.isub(k, m.u32(gapMax-rowBias)), zero)
	k = m.smax(m.isub(k, over), m.u32(1<<32-252))
	half := m.sar(k, 1)
	low, high := power2(m, half), power2(m, m.isub(k, half))
	u, uLow := m.mul(m.mul(v, low), high), m.mul(m.mul(vLow, low), high)
	m.comment("w + wLow = 1 + u; q = u / w")
	a, b := m.max(m.hold(one), u), m.min(m.hold(one), u)
	w := m.add(a, b)
	wLow := m.sub(b, m.sub(w, a))
	inv = m.div(m.hold(one), w)
	q := m.mul(u, inv)
	q = m.add(q, m.mul(m.sub(m.add(m.fnma(q, w, u), uLow), m.mul(q, m.add(wLow, uLow))), inv))
	q = m.min(m.hold(one), q)
	m.comment("-log p_t = log1p(u) and what the exponent and the clamp left out")
	nll := m.add(log1p(m, u), m.mul(uLow, inv))
	nll = m.add(m.fma(m.float(over), m.f32(coef.Ln2Hi), nll), beyond)

	l := m.mul(alpha, nll)
	l = m.pick(m.both(m.eq(alpha, zero), m.eq(nll, nll)), zero, l)
	live := []vec{l}
	var g vec
	if grad {
		m.comment("1 + gamma p_t l / q")
		pt := m.pick(m.igt(over, zero), zero, inv)
		ratio := m.pick(m.eq(q, zero), m.hold(one), m.div(nll, q))
		c := m.pick(m.eq(pt, zero), zero, m.mul(pt, ratio))
		g = m.fma(m.broadcast(args.params, lossFields.factor), c, one)
		live = []vec{l, g, q, sum, alpha, zero}
	}
	f := focus(m, args, q, live...)
	m.comment("loss = (alpha l) q^gamma")
	loss := m.pick(m.le(l, m.u32(0x7f7fffff)), m.mul(l, f), l)
	out := []vec{m.umin(loss, m.u32(nanBits))}
	if !grad {
		return out
	}
	m.comment("s q, pre and f")
	sq := m.mul(m.mul(m.broadcast(args.scale, 0), m.mul(m.mul(alpha, f), g)), q)
	large := m.le(m.hold(m.f32(gradSplit)), m.and(sq, m.u32(0x7fffffff)))
	pre := m.pick(large, m.hold(m.f32(1)), m.hold(m.f32(0x1p-64)))
	factor := m.div(sq, m.mul(sum, pre))
	factor = m.pick(m.eq(sum, m.f32(0)), m.hold(m.f32(0)), factor)
	return append(out, sq, pre, factor)
}

const (
	gapMax    = 100
	gradSplit = 0x1p-30
)

// power2 is 2^k for integers -126 <= k <= 127.
func power2(m machine, k vec) vec { return m.shl(m.iadd(k, m.u32(127)), 23) }

// rowEndKernel finishes rows whose logits have been summed.
func rowEndKernel(m machine, grad bool) {
	var args lossArgs
	field := func(offset int) place { return place{param: "sums", offset: offset} }
	outs := at0("losses")
	if grad {
		outs = append(outs, field(rowTargetField), field(rowPreField), field(rowFactorField))
	}
	elementwise{
		outs: outs, unroll: 1, fill: []float32{1, 0, 0, 0, 1},
		ins:      []place{field(rowSumField), field(rowNField), field(rowMostField), field(rowTargetField), field(rowLowField)},
		prologue: func(m machine) { args = loadLossArgs(m, grad) },
		step: func(m machine, x []vec) []vec {
			return rowEnd(m, x[0], x[1], x[2], x[3], x[4], args, grad)
		},
	}.emit(m)
}

// addLanes adds x to 16 lanes of float64: in blocks, whose float32 lanes are added first.
func addLanes(m machine, block int) {
	lanes := m.properties().lanes
	x, left, lanesOut := m.param("x"), m.param("n"), m.param("total")
	total := m.doubles()
	m.doublesLoad(total, lanesOut)
	m.label("block")
	acc := make([]vec, rowTile/lanes)
	for u := range acc {
		acc[u] = m.variable(m.u32(0))
	}
	unused := m.count(0)
	size := m.atMost(left, block)
	filled(m, "add", size, x, unused, m.u32(0), func(v []vec, _ []part) {
		for u := range acc {
			m.set(acc[u], m.add(acc[u], v[u]))
		}
	})
	m.doublesAdd(total, acc)
	m.advance(left, -block)
	m.jumpIfAtLeast(left, 1, "block")
	m.doublesStore(total, lanesOut)
	m.ret()
}
