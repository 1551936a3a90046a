// Command mutate breaks single instructions and constants of the generated assembly, one at a time, and reports which
// of them the tests see. Run it in the repository's root with
//
//	go run -C asmgen ./mutate -n 100
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
	"slices"
	"strconv"
	"strings"
)

// swaps are mnemonics, or their beginnings, and what takes their place.
var swaps = []struct{ from, to string }{
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
func mutants(line string) map[string]string {
	m := map[string]string{}
	code := strings.TrimSpace(line)
	mnemonic, operands, _ := strings.Cut(code, " ")
	for _, s := range swaps {
		if strings.HasPrefix(mnemonic, s.from) {
			m[s.from+" becomes "+s.to] = strings.Replace(line, s.from, s.to, 1)
			break
		}
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
	flag.Parse()
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
	const file = "focal_amd64.s"
	original, err := os.ReadFile(filepath.Join(dir, file))
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
		for what, text := range mutants(line) {
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
		if err := os.WriteFile(filepath.Join(dir, file), []byte(strings.Join(broken, "\n")), 0o644); err != nil {
			log.Fatal(err)
		}
		verdict := test(dir)
		count[verdict]++
		fmt.Printf("%-9s %s:%d: %s: %s: %s\n", verdict, file, m.line+1, m.fn, m.what, strings.Join(strings.Fields(lines[m.line]), " "))
	}
	fmt.Println(len(all), "mutations:", count)
}

// test runs the tests that know the assembly.
func test(dir string) string {
	build := exec.Command("go", "test", "-c", "-o", "mutant.test", ".")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		if bytes.Contains(out, []byte("focal_amd64.s")) || bytes.Contains(out, []byte("asm:")) {
			return "no build"
		}
		log.Fatalf("%s", out)
	}
	// A mutant may loop for ever. One with the right bits may be slow: it is looked at last.
	// The golden results take a second and catch most.
	for _, args := range [][]string{
		{"-test.run=Golden"},
		{"-test.short", "-test.run=Identity|Guard|Assembly|Required"},
		{"-test.run=NoCliffs"},
	} {
		run := exec.Command("./mutant.test", append(args, "-test.failfast", "-test.timeout=120s")...)
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
