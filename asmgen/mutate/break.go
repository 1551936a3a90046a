package main

import (
	"fmt"
	"log"
	"regexp"
	"strconv"
	"strings"
)

// What may be wrong in a line of assembly.

// A swap is a mnemonic, or its beginning, and what takes its place.
type swap struct{ from, to string }

// A wordSwap is for instructions written as numbers: the mnemonic in the comment, and the bits that make it another one.
type wordSwap struct {
	from, to string
	bits     uint32
}

var arm64Swaps = []swap{
	{"VFMLA", "VFMLS"}, {"VFMLS", "VFMLA"}, {"VADD", "VSUB"}, {"VSUB", "VADD"}, {"VAND", "VORR"}, {"VORR", "VAND"},
	{"VEOR", "VORR"}, {"VUMIN", "VUMAX"}, {"VBIT", "VBIF"}, {"VBIF", "VBIT"}, {"VBSL", "VBIT"}, {"VUSHR", "VSHL"},
	{"VSHL", "VUSHR"}, {"VZIP1", "VZIP2"}, {"VZIP2", "VZIP1"}, {"VTBL", "VTBX"}, {"FMOVQ", "FMOVD"}, {"FMOVD", "FMOVS"},
	{"VLD1.P", "VLD1"}, {"VST1.P", "VST1"}, {"BLT", "BLE"}, {"BGE", "BGT"}, {"BLE", "BLT"}, {"BEQ", "BNE"},
	{"CBNZW", "CBZW"}, {"CBZW", "CBNZW"}, {"CBNZ", "CBZ"}, {"TBZ", "TBNZ"}, {"CSEL HI", "CSEL LS"}, {"CSEL LT", "CSEL GE"},
	{"SUBS", "ADDS"}, {"SUB", "ADD"}, {"ADD", "SUB"}, {"MOVW", "MOVD"},
}

var arm64Words = []wordSwap{
	{"fadd", "fsub", 0x00800000}, {"fsub", "fadd", 0x00800000}, {"fmul", "fadd", 0x20000800}, {"fdiv", "fmul", 0x00002000},
	{"fmin", "fmax", 0x00800000}, {"fmax", "fmin", 0x00800000}, {"fmax", "fmaxnm", 0x00003000}, {"smin", "smax", 0x00000800},
	{"smax", "smin", 0x00000800}, {"smax", "umax", 0x20000000}, {"fcmgt", "fcmge", 0x00800000}, {"fcmge", "fcmgt", 0x00800000},
	{"fcmeq", "fcmge", 0x20000000}, {"cmgt", "cmge", 0x00000800}, {"cmgt", "cmhi", 0x20000000}, {"sshr", "ushr", 0x20000000},
	{"bic", "and", 0x00400000}, {"orn", "orr", 0x00400000}, {"fabs", "fneg", 0x20000000}, {"umaxp", "uminp", 0x00000800},
	{"scvtf", "ucvtf", 0x20000000}, {"fsqrt", "fneg", 0x00015400 ^ 0x00001800}, {"fcvtl2", "fcvtl", 0x40000000},
}

var amd64Swaps = []swap{
	{"VADDPS", "VSUBPS"}, {"VSUBPS", "VADDPS"}, {"VMULPS", "VADDPS"}, {"VDIVPS", "VMULPS"},
	{"VMINPS", "VMAXPS"}, {"VMAXPS", "VMINPS"},
	{"VFMADD", "VFNMADD"}, {"VFNMADD", "VFMADD"}, {"VFMSUB", "VFMADD"},
	{"VPADDD", "VPSUBD"}, {"VPSUBD", "VPADDD"},
	{"VPANDND", "VPANDD"}, {"VPANDN", "VPAND"}, {"VPANDD", "VPORD"}, {"VPAND", "VPOR"}, {"VPORD", "VPANDD"}, {"VPOR", "VPAND"},
	{"VPXORD", "VPORD"}, {"VPXOR", "VPOR"},
	{"VPMINUD", "VPMAXUD"}, {"VPMINSD", "VPMAXSD"}, {"VPMAXSD", "VPMINSD"}, {"VPSRAD", "VPSRLD"},
	{"VPCMPGTD", "VPCMPEQD"}, {"VPCMPEQD", "VPCMPGTD"}, {"KORW", "KANDW"}, {"KANDW", "KORW"},
	{"JLT", "JLE"}, {"JGE", "JGT"}, {"JNE", "JEQ"}, {"JEQ", "JNE"}, {"CMOVQGT", "CMOVQLT"},
	{"VMOVLPS", "VMOVSS"}, {"VGETEXPPS", "VMOVUPS"},
}

var (
	constant  = regexp.MustCompile(`consts<>\+(\d+)\(SB\)`)
	immediate = regexp.MustCompile(`\$[+-]?0?x?[0-9a-f]+`)
	maskedOp  = regexp.MustCompile(`, K[1-7],`)
	address   = regexp.MustCompile(`(\b\d+)?\((AX|BX|CX|DX|SI|DI|R[0-9]+)\)`)
)

// mutants are the ways to break a line of assembly, by name.
func (a arch) mutants(line string) map[string]string {
	m := map[string]string{}
	code := strings.TrimSpace(line)
	mnemonic, operands, _ := strings.Cut(code, " ")
	for _, s := range a.swaps {
		if strings.HasPrefix(code, s.from) {
			m[s.from+" becomes "+s.to] = strings.Replace(line, s.from, s.to, 1)
			break
		}
	}
	if mnemonic == "WORD" {
		word, instruction, _ := strings.Cut(operands, " // ")
		w, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimSpace(word), "$"), 0, 32)
		if err != nil {
			log.Fatal(line)
		}
		name, _, _ := strings.Cut(instruction, " ")
		for _, s := range a.words {
			if name == s.from {
				m[s.from+" becomes "+s.to] = fmt.Sprintf("\tWORD $0x%08x", uint32(w)^s.bits)
			}
		}
		m["left out"] = ""
		return m
	}
	if c := constant.FindStringSubmatch(line); c != nil {
		n, _ := strconv.Atoi(c[1])
		to := n - 32
		if n == 0 {
			to = 32
		}
		m["another constant"] = strings.Replace(line, c[0], fmt.Sprintf("consts<>+%d(SB)", to), 1)
	}
	if i := immediate.FindString(line); i != "" && mnemonic != "JMP" {
		if n, err := strconv.ParseInt(strings.TrimPrefix(i[1:], "+"), 0, 64); err == nil {
			m["immediate plus 1"] = strings.Replace(line, i, fmt.Sprintf("$%d", n+1), 1)
		}
	}
	if strings.HasPrefix(mnemonic, "VMOVUPS") && maskedOp.MatchString(line) {
		m["mask left out"] = maskedOp.ReplaceAllString(line, ",")
	}
	if mnemonic == "VMASKMOVPS" {
		o := strings.Split(operands, ", ")
		m["mask left out"] = "\tVMOVUPS " + o[0] + ", " + o[2]
	}
	if strings.HasPrefix(mnemonic, "VBLENDV") || strings.HasPrefix(mnemonic, "VBLENDM") {
		o := strings.Split(strings.TrimSpace(operands), ", ")
		i := 0
		if strings.HasPrefix(mnemonic, "VBLENDV") {
			i = 1
		}
		if strings.HasPrefix(o[i], "Y") || strings.HasPrefix(o[i], "Z") {
			o[i], o[i+1] = o[i+1], o[i]
			m["blend the other way"] = "\t" + mnemonic + " " + strings.Join(o, ", ")
		}
	}
	if a := address.FindStringSubmatch(line); a != nil && !strings.Contains(line, "(FP)") {
		n, _ := strconv.Atoi(a[1])
		m["4 bytes further"] = strings.Replace(line, a[0], fmt.Sprintf("%d(%s)", n+4, a[2]), 1)
	}
	switch {
	case mnemonic == "RET", mnemonic == "JMP":
	case strings.Contains(line, "(FP)"):
	default:
		m["left out"] = ""
	}
	return m
}
