// Command asmgen writes focal's assembly and what belongs to it. Run it in the repository's root with
//
//	go run -C asmgen .
package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/format"
	golog "log"
	"os"
	"path/filepath"
	"strings"

	"github.com/mmcloughlin/avo/buildtags"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/printer"
)

// A kernel is a line of THE LIST: what is emitted, declared and tested.
type kernel struct {
	name string
	args string // of the assembly
	body func(machine)
}

// kernels is THE LIST.
//
// How many vectors are interleaved (together) was measured on Zen 4, ns an element for 1, 2, 4 in AVX2 and in AVX-512: exp
// 0.193 0.184 0.184, 0.162 0.156 0.159; log 0.289 0.295, 0.217 0.214 0.235; sigmoid 0.330 0.306, 0.251 0.236 0.227; pow
// 0.906, 0.630 0.611. Where a figure is missing, there are too few registers.
var kernels = []kernel{
	{name: "exp", args: "dst, x *float32, n int", body: func(m machine) {
		elementwise{
			outs: at0("dst"), ins: at0("x"), unroll: 4, together: 2, fill: []float32{1},
			guard: func(m machine, x [][]vec, slow string) { expGuard(m, x[0], slow) },
			step:  func(m machine, x []vec) []vec { return []vec{exp(m, x[0])} },
			slow:  func(m machine, x []vec) []vec { return []vec{expSlow(m, x[0])} },
		}.emit(m)
	}},
	{name: "log", args: "dst, x *float32, n int", body: func(m machine) {
		e := elementwise{outs: at0("dst"), ins: at0("x"), unroll: 4, together: m.properties().registers / 16, fill: []float32{1}}
		if has := m.properties(); has.scale && has.table16 {
			e.step = func(m machine, x []vec) []vec { return []vec{logMantissa(m, x[0])} }
			e.check = func(m machine, y [][]vec, slow string) { nanCheck(m, y[0], slow) }
			e.patch = func(m machine, x, y []vec) []vec { return []vec{logPatch(m, x[0], y[0])} }
		} else {
			e.guard = func(m machine, x [][]vec, slow string) { logGuard(m, x[0], slow) }
			e.step = func(m machine, x []vec) []vec { return []vec{log(m, x[0])} }
			e.slow = func(m machine, x []vec) []vec { return []vec{logSlow(m, x[0])} }
		}
		e.emit(m)
	}},
	{name: "sigmoid", args: "dst, x *float32, n int", body: func(m machine) {
		elementwise{
			outs: at0("dst"), ins: at0("x"), unroll: 4, together: m.properties().registers / 8, fill: []float32{1},
			guard: func(m machine, x [][]vec, slow string) { expGuard(m, x[0], slow) },
			step:  func(m machine, x []vec) []vec { return []vec{sigmoid(m, x[0])} },
			slow:  func(m machine, x []vec) []vec { return []vec{sigmoidSlow(m, x[0])} },
		}.emit(m)
	}},
	{name: "pow", args: "dst, x *float32, n int, p *powParams", body: func(m machine) {
		var params gp
		var y powExponent
		elementwise{
			outs: at0("dst"), ins: at0("x"), unroll: 2, together: m.properties().registers / 16, fill: []float32{1},
			prologue: func(m machine) {
				params = m.param("p")
				y = loadExponent(m, params)
			},
			step: func(m machine, x []vec) []vec {
				res, bad := pow(m, x[0], y)
				return []vec{res, bad}
			},
			check: func(m machine, y [][]vec, slow string) {
				bad := y[1][0]
				for _, b := range y[1][1:] {
					bad = m.or(bad, b)
				}
				m.jumpIfBits(bad, slow)
			},
			slow: func(m machine, x []vec) []vec { return []vec{powSlow(m, x[0], y, params)} },
		}.emit(m)
	}},
	{name: "sigmoidLoss", args: "losses, logits, targets *float32, n int, p *lossParams", body: func(m machine) {
		sigmoidLossKernel(m, false, true)
	}},
	{name: "sigmoidGrad", args: "losses, grad, logits, targets *float32, n int, p *lossParams, scale *float32", body: func(m machine) {
		sigmoidLossKernel(m, true, true)
	}},
	{name: "backgroundLoss", args: "losses, logits *float32, n int, p *lossParams", body: func(m machine) {
		sigmoidLossKernel(m, false, false)
	}},
	{name: "backgroundGrad", args: "losses, grad, logits *float32, n int, p *lossParams, scale *float32", body: func(m machine) {
		sigmoidLossKernel(m, true, false)
	}},
	{name: "rowSum", args: "sums, logits *float32, labels *int32, rows, classes int, slow *int", body: func(m machine) {
		rowSum(m, rowLoop{matrices: []string{"logits"}, labels: true})
	}},
	{name: "rowExp", args: "dst, sums, logits *float32, labels *int32, rows, classes int, slow *int", body: func(m machine) {
		rowSum(m, rowLoop{matrices: []string{"dst", "logits"}, labels: true})
	}},
	{name: "partSum", args: "total *[16]float64, logits *float32, n, label int, slow *int", body: func(m machine) {
		rowSum(m, rowLoop{matrices: []string{"logits"}, part: true})
	}},
	{name: "partExp", args: "dst *float32, total *[16]float64, logits *float32, n, label int, slow *int", body: func(m machine) {
		rowSum(m, rowLoop{matrices: []string{"dst", "logits"}, part: true})
	}},
	{name: "rowMost", args: "sums, logits *float32, labels *int32, rows, classes int", body: rowMost},
	{name: "rowShifted", args: "sums, logits *float32, labels *int32, rows, classes int", body: func(m machine) {
		rowShifted(m, rowLoop{matrices: []string{"logits"}, labels: true})
	}},
	{name: "rowShiftedExp", args: "dst, sums, logits *float32, labels *int32, rows, classes int", body: func(m machine) {
		rowShifted(m, rowLoop{matrices: []string{"dst", "logits"}, labels: true})
	}},
	{name: "partShifted", args: "sums *float32, total *[16]float64, logits *float32, n, label int", body: func(m machine) {
		rowShifted(m, rowLoop{matrices: []string{"logits"}, part: true})
	}},
	{name: "partShiftedExp", args: "dst, sums *float32, total *[16]float64, logits *float32, n, label int", body: func(m machine) {
		rowShifted(m, rowLoop{matrices: []string{"dst", "logits"}, part: true})
	}},
	{name: "narrowSum", args: "sums, logits *float32, labels *int32, rows, classes int, e *float32, step int, slow *int", body: narrow{}.sum},
	{name: "narrowShifted", args: "sums, logits *float32, labels *int32, rows, classes int, e *float32, step int", body: narrow{}.shifted},
	{name: "narrowSoftmax", args: "dst, sums *float32, labels *int32, rows, classes int, e *float32, step int", body: func(m machine) {
		narrow{}.scale(m, false)
	}},
	{name: "narrowGrad", args: "dst, sums *float32, labels *int32, rows, classes int, e *float32, step int", body: func(m machine) {
		narrow{}.scale(m, true)
	}},
	{name: "rowLoss", args: "losses *float32, sums *float32, n int, p *lossParams", body: func(m machine) {
		rowEndKernel(m, false)
	}},
	{name: "rowGrad", args: "losses *float32, sums *float32, n int, p *lossParams, scale *float32", body: func(m machine) {
		rowEndKernel(m, true)
	}},
	{name: "soleLoss", args: "losses, logits *float32, classes, label int, weight *float32, p *lossParams, slow *int", body: soleLoss},
	{name: "maxWord", args: "most, x *uint32, n int", body: maxWord},
	{name: "foldRows", args: "losses, terms *float32, rows, classes int", body: foldRows},
	{name: "sumLosses", args: "sum *float64, x *float32, n int", body: sumLosses},
	{name: "addBlocks", args: "total *[16]float64, x *float32, n int", body: addPart},
	{name: "reciprocals", args: "sums *float32, n int", body: reciprocals},
	{name: "rowLogSum", args: "dst, sums *float32, n int", body: rowLogSum},
	{name: "softmaxScale", args: "dst, sums *float32, rows, classes int", body: func(m machine) { rowScale(m, false) }},
	{name: "gradScale", args: "dst, sums *float32, rows, classes int", body: func(m machine) { rowScale(m, true) }},
	{name: "rowFirst", args: "sums, logits *float32, labels *int32, rows, classes int", body: rowFirst},
	{name: "logSoftmaxRows", args: "dst, sums, logits *float32, rows, classes int", body: logSoftmaxRows},
	{name: "sigmoidGradScaled", args: "losses, grad, logits, targets, scales *float32, n int, p *lossParams", body: sigmoidGradScaled},
	{name: "weigh", args: "losses, scales *float32, n int", body: weigh},
	{name: "rowSmooth", args: "losses, sums, more *float32, n int, p *lossParams, scale *float32", body: rowSmooth},
	{name: "smoothSpread", args: "grad, terms, logits *float32, n int, even *float32", body: smoothSpread},
	{name: "addLogs", args: "total *[32]float64, logits, logs *float32, n int", body: addLogs},
	{name: "softTerms", args: "losses, slopes, logs, probs, targets, weights *float32, n int, p *lossParams", body: softTerms},
	{name: "addTerms", args: "total *[16]float64, x *float32, n int", body: addTerms},
	{name: "softGrad", args: "grad, probs, complements, slopes *float32, n int, sum *float32", body: softGrad},
	{name: "planeSum", args: "sums, logits *float32, labels *int32, rows, classes, stride int, e *float32, step int, lanes *float32, slow *int", body: narrow{planes: true}.sum},
	{name: "planeShifted", args: "sums, logits *float32, labels *int32, rows, classes, stride int, e *float32, step int, lanes *float32", body: narrow{planes: true}.shifted},
	{name: "planeSoftmax", args: "dst, sums *float32, labels *int32, rows, classes, stride int, e *float32, step int", body: func(m machine) { narrow{planes: true}.scale(m, false) }},
	{name: "planeGrad", args: "dst, sums *float32, labels *int32, rows, classes, stride int, e *float32, step int", body: func(m machine) { narrow{planes: true}.scale(m, true) }},
	{name: "widenBFloat16", args: "dst *float32, src *uint16, n int", body: widenBFloat16},
	{name: "widenFloat16", args: "dst *float32, src *uint16, n int", body: widenFloat16},
	{name: "narrowBFloat16", args: "dst *uint16, src *float32, n int", body: narrowBFloat16},
	{name: "narrowFloat16", args: "dst *uint16, src *float32, n int", body: narrowFloat16},
}

// nanCheck jumps to slow if there is a NaN among some vectors.
func nanCheck(m machine, y []vec, slow string) {
	m.comment("any NaN?")
	var any mask
	for i := 0; i < len(y); i += 2 {
		k := m.unordered(y[i], y[min(i+1, len(y)-1)])
		if i > 0 {
			k = m.either(any, k)
		}
		any = k
	}
	m.jumpIfAny(any, slow)
}

// A target is a machine that emits functions.
type target interface {
	machine
	kernel(name, signature string, emit func()) *ir.Function
}

// A variant is a target that kernels are emitted for.
type variant struct {
	name, suffix string
	target       func(*pool) target
}

// An architecture has a file of assembly.
type architecture struct {
	name       string
	constBytes int       // of a constant in memory
	variants   []variant // best first
}

var architectures = []architecture{
	{"amd64", 32, []variant{
		{"avx512", "AVX512", func(p *pool) target { return newAMD64(p, true) }},
		{"avx2", "AVX2", func(p *pool) target { return newAMD64(p, false) }},
	}},
	{"arm64", 16, []variant{{"neon", "NEON", func(p *pool) target { return newARM64(p) }}}},
}

func main() {
	golog.SetFlags(0)
	dir := flag.String("dir", "..", "the repository's root")
	flag.Parse()
	for name, text := range generate() {
		if err := os.WriteFile(filepath.Join(*dir, name), text, 0o644); err != nil {
			golog.Fatal(err)
		}
	}
}

// generate returns the generated files by name.
func generate() map[string][]byte {
	files := map[string][]byte{"focal_noasm.go": noAssembly(kernels), "kernels_gen_test.go": testTable()}
	for _, a := range architectures {
		assembly, stubs := a.assemble("focal", kernels)
		files["focal_"+a.name+".s"] = assembly
		files["focal_"+a.name+".go"] = append(stubs, calls(kernels, a.variants)...)
	}
	return files
}

// calls are the switches to the active variant: for each kernel a function with the ending Asm.
func calls(kernels []kernel, variants []variant) []byte {
	var b bytes.Buffer
	for _, k := range kernels {
		fmt.Fprintf(&b, "\nfunc %sAsm(%s) {\n", k.name, k.args)
		if len(variants) == 1 {
			fmt.Fprintf(&b, "\t%s%s(%s)\n}\n", k.name, variants[0].suffix, k.argNames())
			continue
		}
		fmt.Fprintf(&b, "\tswitch active {\n")
		for i, v := range variants {
			label := "case " + v.name
			if i == len(variants)-1 {
				label = "default"
			}
			fmt.Fprintf(&b, "\t%s:\n\t\t%s%s(%s)\n", label, k.name, v.suffix, k.argNames())
		}
		fmt.Fprintf(&b, "\t}\n}\n")
	}
	return b.Bytes()
}

// noAssembly has the same functions for platforms without assembly, where nothing calls them.
func noAssembly(kernels []kernel) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "// Code generated by asmgen. DO NOT EDIT.\n\n//go:build purego || !(amd64 || arm64)\n\npackage focal\n\n")
	fmt.Fprintf(&b, "const noAssembly = \"focal: there is no assembly on this platform\"\n")
	for _, k := range kernels {
		fmt.Fprintf(&b, "\nfunc %sAsm(%s) { panic(noAssembly) }\n", k.name, k.args)
	}
	text, err := format.Source(b.Bytes())
	if err != nil {
		panic(err)
	}
	return text
}

// argNames lists the names of the arguments.
func (k kernel) argNames() string {
	args := strings.Split(k.args, ", ")
	for i, a := range args {
		args[i], _, _ = strings.Cut(a, " ")
	}
	return strings.Join(args, ", ")
}

// assemble emits kernels for all variants: the assembly, and its declarations in package pkg.
func (a architecture) assemble(pkg string, kernels []kernel) (assembly, stubs []byte) {
	file := ir.NewFile()
	if err := buildtagsOf(file, "!purego"); err != nil {
		panic(err)
	}
	file.Includes = []string{"textflag.h"}
	p := newPool(a.constBytes)
	for _, k := range kernels {
		for _, v := range a.variants {
			m := v.target(p)
			fn := m.kernel(k.name+v.suffix, "func("+k.args+")", func() { k.body(m) })
			fn.Doc = []string{fn.Name + " is the kernel " + k.name + ": asmgen has its body, kernels.go its callers."}
			fn.AddPragma("noescape")
			file.AddSection(fn)
		}
	}
	file.Sections = append(p.sections(), file.Sections...)

	cfg := printer.Config{Name: "asmgen", Pkg: pkg}
	assembly, err := printer.NewGoAsm(cfg).Print(file)
	if err != nil {
		panic(err)
	}
	stubs, err = printer.NewStubs(cfg).Print(file)
	if err != nil {
		panic(err)
	}
	return assembly, stubs
}

func buildtagsOf(f *ir.File, expr string) error {
	c, err := buildtags.ParseConstraint(expr)
	if err != nil {
		return err
	}
	f.Constraints = append(f.Constraints, c)
	return f.Constraints.Validate()
}

// testTable is the table of kernels that tests range over.
func testTable() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "// Code generated by asmgen. DO NOT EDIT.\n\npackage focal\n\nimport \"unsafe\"\n\n")
	fmt.Fprintf(&b, "// generatedKernels names every kernel with assembly, generatedVariants what it is emitted for.\n")
	fmt.Fprintf(&b, "var generatedKernels = []string{")
	for _, k := range kernels {
		fmt.Fprintf(&b, "%q, ", k.name)
	}
	fmt.Fprintf(&b, "}\n\nvar generatedVariants = []string{")
	for _, a := range architectures {
		for _, v := range a.variants {
			fmt.Fprintf(&b, "%q, ", v.name)
		}
	}
	fmt.Fprintf(&b, "}\n\n")
	fmt.Fprintf(&b, "// generatedOffsets are where the assembly looks for fields, beside where they are.\n")
	fmt.Fprintf(&b, "var generatedOffsets = []struct {\n\tname string\n\tassembly, actual uintptr\n}{\n")
	field := func(typ, name string, offset int) {
		fmt.Fprintf(&b, "{\"%s.%s\", %d, unsafe.Offsetof(%s{}.%s)},\n", typ, name, offset, typ, name)
	}
	field("powParams", "y", powFields.y)
	field("powParams", "ah", powFields.ah)
	field("powParams", "al", powFields.al)
	field("powParams", "odd", powFields.odd)
	field("powParams", "fraction", powFields.fraction)
	field("lossParams", "focusKind", lossFields.focus)
	field("lossParams", "factor", lossFields.factor)
	field("lossParams", "positive", lossFields.positive)
	field("lossParams", "negative", lossFields.negative)
	field("lossParams", "limit", lossFields.limit)
	field("lossParams", "power", lossFields.power)
	field("lossParams", "smooth", lossFields.smooth)
	field("lossParams", "least", lossFields.least)
	field("rowSums", "sum", rowSumField)
	field("rowSums", "n", rowNField)
	field("rowSums", "most", rowMostField)
	field("rowSums", "target", rowTargetField)
	field("rowSums", "weight", rowWeightField)
	field("rowSums", "plain", rowPlainField)
	field("smoothSums", "mean", meanField)
	field("smoothSums", "classes", classesField)
	fmt.Fprintf(&b, "}\n")
	text, err := format.Source(bytes.ReplaceAll(b.Bytes(), []byte(", }"), []byte("}")))
	if err != nil {
		panic(err)
	}
	return text
}
