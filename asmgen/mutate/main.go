// Command mutate breaks single instructions and constants of the generated assembly, one at a time, and reports which
// of them the tests see. Run it in the repository's root with
//
//	go run -C asmgen ./mutate -n 100
//	go run -C asmgen ./mutate -n 100 -arch arm64
//
// The second one needs qemu-aarch64, except on arm64.
//
// It works on a copy of the repository. A mutation that survives is printed with its line; some change nothing that a
// result shows (a bound that sends more blocks to a slow path with the same bits, say).
package main

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// An arch is an architecture whose assembly is broken.
type arch struct {
	file  string
	swaps []swap
	// words are instructions written as numbers: the mnemonic in the comment, and the bits that make it another one.
	words []wordSwap
	run   []string // what runs a program
	tests [][]string
}

// A swap is a mnemonic, or its beginning, and what takes its place.
type swap struct{ from, to string }

type wordSwap struct {
	from, to string
	bits     uint32
}

// A mutant may loop for ever. One with the right bits may be slow: it is looked at last. An emulator says nothing of that,
// and takes its time: there the kernel's own test comes first.
var arches = map[string]arch{
	"amd64": {
		file: "focal_amd64.s", swaps: amd64Swaps,
		tests: [][]string{
			{"-test.run=Golden", "-test.timeout=120s"}, // takes a second, and catches most
			{"-test.short", "-test.run=Identity|Guard|Assembly|Required", "-test.timeout=120s"},
			{"-test.run=NoCliffs", "-test.timeout=120s"},
		},
	},
	"arm64": {
		file: "focal_arm64.s", swaps: arm64Swaps, words: arm64Words, run: []string{"qemu-aarch64"},
		tests: [][]string{
			{"-test.short", "-test.run=Identity/^KERNEL$/neon", "-test.timeout=600s"},
			{"-test.short", "-test.run=Identity|Guard|Assembly", "-test.timeout=3600s"},
		},
	},
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

type mutation struct {
	line int
	fn   string
	what string
	text string
}

func main() {
	log.SetFlags(0)
	n := flag.Int("n", 100, "number of mutations")
	seed := flag.Uint64("seed", 1, "seed of their choice")
	only := flag.String("kernel", "", "only functions that begin so")
	name := flag.String("arch", "amd64", "the architecture whose assembly is broken")
	flag.Parse()
	a, ok := arches[*name]
	if !ok {
		log.Fatalf("no architecture %q", *name)
	}
	if *name == runtime.GOARCH {
		a.run = nil
	}
	root, err := filepath.Abs("..")
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(filepath.Join(dir, "focal"), os.DirFS(root)); err != nil {
		log.Fatal(err)
	}
	dir = filepath.Join(dir, "focal")
	original, err := os.ReadFile(filepath.Join(dir, a.file))
	if err != nil {
		log.Fatal(err)
	}
	lines := strings.Split(string(original), "\n")
	var all []mutation
	fn := ""
	for i, line := range lines {
		if rest, ok := strings.CutPrefix(line, "TEXT ·"); ok {
			fn, _, _ = strings.Cut(rest, "(")
		}
		if fn == "" || !strings.HasPrefix(fn, *only) || !strings.HasPrefix(line, "\t") || strings.HasPrefix(line, "\t//") {
			continue
		}
		for what, text := range a.mutants(line) {
			if text != line {
				all = append(all, mutation{i, fn, what, text})
			}
		}
	}
	// Maps have no order: the choice shall depend on the seed alone.
	sortMutations(all)
	r := rand.New(rand.NewPCG(*seed, 0))
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	all = all[:min(*n, len(all))]

	count := map[string]int{}
	for _, m := range all {
		broken := append([]string(nil), lines...)
		broken[m.line] = m.text
		if err := os.WriteFile(filepath.Join(dir, a.file), []byte(strings.Join(broken, "\n")), 0o644); err != nil {
			log.Fatal(err)
		}
		verdict := a.test(dir, *name, m.fn)
		count[verdict]++
		fmt.Printf("%-9s %s:%d: %s: %s: %s\n", verdict, a.file, m.line+1, m.fn, m.what, strings.Join(strings.Fields(lines[m.line]), " "))
	}
	fmt.Println(len(all), "mutations:", count)
}

// test runs the tests that know the assembly, after fn was changed.
func (a arch) test(dir, name, fn string) string {
	build := exec.Command("go", "test", "-c", "-o", "mutant.test", ".")
	build.Dir, build.Env = dir, append(os.Environ(), "GOARCH="+name, "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		if bytes.Contains(out, []byte(a.file)) || bytes.Contains(out, []byte("asm:")) {
			return "no build"
		}
		log.Fatalf("%s", out)
	}
	kernel := strings.TrimSuffix(fn, "NEON")
	for _, args := range a.tests {
		args := append(append(slices.Clone(a.run), "./mutant.test"), args...)
		for i := range args {
			args[i] = strings.Replace(args[i], "KERNEL", kernel, 1)
		}
		run := exec.Command(args[0], append(args[1:], "-test.failfast")...)
		run.Dir = dir
		if run.Run() != nil {
			return "caught"
		}
	}
	return "SURVIVED"
}

func sortMutations(all []mutation) {
	slices.SortFunc(all, func(a, b mutation) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.what, b.what))
	})
}
