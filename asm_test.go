package focal

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// An asmFunc is one function of the assembly text.
type asmFunc struct {
	name     string
	requires []string // the instruction sets that the generator found it to use
	lines    []asmLine
}

type asmLine struct {
	number   int
	mnemonic string // with suffixes
	operands string
	comment  string
}

// readAsm splits an assembly file into functions.
func readAsm(t *testing.T, name string) []asmFunc {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var funcs []asmFunc
	var requires []string
	s := bufio.NewScanner(f)
	for n := 1; s.Scan(); n++ {
		line := s.Text()
		if list, ok := strings.CutPrefix(line, "// Requires: "); ok {
			requires = strings.Split(list, ", ")
		}
		if rest, ok := strings.CutPrefix(line, "TEXT ·"); ok {
			name, _, _ := strings.Cut(rest, "(")
			funcs = append(funcs, asmFunc{name: name, requires: requires})
			requires = nil
		}
		code, comment, _ := strings.Cut(line, "//")
		if len(funcs) == 0 || !strings.HasPrefix(line, "\t") || strings.TrimSpace(code) == "" {
			continue
		}
		mnemonic, operands, _ := strings.Cut(strings.TrimSpace(code), " ")
		fn := &funcs[len(funcs)-1]
		fn.lines = append(fn.lines, asmLine{n, mnemonic, strings.TrimSpace(operands), strings.TrimSpace(comment)})
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return funcs
}

// variantSuffix is how the names of a variant's functions end, variantFile where they are.
var (
	variantSuffix = map[string]string{"avx2": "AVX2", "avx512": "AVX512", "neon": "NEON"}
	variantFile   = map[string]string{"avx2": "focal_amd64.s", "avx512": "focal_amd64.s", "neon": "focal_arm64.s"}
)

var (
	// Registers that are not ours: the frame pointer, g, and the GOT's address in dynamically linked code.
	foreignRegister = regexp.MustCompile(`\b(BP|R14|R15)\b`)
	// Estimates differ by vendor.
	estimate = regexp.MustCompile(`^V?(RCP|RSQRT|EXP2)`)
	// What AVX2 does not have: ZMM, opmasks, registers from 16 on, and instructions that exist only with EVEX encoding,
	// which Go's assembler picks silently.
	wideRegister   = regexp.MustCompile(`\b(Z[0-9]+|K[0-7]|[XY](1[6-9]|2[0-9]|3[01]))\b`)
	wideMnemonic   = regexp.MustCompile(`\.|^(K[A-Z]+|VP(AND|ANDN|OR|XOR|TERNLOG)[DQ]|V(SCALEF|GETEXP|GETMANT|RANGE|REDUCE|RNDSCALE|FIXUPIMM|FPCLASS|BLENDM)P[SD].*|VPCMPU?[DQ]|VPTESTN?M[DQ]|VPMOV[DM]2[DM]|VPERM[IT]2.*|VPBLENDM.*|VPSRAQ|VP(MIN|MAX)[SU]Q|VPMULLQ)$`)
	vectorRegister = regexp.MustCompile(`\b[XYZ][0-9]+\b`)
)

// TestAssemblyText holds the generated assembly against the rules that its text shows.
func TestAssemblyText(t *testing.T) {
	found := map[string]bool{}
	for file, problems := range map[string]func(asmFunc) []string{"focal_amd64.s": asmProblems, "focal_arm64.s": neonProblems} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(text), "\n")
		if !regexp.MustCompile(`^// Code generated .* DO NOT EDIT\.$`).MatchString(first) {
			t.Errorf("%s:1: %q does not say that the file is generated", file, first)
		}
		for _, fn := range readAsm(t, file) {
			found[file+" "+fn.name] = true
			for _, p := range problems(fn) {
				t.Errorf("%s:%s", file, p)
			}
		}
	}
	for _, k := range generatedKernels {
		for _, v := range generatedVariants {
			if name := variantFile[v] + " " + k + variantSuffix[v]; !found[name] {
				t.Errorf("no %s", name)
			}
		}
	}
}

// asmProblems lists which rules fn breaks.
func asmProblems(fn asmFunc) []string {
	var problems []string
	report := func(l asmLine, format string, args ...any) {
		problems = append(problems, fmt.Sprintf("%d: %s: %s %s: %s", l.number, fn.name, l.mnemonic, l.operands, fmt.Sprintf(format, args...)))
	}
	narrow := strings.HasSuffix(fn.name, variantSuffix["avx2"])
	returns := 0
	for i, l := range fn.lines {
		if r := foreignRegister.FindString(l.operands); r != "" {
			report(l, "%s is not ours", r)
		}
		if estimate.MatchString(l.mnemonic) {
			report(l, "an estimate")
		}
		if narrow && (wideRegister.MatchString(l.operands) || wideMnemonic.MatchString(l.mnemonic)) {
			report(l, "needs AVX-512")
		}
		if l.mnemonic == "RET" {
			returns++
			if i == 0 || fn.lines[i-1].mnemonic != "VZEROUPPER" {
				report(l, "without VZEROUPPER before it")
			}
		}
		// An instruction of SSE form writes the lower half of a register only, and waits for the upper one.
		if vectorRegister.MatchString(l.operands) && !strings.HasPrefix(l.mnemonic, "V") && !strings.HasPrefix(l.mnemonic, "K") {
			report(l, "no VEX encoding")
		}
		if l.mnemonic == "CALL" || l.mnemonic == "WORD" || l.mnemonic == "BYTE" || l.mnemonic == "LONG" || l.mnemonic == "QUAD" {
			report(l, "not in a kernel")
		}
	}
	if returns == 0 {
		problems = append(problems, fmt.Sprintf("0: %s never returns", fn.name))
	}
	return problems
}

// TestAssemblyRules breaks every rule once: each must be seen.
func TestAssemblyRules(t *testing.T) {
	for _, c := range []struct{ name, mnemonic, operands string }{
		{"fAVX2", "MOVQ", "AX, R14"}, {"fAVX512", "MOVQ", "(R15), AX"}, {"fAVX2", "MOVQ", "BP, AX"},
		{"fAVX2", "VRCPPS", "Y0, Y1"}, {"fAVX512", "VRSQRT14PS", "Z0, Z1"},
		{"fAVX2", "VADDPS", "Z0, Z1, Z2"}, {"fAVX2", "VADDPS", "Y16, Y1, Y2"}, {"fAVX2", "VPANDD", "Y0, Y1, Y2"},
		{"fAVX2", "VADDPS.BCST", "(AX), Y1, Y2"}, {"fAVX2", "KORTESTW", "K1, K1"},
		{"fAVX2", "ADDPS", "X0, X1"}, {"fAVX2", "RET", ""}, {"fAVX2", "CALL", "·f(SB)"},
	} {
		fn := asmFunc{name: c.name, lines: []asmLine{{1, c.mnemonic, c.operands, ""}, {2, "VZEROUPPER", "", ""}, {3, "RET", "", ""}}}
		if p := asmProblems(fn); len(p) != 1 {
			t.Errorf("%s %s in %s: problems %q, want one", c.mnemonic, c.operands, c.name, p)
		}
	}
	fine := asmFunc{name: "fAVX512", lines: []asmLine{{1, "VADDPS.BCST", "(AX), Z1, Z17", ""}, {2, "VZEROUPPER", "", ""}, {3, "RET", "", ""}}}
	if p := asmProblems(fine); len(p) != 0 {
		t.Errorf("problems %q in a function without any", p)
	}
}

// TestOffsets: a field that moved would be read from its old place.
func TestOffsets(t *testing.T) {
	for _, f := range generatedOffsets {
		if f.assembly != f.actual {
			t.Errorf("%s is at offset %d, the assembly reads it at %d", f.name, f.actual, f.assembly)
		}
	}
}
