package main

import (
	"fmt"
	"go/token"
	"go/types"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/gotypes"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/reg"
)

// What all targets share: the read-only data, virtual registers, and the way from a body's instructions to ones with
// real registers. A target embeds a builder and adds the machine's operations.

// A constant is one value in every lane, or a table. Bodies ask for it by value; the pool keeps one copy per file.
type constant struct {
	symbol string
	offset int
	table  bool
	zero   bool
	bits   uint32 // the value
	size   int    // bytes of a table
	// In the function under construction: how often it was used, and how often in a place that memory cannot stand in.
	uses, unfoldable int
	register         operand.Op // where it has been loaded for all but cold code, else nil
}

func (k *constant) mem() operand.Mem {
	return operand.NewDataAddr(operand.NewStaticSymbol(k.symbol), k.offset)
}

// constSymbol holds the constants of all kernels, as many bytes each as the smallest vector: an AVX2 operand reads them
// as they are, AVX-512 broadcasts the first four.
const constSymbol = "consts"

// blockSymbol holds small tables, one behind the other.
const blockSymbol = "tables"

// A pool is a file's read-only data.
type pool struct {
	constBytes int
	bits       []uint32
	blocks     []uint32
	constants  map[uint32]*constant
	tables     map[string]*constant
	globals    []*ir.Global
}

func newPool(constBytes int) *pool {
	return &pool{constBytes: constBytes, constants: map[uint32]*constant{}, tables: map[string]*constant{}}
}

func (p *pool) u32(bits uint32) *constant {
	k := p.constants[bits]
	if k == nil {
		k = &constant{symbol: constSymbol, offset: p.constBytes * len(p.bits), zero: bits == 0, bits: bits}
		p.bits = append(p.bits, bits)
		p.constants[bits] = k
	}
	return k
}

// words is a symbol of its own with the given 32-bit words.
func (p *pool) words(name string, words []uint32) *constant {
	k := p.tables[name]
	if k == nil {
		k = &constant{symbol: name, table: true}
		p.tables[name] = k
		p.globals = append(p.globals, rodata(name, words))
	}
	return k
}

// block is a part of the symbol blockSymbol with the given words.
func (p *pool) block(name string, words []uint32) *constant {
	k := p.tables[name]
	if k == nil {
		k = &constant{symbol: blockSymbol, offset: 4 * len(p.blocks), table: true, size: 4 * len(words)}
		p.tables[name] = k
		p.blocks = append(p.blocks, words...)
	}
	return k
}

func rodata(name string, words []uint32) *ir.Global {
	g := ir.NewStaticGlobal(name)
	g.Attributes = attr.RODATA | attr.NOPTR
	for i := 0; i < len(words); i += 2 {
		g.Append(operand.U64(uint64(words[i]) | uint64(words[i+1])<<32))
	}
	return g
}

// sections is the pool as data sections.
func (p *pool) sections() []ir.Section {
	var words []uint32
	for _, b := range p.bits {
		for range p.constBytes / 4 {
			words = append(words, b)
		}
	}
	sections := []ir.Section{rodata(constSymbol, words)}
	if len(p.blocks) > 0 {
		sections = append(sections, rodata(blockSymbol, p.blocks))
	}
	for _, g := range p.globals {
		sections = append(sections, g)
	}
	return sections
}

// builder is a function under construction.
type builder struct {
	name     string
	fn       *ir.Function
	pool     *pool
	regs     *reg.Collection
	vecSpec  reg.Spec
	used     []*constant // in order of first use
	promoted []*constant
	load     func(*constant, operand.Op)
	isCold   bool
	scarce   bool          // registers are few: cold code frees those of constants
	labels   int           // numbers the labels that operations make
	slots    []operand.Mem // where values are kept on the stack
	parking  []operand.Mem // the same for those that are parked, parked of them now
	parked   int
	starting func() // called where a function begins, if it is not nil
}

// focalTypes has the names of focal's types that signatures of kernels point to.
var focalTypes = func() *types.Package {
	p := types.NewPackage("focal", "focal")
	for _, name := range []string{"powParams", "lossParams", "rowSums"} {
		obj := types.NewTypeName(token.NoPos, p, name, nil)
		types.NewNamed(obj, types.NewStruct(nil, nil), nil)
		p.Scope().Insert(obj)
	}
	return p
}()

func (b *builder) begin(name, signature string, promoted []*constant) {
	b.name, b.fn, b.regs, b.used, b.promoted, b.labels = name, ir.NewFunction(name), reg.NewCollection(), nil, promoted, 0
	sig, err := gotypes.ParseSignatureInPackage(focalTypes, signature)
	if err != nil {
		b.fatal("%v", err)
	}
	b.fn.SetSignature(sig)
	b.fn.Attributes = attr.NOSPLIT
	b.slots, b.parking, b.parked, b.isCold = nil, nil, 0, false
	if b.starting != nil {
		b.starting()
	}
	for _, k := range b.pool.constants {
		k.uses, k.unfoldable, k.register = 0, 0, nil
	}
	for _, k := range b.pool.tables {
		k.uses, k.unfoldable, k.register = 0, 0, nil
	}
}

// fatal stops the generator; the trace points at the line of the body.
func (b *builder) fatal(format string, args ...any) {
	panic(b.name + ": " + fmt.Sprintf(format, args...))
}

// emit appends an instruction made by avo's constructors.
func (b *builder) emit(i *ir.Instruction, err error) {
	if err != nil {
		b.fatal("%v", err)
	}
	b.fn.AddInstruction(i)
}

func (b *builder) newVec() reg.VecVirtual { return b.regs.Vec(b.vecSpec) }

// fourRegisters has columns in registers, and the first one again where there are fewer than four.
func fourRegisters(inRegister func(vec) operand.Op, columns []vec) []operand.Op {
	var r []operand.Op
	for _, c := range columns {
		r = append(r, inRegister(c))
	}
	for len(r) < 4 {
		r = append(r, r[0])
	}
	return r
}

// interleave emits what the functions emit in turns, an instruction of each: they must not jump. (To load a constant
// once for all of them takes registers and an instruction more, and was slower.)
func (b *builder) interleave(fs ...func()) {
	start := len(b.fn.Nodes)
	streams := make([][]ir.Node, len(fs))
	for s, f := range fs {
		f()
		for _, n := range b.fn.Nodes[start:] {
			if _, ok := n.(*ir.Comment); !ok || s == 0 { // one stream's comments are enough
				streams[s] = append(streams[s], n)
			}
		}
		b.fn.Nodes = b.fn.Nodes[:start]
	}
	for len(streams[0]) > 0 {
		for s := range streams {
			for len(streams[s]) > 0 {
				n := streams[s][0]
				streams[s] = streams[s][1:]
				b.fn.AddNode(n)
				if _, ok := n.(*ir.Comment); !ok {
					break
				}
			}
		}
	}
}

func (b *builder) cold(f func()) {
	was := b.isCold
	b.isCold = true
	f()
	b.isCold = was
}

func (b *builder) reload() {
	if !b.isCold && b.scarce {
		for _, k := range b.promoted {
			b.load(k, k.register)
		}
	}
}

// promotedTo is the register that k is in here, nil if none.
func (b *builder) promotedTo(k *constant) operand.Op {
	if b.isCold && b.scarce {
		return nil
	}
	return k.register
}

func (b *builder) comment(text string) { b.fn.AddComment(text) }
func (b *builder) label(name string)   { b.fn.AddLabel(ir.Label(name)) }

func (b *builder) f32(v float32) vec { return b.u32(math.Float32bits(v)) }

func (b *builder) u32(bits uint32) vec { return b.constant(b.pool.u32(bits)) }

func (b *builder) constant(k *constant) vec {
	return vec{op: k.mem(), konst: k}
}

// paramAddress is where an argument is.
func (b *builder) paramAddress(name string) operand.Mem {
	p, err := b.fn.Signature.Params().Lookup(name).Resolve()
	if err != nil {
		b.fatal("%v", err)
	}
	return p.Addr
}

// use notes that k is needed, in a register or not.
func (b *builder) use(k *constant, unfoldable bool) {
	if b.isCold {
		return
	}
	if !slices.Contains(b.used, k) {
		b.used = append(b.used, k)
	}
	k.uses++
	if unfoldable {
		k.unfoldable++
	}
}

// compile builds a function with as many constants in registers as there are registers for: it runs emit once to see
// which constants are wanted most, then with ever fewer of them in registers until the allocation succeeds.
func (b *builder) compile(name, signature string, register func(*constant) operand.Op, load func(*constant, operand.Op), lower func(*ir.Function), registers map[reg.Kind][]reg.Physical, emit func()) *ir.Function {
	b.load = load
	run := func(promoted []*constant) error {
		b.begin(name, signature, promoted)
		for _, k := range promoted {
			k.register = register(k)
			load(k, k.register)
		}
		emit()
		return b.finish(lower, registers)
	}
	_ = run(nil)
	wanted := slices.Clone(b.used)
	sort.SliceStable(wanted, func(i, j int) bool {
		x, y := wanted[i], wanted[j]
		if (x.unfoldable > 0) != (y.unfoldable > 0) {
			return x.unfoldable > y.unfoldable
		}
		return x.uses > y.uses
	})
	wanted = wanted[:min(len(wanted), len(registers[reg.KindVector])-2)]
	// The largest number of constants for which the allocation succeeds, by bisection: best is known to, tooMany not to.
	best, tooMany := -1, len(wanted)+1
	for tooMany-best > 1 {
		n := (best + tooMany) / 2
		switch err := run(wanted[:n]); {
		case err == nil:
			best = n
		case strings.Contains(err.Error(), "allocat"):
			tooMany = n
		default:
			b.fatal("%v", err)
		}
	}
	if best < 0 {
		b.fatal("too few registers, even with all constants in memory")
	}
	if err := run(wanted[:best]); err != nil {
		b.fatal("%v", err)
	}
	return b.fn
}

// finish takes the function from virtual to real registers.
func (b *builder) finish(lower func(*ir.Function), registers map[reg.Kind][]reg.Physical) error {
	analyze := func(fn *ir.Function) error {
		for _, i := range fn.Instructions() {
			i.Pred, i.Succ = nil, nil
		}
		for _, p := range []func(*ir.Function) error{pass.LabelTarget, pass.CFG, liveness} {
			if err := p(fn); err != nil {
				return err
			}
		}
		return nil
	}
	fn := b.fn
	if err := pass.PruneJumpToFollowingLabel(fn); err != nil {
		return err
	}
	if err := pass.PruneDanglingLabels(fn); err != nil {
		return err
	}
	for _, i := range fn.Instructions() {
		if err := pass.ZeroExtend32BitOutputs(i); err != nil {
			return err
		}
	}
	if err := analyze(fn); err != nil {
		return err
	}
	lower(fn)
	if err := analyze(fn); err != nil {
		return err
	}
	for removeDead(fn) {
		if err := analyze(fn); err != nil {
			return err
		}
	}
	coalesce(fn)
	if err := analyze(fn); err != nil {
		return err
	}
	if err := allocate(fn, registers); err != nil {
		return err
	}
	for _, p := range []func(*ir.Function) error{pass.BindRegisters, pass.VerifyAllocation} {
		if err := p(fn); err != nil {
			return err
		}
	}
	fn.Nodes = slices.DeleteFunc(fn.Nodes, func(n ir.Node) bool {
		i, ok := n.(*ir.Instruction)
		return ok && isMove(i) && i.Operands[0] == i.Operands[1]
	})
	fn.ISA = nil
	return pass.RequiredISAExtensions(fn)
}

// removeDead takes out instructions that only make vectors or masks that nobody reads, such as columns of a transposition. It
// reports whether there were any.
func removeDead(fn *ir.Function) bool {
	before := len(fn.Nodes)
	fn.Nodes = slices.DeleteFunc(fn.Nodes, func(n ir.Node) bool {
		i, ok := n.(*ir.Instruction)
		if !ok || len(i.Outputs) == 0 || i.IsBranch || i.IsTerminal {
			return false
		}
		for _, op := range i.Outputs {
			r, ok := op.(reg.Virtual)
			if !ok || r.Kind() == reg.KindGP || i.LiveOut[r.ID()] != 0 {
				return false
			}
		}
		return true
	})
	return len(fn.Nodes) < before
}

// isMove reports whether i copies one vector register to another, whole.
func isMove(i *ir.Instruction) bool {
	return len(i.Operands) == 2 && slices.Contains(vectorMoves, i.Opcode) && len(i.Suffixes) == 0 &&
		operand.IsRegister(i.Operands[0]) && operand.IsRegister(i.Operands[1])
}

// vectorMoves are the targets' opcodes for that.
var vectorMoves = []string{"VMOVAPS", "VMOV"}

// coalesce gives both ends of a move the same register wherever they are never alive together with different values.
func coalesce(fn *ir.Function) {
	conflicts := map[reg.ID]map[reg.ID]bool{}
	add := func(x, y reg.ID) {
		if conflicts[x] == nil {
			conflicts[x] = map[reg.ID]bool{}
		}
		conflicts[x][y] = true
	}
	for _, i := range fn.Instructions() {
		for _, d := range i.OutputRegisters() {
			for id := range i.LiveOut {
				if id == d.ID() || isMove(i) && id == i.Operands[0].(reg.Register).ID() {
					continue
				}
				add(d.ID(), id)
				add(id, d.ID())
			}
		}
	}
	merged := map[reg.ID]reg.ID{}
	find := func(id reg.ID) reg.ID {
		for {
			next, ok := merged[id]
			if !ok {
				return id
			}
			id = next
		}
	}
	for _, i := range fn.Instructions() {
		if !isMove(i) {
			continue
		}
		x, y := find(i.Operands[0].(reg.Register).ID()), find(i.Operands[1].(reg.Register).ID())
		if x == y || !x.IsVirtual() || !y.IsVirtual() || conflicts[x][y] {
			continue
		}
		merged[y] = x
		for z := range conflicts[y] {
			z = find(z)
			add(x, z)
			add(z, x)
		}
	}
	rename := func(op operand.Op) operand.Op {
		if r, ok := op.(reg.Register); ok {
			if id := find(r.ID()); id != r.ID() {
				return reg.NewVirtual(id.Index(), id.Kind(), specOf(r))
			}
		}
		return op
	}
	for _, i := range fn.Instructions() {
		for _, ops := range [][]operand.Op{i.Operands, i.Inputs, i.Outputs} {
			for j := range ops {
				ops[j] = rename(ops[j])
			}
		}
	}
	fn.Nodes = slices.DeleteFunc(fn.Nodes, func(n ir.Node) bool {
		i, ok := n.(*ir.Instruction)
		return ok && isMove(i) && i.Operands[0].(reg.Register).ID() == i.Operands[1].(reg.Register).ID()
	})
}

// specOf is the width of a vector register.
func specOf(r reg.Register) reg.Spec {
	switch r.Size() {
	case 16:
		return reg.S128
	case 32:
		return reg.S256
	}
	return reg.S512
}
