package main

import (
	"math"
	"slices"

	"github.com/gofocal/focal/internal/coef"
)

// The rows of the softmax form, one after another: a row's exponentials are summed here, its loss is finished by rowEnd,
// where a lane is a row. All names are those of focal_generic.go.

const (
	rowTile  = coef.Lanes // virtual lanes
	rowBlock = coef.RowBlock
	rowBias  = coef.RowBias
	plainMax = coef.PlainMax
	clampAt  = coef.ClampAt
	shiftAt  = coef.ShiftAt
	rowMagic = 0x1.8p23 // round(x log2 e) in the low bits
)

// rowsAtOnce is the number of rows in a call, and the distance of the arrays in rowSums of kernels.go.
const rowsAtOnce = 32

// The fields of rowSums, as byte offsets for row 0.
const (
	rowSumField = 4 * rowsAtOnce * iota
	rowNField
	rowMostField
	rowTargetField
	rowWeightField
	rowPlainField
)

// targetPiece is how many elements of a row are looked at together: those of a piece without the target need no mask.
const targetPiece = 4 * rowBlock

// targetWords is how far a target's word is from either end of the table that masks it: beyond a piece and a tile.
const targetWords = targetPiece + rowTile

// targetTable is ones but for the sign, and 0 for the target.
var targetTable = func() table {
	words := make([]uint32, 2*targetWords+2)
	for i := range words {
		words[i] = 0x7fffffff
	}
	words[targetWords] = 0
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

// rowExponent is N for a largest (shifted) logit.
func rowExponent(m machine, most vec) vec {
	c := m.max(m.f32(-clampAt), m.min(m.f32(clampAt), most))
	t := m.fma(c, m.f32(coef.Log2E), m.f32(rowMagic))
	return m.isub(t, m.u32(0x4b400000+rowBias)) // bits(rowMagic)
}

// rowShift is what to subtract from the logits of a row whose largest is most.
func rowShift(m machine, most vec) vec {
	abs := m.and(most, m.u32(0x7fffffff))
	return m.keep(m.both(m.lt(m.hold(m.f32(shiftAt)), abs), m.lt(abs, m.u32(0x7f800000))), most)
}

// across combines the lanes of v by f: the result is in every lane.
func across(m machine, v vec, f func(a, b vec) vec) vec {
	for h := m.properties().lanes / 2; h > 0; h /= 2 {
		v = f(v, m.swapped(v, h))
	}
	return v
}

// A tile is 16 elements at some bytes behind the pointers of a loop over tiles: x has its vectors. At the end of a row
// it may be a part, with +0 behind the end.
type tile struct {
	x     []vec
	at    int
	parts []part
}

// tileAt is a whole tile at some bytes behind z.
func tileAt(m machine, z gp, at int) tile {
	t := tile{at: at}
	for u := range rowTile / m.properties().lanes {
		t.x = append(t.x, t.vector(m, z, u))
	}
	return t
}

// advanceBy moves pointers on over some elements of those that are left.
func advanceBy(m machine, pointers []gp, left gp, elements int) {
	for _, p := range pointers {
		m.advance(p, 4*elements)
	}
	m.advance(left, -elements)
}

// vector is the vector u of the tile at p.
func (t tile) vector(m machine, p gp, u int) vec { return m.load(p, t.at+4*u*m.properties().lanes) }

// target is the vector u of the tile's words of targetTable, if it has some.
func (t tile) target(m machine, words gp, u int) vec {
	if words == (gp{}) {
		return m.u32(0x7fffffff)
	}
	return t.vector(m, words, u)
}

// store writes the vector u of the tile at p.
func (t tile) store(m machine, p gp, u int, v vec) {
	if offset := t.at + 4*u*m.properties().lanes; t.parts == nil {
		m.store(p, offset, v)
	} else {
		m.storePieces(t.parts[u], p, offset, v)
	}
}

// present is v, with +0 behind the end.
func (t tile) present(m machine, u int, v vec) vec {
	if t.parts == nil {
		return v
	}
	return m.keepPart(t.parts[u], v)
}

// tiles runs step for every tile of left elements at z; left is at least 1 and used up. z and others move along, over whole
// tiles.
func tiles(m machine, name string, left, z gp, others []gp, fill vec, step func(t tile)) {
	wholeTiles(m, name, left, z, others, step)
	lastTile(m, name, left, z, fill, step)
}

// lastTile runs step for left elements at z, fewer than a tile, if there are some.
func lastTile(m machine, name string, left, z gp, fill vec, step func(t tile)) {
	lanes := m.properties().lanes
	m.jumpIfLess(left, 1, name+"_done")
	t := tile{}
	for u := range rowTile / lanes {
		if u > 0 {
			left = m.excess(left, lanes)
		}
		t.parts = append(t.parts, m.part(left))
		t.x = append(t.x, m.loadPart(t.parts[u], z, 4*u*lanes, fill))
	}
	step(t)
	m.label(name + "_done")
}

// tilesPerRound makes a round of four vectors: enough to hide the loop, and no row of usual length is all rest.
func tilesPerRound(m machine) int { return max(1, 4*m.properties().lanes/rowTile) }

// wholeTiles is tiles without the part at the end.
func wholeTiles(m machine, name string, left, z gp, others []gp, step func(t tile)) {
	pointers := append([]gp{z}, others...)
	whole := func(name string, n int) {
		m.label(name)
		for k := range n {
			step(tileAt(m, z, 4*rowTile*k))
		}
		advanceBy(m, pointers, left, rowTile*n)
		m.jumpIfAtLeast(left, rowTile*n, name)
	}
	round := tilesPerRound(m)
	if round > 1 {
		m.jumpIfLess(left, rowTile*round, name+"_few")
		whole(name+"_round", round)
		m.label(name + "_few")
	}
	m.jumpIfLess(left, rowTile, name+"_part")
	whole(name+"_tile", 1)
	m.label(name + "_part")
}

// pieces runs body for each piece of a row: words points to the first tile's words of targetTable, and moves with z like others.
// With split there is none in pieces without the target. label and z are used up.
func pieces(m machine, name string, split bool, left, label, z gp, others []gp, body func(name string, left gp, others []gp, words gp)) {
	m.label(name + "_piece")
	if split {
		m.jumpIfLess(label, 0, name+"_others")
		m.jumpIfAtLeast(label, targetPiece, name+"_others")
	}
	words := m.wordBefore(targetTable, targetWords, m.atMost(label, targetWords))
	body(name, m.atMost(left, targetPiece), append([]gp{words}, others...), words)
	if split {
		m.jump(name + "_end")
		m.label(name + "_others")
		body(name+"_others", m.atMost(left, targetPiece), others, gp{})
		m.label(name + "_end")
	}
	m.advance(label, -targetPiece)
	m.advance(left, -targetPiece)
	m.jumpIfAtLeast(left, 1, name+"_piece")
}

// addBlocks adds left elements, or what step makes of them, to total: the two tiles of a block as float32 first. step gives a tile's
// addends, added to those of acc if there are some. z and others move along; left is used up.
func addBlocks(m machine, name string, left, z gp, others []gp, total laneSums, step func(t tile, acc []vec) []vec) {
	pointers := append([]gp{z}, others...)
	blocks := func(name string, n int) {
		m.label(name)
		for k := range n {
			at := 4 * rowBlock * k
			m.laneSumsAdd(total, step(tileAt(m, z, at+4*rowTile), step(tileAt(m, z, at), nil)))
		}
		advanceBy(m, pointers, left, rowBlock*n)
		m.jumpIfAtLeast(left, rowBlock*n, name)
	}
	if round := tilesPerRound(m) / 2; round > 1 {
		m.jumpIfLess(left, rowBlock*round, name+"_few")
		blocks(name+"_round", round)
		m.label(name + "_few")
	}
	m.jumpIfLess(left, rowBlock, name+"_rest")
	blocks(name+"_block", 1)
	m.label(name + "_rest")
	m.jumpIfLess(left, 1, name+"_added")
	acc := make([]vec, rowTile/m.properties().lanes)
	for u := range acc {
		acc[u] = m.variable(m.u32(0))
	}
	keep := func(sum []vec) {
		for u := range acc {
			m.set(acc[u], sum[u])
		}
	}
	m.jumpIfLess(left, rowTile, name+"_part")
	keep(step(tileAt(m, z, 0), nil))
	advanceBy(m, pointers, left, rowTile)
	m.label(name + "_part")
	lastTile(m, name, left, z, m.u32(0), func(t tile) { keep(step(t, acc)) })
	m.laneSumsAdd(total, acc)
	m.label(name + "_added")
}

// plus is a + b, or a if there is no b.
func plus(m machine, a vec, b []vec, u int) vec {
	if b == nil {
		return a
	}
	return m.add(b[u], a)
}

// A rowLoop is a kernel over rows: the parameters sums and, with labels, labels move a word from row to row, those named
// in matrices by a row. A part of a row instead has the parameters logits, n, label and total; a sole row has logits,
// classes and label.
type rowLoop struct {
	matrices           []string
	labels, part, sole bool
}

func (l rowLoop) writes() bool { return l.matrices[0] == "dst" }

// begin begins a row: with shifted, one that is not plain.
func (l rowLoop) begin(m machine, shifted bool) (left, label, z gp) {
	if l.part {
		return m.param("n"), m.param("label"), m.param("logits")
	}
	if l.sole {
		return m.param("classes"), m.param("label"), m.param("logits")
	}
	m.label("row")
	if shifted {
		m.jumpUnlessZero(m.param("sums"), rowPlainField, "next")
	}
	return m.param("classes"), m.loadInt32(m.param("labels"), 0), m.param("logits")
}

// sum is the sum of a row, in lane 0, as newRow has it: step is that of addBlocks. That of a part goes to its total.
func (l rowLoop) sum(m machine, split bool, left, label, z gp, others []gp, step func(t tile, words gp, acc []vec) []vec) (sum vec) {
	var total laneSums
	if l.part {
		total = loadSums(m, m.param("total"))
	} else {
		total = m.laneSums()
	}
	pieces(m, "sum", split, left, label, z, others, func(name string, left gp, others []gp, words gp) {
		addBlocks(m, name, left, z, others, total, func(t tile, acc []vec) []vec { return step(t, words, acc) })
	})
	if !l.part {
		return m.laneSumsValue(total)
	}
	storeSums(m, m.param("total"), total)
	return vec{}
}

// loadSums are lanes of float64 that storeSums wrote.
func loadSums(m machine, p gp) laneSums {
	sums := m.laneSums()
	for i, d := range sums {
		m.set(vec{op: d}, m.load(p, 4*m.properties().lanes*i))
	}
	return sums
}

func storeSums(m machine, p gp, sums laneSums) {
	for i, d := range sums {
		m.store(p, 4*m.properties().lanes*i, vec{op: d})
	}
}

// store writes the sum of a row to rowSums; a part has none.
func (l rowLoop) store(m machine, sum vec) {
	if !l.part {
		m.storeFirst(m.param("sums"), rowSumField, sum)
	}
}

// finish marks a row as plain and goes on; at slow it marks one that is not, and counts it.
func (l rowLoop) finish(m machine) {
	if !l.part {
		sums := m.param("sums")
		m.storeWord(sums, rowNField, 0)
		m.storeWord(sums, rowMostField, 0)
		m.storeWord(sums, rowPlainField, ^uint32(0))
	}
	l.next(m)
	m.label("slow")
	m.increment(m.param("slow"))
	if l.part {
		m.ret()
		return
	}
	m.storeWord(m.param("sums"), rowPlainField, 0)
	m.storeWord(m.param("sums"), rowMostField, 0xff800000)
	m.jump("next")
}

// next ends a row.
func (l rowLoop) next(m machine) {
	if l.part {
		m.ret()
		return
	}
	m.label("next")
	m.advanceParam("sums", 4)
	if l.labels {
		m.advanceParam("labels", 4)
	}
	bytes := m.param("classes")
	m.quadruple(bytes)
	for _, name := range l.matrices {
		m.advanceParamBy(name, bytes)
	}
	m.advanceParam("rows", -1)
	m.jumpIfParam("rows", "row")
	m.ret()
}

// rowSum sums rows that are plain, as newRow does, and counts the others in slow. With dst it writes the e_j there, 0 for the
// target. In a row that turns out not to be plain they are not to be used.
func rowSum(m machine, l rowLoop) {
	left, label, z := l.begin(m, false)
	if !l.part {
		m.comment("the target's logit; any where there is none")
		m.copyWord(m.offset(m.param("sums"), rowTargetField), m.indexed(z, m.notNegative(label)))
	}
	l.store(m, l.plainSum(m, left, label, z))
	l.finish(m)
}

// plainSum is sum for a row, or a jump to slow if the row is not plain.
func (l rowLoop) plainSum(m machine, left, label, z gp) vec {
	large := m.variable(m.u32(0))
	look := func(t tile, words gp) {
		for u, v := range t.x {
			m.set(large, m.smax(large, m.and(v, t.target(m, words, u))))
		}
	}
	judge := func() {
		m.comment("any |z| > 40, but the target's?")
		m.jumpIfAny(m.igt(large, m.u32(math.Float32bits(plainMax))), "slow")
	}
	var dst gp
	var others []gp
	if l.writes() {
		l.inPlace(m, z, func() {
			z := m.copyOf(z)
			pieces(m, "look", true, m.copyOf(left), m.copyOf(label), z, nil, func(name string, left gp, others []gp, words gp) {
				tiles(m, name, left, z, others, m.u32(0), func(t tile) { look(t, words) })
			})
			judge()
		})
		dst = m.param("dst")
		others = []gp{dst}
	}
	sum := l.sum(m, true, left, label, z, others, func(t tile, words gp, acc []vec) (sum []vec) {
		for u, v := range t.x {
			t.x[u] = m.hold(v)
		}
		look(t, words)
		for u, v := range t.x {
			e := exp(m, v)
			if words != (gp{}) {
				e = m.and(e, t.vector(m, words, u))
			}
			e = t.present(m, u, e)
			if l.writes() {
				t.store(m, dst, u, e)
			}
			sum = append(sum, plus(m, e, acc, u))
		}
		return sum
	})
	judge()
	return sum
}

// inPlace runs f where dst is logits: then a row is looked through before anything is written, since another kernel reads
// it again if it is not plain.
func (l rowLoop) inPlace(m machine, logits gp, f func()) {
	apart := m.param("dst")
	m.subtract(apart, logits)
	m.jumpIfLess(apart, 0, "apart")
	m.jumpIfAtLeast(apart, 1, "apart")
	f()
	m.label("apart")
}

// soleLoss is the loss of a sole row, if it is plain, else it counts slow: rowSum and rowLoss without a way through memory,
// where short writes that a long read comes upon cost more than the row.
func soleLoss(m machine) {
	l := rowLoop{matrices: []string{"logits"}, sole: true}
	left, label, z := l.begin(m, false)
	target := m.broadcast(m.indexed(z, label), 0)
	sum := l.plainSum(m, left, label, z)
	zero := m.u32(0)
	row := []vec{sum, zero, zero, target, m.broadcast(m.param("weight"), 0)}
	m.storeFirst(m.param("losses"), 0, rowEnds(m, [][]vec{row}, loadLossArgs(m, false), false)[0][0])
	m.ret()
	m.label("slow")
	m.increment(m.param("slow"))
	m.ret()
}

// rowMost is maxOther for rows that are not plain, of what stands in most and the row: so a row may come in parts.
func rowMost(m machine) {
	m.label("row")
	m.jumpUnlessZero(m.param("sums"), rowPlainField, "next")
	most := make([]vec, rowTile/m.properties().lanes)
	for u := range most {
		most[u] = m.variable(m.broadcast(m.param("sums"), rowMostField))
	}
	z := m.param("logits")
	pieces(m, "most", false, m.param("classes"), m.loadInt32(m.param("labels"), 0), z, nil, func(name string, left gp, others []gp, words gp) {
		tiles(m, name, left, z, others, m.u32(nanBits), func(t tile) {
			for u, v := range t.x {
				out := m.andnot(t.vector(m, words, u), m.u32(0x7fffffff)) // makes the target a NaN, which max passes over
				m.set(most[u], m.max(m.or(v, out), most[u]))
			}
		})
	})
	v := most[0]
	for _, a := range most[1:] {
		v = m.max(a, v)
	}
	m.storeFirst(m.param("sums"), rowMostField, across(m, v, m.max))
	rowLoop{matrices: []string{"logits"}, labels: true}.next(m)
}

// rowShifted sums rows that are not plain, as newRow does, and writes their N; with dst the e_j too. most is known.
func rowShifted(m machine, l rowLoop) {
	left, label, z := l.begin(m, true)
	m.comment("the shift and N")
	most := m.broadcast(m.param("sums"), rowMostField)
	shift := m.hold(rowShift(m, most))
	n := rowExponent(m, m.sub(most, shift))
	m.storeFirst(m.param("sums"), rowNField, n)
	bias, least := rowConstants(m, n)
	bias, least = m.hold(bias), m.hold(least)
	var others []gp
	if l.writes() {
		others = []gp{m.param("dst")}
	}
	sum := l.sum(m, false, left, label, z, others, func(t tile, words gp, acc []vec) (sum []vec) {
		for u, v := range t.x {
			counts := m.igt(t.vector(m, words, u), m.hold(m.u32(0)))
			x := t.present(m, u, m.keep(counts, m.sub(m.hold(v), shift))) // finite where nothing counts
			p, power := rowExp(m, x, bias, least)
			e := m.mul(p, t.present(m, u, m.keep(counts, power)))
			if l.writes() {
				t.store(m, others[0], u, e)
			}
			sum = append(sum, plus(m, e, acc, u)) // a product by a power of two: no rounding is left out
		}
		return sum
	})
	l.store(m, sum)
	l.next(m)
}

func canonical(m machine, x vec) vec { return m.pick(m.unordered(x, x), m.u32(nanBits), x) }

// scaled is the last step of softmaxRow, 1/S and its rounding error being in row[1] and row[0]; with grad, of
// softmaxGradGeneric, where f and pre are.
func scaled(m machine, e vec, row []vec, grad bool) vec {
	if grad {
		return canonical(m, m.mul(m.mul(e, row[0]), row[1]))
	}
	return canonical(m, m.fma(e, row[1], m.mul(e, row[0])))
}

// mapRow sets the row at dst to f of the one at x, which it may be. The last tile begins among those of the tile before, and is read
// before that is written.
func mapRow(m machine, x, dst gp, f func(v vec) vec) {
	left := m.param("classes")
	step := func(t tile, p gp) {
		for u, v := range t.x {
			t.store(m, p, u, f(m.hold(v)))
		}
	}
	var others []gp
	if dst != x {
		others = []gp{dst}
	}
	m.jumpIfLess(left, rowTile, "few")
	last, lastOut := m.indexed(x, left), m.indexed(dst, left)
	m.advance(last, -4*rowTile)
	m.advance(lastOut, -4*rowTile)
	end := tileAt(m, last, 0)
	for u, v := range end.x {
		end.x[u] = m.hold(v)
	}
	m.advance(left, -1)
	wholeTiles(m, "all", left, x, others, func(t tile) { step(t, dst) })
	step(end, lastOut)
	m.jump("mapped")
	m.label("few")
	lastTile(m, "few", left, x, m.u32(0), func(t tile) { step(t, dst) })
	m.label("mapped")
}

// rowScale finishes rows whose e_j stand in dst.
func rowScale(m machine, grad bool) {
	m.label("row")
	sums, dst := m.param("sums"), m.param("dst")
	row := []vec{m.hold(m.broadcast(sums, rowWeightField)), m.hold(m.broadcast(sums, rowSumField))}
	mapRow(m, dst, dst, func(e vec) vec { return scaled(m, e, row, grad) })
	rowLoop{matrices: []string{"dst"}}.next(m)
}

// rowFirst finds each row's first maximum and its place, 0 where all is -Inf or NaN. The tiles of a round have a maximum each:
// a comparison waits for the one before.
func rowFirst(m machine) {
	lanes := m.properties().lanes
	vectors := rowTile / lanes
	var most, at, place []vec
	m.label("row")
	for range vectors * tilesPerRound(m) {
		most = append(most, m.variable(m.u32(0xff800000)))
		at = append(at, m.variable(m.u32(0)))
	}
	for u := range vectors {
		place = append(place, m.variable(m.loadTable(laneNumbers, u*lanes)))
	}
	tiles(m, "all", m.param("classes"), m.param("logits"), nil, m.u32(nanBits), func(t tile) {
		for u, v := range t.x {
			v = m.hold(v)
			i := t.at/(4*lanes) + u
			larger := m.lt(most[i], v)
			m.set(at[i], m.pick(larger, place[u], at[i]))
			m.set(most[i], m.pick(larger, v, most[i]))
			m.set(place[u], m.iadd(place[u], m.u32(rowTile)))
		}
	})
	end := func(most []vec) {
		m.comment("the largest of all lanes, the first of its places")
		all := most[0]
		for _, v := range most[1:] {
			all = m.max(v, all)
		}
		all = across(m, all, m.max)
		first := m.u32(math.MaxInt32)
		for i, v := range most {
			first = m.smin(m.pick(m.eq(v, all), at[i], m.u32(math.MaxInt32)), first)
		}
		m.storeFirst(m.param("sums"), 0, all)
		m.storeFirst(m.param("labels"), 0, across(m, first, m.smin))
	}
	m.jumpIfLess(m.param("classes"), rowTile*tilesPerRound(m), "short")
	end(most)
	m.jump("found")
	m.label("short")
	end(most[:vectors])
	m.label("found")
	rowLoop{matrices: []string{"logits"}, labels: true}.next(m)
}

// laneNumbers numbers the virtual lanes.
var laneNumbers = func() table {
	t := table{name: "lane_numbers"}
	for i := range uint32(rowTile) {
		t.entries = append(t.entries, i)
	}
	return t
}()

// logSoftmaxRows is the last loop of logSoftmaxRow: M stands in most, -log p_t in sum.
func logSoftmaxRows(m machine) {
	m.label("row")
	most, nll := m.hold(m.broadcast(m.param("sums"), rowMostField)), m.hold(m.broadcast(m.param("sums"), rowSumField))
	mapRow(m, m.param("logits"), m.param("dst"), func(z vec) vec { return canonical(m, m.sub(m.sub(z, most), nll)) })
	rowLoop{matrices: []string{"dst", "logits"}}.next(m)
}

// reciprocals is what softmaxRow needs: 1/S and its rounding error, in sum and weight.
func reciprocals(m machine) {
	field := func(offset int) place { return place{param: "sums", offset: offset} }
	elementwise{
		outs: []place{field(rowSumField), field(rowWeightField)}, ins: []place{field(rowSumField)}, unroll: 1, fill: []float32{1},
		step: func(m machine, x []vec) []vec {
			sum := m.hold(x[0])
			inv := m.div(m.hold(m.f32(1)), sum)
			return []vec{inv, m.mul(m.fnma(inv, sum, m.f32(1)), inv)}
		},
	}.emit(m)
}

// rowLogSum is row.logSum for rows that may not be plain, but for those whose largest logit is infinite.
func rowLogSum(m machine) {
	field := func(offset int) place { return place{param: "sums", offset: offset} }
	elementwise{
		outs: at0("dst"), ins: []place{field(rowSumField), field(rowNField), field(rowMostField), field(rowPlainField)},
		unroll: 2, fill: []float32{1, 0, 0, 0},
		step: func(m machine, x []vec) []vec {
			sum, most := m.hold(x[0]), m.hold(x[2])
			plain := m.igt(m.hold(m.u32(0)), x[3])
			m.comment("log S; S 2^-64 of a row that is not plain, and N + 64")
			l := log(m, m.pick(plain, sum, m.mul(sum, m.f32(0x1p-64))))
			n := m.float(m.iadd(x[1], m.hold(m.u32(rowBias))))
			y := m.fma(n, m.f32(coef.Ln2Hi), m.fma(n, m.f32(coef.Ln2Lo), l))
			y = m.pick(plain, l, m.add(rowShift(m, most), y))
			return []vec{m.pick(m.unordered(sum, sum), m.u32(nanBits), y)}
		},
	}.emit(m)
}

// A tail is what focal_generic.go calls so, for a row in each lane.
type tail struct {
	sum, nll, q vec
	inv, over   vec // p_t is inv, 0 where over > 0
}

func (t tail) pt(m machine) vec { return m.drop(m.igt(t.over, m.hold(m.f32(0))), t.inv) }

// share is tail.share: pre and f.
func (t tail) share(m machine, x vec) (pre, factor vec) {
	large := m.le(m.hold(m.f32(gradSplit)), m.and(x, m.u32(0x7fffffff)))
	pre = m.pick(m.lt(t.sum, m.f32(1)), m.f32(0x1p64), m.hold(m.f32(1)))
	pre = m.pick(large, pre, m.hold(m.f32(0x1p-64)))
	factor = m.div(x, m.mul(t.sum, pre))
	factor = m.pick(m.eq(t.sum, m.f32(0)), m.hold(m.f32(0)), factor)
	return pre, canonical(m, factor)
}

// newTail finishes rows that have been summed.
func newTail(m machine, sum, n, most, zt vec) tail {
	most, zt = m.hold(most), m.hold(zt)
	one := m.f32(1)
	m.comment("the shift; a label on +Inf or NaN, or no class unmasked")
	shift := rowShift(m, most)
	sum = m.pick(m.le(zt, m.u32(0x7f7fffff)), m.hold(sum), m.hold(m.u32(nanBits)))
	sum = m.park(m.pick(m.eq(m.max(zt, most), m.u32(0xff800000)), m.u32(nanBits), sum))
	m.comment("e^(r_t) = p + pLow")
	zt = m.sub(zt, shift)
	x := m.max(m.f32(-clampAt), m.min(m.f32(clampAt), zt))
	beyond := m.park(m.keep(m.both(m.lt(zt, x), m.lt(m.hold(m.f32(0)), sum)), m.sub(x, zt)))
	t := m.fma(x, m.f32(coef.Log2E), m.f32(rowMagic))
	nt := m.sub(t, m.f32(rowMagic))
	k := m.park(m.isub(m.hold(n), m.isub(t, m.u32(0x4b400000))))
	r := m.fnma(nt, m.f32(coef.Ln2Hi), x)
	r = m.fnma(nt, m.f32(coef.Ln2Lo), r)
	h := m.fma(r, m.f32(coef.RowPoly[6]), m.f32(coef.RowPoly[5]))
	for i := 4; i >= 1; i-- {
		h = m.fma(r, h, m.f32(coef.RowPoly[i]))
	}
	p := m.fma(r, h, one)
	pLow := m.fma(r, h, m.sub(m.hold(one), p))
	m.comment("v = R / e^(r_t), u = v 2^(N - n_t)")
	inv := m.div(m.hold(one), p)
	v := m.mul(inv, sum)
	vLow := m.mul(m.sub(m.fnma(v, p, sum), m.mul(v, pLow)), inv)
	over := m.smax(m.iadd(m.isub(m.shr(v, 23), m.u32(127+gapMax)), k), m.hold(m.f32(0)))
	k = m.smax(m.isub(m.hold(k), over), m.u32(1<<32-252))
	over = m.park(over)
	half := m.sar(k, 1)
	low, high := power2(m, half), power2(m, m.isub(k, half))
	u, uLow := m.mul(m.mul(v, low), high), m.mul(m.mul(vLow, low), high)
	m.comment("w + wLow = 1 + u; q = u / w")
	a, b := m.max(m.hold(one), u), m.min(m.hold(one), u)
	w := m.add(a, b)
	wLow := m.sub(b, m.sub(w, a))
	inv = m.div(m.hold(one), w)
	rest := m.park(m.mul(uLow, inv))
	q := m.mul(u, inv)
	q = m.add(q, m.mul(m.sub(m.add(m.fnma(q, w, u), uLow), m.mul(q, m.add(wLow, uLow))), inv))
	q = m.park(m.min(m.hold(one), q))
	inv = m.park(inv)
	m.comment("-log p_t = log1p(u) and what the exponent and the clamp left out")
	nll := m.add(log1p(m, u), rest)
	nll = m.add(m.fma(m.float(over), m.f32(coef.Ln2Hi), nll), beyond)
	return tail{sum: sum, nll: nll, q: q, inv: inv, over: over}
}

// rowEnds is newTail for a row in each lane, and what follows: the loss and, with grad, s q, pre and f. What stands before q^gamma
// is one long chain for each vector, and so is what stands behind: they are interleaved.
func rowEnds(m machine, x [][]vec, args lossArgs, grad bool) [][]vec {
	abreast := func(f func(u int)) {
		var fs []func()
		for u := range x {
			fs = append(fs, func() { f(u) })
		}
		m.interleave(fs...)
	}
	m.unpark()
	n := len(x)
	ends, l, g, q, out := make([]tail, n), make([]vec, n), make([]vec, n), make([]vec, n), make([][]vec, n)
	abreast(func(u int) {
		end := newTail(m, x[u][0], x[u][1], x[u][2], x[u][3])
		nll, alpha, zero := end.nll, x[u][4], m.hold(m.f32(0))
		ends[u], q[u] = end, end.q
		l[u] = m.mul(alpha, nll)
		l[u] = m.park(m.drop(m.both(m.eq(zero, alpha), m.eq(nll, nll)), l[u]))
		if grad {
			m.comment("1 + gamma p_t l / q")
			pt := end.pt(m)
			ratio := m.pick(m.eq(zero, q[u]), m.hold(m.f32(1)), m.div(nll, q[u]))
			c := m.drop(m.eq(pt, zero), m.mul(pt, ratio))
			g[u] = m.park(m.fma(m.broadcast(args.params, lossFields.factor), c, m.f32(1)))
		}
	})
	live := slices.Clone(l)
	if grad {
		for u, end := range ends {
			live = append(live, g[u], q[u], end.sum)
		}
	}
	f := focus(m, args, q, false, live...)
	abreast(func(u int) {
		m.comment("loss = (alpha l) q^gamma")
		loss := m.hold(l[u])
		loss = m.pick(m.le(loss, m.u32(0x7f7fffff)), m.mul(loss, f[u]), loss)
		out[u] = []vec{m.umin(loss, m.u32(nanBits))}
		if grad {
			m.comment("s q, pre and f")
			sq := m.mul(m.mul(m.broadcast(args.scale, 0), m.mul(m.mul(x[u][4], f[u]), g[u])), q[u])
			pre, factor := ends[u].share(m, sq)
			out[u] = append(out[u], canonical(m, m.xor(sq, m.u32(1<<31))), pre, factor)
		}
	})
	return out
}

const (
	gapMax    = coef.GapMax
	gradSplit = coef.GradSplit
)

// power2 is 2^k for integers -126 <= k <= 127.
func power2(m machine, k vec) vec { return m.shl(m.iadd(k, m.u32(127)), 23) }

// rowEndKernel finishes rows whose logits have been summed. A single one is read and written word by word, as it was written
// just before: a vector that reaches over such words would wait until they are in the cache.
func rowEndKernel(m machine, grad bool) {
	var args lossArgs
	ins := []int{rowSumField, rowNField, rowMostField, rowTargetField, rowWeightField}
	outs := at0("losses")
	if grad {
		for _, offset := range []int{rowTargetField, rowWeightField, rowSumField} {
			outs = append(outs, place{param: "sums", offset: offset})
		}
	}
	rows := elementwise{
		outs: outs, unroll: 2, fill: []float32{1, 0, 0, 0, 1},
		prologue: func(m machine) { args = loadLossArgs(m, grad) },
		steps:    func(m machine, x [][]vec, _ string) [][]vec { return rowEnds(m, x, args, grad) },
	}
	for _, offset := range ins {
		rows.ins = append(rows.ins, place{param: "sums", offset: offset})
	}
	m.jumpIfLess(m.param("n"), 2, "sole")
	rows.emit(m)

	m.label("sole")
	var x []vec
	for _, offset := range ins {
		x = append(x, m.broadcast(m.param("sums"), offset))
	}
	rows.prologue(m)
	for i, y := range rowEnds(m, [][]vec{x}, args, grad)[0] {
		m.storeFirst(m.param(outs[i].param), outs[i].offset, y)
	}
	m.ret()
}
