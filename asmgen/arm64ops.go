package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// An arm64Op is an instruction. Its operands are first the results, then the sources; a store has no result.
type arm64Op struct {
	// text is the instruction with verbs of fmt for the operands: %[1]d is the number of the first one's register, or
	// its value; %[1]s is a place in memory or a label. It is Go's, or, where Go's assembler lacks the instruction, as
	// the architecture writes it: then word is its encoding with zeros for the operands.
	text string
	word uint32
	// results is the number of results; updates says that they are read as well.
	results int
	updates bool
	// What the control flow is after it.
	branch, conditional bool
}

// arm64Ops are the instructions that the machine uses, under the names that arm64.go gives them.
var arm64Ops = map[string]arm64Op{
	// Floating point. v2 is a two-operand instruction (result, source), v3 has a second source.
	"fadd":     v3("fadd", 0x4e20d400),
	"fsub":     v3("fsub", 0x4ea0d400),
	"fmul":     v3("fmul", 0x6e20dc00),
	"fdiv":     v3("fdiv", 0x6e20fc00),
	"fmin":     v3("fmin", 0x4ea0f400),
	"fmax":     v3("fmax", 0x4e20f400),
	"fsqrt":    v2("fsqrt", 0x6ea1f800, ""),
	"fabs":     v2("fabs", 0x4ea0f800, ""),
	"fneg":     v2("fneg", 0x6ea0f800, ""),
	"scvtf":    v2("scvtf", 0x4e21d800, ""),
	"fmla":     updates("VFMLA V%[3]d.S4, V%[2]d.S4, V%[1]d.S4"),
	"fmls":     updates("VFMLS V%[3]d.S4, V%[2]d.S4, V%[1]d.S4"),
	"fadd.2d":  {text: "fadd v%[1]d.2d, v%[2]d.2d, v%[3]d.2d", word: 0x4e60d400, results: 1},
	"fmul.2d":  {text: "fmul v%[1]d.2d, v%[2]d.2d, v%[3]d.2d", word: 0x6e60dc00, results: 1},
	"faddp":    {text: "faddp d%[1]d, v%[2]d.2d", word: 0x7e70d800, results: 1},
	"fcvtl":    {text: "fcvtl v%[1]d.2d, v%[2]d.2s", word: 0x0e617800, results: 1},
	"fcvtl2":   {text: "fcvtl2 v%[1]d.2d, v%[2]d.4s", word: 0x4e617800, results: 1},
	"fcvtn":    {text: "fcvtn v%[1]d.2s, v%[2]d.2d", word: 0x0e616800, results: 1},
	"fcvtn2":   {text: "fcvtn2 v%[1]d.4s, v%[2]d.2d", word: 0x4e616800, results: 1, updates: true},
	"fcvt":     to("FCVTDS F%[2]d, F%[1]d"),
	"fcvtl.4h": {text: "fcvtl v%[1]d.4s, v%[2]d.4h", word: 0x0e217800, results: 1},
	"fcvtn.4h": {text: "fcvtn v%[1]d.4h, v%[2]d.4s", word: 0x0e216800, results: 1},

	// Integers and bits
	"add":      to("VADD V%[3]d.S4, V%[2]d.S4, V%[1]d.S4"),
	"sub":      to("VSUB V%[3]d.S4, V%[2]d.S4, V%[1]d.S4"),
	"umin":     to("VUMIN V%[3]d.S4, V%[2]d.S4, V%[1]d.S4"),
	"smin":     v3("smin", 0x4ea06c00),
	"smax":     v3("smax", 0x4ea06400),
	"umaxp":    v3("umaxp", 0x6ea0a400),
	"and":      to("VAND V%[3]d.B16, V%[2]d.B16, V%[1]d.B16"),
	"orr":      to("VORR V%[3]d.B16, V%[2]d.B16, V%[1]d.B16"),
	"eor":      to("VEOR V%[3]d.B16, V%[2]d.B16, V%[1]d.B16"),
	"bic":      {text: "bic v%[1]d.16b, v%[2]d.16b, v%[3]d.16b", word: 0x4e601c00, results: 1},
	"orn":      {text: "orn v%[1]d.16b, v%[2]d.16b, v%[3]d.16b", word: 0x4ee01c00, results: 1},
	"not":      {text: "mvn v%[1]d.16b, v%[2]d.16b", word: 0x6e205800, results: 1},
	"bsl":      updates("VBSL V%[3]d.B16, V%[2]d.B16, V%[1]d.B16"),
	"bit":      updates("VBIT V%[3]d.B16, V%[2]d.B16, V%[1]d.B16"),
	"bif":      updates("VBIF V%[3]d.B16, V%[2]d.B16, V%[1]d.B16"),
	"shl":      to("VSHL $%[3]d, V%[2]d.S4, V%[1]d.S4"),
	"shl.2d":   to("VSHL $%[3]d, V%[2]d.D2, V%[1]d.D2"),
	"ushr":     to("VUSHR $%[3]d, V%[2]d.S4, V%[1]d.S4"),
	"sshr":     {text: "sshr v%[1]d.4s, v%[2]d.4s, #%[3]d", word: 0x4f000400, results: 1},
	"ushll":    to("VUSHLL $0, V%[2]d.S2, V%[1]d.D2"),
	"ushll.4h": to("VUSHLL $0, V%[2]d.H4, V%[1]d.S4"),
	"xtn.4h":   {text: "xtn v%[1]d.4h, v%[2]d.4s", word: 0x0e612800, results: 1},
	"pick":     {results: 1}, // the third where the second has ones, else the fourth: see lower

	// Comparisons
	"fcmgt":  v3("fcmgt", 0x6ea0e400),
	"fcmge":  v3("fcmge", 0x6e20e400),
	"fcmeq":  v3("fcmeq", 0x4e20e400),
	"fcmgt0": v2("fcmgt", 0x4ea0c800, ", #0.0"),
	"fcmlt0": v2("fcmlt", 0x4ea0e800, ", #0.0"),
	"fcmeq0": v2("fcmeq", 0x4ea0d800, ", #0.0"),
	"cmgt":   v3("cmgt", 0x4ea03400),
	"cmgt0":  v2("cmgt", 0x4ea08800, ", #0"),
	"cmlt0":  v2("cmlt", 0x4ea0a800, ", #0"),
	"cmeq":   to("VCMEQ V%[3]d.S4, V%[2]d.S4, V%[1]d.S4"),

	// Moving
	"VMOV":    to("VMOV V%[2]d.B16, V%[1]d.B16"),
	"dup":     to("VDUP V%[2]d.S[0], V%[1]d.S4"),
	"dup.r":   to("VDUP R%[2]d, V%[1]d.S4"),
	"zero":    to("VMOVI $0, V%[1]d.B16"),
	"ext":     to("VEXT $%[4]d, V%[3]d.B16, V%[2]d.B16, V%[1]d.B16"),
	"rev64":   to("VREV64 V%[2]d.S4, V%[1]d.S4"),
	"zip1":    to("VZIP1 V%[3]d.S4, V%[2]d.S4, V%[1]d.S4"),
	"zip2":    to("VZIP2 V%[3]d.S4, V%[2]d.S4, V%[1]d.S4"),
	"zip1.2d": to("VZIP1 V%[3]d.D2, V%[2]d.D2, V%[1]d.D2"),
	"zip2.2d": to("VZIP2 V%[3]d.D2, V%[2]d.D2, V%[1]d.D2"),
	"tbl":     to("VTBL V%[3]d.B16, [V%[2]d.B16], V%[1]d.B16"), // the table, then the index
	"tbl2":    to("VTBL V%[4]d.B16, [V%[2]d.B16, V%[3]d.B16], V%[1]d.B16"),
	"fmov":    to("FMOVD F%[2]d, R%[1]d"),
	"ldr":     to("FMOVQ %[2]s, F%[1]d"),
	"ldr.d":   to("FMOVD %[2]s, F%[1]d"),
	"ldr.s":   to("FMOVS %[2]s, F%[1]d"),
	"ldp":     {text: "FLDPQ %[3]s, (F%[1]d, F%[2]d)", results: 2},
	"prfm":    {text: "PRFM %[1]s, PLDL1KEEP"},
	"str":     {text: "FMOVQ F%[1]d, %[2]s"},
	"str.d":   {text: "FMOVD F%[1]d, %[2]s"},
	"str.s":   {text: "FMOVS F%[1]d, %[2]s"},
	// Single lanes; those of 8 bytes move the pointer along.
	"ld1.d": {results: 2, updates: true, text: "VLD1.P 8(R%[2]d), V%[1]d.D[%[3]d]"},
	"ld1.s": updates("VLD1 (R%[2]d), V%[1]d.S[%[3]d]"),
	"st1.d": updates("VST1.P V%[2]d.D[%[3]d], 8(R%[1]d)"),
	"st1.s": {text: "VST1 V%[2]d.S[%[3]d], (R%[1]d)"},

	// General-purpose registers
	"address": to("MOVD $%[2]s, R%[1]d"),
	"load":    to("MOVD %[2]s, R%[1]d"),
	"load32":  to("MOVW %[2]s, R%[1]d"),
	"store":   {text: "MOVD R%[1]d, %[2]s"},
	"store32": {text: "MOVW R%[1]d, %[2]s"},
	"mov":     to("MOVD R%[2]d, R%[1]d"),
	"mov.i":   to("MOVD $%[2]d, R%[1]d"),
	"add3":    to("ADD $%[3]d, R%[2]d, R%[1]d"),
	"sub3":    to("SUB $%[3]d, R%[2]d, R%[1]d"),
	"subs3":   to("SUBS $%[3]d, R%[2]d, R%[1]d"),
	"addr":    to("ADD R%[3]d, R%[2]d, R%[1]d"),
	"subr":    to("SUB R%[3]d, R%[2]d, R%[1]d"),
	"add4":    to("ADD R%[3]d<<2, R%[2]d, R%[1]d"),
	"sub4":    to("SUB R%[3]d<<2, R%[2]d, R%[1]d"),
	"mul":     to("MUL R%[3]d, R%[2]d, R%[1]d"),
	"lsl":     to("LSL $%[3]d, R%[2]d, R%[1]d"),
	"csel.hi": to("CSEL HI, R%[2]d, R%[3]d, R%[1]d"),
	"csel.lt": to("CSEL LT, R%[2]d, R%[3]d, R%[1]d"),
	"zero.lt": to("CSEL LT, ZR, R%[2]d, R%[1]d"),
	"cmp":     {text: "CMP $%[2]d, R%[1]d"},
	"cmpr":    {text: "CMP R%[2]d, R%[1]d"},

	// Control flow
	"b":     {text: "JMP %[1]s", branch: true},
	"b.lt":  {text: "BLT %[1]s", branch: true, conditional: true},
	"b.le":  {text: "BLE %[1]s", branch: true, conditional: true},
	"b.eq":  {text: "BEQ %[1]s", branch: true, conditional: true},
	"b.ge":  {text: "BGE %[1]s", branch: true, conditional: true},
	"cbnz":  {text: "CBNZ R%[2]d, %[1]s", branch: true, conditional: true},
	"cbnzw": {text: "CBNZW R%[2]d, %[1]s", branch: true, conditional: true},
	"cbzw":  {text: "CBZW R%[2]d, %[1]s", branch: true, conditional: true},
	"tbz":   {text: "TBZ $%[2]d, R%[3]d, %[1]s", branch: true, conditional: true},
	"ret":   {text: "RET"},
}

func to(text string) arm64Op      { return arm64Op{text: text, results: 1} }
func updates(text string) arm64Op { return arm64Op{text: text, results: 1, updates: true} }

func v3(name string, word uint32) arm64Op {
	return arm64Op{text: name + " v%[1]d.4s, v%[2]d.4s, v%[3]d.4s", word: word, results: 1}
}

func v2(name string, word uint32, last string) arm64Op {
	return arm64Op{text: name + " v%[1]d.4s, v%[2]d.4s" + last, word: word, results: 1}
}

// toGo writes a function's instructions as Go's assembler takes them.
func toGo(fn *ir.Function) {
	for _, i := range fn.Instructions() {
		o := arm64Ops[i.Opcode]
		operands := make([]any, len(i.Operands))
		for j, op := range i.Operands {
			operands[j] = arm64Operand(op, fn.LocalSize)
		}
		s := fmt.Sprintf(o.text, operands...)
		if o.word != 0 {
			s = fmt.Sprintf("WORD $0x%08x // %s", o.encode(operands), s)
		}
		mnemonic, rest, _ := strings.Cut(s, " ")
		i.Opcode, i.Operands = mnemonic, nil
		if rest != "" {
			i.Operands = []operand.Op{asmText(rest)}
		}
	}
}

// encode puts registers and the amount of a shift into the word.
func (o arm64Op) encode(operands []any) uint32 {
	w := o.word
	for j, v := range operands {
		n := uint32(v.(int))
		if j == 2 && strings.Contains(o.text, "#%[3]d") {
			w |= (64 - n) << 16
		} else {
			w |= n << []int{0, 5, 16}[j]
		}
	}
	return w
}

// asmText is an operand as it is written.
type asmText string

func (t asmText) Asm() string { return string(t) }

// arm64Operand is an operand as a verb of arm64Op's text takes it, in a function with frame bytes of memory of its own.
func arm64Operand(op operand.Op, frame int) any {
	switch op := op.(type) {
	case reg.Physical:
		return int(op.PhysicalIndex())
	case operand.I64:
		return int(op)
	case operand.LabelRef:
		return string(op)
	case operand.Mem:
		if r, ok := op.Base.(reg.Physical); ok && r.Kind() == reg.KindGP {
			s := "(R" + strconv.Itoa(int(r.PhysicalIndex())) + ")"
			if op.Disp != 0 {
				s = strconv.Itoa(op.Disp) + s
			}
			return s
		}
		if op.Base == reg.StackPointer {
			return fmt.Sprintf("local-%d(SP)", frame-op.Disp)
		}
		return op.Asm()
	}
	panic(fmt.Sprintf("operand %T", op))
}
