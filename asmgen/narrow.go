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

// Class planes are computed likewise, up to planeMost classes: there a column lies side by side in memory, and the next one
// stride bytes behind it.

// planeMost is the largest number of classes of planes: a block of the sum.
const planeMost = rowBlock

// A narrow is the layout of what the kernels read and write: packed rows, or planes.
type narrow struct{ planes bool }

// A column is column at + k of some rows. What it is called for may be stored at out, the place of the column at e.
type column struct {
	k      int
	target mask // the rows whose label it is
	out    gp
	offset int
}

// columns runs step for the columns of the rows at z, 4 at a time; the last 4 may have columns that were among those before.
// step returns what to write to the rows at z, or nothing. z may be none: then x is.
func (l narrow) columns(m machine, name string, z gp, labels vec, step func(c column, x vec) vec, write bool, read bool) {
	size := 4 * m.properties().lanes
	classes := m.param("classes")
	var stride gp
	if l.planes {
		stride = m.param("stride")
	} else {
		stride = m.param("classes")
		m.quadruple(stride)
	}
	some := func(width int, z, out gp, rel vec) {
		x := make([]vec, width)
		at := z
		for k := range width {
			if l.planes && read {
				x[k] = m.hold(m.load(at, 0))
				at = m.sum(at, stride)
			}
		}
		if !l.planes && read {
			x = m.loadColumns(z, stride, width)
		}
		var y []vec
		for k := range width {
			c := column{k: k, target: m.ieq(rel, m.hold(m.u32(uint32(k)))), out: out, offset: k * size}
			y = append(y, step(c, x[k]))
		}
		switch at := z; {
		case write && l.planes:
			for _, v := range y {
				m.store(at, 0, v)
				at = m.sum(at, stride)
			}
		case write:
			m.storeColumns(z, stride, y)
		}
	}
	m.jumpIfLess(classes, 4, name+"_few")
	m.advance(classes, -4)
	at := m.count(0)
	m.label(name + "_columns")
	out := m.copyOf(at)
	m.times(out, size)
	var column gp
	if l.planes {
		column = m.product(at, stride)
	} else {
		column = m.copyOf(at)
		m.quadruple(column)
	}
	some(4, m.sum(z, column), m.sum(m.param("e"), out), m.isub(labels, m.broadcastCount(at)))
	m.comment("the next 4, or the last")
	m.jumpIfSame(at, classes, name+"_done")
	m.advance(at, 4)
	m.setCopy(at, m.smaller(at, classes))
	m.jump(name + "_columns")
	m.label(name + "_few")
	m.jumpIfLess(classes, 3, name+"_two")
	some(3, z, m.param("e"), labels)
	m.jump(name + "_done")
	m.label(name + "_two")
	some(2, z, m.param("e"), labels)
	m.label(name + "_done")
}

// fold is the sum of the rows from the columns at e.
func (l narrow) fold(m machine) vec {
	sum := m.variable(m.u32(0))
	if l.planes {
		m.jumpIfLess(m.param("classes"), narrowMost+1, "fold")
		m.comment("more than 16 columns: those of a virtual lane are added")
		size := 4 * m.properties().lanes
		for i := range narrowMost {
			left := m.param("classes")
			p := m.offset(m.param("e"), i*size)
			acc := m.variable(m.load(p, 0))
			more, done := "lane"+strconv.Itoa(i), "lanedone"+strconv.Itoa(i)
			m.label(more)
			m.advance(left, -narrowMost)
			m.jumpIfLess(left, i+1, done)
			m.advance(p, narrowMost*size)
			m.set(acc, m.add(acc, m.load(p, 0)))
			m.jump(more)
			m.label(done)
			m.store(m.param("lanes"), i*size, acc)
		}
		m.set(sum, m.columnFold(m.param("lanes"), narrowMost))
		m.jump("folded")
		m.label("fold")
	}
	for columns := 4; columns <= narrowMost; columns += 4 {
		next := "more" + string(rune('0'+columns/4))
		if columns < narrowMost {
			m.jumpIfAtLeast(m.param("classes"), columns+1, next)
		}
		m.set(sum, m.columnFold(m.param("e"), columns))
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
	l.columns(m, "sum", m.param("logits"), labels, func(c column, x vec) vec {
		m.set(target, m.pick(c.target, x, target))
		m.set(large, m.smax(large, m.drop(c.target, m.and(x, m.u32(0x7fffffff)))))
		m.store(c.out, c.offset, m.drop(c.target, exp(m, x)))
		return vec{}
	}, false, true)
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
	l.columns(m, "most", m.param("logits"), labels, func(c column, x vec) vec {
		m.set(most, m.max(m.or(x, m.keep(c.target, m.u32(nanBits))), most)) // NaN is passed over
		return vec{}
	}, false, true)
	m.comment("the shift and N")
	shift := m.hold(rowShift(m, most))
	n := m.hold(rowExponent(m, m.sub(most, shift)))
	bias, least := rowConstants(m, n)
	bias, least = m.hold(bias), m.hold(least)
	shifted := m.ieq(m.load(m.param("sums"), rowPlainField), m.hold(m.u32(0)))
	l.columns(m, "sum", m.param("logits"), labels, func(c column, x vec) vec {
		p, power := rowExp(m, m.drop(c.target, m.sub(x, shift)), bias, least)
		m.store(c.out, c.offset, m.pick(shifted, m.mul(p, m.drop(c.target, power)), m.hold(m.load(c.out, c.offset))))
		return vec{}
	}, false, true)
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
	l.columns(m, "all", m.param("dst"), labels, func(c column, _ vec) vec {
		y := scaled(m, m.hold(m.load(c.out, c.offset)), row, grad)
		if grad {
			y = m.pick(c.target, target, y)
		}
		return y
	}, true, false)
	l.next(m, "dst")
}
