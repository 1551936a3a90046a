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

// tiles runs step for every tile of z: x has the tile's vectors, -Inf behind the end. left is the number of elements, at
// least 1, and is used up; z and other move along, over whole tiles.
func tiles(m machine, name string, left, z, other gp, step func(x []vec)) {
	lanes := m.properties().lanes
	m.jumpIfLess(left, rowTile, name+"_part")
	m.label(name + "_tile")
	var x []vec
	for u := range rowTile / lanes {
		x = append(x, m.load(z, 4*u*lanes))
	}
	step(x)
	m.advance(z, 4*rowTile)
	m.advance(other, 4*rowTile)
	m.advance(left, -rowTile)
	m.jumpIfAtLeast(left, rowTile, name+"_tile")
	m.label(name + "_part")
	m.jumpIfLess(left, 1, name+"_done")
	x = nil
	for u := range rowTile / lanes {
		if u > 0 {
			left = m.excess(left, lanes)
		}
		x = append(x, m.loadPart(m.part(left), z, 4*u*lanes, m.u32(0xff800000)))
	}
	step(x)
	m.label(name + "_done")
}

// rowsAtOnce is the number of rows in a call, and the distance of the arrays behind rowSums in focal_generic.go.
const rowsAtOnce = 64

// softmaxSum is rowSum for each row, in sums: R, N, the largest logit M of the classes other than the label's, and z_t.
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
		m.copyWord(m.offset(m.param("sums"), 3*4*rowsAtOnce), m.indexed(z, target))

		m.label(name + "_block")
		m.comment("the largest logit of the block but the target's, which is made -Inf")
		acc := make([]vec, vectors)
		for u := range acc {
			acc[u] = m.variable(m.u32(0xff800000))
		}
		limit := m.wordBefore(targetTable, targetWords, m.atMost(target, targetWords))
		tiles(m, name+"_most", m.atMost(left, rowBlock), m.copyOf(z), limit, func(x []vec) {
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
		tiles(m, name+"_sum", m.atMost(left, rowBlock), z, limit, func(x []vec) {
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
