package main

import (
	"math"
	"strconv"
)

// Rows of few classes, a lane per row: the columns of some rows are loaded by transposing them. A column of e_j is kept at e,
// where the fold of the sums and the gradient find it; Go has cleared the columns behind the last, up to a multiple of 4,
// and gives the distance in bytes from one group of rows to the next (0 where nobody needs the e_j of the group before).

// narrowMost is the largest number of classes: each has a virtual lane of its own in the order of the sum.
const narrowMost = rowTile

// Class planes are computed likewise, up to a block of the sum: there a column lies side by side in memory, and the next one
// stride bytes behind it.

// planesAhead is how many bytes ahead planes are fetched: there are too many streams for the processor to see.
const planesAhead = 128

// A narrow is the layout of what the kernels read and write: packed rows, or planes.
type narrow struct{ planes bool }

// A column is a class of some rows.
type column struct {
	x      vec         // the logits, where they are read
	target func() mask // the rows whose label it is
	out    gp          // the column's place at e, and offset bytes
	offset int
}

// columns runs step for the columns of the rows at z, up to 4 at a time. Where it returns vectors, they are written to the rows
// at z; then the last 4 columns may have some that were written before.
func (l narrow) columns(m machine, name string, z gp, labels vec, write bool, step func(c []column) []vec) {
	size := 4 * m.properties().lanes
	var stride gp
	if l.planes {
		stride = m.param("stride")
	} else {
		stride = m.param("classes")
		m.quadruple(stride)
	}
	load := func(p gp, width int) (x []vec) {
		if !l.planes {
			return m.loadColumns(p, stride, width)
		}
		for range width {
			x = append(x, m.hold(m.load(p, 0)))
			m.prefetch(p, planesAhead)
			p = m.sum(p, stride)
		}
		return x
	}
	store := func(p gp, columns []vec) {
		if !l.planes {
			m.storeColumns(p, stride, columns)
			return
		}
		for _, v := range columns {
			m.store(p, 0, v)
			p = m.sum(p, stride)
		}
	}
	// some does the last count of the columns at, at+1, ..., at+width-1.
	some := func(width, count int, at gp) {
		place, out, rel := z, m.param("e"), labels
		if at != (gp{}) {
			column := m.copyOf(at)
			m.times(column, size)
			var first gp
			if l.planes {
				first = m.product(at, stride)
			} else {
				first = m.copyOf(at)
				m.quadruple(first)
			}
			place, out, rel = m.sum(z, first), m.sum(out, column), m.isub(labels, m.broadcastCount(at))
		}
		cs := make([]column, width)
		if !write {
			for k, x := range load(place, width) {
				cs[k].x = x
			}
		}
		for k := range cs {
			cs[k].out, cs[k].offset = out, k*size
		}
		cs = cs[width-count:]
		for k := range cs {
			cs[k].target = func() mask { return m.ieq(rel, m.hold(m.u32(uint32(width-count+k)))) }
		}
		if y := step(cs); write {
			store(place, y)
		}
	}
	last := m.param("classes")
	m.jumpIfLess(last, 4, name+"_few")
	m.advance(last, -4)
	at := m.count(0)
	m.label(name + "_columns")
	some(4, 4, at)
	m.advance(at, 4)
	m.jumpIfAtMost(at, last, name+"_columns")
	m.comment("the columns that are left")
	m.subtract(at, last)
	m.jumpIfAtLeast(at, 4, name+"_done")
	if write {
		some(4, 4, last)
	} else {
		m.jumpIfAtLeast(at, 3, name+"_left1")
		m.jumpIfAtLeast(at, 2, name+"_left2")
		for count := 3; count > 0; count-- {
			m.label(name + "_left" + strconv.Itoa(count))
			some(4, count, last)
			m.jump(name + "_done")
		}
	}
	m.jump(name + "_done")
	m.label(name + "_few")
	m.jumpIfLess(m.param("classes"), 3, name+"_two")
	some(3, 3, gp{})
	m.jump(name + "_done")
	m.label(name + "_two")
	some(2, 2, gp{})
	m.label(name + "_done")
}

// abreast emits f for each column, as many side by side as there are registers for if each takes some.
func abreast(m machine, cs []column, registers int, f func(c column)) {
	n := m.properties().registers / registers
	for len(cs) > 0 {
		var fs []func()
		for _, c := range cs[:min(n, len(cs))] {
			fs = append(fs, func() { f(c) })
		}
		m.interleave(fs...)
		cs = cs[len(fs):]
	}
}

// fold is the sum of the rows from the columns at e.
func (l narrow) fold(m machine) vec {
	sum := m.variable(m.u32(0))
	if l.planes {
		m.jumpIfLess(m.param("classes"), narrowMost+1, "few")
		m.comment("more than 16 columns: those of a virtual lane are added, two as float32, their sums as float64")
		size := 4 * m.properties().lanes
		for i := range narrowMost {
			name := func(s string) string { return s + strconv.Itoa(i) }
			left := m.param("classes")
			p := m.offset(m.param("e"), i*size)
			total, block := m.columnSum(), m.variable(m.u32(0))
			m.label(name("lane"))
			m.set(block, m.load(p, 0))
			m.jumpIfLess(left, narrowMost+i+1, name("single"))
			m.set(block, m.add(block, m.load(p, narrowMost*size)))
			m.label(name("single"))
			m.laneSumsAdd(total, []vec{block})
			m.advance(p, rowBlock*size)
			m.advance(left, -rowBlock)
			m.jumpIfAtLeast(left, i+1, name("lane"))
			for h, d := range total {
				m.store(m.param("lanes"), (2*i+h)*size, vec{op: d})
			}
		}
		m.set(sum, m.columnFold(m.param("lanes"), narrowMost, true))
		m.jump("folded")
		m.label("few")
	}
	for columns := 4; columns <= narrowMost; columns += 4 {
		next := "more" + strconv.Itoa(columns/4)
		if columns < narrowMost {
			m.jumpIfAtLeast(m.param("classes"), columns+1, next)
		}
		m.set(sum, m.columnFold(m.param("e"), columns, false))
		if columns < narrowMost {
			m.jump("folded")
			m.label(next)
		}
	}
	m.label("folded")
	return sum
}

// next goes to the next group of rows.
func (l narrow) next(m machine, matrix string) {
	lanes := m.properties().lanes
	m.label("next")
	m.advanceParam("sums", 4*lanes)
	m.advanceParam("labels", 4*lanes)
	m.advanceParamBy("e", m.param("step"))
	if l.planes {
		m.advanceParam(matrix, 4*lanes)
	} else {
		bytes := m.param("classes")
		m.times(bytes, 4*lanes)
		m.advanceParamBy(matrix, bytes)
	}
	m.advanceParam("rows", -lanes)
	m.jumpIfParam("rows", "group")
	m.ret()
}

// sum is rowSum for groups of as many rows as there are lanes.
func (l narrow) sum(m machine) {
	m.label("group")
	labels := m.hold(m.load(m.param("labels"), 0))
	large, target := m.variable(m.u32(0)), m.variable(m.u32(0))
	l.columns(m, "sum", m.param("logits"), labels, false, func(cs []column) []vec {
		for _, c := range cs {
			here := c.target()
			m.set(target, m.pick(here, c.x, target))
			m.set(large, m.smax(large, m.drop(here, m.and(c.x, m.u32(0x7fffffff)))))
		}
		abreast(m, cs, 8, func(c column) { m.store(c.out, c.offset, m.drop(c.target(), exp(m, c.x))) })
		return nil
	})
	m.comment("the sums; |z| > 40 makes a row one that is not plain")
	sum := l.fold(m)
	sums := m.param("sums")
	beyond := m.igt(large, m.u32(math.Float32bits(plainMax)))
	m.store(sums, rowSumField, sum)
	m.store(sums, rowTargetField, target)
	m.store(sums, rowNField, m.u32(0))
	m.store(sums, rowMostField, m.keep(beyond, m.u32(0xff800000)))
	m.store(sums, rowPlainField, m.drop(beyond, m.u32(^uint32(0))))
	m.jumpIfAny(beyond, "slow")
	l.next(m, "logits")
	m.label("slow")
	m.increment(m.param("slow"))
	m.jump("next")
}

// shifted is rowMost and rowShifted for such groups: what plain rows have stays.
func (l narrow) shifted(m machine) {
	m.label("group")
	labels := m.hold(m.load(m.param("labels"), 0))
	most := m.variable(m.u32(0xff800000))
	l.columns(m, "most", m.param("logits"), labels, false, func(cs []column) []vec {
		for _, c := range cs {
			m.set(most, m.max(m.or(c.x, m.keep(c.target(), m.u32(nanBits))), most)) // NaN is passed over
		}
		return nil
	})
	m.comment("the shift and N")
	shift := m.hold(rowShift(m, most))
	n := m.hold(rowExponent(m, m.sub(most, shift)))
	bias, least := rowConstants(m, n)
	bias, least = m.hold(bias), m.hold(least)
	shifted := m.ieq(m.load(m.param("sums"), rowPlainField), m.hold(m.u32(0)))
	l.columns(m, "sum", m.param("logits"), labels, false, func(cs []column) []vec {
		abreast(m, cs, 16, func(c column) {
			p, power := rowExp(m, m.drop(c.target(), m.sub(c.x, shift)), bias, least)
			e := m.mul(p, m.drop(c.target(), power))
			m.store(c.out, c.offset, m.pick(shifted, e, m.hold(m.load(c.out, c.offset))))
		})
		return nil
	})
	sum := l.fold(m)
	sums := m.param("sums")
	for _, f := range []struct {
		offset int
		v      vec
	}{{rowSumField, sum}, {rowNField, n}, {rowMostField, most}} {
		m.store(sums, f.offset, m.pick(shifted, f.v, m.hold(m.load(sums, f.offset))))
	}
	l.next(m, "logits")
}

// scale is rowScale for such groups; with grad it writes the targets' gradients too.
func (l narrow) scale(m machine, grad bool) {
	m.label("group")
	labels := m.hold(m.load(m.param("labels"), 0))
	sums := m.param("sums")
	row := []vec{m.hold(m.load(sums, rowWeightField)), m.hold(m.load(sums, rowSumField))}
	target := m.hold(m.load(sums, rowTargetField))
	l.columns(m, "all", m.param("dst"), labels, true, func(cs []column) (y []vec) {
		for k, c := range cs {
			y = append(y, scaled(m, m.hold(m.load(c.out, c.offset)), row, grad))
			if grad {
				y[k] = m.pick(c.target(), target, y[k])
			}
		}
		return y
	})
	l.next(m, "dst")
}
