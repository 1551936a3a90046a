package focal

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// What focal_arm64.s must be like, on every platform: its text needs no arm64.

var (
	// R18 is the platform's, R27 the assembler's, R28 (g) the goroutine's, R29 and R30 (LR) hold the frame and the return
	// address; R16, R17 and R19 to R26 are not among those that the generator gives out.
	neonForeign = regexp.MustCompile(`\b(R1[6-9]|R2[0-9]|R30|R18_PLATFORM|g|LR|RSP)\b`)
	// Estimates differ by vendor; FPCR holds the caller's rounding and flushing.
	neonEstimate = regexp.MustCompile(`^(V?FRECP|V?FRSQRT|frecp|frsqrt|MSR|MRS)`)
	neonWord     = regexp.MustCompile(`^\$0x[0-9a-f]{8}$`)
)

// neonProblems lists which rules fn breaks.
func neonProblems(fn asmFunc) []string {
	var problems []string
	report := func(l asmLine, format string, args ...any) {
		problems = append(problems, fmt.Sprintf("%d: %s: %s %s: %s", l.number, fn.name, l.mnemonic, l.operands, fmt.Sprintf(format, args...)))
	}
	returns := false
	for _, l := range fn.lines {
		if r := neonForeign.FindString(l.operands); r != "" {
			report(l, "%s is not ours", r)
		}
		if neonEstimate.MatchString(l.mnemonic) || neonEstimate.MatchString(l.comment) {
			report(l, "an estimate, or the floating-point environment")
		}
		switch l.mnemonic {
		case "WORD":
			if !neonWord.MatchString(l.operands) || l.comment == "" {
				report(l, "no word with the instruction as comment")
			}
		case "CALL", "BL", "BYTE", "LONG", "QUAD", "DWORD", "SVC":
			report(l, "not in a kernel")
		case "RET":
			returns = true
		}
	}
	if !returns {
		problems = append(problems, fmt.Sprintf("0: %s never returns", fn.name))
	}
	return problems
}

// TestNEONRules breaks every rule once: each must be seen.
func TestNEONRules(t *testing.T) {
	for _, l := range []asmLine{
		{mnemonic: "MOVD", operands: "R0, R18"}, {mnemonic: "MOVD", operands: "(R27), R0"}, {mnemonic: "MOVD", operands: "R28, R0"},
		{mnemonic: "MOVD", operands: "g, R0"}, {mnemonic: "MOVD", operands: "R30, R0"}, {mnemonic: "FMOVQ", operands: "-16(RSP), F0"},
		{mnemonic: "WORD", operands: "$0x4ea1d820", comment: "frecpe v0.4s, v1.4s"}, {mnemonic: "MSR", operands: "R0, FPCR"},
		{mnemonic: "WORD", operands: "$0x4e20d400"}, {mnemonic: "WORD", operands: "$1", comment: "udf #1"}, {mnemonic: "BL", operands: "f(SB)"},
	} {
		if p := neonProblems(asmFunc{name: "f", lines: []asmLine{l, {mnemonic: "RET"}}}); len(p) != 1 {
			t.Errorf("%s %s: problems %q, want one", l.mnemonic, l.operands, p)
		}
	}
	if p := neonProblems(asmFunc{name: "f", lines: []asmLine{{mnemonic: "MOVD", operands: "R15, R0"}}}); len(p) != 1 {
		t.Errorf("without RET: problems %q, want one", p)
	}
	fine := []asmLine{{mnemonic: "MOVD", operands: "x+8(FP), R15"}, {mnemonic: "WORD", operands: "$0x4e20d400", comment: "fadd v0.4s, v0.4s, v0.4s"}, {mnemonic: "RET"}}
	if p := neonProblems(asmFunc{name: "f", lines: fine}); len(p) != 0 {
		t.Errorf("problems %q in a function without any", p)
	}
}

// decodeWords returns what binutils makes of instructions.
func decodeWords(t *testing.T, words []uint32) []string {
	t.Helper()
	tool := "aarch64-linux-gnu-objdump"
	_, err := exec.LookPath(tool)
	if err != nil && runtime.GOARCH == "arm64" {
		tool = "objdump"
		_, err = exec.LookPath(tool)
	}
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%v: binutils for aarch64 must be there in continuous integration", err)
		}
		t.Skipf("%v: needs binutils for aarch64", err)
	}
	file := filepath.Join(t.TempDir(), "words")
	var code []byte
	for _, w := range words {
		code = binary.LittleEndian.AppendUint32(code, w)
	}
	if err := os.WriteFile(file, code, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tool, "-D", "-z", "-b", "binary", "-m", "aarch64", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	var text []string
	for _, line := range strings.Split(string(out), "\n") { // "   0:	4e20d400 	fadd	v0.4s, v0.4s, v0.4s"
		if f := strings.SplitN(line, "\t", 3); len(f) == 3 && strings.HasSuffix(f[0], ":") {
			code, _, _ := strings.Cut(f[2], "//")
			text = append(text, strings.Join(strings.Fields(code), " "))
		}
	}
	if len(text) != len(words) {
		t.Fatalf("%s shows %d instructions of %d", tool, len(text), len(words))
	}
	return text
}

// TestNEONWords decodes every instruction that is written as a number, and holds it against its comment.
func TestNEONWords(t *testing.T) {
	var lines []asmLine
	var words []uint32
	for _, fn := range readAsm(t, "focal_arm64.s") {
		for _, l := range fn.lines {
			if l.mnemonic != "WORD" {
				continue
			}
			w, err := strconv.ParseUint(strings.TrimPrefix(l.operands, "$"), 0, 32)
			if err != nil {
				t.Fatalf("focal_arm64.s:%d: %v", l.number, err)
			}
			lines, words = append(lines, l), append(words, uint32(w))
		}
	}
	if len(words) == 0 {
		t.Fatal("no words")
	}
	for i, text := range decodeWords(t, words) {
		if text != lines[i].comment {
			t.Errorf("focal_arm64.s:%d: %s is %q, the comment says %q", lines[i].number, lines[i].operands, text, lines[i].comment)
		}
	}
}

// fusedFloat32 is a fused multiplication and addition of float32 in the compiler's output for arm64, and its line.
var fusedFloat32 = regexp.MustCompile(`(\w+\.go:\d+)\)\s+(FN?M(?:ADD|SUB)S)\s`)

// TestNothingFuses: Go may fuse x*y + z where no conversion stands between, and on arm64 it does. In float64 the products
// of the specification are exact, so that it does not show; in float32 it would be another result.
func TestNothingFuses(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip(err)
	}
	cmd := exec.Command("go", "build", "-gcflags=-S", ".")
	cmd.Env = append(os.Environ(), "GOARCH=arm64", "GOOS=linux", "CGO_ENABLED=0", "GOFLAGS=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "FMADDD") {
		t.Error("no FMADDD: is this the compiler's output?")
	}
	for _, m := range fusedFloat32.FindAllStringSubmatch(string(out), -1) {
		t.Errorf("%s: %s: convert the product to float32", m[1], m[2])
	}
}
