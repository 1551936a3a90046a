package main

import (
	"math/bits"
	"slices"
	"strconv"

	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	"github.com/mmcloughlin/avo/x86"
)

// amd64 is the machine on AVX2 with FMA (YMM registers; masks are vectors of all-ones lanes; ends of slices go through
// VMASKMOVPS loads and stores by the bits of the length) and on AVX-512 (ZMM registers and opmasks).
type amd64 struct {
	builder
	wide bool // AVX-512
}

var _ machine = (*amd64)(nil)

func newAMD64(p *pool, wide bool) *amd64 {
	m := &amd64{wide: wide}
	m.pool, m.vecSpec, m.scarce = p, reg.S256, !wide
	if wide {
		m.vecSpec = reg.S512
	}
	return m
}

func (m *amd64) properties() properties {
	if m.wide {
		return properties{lanes: 16, registers: 32, scale: true, table16: true}
	}
	return properties{lanes: 8, registers: 16}
}

// kernel emits one function.
func (m *amd64) kernel(name, signature string, emit func()) *ir.Function {
	return m.compile(name, signature, func(*constant) operand.Op { return m.newVec() }, m.fetchTo, m.lower, m.registers(), emit)
}

// registers lists what the allocator may hand out. SP and BP hold the stack and frame; R14 is g and R15 the GOT's
// address in dynamically linked code. K0 cannot predicate.
func (m *amd64) registers() map[reg.Kind][]reg.Physical {
	rs := map[reg.Kind][]reg.Physical{reg.KindOpmask: {reg.K1, reg.K2, reg.K3, reg.K4, reg.K5, reg.K6, reg.K7}}
	for _, r := range reg.GeneralPurpose.Registers() {
		if r.Size() == 8 && r != reg.RSP && r != reg.RBP && r != reg.R14 && r != reg.R15 {
			rs[reg.KindGP] = append(rs[reg.KindGP], r)
		}
	}
	for _, r := range reg.Vector.Registers() {
		if r.Size() == m.vecSpec.Size() && (m.wide || r.PhysicalIndex() < 16) {
			rs[reg.KindVector] = append(rs[reg.KindVector], r)
		}
	}
	return rs
}

// Operands

// fetch loads a constant.
func (m *amd64) fetch(k *constant) operand.Op {
	d := m.newVec()
	m.fetchTo(k, d)
	return d
}

func (m *amd64) fetchTo(k *constant, d operand.Op) {
	if k.table || !m.wide { // constants are in memory eight times
		m.emit(x86.VMOVUPS(k.mem(), d))
	} else {
		m.emit(x86.VBROADCASTSS(k.mem(), d))
	}
}

// inRegister is a as a register.
func (m *amd64) inRegister(a vec) operand.Op {
	if k := a.konst; k != nil {
		if k.zero {
			return m.zero()
		}
		m.use(k, true)
		if r := m.promotedTo(k); r != nil {
			return r
		}
		return m.fetch(k)
	}
	if !operand.IsRegister(a.op) {
		d := m.newVec()
		m.emit(x86.VMOVUPS(a.op, d))
		return d
	}
	return a.op
}

// zero is a register of zeros: made by an instruction that costs nothing, and so never kept.
func (m *amd64) zero() operand.Op {
	d := m.newVec()
	if m.wide {
		m.emit(writesAll(x86.VPXORD(d, d, d)))
	} else {
		m.emit(x86.VPXOR(d, d, d))
	}
	return d
}

// anywhere is a as a register or as memory, for an operand that may be either.
func (m *amd64) anywhere(a vec) operand.Op {
	if k := a.konst; k != nil {
		if k.zero {
			return m.zero()
		}
		m.use(k, false)
		if r := m.promotedTo(k); r != nil {
			return r
		}
	}
	return a.op
}

func (m *amd64) inMemory(a vec) bool {
	if a.konst != nil {
		return m.promotedTo(a.konst) == nil && !a.konst.zero
	}
	return !operand.IsRegister(a.op)
}

// broadcasts reports whether op is a constant that an AVX-512 operand must broadcast.
func (m *amd64) broadcasts(op operand.Op) bool {
	mem, ok := op.(operand.Mem)
	return m.wide && ok && mem.Symbol.Name == constSymbol
}

type constructor func(...operand.Op) (*ir.Instruction, error)

// An instruction that may read its first operand from memory: as it is, and with a broadcast (AVX-512).
type opcode struct{ plain, broadcast constructor }

// binary emits d = a op b; b may be memory.
func (m *amd64) binary(o opcode, a, b vec) vec {
	d := m.newVec()
	src, other := m.anywhere(b), m.inRegister(a)
	if m.broadcasts(src) {
		m.emit(o.broadcast(src, other, d))
	} else {
		m.emit(o.plain(src, other, d))
	}
	return vec{op: d}
}

// commutative is binary for operations in which the order does not show.
func (m *amd64) commutative(o opcode, a, b vec) vec {
	if m.inMemory(a) && !m.inMemory(b) {
		a, b = b, a
	}
	return m.binary(o, a, b)
}

// logic emits a bitwise operation, which AVX2 and AVX-512 name differently.
func (m *amd64) logic(narrow constructor, wide opcode, a, b vec) vec {
	if m.wide {
		return m.commutative(wide, a, b)
	}
	return m.commutative(opcode{narrow, narrow}, a, b)
}

func fixed3(f func(a, b, c operand.Op) (*ir.Instruction, error)) constructor {
	return func(ops ...operand.Op) (*ir.Instruction, error) { return f(ops[0], ops[1], ops[2]) }
}

// Floating point

func (m *amd64) add(a, b vec) vec { return m.commutative(opcode{x86.VADDPS, x86.VADDPS_BCST}, a, b) }
func (m *amd64) sub(a, b vec) vec { return m.binary(opcode{x86.VSUBPS, x86.VSUBPS_BCST}, a, b) }
func (m *amd64) mul(a, b vec) vec { return m.commutative(opcode{x86.VMULPS, x86.VMULPS_BCST}, a, b) }
func (m *amd64) div(a, b vec) vec { return m.binary(opcode{x86.VDIVPS, x86.VDIVPS_BCST}, a, b) }
func (m *amd64) min(a, b vec) vec { return m.binary(opcode{x86.VMINPS, x86.VMINPS_BCST}, a, b) }
func (m *amd64) max(a, b vec) vec { return m.binary(opcode{x86.VMAXPS, x86.VMAXPS_BCST}, a, b) }

func (m *amd64) sqrt(a vec) vec {
	d := m.newVec()
	m.emit(x86.VSQRTPS(m.inRegister(a), d))
	return vec{op: d}
}

func (m *amd64) float(a vec) vec {
	d := m.newVec()
	m.emit(x86.VCVTDQ2PS(m.inRegister(a), d))
	return vec{op: d}
}

// fma, fnma and fms are emitted as pseudo-instructions: lower picks the form that overwrites an operand nobody needs.
const (
	fmaOp  = "FMA"
	fnmaOp = "FNMA"
	fmsOp  = "FMS"
)

func (m *amd64) fma(a, b, c vec) vec  { return m.fused(fmaOp, a, b, c) }
func (m *amd64) fnma(a, b, c vec) vec { return m.fused(fnmaOp, a, b, c) }
func (m *amd64) fms(a, b, c vec) vec  { return m.fused(fmsOp, a, b, c) }

func (m *amd64) fused(op string, a, b, c vec) vec {
	// At most one operand can be memory: the addend if it is, else b. A factor that is loaded is overwritten next.
	if m.inMemory(a) && !m.inMemory(b) {
		a, b = b, a
	}
	operands := []operand.Op{nil, m.fusedOperand(a, false), m.fusedOperand(b, !m.inMemory(c)), m.fusedOperand(c, true)}
	d := m.newVec()
	operands[0] = d
	m.fn.AddInstruction(&ir.Instruction{Opcode: op, Operands: operands, Inputs: operands[1:], Outputs: []operand.Op{d}})
	return vec{op: d}
}

func (m *amd64) fusedOperand(a vec, memory bool) operand.Op {
	if memory || !m.inMemory(a) {
		return m.anywhere(a)
	}
	if a.konst != nil {
		m.use(a.konst, false)
		return m.fetch(a.konst)
	}
	return m.inRegister(a)
}

// The FMA forms, in the order that Go writes operands: VFMADD213PS c, b, a is a = b*a + c; VFMADD231PS b, a, c is
// c = a*b + c; VFMADD132PS b, c, a is a = a*b + c.
var fusedForms = map[string]struct{ f132, f213, f231 opcode }{
	fmaOp: {
		opcode{x86.VFMADD132PS, x86.VFMADD132PS_BCST},
		opcode{x86.VFMADD213PS, x86.VFMADD213PS_BCST},
		opcode{x86.VFMADD231PS, x86.VFMADD231PS_BCST},
	},
	fnmaOp: {
		opcode{x86.VFNMADD132PS, x86.VFNMADD132PS_BCST},
		opcode{x86.VFNMADD213PS, x86.VFNMADD213PS_BCST},
		opcode{x86.VFNMADD231PS, x86.VFNMADD231PS_BCST},
	},
	fmsOp: {
		opcode{x86.VFMSUB132PS, x86.VFMSUB132PS_BCST},
		opcode{x86.VFMSUB213PS, x86.VFMSUB213PS_BCST},
		opcode{x86.VFMSUB231PS, x86.VFMSUB231PS_BCST},
	},
}

// lower replaces the pseudo-instructions.
func (m *amd64) lower(fn *ir.Function) {
	var nodes []ir.Node
	add := func(i *ir.Instruction, err error) {
		if err != nil {
			m.fatal("%v", err)
		}
		nodes = append(nodes, i)
	}
	for _, n := range fn.Nodes {
		i, ok := n.(*ir.Instruction)
		if !ok {
			nodes = append(nodes, n)
			continue
		}
		form, ok := fusedForms[i.Opcode]
		if !ok {
			nodes = append(nodes, n)
			continue
		}
		d, a, b, c := i.Operands[0], i.Operands[1], i.Operands[2], i.Operands[3]
		dead := func(op operand.Op) bool {
			r, ok := op.(reg.Register)
			if !ok {
				return false
			}
			_, live := i.LiveOut[r.ID()]
			return !live
		}
		emit := func(o opcode, overwritten, second, first operand.Op) {
			if overwritten != d {
				add(x86.VMOVAPS(overwritten, d))
			}
			if m.broadcasts(first) {
				add(o.broadcast(first, second, d))
			} else {
				add(o.plain(first, second, d))
			}
		}
		switch {
		case !operand.IsRegister(c):
			if !dead(a) && dead(b) {
				a, b = b, a
			}
			emit(form.f213, a, b, c)
		case !operand.IsRegister(b):
			if dead(a) && !dead(c) {
				emit(form.f132, a, c, b)
			} else {
				emit(form.f231, c, a, b)
			}
		case dead(c):
			emit(form.f231, c, a, b)
		case dead(a):
			emit(form.f213, a, b, c)
		case dead(b):
			emit(form.f213, b, a, c)
		default:
			emit(form.f231, c, a, b)
		}
	}
	fn.Nodes = nodes
}

// Integers

func (m *amd64) iadd(a, b vec) vec { return m.commutative(opcode{x86.VPADDD, x86.VPADDD_BCST}, a, b) }
func (m *amd64) isub(a, b vec) vec { return m.binary(opcode{x86.VPSUBD, x86.VPSUBD_BCST}, a, b) }
func (m *amd64) umin(a, b vec) vec {
	return m.commutative(opcode{x86.VPMINUD, x86.VPMINUD_BCST}, a, b)
}
func (m *amd64) smin(a, b vec) vec {
	return m.commutative(opcode{x86.VPMINSD, x86.VPMINSD_BCST}, a, b)
}
func (m *amd64) smax(a, b vec) vec {
	return m.commutative(opcode{x86.VPMAXSD, x86.VPMAXSD_BCST}, a, b)
}

// The bitwise operations of AVX2 exist for integers and for floats; these run on more ports.
func (m *amd64) and(a, b vec) vec {
	return m.logic(fixed3(x86.VPAND), opcode{x86.VPANDD, x86.VPANDD_BCST}, a, b)
}
func (m *amd64) or(a, b vec) vec {
	return m.logic(fixed3(x86.VPOR), opcode{x86.VPORD, x86.VPORD_BCST}, a, b)
}
func (m *amd64) xor(a, b vec) vec {
	return m.logic(fixed3(x86.VPXOR), opcode{x86.VPXORD, x86.VPXORD_BCST}, a, b)
}
func (m *amd64) andnot(a, b vec) vec {
	if m.wide {
		return m.binary(opcode{x86.VPANDND, x86.VPANDND_BCST}, a, b)
	}
	return m.binary(opcode{fixed3(x86.VPANDN), nil}, a, b)
}

func (m *amd64) shl(a vec, n int) vec { return m.shift(x86.VPSLLD, a, n) }
func (m *amd64) shr(a vec, n int) vec { return m.shift(x86.VPSRLD, a, n) }
func (m *amd64) sar(a vec, n int) vec { return m.shift(x86.VPSRAD, a, n) }

func (m *amd64) shift(f constructor, a vec, n int) vec {
	d := m.newVec()
	m.emit(f(operand.U8(n), m.inRegister(a), d))
	return vec{op: d}
}

// Tables

func (m *amd64) lookup(t table, a vec) vec {
	lanes := m.properties().lanes
	if len(t.entries) > lanes {
		m.fatal("table %s has more than %d entries", t.name, lanes)
	}
	// One copy serves both: 16 words, the entries repeated.
	words := make([]uint32, 16)
	for i := range words {
		words[i] = t.entries[i%len(t.entries)]
	}
	k := m.constant(m.pool.words(t.name, words))
	d := m.newVec()
	if len(t.entries) == 4 && !m.wide {
		m.emit(x86.VPERMILPS(m.inRegister(a), m.inRegister(k), d)) // within 128 bits; cheaper than VPERMPS on AMD
	} else {
		m.emit(x86.VPERMPS(m.anywhere(k), m.inRegister(a), d))
	}
	return vec{op: d}
}

// Comparisons

// Predicates of VCMPPS (the quiet ones) and VPCMPD.
const (
	cmpEQ, cmpUnordered, cmpLT, cmpLE = 0x00, 0x03, 0x11, 0x12
	icmpEQ, icmpGT                    = 0, 6
)

func (m *amd64) lt(a, b vec) mask        { return m.compare(cmpLT, a, b) }
func (m *amd64) le(a, b vec) mask        { return m.compare(cmpLE, a, b) }
func (m *amd64) eq(a, b vec) mask        { return m.compare(cmpEQ, a, b) }
func (m *amd64) unordered(a, b vec) mask { return m.compare(cmpUnordered, a, b) }

func (m *amd64) newMask() operand.Op {
	if m.wide {
		return m.regs.K()
	}
	return m.newVec()
}

func (m *amd64) compare(predicate int, a, b vec) mask {
	d := m.newMask()
	src, other := m.anywhere(b), m.inRegister(a)
	if m.broadcasts(src) {
		m.emit(x86.VCMPPS_BCST(operand.U8(predicate), src, other, d))
	} else {
		m.emit(x86.VCMPPS(operand.U8(predicate), src, other, d))
	}
	return mask{op: d}
}

func (m *amd64) igt(a, b vec) mask { return m.icompare(icmpGT, x86.VPCMPGTD, a, b) }
func (m *amd64) ieq(a, b vec) mask { return m.icompare(icmpEQ, x86.VPCMPEQD, a, b) }

func (m *amd64) icompare(predicate int, narrow constructor, a, b vec) mask {
	d := m.newMask()
	src, other := m.anywhere(b), m.inRegister(a)
	switch {
	case !m.wide:
		m.emit(narrow(src, other, d))
	case m.broadcasts(src):
		m.emit(x86.VPCMPD_BCST(operand.U8(predicate), src, other, d))
	default:
		m.emit(x86.VPCMPD(operand.U8(predicate), src, other, d))
	}
	return mask{op: d}
}

func (m *amd64) both(a, b mask) mask   { return m.combine(x86.VPAND, x86.KANDW, a, b) }
func (m *amd64) either(a, b mask) mask { return m.combine(x86.VPOR, x86.KORW, a, b) }

func (m *amd64) combine(narrow, wide func(a, b, d operand.Op) (*ir.Instruction, error), a, b mask) mask {
	d := m.newMask()
	if m.wide {
		m.emit(wide(a.op, b.op, d))
	} else {
		m.emit(narrow(a.op, b.op, d))
	}
	return mask{op: d}
}

// writesAll takes the destination from the inputs: avo takes a blend for an operation that keeps lanes of it.
func writesAll(i *ir.Instruction, err error) (*ir.Instruction, error) {
	if err == nil {
		d := i.Outputs[0]
		i.Inputs = slices.DeleteFunc(i.Inputs, func(op operand.Op) bool { return op == d })
	}
	return i, err
}

func (m *amd64) pick(k mask, a, b vec) vec {
	d := m.newVec()
	src, other := m.anywhere(a), m.inRegister(b)
	switch {
	case !m.wide:
		m.emit(x86.VBLENDVPS(k.op, src, other, d))
	case m.broadcasts(src):
		m.emit(writesAll(x86.VBLENDMPS_BCST(src, other, k.op, d)))
	default:
		m.emit(writesAll(x86.VBLENDMPS(src, other, k.op, d)))
	}
	return vec{op: d}
}

func (m *amd64) keep(k mask, a vec) vec {
	d := m.newVec()
	if m.wide {
		m.emit(x86.VMOVAPS_Z(m.inRegister(a), k.op, d))
	} else {
		m.emit(x86.VPAND(m.anywhere(a), k.op, d))
	}
	return vec{op: d}
}

func (m *amd64) drop(k mask, a vec) vec {
	d := m.newVec()
	if m.wide {
		zero := m.zero()
		m.emit(writesAll(x86.VBLENDMPS(zero, m.inRegister(a), k.op, d)))
	} else {
		m.emit(x86.VPANDN(m.anywhere(a), k.op, d))
	}
	return vec{op: d}
}

func (m *amd64) pickNegative(x, a, b vec) vec {
	if !m.wide {
		d := m.newVec()
		src, other := m.anywhere(a), m.inRegister(b)
		m.emit(x86.VBLENDVPS(m.inRegister(x), src, other, d))
		return vec{op: d}
	}
	k := m.newMask()
	m.emit(x86.VPMOVD2M(m.inRegister(x), k))
	return m.pick(mask{op: k}, a, b)
}

// Exponents

func (m *amd64) scalef(a, n vec) vec {
	return m.binary(opcode{x86.VSCALEFPS, x86.VSCALEFPS_BCST}, a, n)
}

func (m *amd64) getexp(a vec) vec {
	d := m.newVec()
	m.emit(x86.VGETEXPPS(m.anywhere(a), d))
	return vec{op: d}
}

// getmantNaN asks VGETMANTPS for a mantissa in [1, 2), and for NaN where the operand is negative.
const getmantNaN = 0b1000

func (m *amd64) getmant(a vec) vec {
	d := m.newVec()
	m.emit(x86.VGETMANTPS(operand.U8(getmantNaN), m.anywhere(a), d))
	return vec{op: d}
}

// Registers and memory

func (m *amd64) variable(a vec) vec {
	v := vec{op: m.newVec()}
	m.set(v, a)
	return v
}

func (m *amd64) set(v, a vec) { m.emit(x86.VMOVAPS(m.inRegister(a), v.op)) }

func (m *amd64) hold(a vec) vec { return vec{op: m.inRegister(a)} }

func at(p gp, offset int) operand.Mem { return operand.Mem{Base: p.r, Disp: offset} }

func (m *amd64) broadcast(p gp, offset int) vec {
	d := m.newVec()
	m.emit(x86.VBROADCASTSS(at(p, offset), d))
	return vec{op: d}
}

func (m *amd64) field(p gp, offset int) gp {
	d := gp{m.regs.GP64()}
	m.emit(x86.MOVQ(at(p, offset), d.r))
	return d
}

func (m *amd64) offset(p gp, by int) gp {
	d := gp{m.regs.GP64()}
	m.emit(x86.LEAQ(at(p, by), d.r))
	return d
}

func (m *amd64) aside(values []vec, f func()) {
	if m.wide { // 32 registers are enough
		f()
		return
	}
	values = slices.DeleteFunc(slices.Clone(values), func(v vec) bool { return m.inMemory(v) })
	for i, v := range values {
		if i == len(m.slots) {
			m.slots = append(m.slots, m.fn.AllocLocal(int(m.vecSpec.Size())))
		}
		m.emit(x86.VMOVUPS(v.op, m.slots[i]))
	}
	f()
	for i, v := range values {
		m.emit(x86.VMOVUPS(m.slots[i], v.op))
	}
}

func (m *amd64) park(v vec) vec {
	if m.wide {
		return v
	}
	if m.parked == len(m.parking) {
		m.parking = append(m.parking, m.fn.AllocLocal(int(m.vecSpec.Size())))
	}
	place := m.parking[m.parked]
	m.parked++
	m.emit(x86.VMOVUPS(m.inRegister(v), place))
	return vec{op: place}
}

func (m *amd64) unpark() { m.parked = 0 }

func (m *amd64) load(p gp, offset int) vec { return vec{op: at(p, offset)} }

func (m *amd64) store(p gp, offset int, a vec) {
	m.emit(x86.VMOVUPS(m.inRegister(a), at(p, offset)))
}

func (m *amd64) prefetch(p gp, offset int) {
	i, err := x86.PREFETCHT0(at(p, offset))
	i.ISA = nil // avo says MMX+; it is SSE's, and so every x86-64 processor's
	m.emit(i, err)
}

func (m *amd64) loadWords(p gp, offset int) vec {
	d := m.newVec()
	m.emit(x86.VPMOVZXWD(at(p, offset), d))
	return vec{op: d}
}

func (m *amd64) storeWords(p gp, offset int, a vec) {
	v := m.inRegister(a)
	if m.wide {
		m.emit(x86.VPMOVDW(v, at(p, offset)))
		return
	}
	// Packed within each half of the register.
	d := m.newVec()
	m.emit(x86.VPACKUSDW(v, v, d))
	m.emit(x86.VPERMQ(operand.U8(0x08), d, d))
	m.emit(x86.VMOVUPS(lowPart(d, reg.S128), at(p, offset)))
}

func (m *amd64) loadFloat16(p gp, offset int) vec {
	d := m.newVec()
	m.emit(x86.VCVTPH2PS(at(p, offset), d))
	return vec{op: d}
}

func (m *amd64) storeFloat16(p gp, offset int, a vec) {
	m.emit(x86.VCVTPS2PH(operand.U8(0), m.inRegister(a), at(p, offset)))
}

// laneMask is where VMASKMOVPS finds its masks: 8 words of ones, then 8 of zeros.
var laneMask = []uint32{^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0),
	0, 0, 0, 0, 0, 0, 0, 0}

func (m *amd64) part(n gp) part {
	if m.wide {
		// BZHI clears the bits from position n on, and none if n (its lowest 8 bits) is 32 or more.
		ones, k := m.regs.GP32(), m.regs.K()
		m.emit(x86.MOVL(operand.U32(0xffff), ones))
		m.emit(x86.BZHIL(n.r.As32(), ones, ones))
		m.emit(x86.KMOVW(ones, k))
		return part{op: k, n: n}
	}
	base, back, lanes, d := m.regs.GP64(), m.regs.GP64(), m.regs.GP64(), m.newVec()
	m.emit(x86.MOVQ(operand.U32(8), lanes))
	m.emit(x86.MOVQ(n.r, back))
	m.emit(x86.CMPQ(back, lanes))
	m.emit(x86.CMOVQGT(lanes, back))
	m.emit(x86.NEGQ(back))
	m.emit(x86.LEAQ(m.pool.words("lane_mask", laneMask).mem().Offset(32), base))
	m.emit(x86.VMOVUPS(operand.Mem{Base: base, Index: back, Scale: 4}, d))
	return part{op: d, n: n}
}

func (m *amd64) loadPart(k part, p gp, offset int, fill vec) vec {
	if m.wide {
		d := m.newVec()
		m.emit(x86.VMOVAPS(m.inRegister(fill), d))
		m.emit(x86.VMOVUPS(at(p, offset), k.op, d))
		return vec{op: d}
	}
	loaded, filled := m.newVec(), m.newVec()
	m.emit(x86.VMASKMOVPS(at(p, offset), k.op, loaded))
	m.emit(x86.VBLENDVPS(k.op, loaded, m.inRegister(fill), filled))
	return vec{op: filled}
}

func (m *amd64) keepPart(k part, a vec) vec { return m.keep(mask{op: k.op}, a) }

func (m *amd64) storePart(k part, p gp, offset int, a vec) {
	if m.wide {
		m.emit(x86.VMOVUPS(m.inRegister(a), k.op, at(p, offset)))
		return
	}
	m.storePieces(k, p, offset, a) // VMASKMOVPS stores are slow on AMD
}

// storePieces goes by the bits of the length.
func (m *amd64) storePieces(k part, p gp, offset int, a vec) {
	m.labels++
	name := func(s string) string { return "part" + s + strconv.Itoa(m.labels) }
	v, rest, d := m.inRegister(a), m.newVec(), gp{m.regs.GP64()}
	m.jumpIfLess(k.n, m.properties().lanes, name("less"))
	m.store(p, offset, a)
	m.jump(name("done"))
	m.label(name("less"))
	m.emit(x86.MOVQ(p.r, d.r))
	m.emit(x86.VMOVUPS(v, rest))
	low, half := lowPart(rest, reg.S128), lowPart(rest, reg.S256)
	for _, piece := range []struct {
		words       int
		label       string
		store, rest func()
	}{
		{8, "eight", func() { m.emit(x86.VMOVUPS(half, at(d, offset))) }, func() { m.emit(x86.VEXTRACTF64X4(operand.U8(1), rest, half)) }},
		{4, "four", func() { m.emit(x86.VMOVUPS(low, at(d, offset))) }, func() {
			if m.wide {
				m.emit(x86.VEXTRACTF32X4(operand.U8(1), half, low))
			} else {
				m.emit(x86.VEXTRACTF128(operand.U8(1), half, low))
			}
		}},
		{2, "two", func() { m.emit(x86.VMOVLPS(low, at(d, offset))) }, func() { m.emit(x86.VPERMILPD(operand.U8(1), low, low)) }},
		{1, "done", func() { m.emit(x86.VMOVSS(low, at(d, offset))) }, nil},
	} {
		if piece.words >= m.properties().lanes {
			continue
		}
		m.emit(x86.TESTQ(operand.U32(piece.words), k.n.r))
		m.emit(x86.JEQ(operand.LabelRef(name(piece.label))))
		piece.store()
		if piece.rest != nil {
			m.advance(d, 4*piece.words)
			piece.rest()
		}
		m.label(name(piece.label))
	}
}

// rowAddresses are the addresses of rows 0, 4, 8, ... and the distances of rows 0 to 3 from them.
func (m *amd64) rowAddresses(p, stride gp) func(row int) operand.Mem {
	three := m.regs.GP64()
	m.emit(x86.LEAQ(operand.Mem{Base: stride.r, Index: stride.r, Scale: 2}, three))
	bases := []gp{p}
	for range m.properties().lanes/4 - 1 {
		next := gp{m.regs.GP64()}
		m.emit(x86.LEAQ(operand.Mem{Base: bases[len(bases)-1].r, Index: stride.r, Scale: 4}, next.r))
		bases = append(bases, next)
	}
	return func(row int) operand.Mem {
		base := bases[row/4].r
		switch row % 4 {
		case 0:
			return operand.Mem{Base: base}
		case 3:
			return operand.Mem{Base: base, Index: three, Scale: 1}
		}
		return operand.Mem{Base: base, Index: stride.r, Scale: uint8(row % 4)}
	}
}

// loadColumns puts row 4 i + k in quarter i of register k, and transposes the quarters.
func (m *amd64) loadColumns(p, stride gp, width int) []vec {
	address := m.rowAddresses(p, stride)
	load := func(row int) reg.Register {
		x := m.regs.XMM()
		if width == 4 {
			m.emit(x86.VMOVUPS(address(row), x))
			return x
		}
		m.emit(x86.VMOVSD(address(row), x))
		if width == 3 {
			y := m.regs.XMM()
			m.emit(x86.VINSERTPS(operand.U8(0x20), address(row).Offset(8), x, y))
			return y
		}
		return x
	}
	var rows []operand.Op
	for k := range 4 {
		d := load(k)
		all := reg.Register(m.newVec())
		for i := 1; i < m.properties().lanes/4; i++ {
			before := d
			if i == 1 {
				before = reg.NewVirtual(d.ID().Index(), reg.KindVector, m.vecSpec)
			} else {
				before = all
			}
			var src operand.Op = address(4*i + k)
			if width < 4 {
				src = load(4*i + k)
			}
			next := m.newVec()
			if m.wide {
				m.emit(x86.VINSERTF32X4(operand.U8(i), src, before, next))
			} else {
				m.emit(x86.VINSERTF128(operand.U8(i), src, before, next))
			}
			all = next
		}
		rows = append(rows, all)
	}
	var columns []vec
	for _, c := range m.transpose(rows)[:width] {
		columns = append(columns, vec{op: c})
	}
	return columns
}

// transpose transposes the 4 x 4 words that each quarter of four registers is.
func (m *amd64) transpose(r []operand.Op) []operand.Op {
	two := func(f constructor, a, b operand.Op) operand.Op {
		d := m.newVec()
		m.emit(f(b, a, d))
		return d
	}
	a, b := two(x86.VUNPCKLPS, r[0], r[1]), two(x86.VUNPCKLPS, r[2], r[3])
	c, d := two(x86.VUNPCKHPS, r[0], r[1]), two(x86.VUNPCKHPS, r[2], r[3])
	return []operand.Op{
		two(x86.VUNPCKLPD, a, b), two(x86.VUNPCKHPD, a, b), two(x86.VUNPCKLPD, c, d), two(x86.VUNPCKHPD, c, d),
	}
}

func (m *amd64) storeColumns(p, stride gp, columns []vec) {
	width, r := len(columns), fourRegisters(m.inRegister, columns)
	address := m.rowAddresses(p, stride)
	for k, row := range m.transpose(r) {
		for i := range m.properties().lanes / 4 {
			x := lowPart(row, reg.S128)
			if i > 0 {
				x = m.regs.XMM()
				if m.wide {
					m.emit(x86.VEXTRACTF32X4(operand.U8(i), row, x))
				} else {
					m.emit(x86.VEXTRACTF128(operand.U8(i), row, x))
				}
			}
			to := address(4*i + k)
			if width == 4 {
				m.emit(x86.VMOVUPS(x, to))
				continue
			}
			m.emit(x86.VMOVLPS(x, to))
			if width == 3 {
				m.emit(x86.VEXTRACTPS(operand.U8(2), x, to.Offset(8)))
			}
		}
	}
}

func (m *amd64) columnFold(p gp, columns int, wide bool) vec {
	size := int(m.vecSpec.Size())
	half := func(column, h int) operand.Op { // half a column as float64
		d := m.newVec()
		if wide {
			m.emit(x86.VMOVUPS(at(p, (2*column+h)*size), d))
		} else {
			m.emit(x86.VCVTPS2PD(at(p, column*size+h*size/2), d))
		}
		return d
	}
	var parts [2]operand.Op
	for h := range parts {
		var lanes [4]operand.Op
		for i := range lanes {
			lanes[i] = half(i, h)
			if columns > 8 { // (i, i+8)
				m.emit(x86.VADDPD(half(i+8, h), lanes[i], lanes[i]))
			}
			if columns > 4 { // (i, i+4), each with its (i, i+8)
				other := half(i+4, h)
				if columns > 12 {
					m.emit(x86.VADDPD(half(i+12, h), other, other))
				}
				m.emit(x86.VADDPD(other, lanes[i], lanes[i]))
			}
		}
		m.emit(x86.VADDPD(lanes[2], lanes[0], lanes[0]))
		m.emit(x86.VADDPD(lanes[3], lanes[1], lanes[1]))
		m.emit(x86.VADDPD(lanes[1], lanes[0], lanes[0]))
		if m.wide {
			parts[h] = m.regs.YMM()
			m.emit(x86.VCVTPD2PS(lanes[0], parts[h]))
		} else {
			parts[h] = m.regs.XMM()
			m.emit(x86.VCVTPD2PSY(lanes[0], parts[h]))
		}
	}
	d := m.newVec()
	low := reg.NewVirtual(parts[0].(reg.Register).ID().Index(), reg.KindVector, m.vecSpec)
	if m.wide {
		m.emit(x86.VINSERTF64X4(operand.U8(1), parts[1], low, d))
	} else {
		m.emit(x86.VINSERTF128(operand.U8(1), parts[1], low, d))
	}
	return vec{op: d}
}

func (m *amd64) swapped(v vec, h int) vec {
	d, a := m.newVec(), m.inRegister(v)
	switch {
	case h == 8:
		m.emit(x86.VSHUFF64X2(operand.U8(0x4e), a, a, d))
	case h == 4 && m.wide:
		m.emit(x86.VSHUFF64X2(operand.U8(0xb1), a, a, d))
	case h == 4:
		m.emit(x86.VPERM2F128(operand.U8(1), a, a, d))
	case h == 2:
		m.emit(x86.VPERMILPS(operand.U8(0x4e), a, d))
	default:
		m.emit(x86.VPERMILPS(operand.U8(0xb1), a, d))
	}
	return vec{op: d}
}

// lowPart is the register's lowest bytes.
func lowPart(op operand.Op, s reg.Spec) reg.Register {
	return reg.NewVirtual(op.(reg.Register).ID().Index(), reg.KindVector, s)
}

func (m *amd64) storeFirst(p gp, offset int, v vec) {
	m.emit(x86.VMOVSS(lowPart(m.inRegister(v), reg.S128), at(p, offset)))
}

func (m *amd64) loadInt32(p gp, offset int) gp {
	d := gp{m.regs.GP64()}
	m.emit(x86.MOVLQSX(at(p, offset), d.r))
	return d
}

func (m *amd64) copyWord(to, from gp) {
	d := m.regs.GP32()
	m.emit(x86.MOVL(at(from, 0), d))
	m.emit(x86.MOVL(d, at(to, 0)))
}

func (m *amd64) indexed(p, i gp) gp {
	d := gp{m.regs.GP64()}
	m.emit(x86.LEAQ(operand.Mem{Base: p.r, Index: i.r, Scale: 4}, d.r))
	return d
}

func (m *amd64) quadruple(n gp) { m.emit(x86.SHLQ(operand.U8(2), n.r)) }

func (m *amd64) times(n gp, by int) { m.emit(x86.SHLQ(operand.U8(bits.TrailingZeros(uint(by))), n.r)) }

func (m *amd64) sum(a, b gp) gp {
	d := gp{m.regs.GP64()}
	m.emit(x86.LEAQ(operand.Mem{Base: a.r, Index: b.r, Scale: 1}, d.r))
	return d
}

func (m *amd64) product(a, b gp) gp {
	d := gp{m.regs.GP64()}
	m.setCopy(d, a)
	m.emit(x86.IMULQ(b.r, d.r))
	return d
}

func (m *amd64) broadcastCount(n gp) vec {
	d := m.newVec()
	if m.wide {
		m.emit(x86.VPBROADCASTD(n.r.As32(), d))
	} else {
		x := m.regs.XMM()
		m.emit(x86.VMOVD(n.r.As32(), x))
		m.emit(x86.VPBROADCASTD(x, d))
	}
	return vec{op: d}
}

func (m *amd64) notNegative(n gp) gp {
	d, zero := gp{m.regs.GP64()}, m.count(0)
	m.emit(x86.MOVQ(n.r, d.r))
	m.emit(x86.TESTQ(d.r, d.r))
	m.emit(x86.CMOVQLT(zero.r, d.r))
	return d
}

func (m *amd64) increment(p gp) { m.emit(x86.INCQ(at(p, 0))) }

func (m *amd64) jumpUnlessZero(p gp, offset int, name string) {
	m.emit(x86.CMPL(at(p, offset), operand.U8(0)))
	m.emit(x86.JNE(operand.LabelRef(name)))
}

func (m *amd64) storeWord(p gp, offset int, bits uint32) {
	m.emit(x86.MOVL(operand.U32(bits), at(p, offset)))
}

func (m *amd64) atMost(n gp, limit int) gp {
	d, l := gp{m.regs.GP64()}, m.count(limit)
	m.emit(x86.MOVQ(n.r, d.r))
	m.emit(x86.CMPQ(d.r, l.r))
	m.emit(x86.CMOVQHI(l.r, d.r))
	return d
}

func (m *amd64) excess(n gp, by int) gp {
	d, zero := gp{m.regs.GP64()}, m.count(0)
	m.emit(x86.MOVQ(n.r, d.r))
	m.emit(x86.SUBQ(immediate(by), d.r))
	m.emit(x86.CMOVQLT(zero.r, d.r))
	return d
}

func (m *amd64) loadTable(t table, at int) vec {
	return vec{op: m.pool.words(t.name, t.entries).mem().Offset(4 * at)}
}

func (m *amd64) wordBefore(t table, at int, n gp) gp {
	d, back := gp{m.regs.GP64()}, m.regs.GP64()
	m.emit(x86.LEAQ(m.pool.words(t.name, t.entries).mem().Offset(4*at), d.r))
	m.emit(x86.MOVQ(n.r, back))
	m.emit(x86.NEGQ(back))
	m.emit(x86.LEAQ(operand.Mem{Base: d.r, Index: back, Scale: 4}, d.r))
	return d
}

// Doubles

// widened is a vector's lanes as float64, in two registers.
func (m *amd64) widened(v vec) [2]operand.Op {
	half := reg.S128
	if m.wide {
		half = reg.S256
	}
	low, high, upper := m.newVec(), m.newVec(), m.regs.Vec(half)
	if mem, ok := v.op.(operand.Mem); ok && v.konst == nil {
		m.emit(x86.VCVTPS2PD(mem, low))
		m.emit(x86.VCVTPS2PD(mem.Offset(int(half.Size())), high))
		return [2]operand.Op{low, high}
	}
	a := m.inRegister(v)
	m.emit(x86.VCVTPS2PD(lowPart(a, half), low))
	if m.wide {
		m.emit(x86.VEXTRACTF64X4(operand.U8(1), a, upper))
	} else {
		m.emit(x86.VEXTRACTF128(operand.U8(1), a, upper))
	}
	m.emit(x86.VCVTPS2PD(upper, high))
	return [2]operand.Op{low, high}
}

func (m *amd64) laneSums() laneSums { return m.zeros(128 / int(m.vecSpec.Size())) }

func (m *amd64) columnSum() laneSums { return m.zeros(2) }

func (m *amd64) zeros(n int) (d laneSums) {
	for range n {
		d = append(d, m.variable(m.u32(0)).op)
	}
	return d
}

func (m *amd64) laneSumsAdd(d laneSums, tile []vec) {
	for u, v := range tile {
		for i, r := range m.widened(v) {
			m.emit(x86.VADDPD(r, d[2*u+i], d[2*u+i]))
		}
	}
}

func (m *amd64) laneSumsFold(d laneSums, p gp) { m.emit(x86.VMOVSD(m.foldLanes(d), at(p, 0))) }

func (m *amd64) laneSumsValue(d laneSums) vec { return m.rounded(m.foldLanes(d)) }

func (m *amd64) foldLanes(d laneSums) reg.Register {
	if !m.wide {
		m.emit(x86.VADDPD(d[2], d[0], d[0]))
		m.emit(x86.VADDPD(d[3], d[1], d[1]))
	}
	return m.foldRest(d[:2])
}

// foldRest adds the lanes of two registers; the sum is in the lowest one.
func (m *amd64) foldRest(d []operand.Op) reg.Register {
	m.emit(x86.VADDPD(d[1], d[0], d[0]))
	sum, other := d[0], m.regs.YMM()
	y := lowPart(sum, reg.S256)
	if m.wide {
		m.emit(x86.VEXTRACTF64X4(operand.U8(1), sum, other))
		m.emit(x86.VADDPD(other, y, y))
	}
	x, up := lowPart(sum, reg.S128), m.regs.XMM()
	if m.wide {
		m.emit(x86.VEXTRACTF32X4(operand.U8(1), y, up))
	} else {
		m.emit(x86.VEXTRACTF128(operand.U8(1), y, up))
	}
	m.emit(x86.VADDPD(up, x, x))
	m.emit(x86.VPERMILPD(operand.U8(1), x, up))
	m.emit(x86.VADDSD(up, x, x))
	return x
}

// rounded is the lowest float64 as float32.
func (m *amd64) rounded(x reg.Register) vec {
	r := m.newVec()
	m.emit(x86.VCVTSD2SS(x, x, lowPart(r, reg.S128)))
	return vec{op: r}
}

// Control flow

func (m *amd64) param(name string) gp {
	r := m.regs.GP64()
	m.emit(x86.MOVQ(m.paramAddress(name), r))
	return gp{r}
}

func (m *amd64) advanceParam(name string, by int) {
	m.emit(x86.ADDQ(immediate(by), m.paramAddress(name)))
}

func (m *amd64) advanceParamBy(name string, by gp) {
	m.emit(x86.ADDQ(by.r, m.paramAddress(name)))
}

func (m *amd64) jumpIfParam(name, label string) {
	m.emit(x86.CMPQ(m.paramAddress(name), operand.U8(0)))
	m.emit(x86.JNE(operand.LabelRef(label)))
}

func (m *amd64) jump(name string) { m.emit(x86.JMP(operand.LabelRef(name))) }

func (m *amd64) jumpIfLess(n gp, limit int, name string) {
	m.emit(x86.CMPQ(n.r, immediate(limit)))
	m.emit(x86.JLT(operand.LabelRef(name)))
}

func (m *amd64) jumpIfAtLeast(n gp, limit int, name string) {
	m.emit(x86.CMPQ(n.r, immediate(limit)))
	m.emit(x86.JGE(operand.LabelRef(name)))
}

func (m *amd64) jumpIfAtMost(a, b gp, name string) {
	m.emit(x86.CMPQ(a.r, b.r))
	m.emit(x86.JLE(operand.LabelRef(name)))
}

func (m *amd64) jumpIfAny(k mask, name string) {
	if m.wide {
		m.emit(x86.KORTESTW(k.op, k.op))
	} else {
		bits := m.regs.GP32()
		m.emit(x86.VMOVMSKPS(k.op, bits))
		m.emit(x86.TESTL(bits, bits))
	}
	m.emit(x86.JNE(operand.LabelRef(name)))
}

func (m *amd64) jumpIfBits(a vec, name string) {
	v := m.inRegister(a)
	if m.wide {
		k := m.newMask()
		m.emit(x86.VPTESTMD(v, v, k))
		m.emit(x86.KORTESTW(k, k))
	} else {
		m.emit(x86.VPTEST(v, v))
	}
	m.emit(x86.JNE(operand.LabelRef(name)))
}

func (m *amd64) count(n int) gp {
	c := gp{m.regs.GP64()}
	m.setCount(c, n)
	return c
}
func (m *amd64) setCount(n gp, v int) { m.emit(x86.MOVQ(operand.U32(v), n.r)) }
func (m *amd64) copyOf(p gp) gp {
	c := gp{m.regs.GP64()}
	m.setCopy(c, p)
	return c
}
func (m *amd64) setCopy(p, q gp)      { m.emit(x86.MOVQ(q.r, p.r)) }
func (m *amd64) advance(p gp, by int) { m.emit(x86.ADDQ(immediate(by), p.r)) }
func (m *amd64) subtract(n, by gp)    { m.emit(x86.SUBQ(by.r, n.r)) }

func (m *amd64) ret() {
	m.emit(x86.VZEROUPPER())
	m.emit(x86.RET())
}

// immediate is the shortest form of n.
func immediate(n int) operand.Op {
	if n >= -128 && n < 128 {
		return operand.I8(n)
	}
	return operand.I32(n)
}
