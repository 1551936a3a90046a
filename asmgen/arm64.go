package main

import (
	"math"
	"math/bits"
	"slices"
	"strconv"

	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// arm64 is the machine on NEON: registers of 4 lanes, and masks that are vectors of all-ones lanes. Ends of slices are
// loaded and stored by the bits of their length. No instruction reads a vector from memory, so constants that have no
// register of their own are loaded where they are used; the addend of an FMA always is, because the FMA overwrites it
// and a load costs nothing that a move would not.
//
// avo knows x86 alone, but its liveness analysis and its register allocation serve here: avo's X0 to X31 stand for V0
// to V31, and its general-purpose registers for R0 to R15. toGo writes the instructions of arm64Ops as Go's assembler
// takes them.
type arm64 struct {
	builder
	// known has what the straight line of code up to here has computed or loaded already.
	known map[any]operand.Op
	pairs int // tables of two registers that have their own
	// together is the property; tried says that the function asked what it does.
	together int
	tried    bool
	bases    map[string]gp // the registers that hold the addresses of data
}

var _ machine = (*arm64)(nil)

func newARM64(p *pool) *arm64 {
	m := &arm64{}
	m.pool, m.vecSpec, m.starting = p, reg.S128, m.start
	return m
}

func (m *arm64) properties() properties {
	return properties{lanes: 4, registers: 32, together: m.together}
}

// kernel emits one function.
func (m *arm64) kernel(name, signature string, emit func()) *ir.Function {
	// Four vectors together, or two where four cost so many constants their registers that the function grows by a
	// sixteenth.
	var best *ir.Function
	for _, m.together = range []int{4, 2} {
		m.tried = false
		fn := m.compile(name, signature, m.promoted, m.fetchTo, m.lower, m.registers(), emit)
		if best == nil || 16*len(fn.Instructions()) < 15*len(best.Instructions()) {
			best = fn
		}
		if !m.tried {
			break
		}
	}
	toGo(best)
	return best
}

// start forgets the function before.
func (m *arm64) start() {
	m.known, m.pairs, m.bases = map[any]operand.Op{}, 0, map[string]gp{}
}

// registers lists what the allocator may hand out: R0 to R15 without R4, which avo takes for a stack pointer, and all
// vector registers. So R18 (the platform's), R27 (the assembler's), R28 (g), R29 and R30 stay untouched.
func (m *arm64) registers() map[reg.Kind][]reg.Physical {
	rs := map[reg.Kind][]reg.Physical{}
	for _, r := range reg.GeneralPurpose.Registers() {
		if r.Size() == 8 && r != reg.RSP {
			rs[reg.KindGP] = append(rs[reg.KindGP], r)
		}
	}
	for _, r := range reg.Vector.Registers() {
		if r.Size() == m.vecSpec.Size() {
			rs[reg.KindVector] = append(rs[reg.KindVector], r)
		}
	}
	return rs
}

// Instructions

// do appends an instruction of arm64Ops.
func (m *arm64) do(op string, operands ...operand.Op) {
	m.fn.AddInstruction(instruction(op, operands...))
}

func instruction(op string, operands ...operand.Op) *ir.Instruction {
	o, ok := arm64Ops[op]
	if !ok {
		panic("no instruction " + op)
	}
	i := &ir.Instruction{
		Opcode: op, Operands: operands, Outputs: slices.Clone(operands[:o.results]), Inputs: slices.Clone(operands[o.results:]),
		IsBranch: o.branch, IsConditional: o.conditional, IsTerminal: op == "ret",
	}
	if o.updates {
		i.Inputs = slices.Clone(operands)
	}
	return i
}

// result appends an instruction with a new vector register as its result.
func (m *arm64) result(op string, sources ...operand.Op) vec {
	d := m.newVec()
	m.do(op, append([]operand.Op{d}, sources...)...)
	return vec{op: d}
}

func imm(n int) operand.Op { return operand.I64(n) }

func (m *arm64) gp() gp { return gp{m.regs.GP64()} }

// once is compute's result, or the one that an earlier call with the same key gave. Labels and whatever changes a register
// or memory make that forgotten.
func (m *arm64) once(key any, compute func() operand.Op) operand.Op {
	if _, ok := m.known[key]; !ok {
		m.known[key] = compute()
	}
	return m.known[key]
}

func (m *arm64) forget() { clear(m.known) }

// interleave lets no function use what another one has computed: that may come later now.
func (m *arm64) interleave(fs ...func()) {
	m.tried = true
	alone := make([]func(), len(fs))
	for i, f := range fs {
		alone[i] = func() {
			m.forget()
			f()
		}
	}
	m.builder.interleave(alone...)
	m.forget()
}

// Operands

// base is a register with the address of a symbol, set where the function begins.
func (m *arm64) base(symbol string) gp {
	if _, ok := m.bases[symbol]; !ok {
		m.bases[symbol] = m.gp()
		i := instruction("address", m.bases[symbol].r, operand.NewDataAddr(operand.NewStaticSymbol(symbol), 0))
		m.fn.Nodes = slices.Insert(m.fn.Nodes, 0, ir.Node(i))
	}
	return m.bases[symbol]
}

func (m *arm64) place(k *constant) operand.Mem { return at(m.base(k.symbol), k.offset) }

// Registers of avo's V0 to V31 that a table of two registers stands in: the ones from the end that load afresh, below
// them those of tables that keep their registers.
func pairFromEnd(n int) [2]operand.Op {
	r := func(i int) operand.Op { return reg.Vector.Lookup(reg.Index(i), reg.S128) }
	return [2]operand.Op{r(30 - 2*n), r(31 - 2*n)}
}

// promoted is the register for a constant that is kept, a pair's first one.
func (m *arm64) promoted(k *constant) operand.Op {
	if k.table && k.size == 32 {
		m.pairs++
		return pairFromEnd(m.pairs)[0]
	}
	return m.newVec()
}

// fetchTo loads a constant into its register.
func (m *arm64) fetchTo(k *constant, d operand.Op) {
	if k.table && k.size == 32 {
		first := int(d.(reg.Physical).PhysicalIndex())
		pair := pairFromEnd((30 - first) / 2)
		m.do("ldp", pair[0], pair[1], m.place(k))
		return
	}
	m.do("ldr", d, m.place(k))
}

// cold and reload: 32 registers are enough for constants everywhere.
func (m *arm64) cold(f func()) { f() }
func (m *arm64) reload()       {}

func (m *arm64) fetch(k *constant) operand.Op { return m.result("ldr", m.place(k)).op }

// inRegister is a as a register.
func (m *arm64) inRegister(a vec) operand.Op {
	if k := a.konst; k != nil {
		if k.zero {
			return m.result("zero").op // costs nothing, so it is never kept
		}
		m.use(k, true)
		if k.register != nil {
			return k.register
		}
		return m.fetch(k)
	}
	return a.op
}

// copied is a new register with a, to be overwritten.
func (m *arm64) copied(a vec) operand.Op {
	d := m.newVec()
	m.copyTo(d, a)
	return d
}

func (m *arm64) copyTo(d operand.Op, a vec) {
	switch {
	case a.konst == nil:
		m.do("VMOV", d, m.inRegister(a))
	case a.konst.zero:
		m.do("zero", d)
	default:
		m.do("ldr", d, m.place(a.konst))
	}
}

// is reports whether a is the constant with these bits.
func (m *arm64) is(a vec, bits uint32) bool {
	return a.konst != nil && a.konst == m.pool.constants[bits]
}

func (m *arm64) unary(op string, a vec) vec { return m.result(op, m.inRegister(a)) }

func (m *arm64) binary(op string, a, b vec) vec {
	x := m.inRegister(a)
	return m.result(op, x, m.inRegister(b))
}

// Floating point

func (m *arm64) add(a, b vec) vec { return m.binary("fadd", a, b) }
func (m *arm64) sub(a, b vec) vec { return m.binary("fsub", a, b) }
func (m *arm64) mul(a, b vec) vec { return m.binary("fmul", a, b) }
func (m *arm64) div(a, b vec) vec { return m.binary("fdiv", a, b) }
func (m *arm64) sqrt(a vec) vec   { return m.unary("fsqrt", a) }
func (m *arm64) float(a vec) vec  { return m.unary("scvtf", a) }

func (m *arm64) fma(a, b, c vec) vec  { return m.fused("fmla", a, b, c) }
func (m *arm64) fnma(a, b, c vec) vec { return m.fused("fmls", a, b, c) }
func (m *arm64) fms(a, b, c vec) vec  { return m.fused("fmla", a, b, m.unary("fneg", c)) }

// fused emits an FMA, which overwrites its addend. A factor that is the addend is read from the copy, so that nobody
// needs the original.
func (m *arm64) fused(op string, a, b, c vec) vec {
	d := vec{op: m.copied(c)}
	if a == c {
		a = d
	}
	if b == c {
		b = d
	}
	x := m.inRegister(a)
	m.do(op, d.op, x, m.inRegister(b))
	return d
}

// FMIN and FMAX differ from min and max where both are zeros, and in NaNs: they are NaN where either is. Neither shows
// where a is a constant, no zero and no NaN.
func (m *arm64) min(a, b vec) vec {
	if m.isNumber(a) {
		return m.binary("fmin", a, b)
	}
	return m.pick(m.lt(a, b), a, b)
}

func (m *arm64) max(a, b vec) vec {
	if m.isNumber(a) {
		return m.binary("fmax", a, b)
	}
	return m.pick(m.lt(b, a), a, b)
}

func (m *arm64) isNumber(a vec) bool {
	if a.konst == nil {
		return false
	}
	v := math.Float32frombits(a.konst.bits)
	return v == v && v != 0
}

// Integers

func (m *arm64) iadd(a, b vec) vec { return m.binary("add", a, b) }
func (m *arm64) isub(a, b vec) vec { return m.binary("sub", a, b) }
func (m *arm64) umin(a, b vec) vec { return m.binary("umin", a, b) }
func (m *arm64) smin(a, b vec) vec { return m.binary("smin", a, b) }
func (m *arm64) smax(a, b vec) vec { return m.binary("smax", a, b) }
func (m *arm64) or(a, b vec) vec   { return m.binary("orr", a, b) }
func (m *arm64) xor(a, b vec) vec  { return m.binary("eor", a, b) }

func (m *arm64) andnot(a, b vec) vec { return m.binary("bic", b, a) }

func (m *arm64) and(a, b vec) vec {
	if m.is(b, 0x7fffffff) {
		return m.unary("fabs", a)
	}
	return m.binary("and", a, b)
}

func (m *arm64) shl(a vec, n int) vec { return m.result("shl", m.inRegister(a), imm(n)) }
func (m *arm64) shr(a vec, n int) vec { return m.result("ushr", m.inRegister(a), imm(n)) }
func (m *arm64) sar(a vec, n int) vec { return m.result("sshr", m.inRegister(a), imm(n)) }

// Tables

// TBL looks up bytes, so an index of bytes is made of the index of words: the word's lowest byte in each of its bytes
// (spreadBytes), its lowest bits put into a pattern that tells the bytes of a word apart. The table has the first bytes
// of all entries first, then the second ones and so on.
var spreadBytes = []uint32{0x00000000, 0x04040404, 0x08080808, 0x0c0c0c0c}

func (m *arm64) lookup(t table, a vec) vec {
	n := len(t.entries)
	if n != 4 && n != 8 {
		m.fatal("table %s has %d entries", t.name, n)
	}
	source := m.inRegister(a)
	type key struct {
		a operand.Op
		n int
	}
	index := m.once(key{source, n}, func() operand.Op {
		spread := m.inRegister(m.constant(m.pool.block("spread_bytes", spreadBytes)))
		low := m.result("tbl", source, spread).op
		d := m.copied(m.u32(0x03020100 * uint32(n)))
		m.do("bit", d, low, m.inRegister(m.u32(0x01010101*uint32(n-1))))
		return d
	})
	bytes := make([]byte, 4*n)
	for j, e := range t.entries {
		for k := range 4 {
			bytes[k*n+j] = byte(e >> (8 * k))
		}
	}
	words := make([]uint32, n)
	for i := range words {
		words[i] = uint32(bytes[4*i]) | uint32(bytes[4*i+1])<<8 | uint32(bytes[4*i+2])<<16 | uint32(bytes[4*i+3])<<24
	}
	k := m.pool.block(t.name, words)
	if n == 4 {
		return m.result("tbl", m.inRegister(m.constant(k)), index)
	}
	m.use(k, true)
	pair := pairFromEnd(0)
	if k.register != nil {
		first := int(k.register.(reg.Physical).PhysicalIndex())
		pair = pairFromEnd((30 - first) / 2)
	} else {
		m.do("ldp", pair[0], pair[1], m.place(k))
	}
	return m.result("tbl2", pair[0], pair[1], index)
}

// Comparisons

func (m *arm64) lt(a, b vec) mask { return m.greater("f", b, a) }

// greater is a > b for floats (kind "f") or signed integers (""); a comparison with 0 needs no register for it.
func (m *arm64) greater(kind string, a, b vec) mask {
	switch {
	case m.is(b, 0):
		return mask{op: m.unary(kind+"cmgt0", a).op}
	case m.is(a, 0):
		return mask{op: m.unary(kind+"cmlt0", b).op}
	}
	return mask{op: m.binary(kind+"cmgt", a, b).op}
}

func (m *arm64) le(a, b vec) mask { return mask{op: m.binary("fcmge", b, a).op} }

func (m *arm64) eq(a, b vec) mask {
	if m.is(b, 0) {
		return mask{op: m.unary("fcmeq0", a).op}
	}
	return mask{op: m.binary("fcmeq", a, b).op}
}

func (m *arm64) unordered(a, b vec) mask {
	k := m.eq(a, a)
	if a != b {
		k = m.both(k, m.eq(b, b))
	}
	k.not = true
	return k
}

func (m *arm64) igt(a, b vec) mask { return m.greater("", a, b) }

func (m *arm64) ieq(a, b vec) mask { return mask{op: m.binary("cmeq", a, b).op} }

// both and either: where one of the masks is the opposite of its register, it goes second; where both are, the result is
// the opposite of the other operation's.
func (m *arm64) both(a, b mask) mask   { return m.combine("and", "bic", "orr", a, b) }
func (m *arm64) either(a, b mask) mask { return m.combine("orr", "orn", "and", a, b) }

func (m *arm64) combine(plain, opposite, dual string, a, b mask) mask {
	switch {
	case a.not && b.not:
		return mask{op: m.result(dual, a.op, b.op).op, not: true}
	case a.not:
		return mask{op: m.result(opposite, b.op, a.op).op}
	case b.not:
		return mask{op: m.result(opposite, a.op, b.op).op}
	}
	return mask{op: m.result(plain, a.op, b.op).op}
}

// pick loads the operand that is a constant and overwrites it; else lower finds one that nobody needs.
func (m *arm64) pick(k mask, a, b vec) vec {
	if k.not {
		a, b, k.not = b, a, false
	}
	switch {
	case m.is(b, 0):
		return m.keep(k, a)
	case m.is(a, 0):
		return m.drop(k, b)
	case b.konst != nil:
		x, d := m.inRegister(a), m.copied(b)
		m.do("bit", d, x, k.op)
		return vec{op: d}
	case a.konst != nil:
		x, d := m.inRegister(b), m.copied(a)
		m.do("bif", d, x, k.op)
		return vec{op: d}
	}
	x := m.inRegister(a)
	return m.result("pick", k.op, x, m.inRegister(b))
}

func (m *arm64) keep(k mask, a vec) vec {
	if k.not {
		return m.result("bic", m.inRegister(a), k.op)
	}
	return m.result("and", m.inRegister(a), k.op)
}

func (m *arm64) drop(k mask, a vec) vec {
	k.not = !k.not
	return m.keep(k, a)
}

func (m *arm64) pickNegative(x, a, b vec) vec {
	source := m.inRegister(x)
	type key struct{ negative operand.Op }
	k := m.once(key{source}, func() operand.Op { return m.result("cmlt0", source).op })
	return m.pick(mask{op: k}, a, b)
}

// lower replaces the pseudo-instruction pick.
func (m *arm64) lower(fn *ir.Function) {
	var nodes []ir.Node
	for _, n := range fn.Nodes {
		i, ok := n.(*ir.Instruction)
		if !ok || i.Opcode != "pick" {
			nodes = append(nodes, n)
			continue
		}
		d, k, a, b := i.Operands[0], i.Operands[1], i.Operands[2], i.Operands[3]
		dead := func(op operand.Op) bool {
			_, live := i.LiveOut[op.(reg.Register).ID()]
			return !live
		}
		overwrite := func(source operand.Op, op string, x, y operand.Op) {
			nodes = append(nodes, instruction("VMOV", d, source), instruction(op, d, x, y))
		}
		switch {
		case dead(a) && !dead(b):
			overwrite(a, "bif", b, k)
		case dead(k) && !dead(b):
			overwrite(k, "bsl", a, b)
		default:
			overwrite(b, "bit", a, k)
		}
	}
	fn.Nodes = nodes
}

// Exponents: no property scale.

func (m *arm64) scalef(a, n vec) vec { m.fatal("no scalef"); return vec{} }
func (m *arm64) getexp(a vec) vec    { m.fatal("no getexp"); return vec{} }
func (m *arm64) getmant(a vec) vec   { m.fatal("no getmant"); return vec{} }

// Registers and memory

func (m *arm64) variable(a vec) vec {
	v := vec{op: m.newVec()}
	m.set(v, a)
	return v
}

func (m *arm64) set(v, a vec) {
	m.copyTo(v.op, a)
	m.forget()
}

func (m *arm64) hold(a vec) vec { return vec{op: m.inRegister(a)} }

func (m *arm64) broadcast(p gp, offset int) vec {
	type key struct {
		broadcast operand.Mem
	}
	mem := at(p, offset)
	return vec{op: m.once(key{mem}, func() operand.Op {
		return m.result("dup", m.result("ldr.s", mem).op).op
	})}
}

func (m *arm64) field(p gp, offset int) gp {
	d := m.gp()
	m.do("load", d.r, at(p, offset))
	return d
}

func (m *arm64) offset(p gp, by int) gp {
	d := m.gp()
	m.do("add3", d.r, p.r, imm(by))
	return d
}

// aside and park: 32 registers are enough.
func (m *arm64) aside(values []vec, f func()) { f() }
func (m *arm64) park(v vec) vec               { return v }
func (m *arm64) unpark()                      {}

func (m *arm64) load(p gp, offset int) vec { return m.result("ldr", at(p, offset)) }

func (m *arm64) store(p gp, offset int, a vec) {
	m.do("str", m.inRegister(a), at(p, offset))
	m.forget()
}

func (m *arm64) prefetch(p gp, offset int) { m.do("prfm", at(p, offset)) }

func (m *arm64) loadWords(p gp, offset int) vec {
	return m.result("ushll.4h", m.result("ldr.d", at(p, offset)).op)
}

func (m *arm64) storeWords(p gp, offset int, a vec) {
	m.do("str.d", m.result("xtn.4h", m.inRegister(a)).op, at(p, offset))
	m.forget()
}

func (m *arm64) loadFloat16(p gp, offset int) vec {
	return m.result("fcvtl.4h", m.result("ldr.d", at(p, offset)).op)
}

func (m *arm64) storeFloat16(p gp, offset int, a vec) {
	m.do("str.d", m.result("fcvtn.4h", m.inRegister(a)).op, at(p, offset))
	m.forget()
}

func (m *arm64) part(n gp) part { return part{n: n} }

// partly runs one of four ways, by the number of lanes: whole for 4 and more, pair for 2 and 3, then third for 3, and
// first for 1. pair moves the pointer along.
func (m *arm64) partly(k part, p gp, offset int, whole func(), pair, third, first func(q gp)) {
	m.labels++
	name := func(s string) string { return "part" + s + strconv.Itoa(m.labels) }
	one, done := name("one"), name("done")
	q := m.offset(p, offset)
	m.jumpIfLess(k.n, 4, name("less"))
	whole()
	m.jump(done)
	m.label(name("less"))
	m.do("tbz", operand.LabelRef(one), imm(1), k.n.r)
	pair(q)
	m.do("tbz", operand.LabelRef(done), imm(0), k.n.r)
	third(q)
	m.jump(done)
	m.label(one)
	m.do("tbz", operand.LabelRef(done), imm(0), k.n.r)
	first(q)
	m.label(done)
}

func (m *arm64) loadPart(k part, p gp, offset int, fill vec) vec {
	d := m.copied(fill)
	m.partly(k, p, offset,
		func() { m.do("ldr", d, at(p, offset)) },
		func(q gp) { m.do("ld1.d", d, q.r, imm(0)) },
		func(q gp) { m.do("ld1.s", d, q.r, imm(2)) },
		func(q gp) { m.do("ld1.s", d, q.r, imm(0)) })
	return vec{op: d}
}

// laneNumbers4 numbers the lanes of a vector.
var laneNumbers4 = table{"lane_numbers4", []uint32{0, 1, 2, 3}}

func (m *arm64) keepPart(k part, a vec) vec {
	return m.keep(m.igt(m.broadcastCount(k.n), m.loadTable(laneNumbers4, 0)), a)
}

func (m *arm64) storePieces(k part, p gp, offset int, a vec) { m.storePart(k, p, offset, a) }

func (m *arm64) storePart(k part, p gp, offset int, a vec) {
	v := m.inRegister(a)
	m.partly(k, p, offset,
		func() { m.do("str", v, at(p, offset)) },
		func(q gp) { m.do("st1.d", q.r, v, imm(0)) },
		func(q gp) { m.do("st1.s", q.r, v, imm(2)) },
		func(q gp) { m.do("st1.s", q.r, v, imm(0)) })
}

// rowAddresses are the addresses of four rows.
func (m *arm64) rowAddresses(p, stride gp) []gp {
	rows := []gp{p}
	for range 3 {
		rows = append(rows, m.sum(rows[len(rows)-1], stride))
	}
	return rows
}

func (m *arm64) loadColumns(p, stride gp, width int) []vec {
	var rows []operand.Op
	for _, q := range m.rowAddresses(p, stride) {
		d := m.newVec()
		if width == 4 {
			m.do("ldr", d, at(q, 0))
		} else {
			m.do("ldr.d", d, at(q, 0))
		}
		if width == 3 {
			m.do("ld1.s", d, m.offset(q, 8).r, imm(2))
		}
		rows = append(rows, d)
	}
	return m.transpose(rows, width)
}

// transpose is the first width columns of four rows.
func (m *arm64) transpose(r []operand.Op, width int) []vec {
	var columns []vec
	for _, half := range []string{"zip1", "zip2"}[:(width+1)/2] {
		a, b := m.result(half, r[0], r[1]).op, m.result(half, r[2], r[3]).op
		columns = append(columns, m.result("zip1.2d", a, b), m.result("zip2.2d", a, b))
	}
	return columns[:width]
}

func (m *arm64) storeColumns(p, stride gp, columns []vec) {
	width, r := len(columns), fourRegisters(m.inRegister, columns)
	addresses := m.rowAddresses(p, stride)
	for i, row := range m.transpose(r, 4) {
		q := addresses[i]
		if width == 4 {
			m.do("str", row.op, at(q, 0))
		} else {
			m.do("str.d", row.op, at(q, 0))
		}
		if width == 3 {
			m.do("st1.s", m.offset(q, 8).r, row.op, imm(2))
		}
	}
	m.forget()
}

func (m *arm64) swapped(v vec, h int) vec {
	a := m.inRegister(v)
	if h == 2 {
		return m.result("ext", a, a, imm(8))
	}
	return m.result("rev64", a)
}

func (m *arm64) storeFirst(p gp, offset int, v vec) {
	m.do("str.s", m.inRegister(v), at(p, offset))
	m.forget()
}

func (m *arm64) loadInt32(p gp, offset int) gp {
	d := m.gp()
	m.do("load32", d.r, at(p, offset))
	return d
}

func (m *arm64) copyWord(to, from gp) {
	d := m.loadInt32(from, 0)
	m.do("store32", d.r, at(to, 0))
	m.forget()
}

func (m *arm64) storeWord(p gp, offset int, bits uint32) {
	d := m.count(int(bits))
	m.do("store32", d.r, at(p, offset))
	m.forget()
}

func (m *arm64) increment(p gp) {
	d := m.field(p, 0)
	m.advance(d, 1)
	m.do("store", d.r, at(p, 0))
	m.forget()
}

func (m *arm64) indexed(p, i gp) gp {
	d := m.gp()
	m.do("add4", d.r, p.r, i.r)
	return d
}

func (m *arm64) quadruple(n gp) { m.times(n, 4) }

func (m *arm64) times(n gp, by int) {
	m.do("lsl", n.r, n.r, imm(bits.TrailingZeros(uint(by))))
	m.forget()
}

func (m *arm64) sum(a, b gp) gp {
	d := m.gp()
	m.do("addr", d.r, a.r, b.r)
	return d
}

func (m *arm64) product(a, b gp) gp {
	d := m.gp()
	m.do("mul", d.r, a.r, b.r)
	return d
}

func (m *arm64) broadcastCount(n gp) vec { return m.result("dup.r", n.r) }

func (m *arm64) notNegative(n gp) gp {
	d := m.gp()
	m.do("cmp", n.r, imm(0))
	m.do("zero.lt", d.r, n.r)
	return d
}

func (m *arm64) atMost(n gp, limit int) gp {
	d, l := m.gp(), m.count(limit)
	m.do("cmpr", n.r, l.r)
	m.do("csel.hi", d.r, l.r, n.r)
	return d
}

func (m *arm64) excess(n gp, by int) gp {
	d := m.gp()
	m.do("subs3", d.r, n.r, imm(by))
	m.do("zero.lt", d.r, d.r)
	return d
}

func (m *arm64) loadTable(t table, at int) vec {
	k := m.pool.block(t.name, t.entries)
	return m.result("ldr", m.place(k).Offset(4*at))
}

func (m *arm64) wordBefore(t table, at int, n gp) gp {
	start, d := m.gp(), m.gp()
	m.do("address", start.r, m.pool.words(t.name, t.entries).mem().Offset(4*at))
	m.do("sub4", d.r, start.r, n.r)
	return d
}

// Doubles

// widened is a vector's lanes as float64, in two registers.
func (m *arm64) widened(v vec) [2]operand.Op {
	a := m.inRegister(v)
	return [2]operand.Op{m.result("fcvtl", a).op, m.result("fcvtl2", a).op}
}

// foldRest adds 16 lanes of float64 in 8 registers: (i, i+8), (i, i+4), (i, i+2), (i, i+1).
func (m *arm64) foldRest(d []operand.Op) vec {
	for h := len(d) / 2; h > 0; h /= 2 {
		for i := range h {
			m.do("fadd.2d", d[i], d[i], d[i+h])
		}
	}
	return m.result("faddp", d[0])
}

func (m *arm64) columnFold(p gp, columns int, wide bool) vec {
	var sums [2]operand.Op
	for h, widen := range []string{"fcvtl", "fcvtl2"} {
		var d []operand.Op
		for c := range columns {
			if wide {
				d = append(d, m.result("ldr", at(p, 16*(2*c+h))).op)
			} else {
				d = append(d, m.result(widen, m.result("ldr", at(p, 16*c)).op).op)
			}
		}
		for n := 8; n > 0; n /= 2 { // (i, i+8), (i, i+4), (i, i+2), (i, i+1)
			for i := n; i < min(2*n, len(d)); i++ {
				m.do("fadd.2d", d[i-n], d[i-n], d[i])
			}
		}
		sums[h] = d[0]
	}
	sum := m.result("fcvtn", sums[0])
	m.do("fcvtn2", sum.op, sums[1])
	return sum
}

func (m *arm64) laneSums() laneSums { return m.zeros(rowTile / 2) }

func (m *arm64) columnSum() laneSums { return m.zeros(2) }

func (m *arm64) zeros(n int) (d laneSums) {
	for range n {
		d = append(d, m.variable(m.u32(0)).op)
	}
	return d
}

func (m *arm64) laneSumsAdd(d laneSums, tile []vec) {
	for u, v := range tile {
		for i, r := range m.widened(v) {
			m.do("fadd.2d", d[2*u+i], d[2*u+i], r)
		}
	}
}

func (m *arm64) laneSumsValue(d laneSums) vec { return m.result("fcvt", m.foldRest(d).op) }

func (m *arm64) laneSumsFold(d laneSums, p gp) { m.do("str.d", m.foldRest(d).op, at(p, 0)) }

// Control flow

func (m *arm64) label(name string) {
	m.forget()
	m.builder.label(name)
}

func (m *arm64) param(name string) gp {
	d := m.gp()
	m.do("load", d.r, m.paramAddress(name))
	return d
}

func (m *arm64) advanceParam(name string, by int) {
	d := m.param(name)
	m.advance(d, by)
	m.do("store", d.r, m.paramAddress(name))
}

func (m *arm64) advanceParamBy(name string, by gp) {
	d := m.param(name)
	m.do("addr", d.r, d.r, by.r)
	m.do("store", d.r, m.paramAddress(name))
}

func (m *arm64) jumpIfParam(name, label string) {
	m.do("cbnz", operand.LabelRef(label), m.param(name).r)
}

func (m *arm64) jump(name string) { m.do("b", operand.LabelRef(name)) }

func (m *arm64) jumpIfLess(n gp, limit int, name string) {
	m.do("cmp", n.r, imm(limit))
	m.do("b.lt", operand.LabelRef(name))
}

func (m *arm64) jumpIfAtLeast(n gp, limit int, name string) {
	m.do("cmp", n.r, imm(limit))
	m.do("b.ge", operand.LabelRef(name))
}

func (m *arm64) jumpIfAtMost(a, b gp, name string) {
	m.do("cmpr", a.r, b.r)
	m.do("b.le", operand.LabelRef(name))
}

func (m *arm64) jumpIfAny(k mask, name string) {
	if k.not {
		k.op = m.result("not", k.op).op
	}
	m.jumpIfBits(vec{op: k.op}, name)
}

func (m *arm64) jumpIfBits(a vec, name string) {
	v, bits := m.inRegister(a), m.gp()
	m.do("fmov", bits.r, m.result("umaxp", v, v).op)
	m.do("cbnz", operand.LabelRef(name), bits.r)
}

func (m *arm64) jumpUnlessZero(p gp, offset int, name string) {
	m.do("cbnzw", operand.LabelRef(name), m.loadInt32(p, offset).r)
}

func (m *arm64) count(n int) gp {
	c := m.gp()
	m.setCount(c, n)
	return c
}

func (m *arm64) setCount(n gp, v int) { m.do("mov.i", n.r, imm(v)); m.forget() }

func (m *arm64) copyOf(p gp) gp {
	c := m.gp()
	m.setCopy(c, p)
	return c
}

func (m *arm64) setCopy(p, q gp) { m.do("mov", p.r, q.r); m.forget() }

func (m *arm64) advance(p gp, by int) {
	if by < 0 {
		m.do("sub3", p.r, p.r, imm(-by))
	} else {
		m.do("add3", p.r, p.r, imm(by))
	}
	m.forget()
}

func (m *arm64) subtract(n, by gp) { m.do("subr", n.r, n.r, by.r); m.forget() }

func (m *arm64) ret() { m.do("ret") }
