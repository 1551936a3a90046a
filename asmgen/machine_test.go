package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// An operation is one of the machine's, on up to three operands, and what it gives in a lane.
type operation struct {
	name string
	emit func(m machine, a, b, c vec) vec
	want func(a, b, c uint32) uint32
	// applies says which operands the operation is defined for; nil: all. needs is the property it asks for.
	applies func(a, b, c uint32) bool
	needs   func(properties) bool
	// body, in place of emit, is a whole kernel from src to dst, and wantAt what it leaves at dst[i], which was src[i], on a
	// target with some lanes.
	body   func(m machine)
	wantAt func(lanes int, src []uint32, i int) uint32
}

func f(bits uint32) float32   { return math.Float32frombits(bits) }
func bitsIn(v float32) uint32 { return math.Float32bits(v) }
func truth(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// exactFMA is x*y + z by math/big, rounded once. big.Float has no NaN, Inf or signed zero: those take the plain path.
func exactFMA(x, y, z float32) float32 {
	for _, v := range []float32{x, y, z} {
		if v != v || math.IsInf(float64(v), 0) {
			return float32(float64(x)*float64(y) + float64(z))
		}
	}
	if p := float64(x) * float64(y); p == 0 || z == 0 || p+float64(z) == 0 {
		return float32(p + float64(z)) // one of them is exact
	}
	p := new(big.Float).SetPrec(2000).Mul(big.NewFloat(float64(x)), big.NewFloat(float64(y)))
	r, _ := p.Add(p, new(big.Float).SetPrec(2000).SetFloat64(float64(z))).Float32()
	return r
}

func neg(v float32) float32 { return math.Float32frombits(math.Float32bits(v) ^ 1<<31) }

// testTable4 and so on have entries that tell where they stand.
func testTableOf(n int) table {
	t := table{name: fmt.Sprintf("test_table%d", n)}
	for i := range n {
		t.entries = append(t.entries, 0x01010101*uint32(i+1))
	}
	return t
}

func lookupOperation(n int) operation {
	return operation{
		name:  fmt.Sprintf("lookup%d", n),
		emit:  func(m machine, a, b, c vec) vec { return m.lookup(testTableOf(n), a) },
		want:  func(a, b, c uint32) uint32 { return 0x01010101 * (a%uint32(n) + 1) },
		needs: func(p properties) bool { return n < 16 || p.table16 },
	}
}

func float1(name string, emit func(m machine, a, b, c vec) vec, want func(a, b, c float32) float32) operation {
	return operation{name: name, emit: emit, want: func(a, b, c uint32) uint32 { return bitsIn(want(f(a), f(b), f(c))) }}
}

func word(name string, emit func(m machine, a, b, c vec) vec, want func(a, b, c uint32) uint32) operation {
	return operation{name: name, emit: emit, want: want}
}

// compare gives a mask as 1 and 0; pick turns it into c and b.
func compare(name string, k func(m machine, a, b vec) mask, want func(a, b uint32) bool) operation {
	return operation{
		name: name,
		emit: func(m machine, a, b, c vec) vec { return m.pick(k(m, a, b), m.u32(1), m.u32(0)) },
		want: func(a, b, c uint32) uint32 { return truth(want(a, b)) },
	}
}

var operations = []operation{
	float1("add", func(m machine, a, b, c vec) vec { return m.add(a, b) }, func(a, b, c float32) float32 { return a + b }),
	float1("sub", func(m machine, a, b, c vec) vec { return m.sub(a, b) }, func(a, b, c float32) float32 { return a - b }),
	float1("mul", func(m machine, a, b, c vec) vec { return m.mul(a, b) }, func(a, b, c float32) float32 { return a * b }),
	float1("div", func(m machine, a, b, c vec) vec { return m.div(a, b) }, func(a, b, c float32) float32 { return a / b }),
	float1("sqrt", func(m machine, a, b, c vec) vec { return m.sqrt(a) },
		func(a, b, c float32) float32 { return float32(math.Sqrt(float64(a))) }),
	float1("fma", func(m machine, a, b, c vec) vec { return m.fma(a, b, c) }, exactFMA),
	float1("fnma", func(m machine, a, b, c vec) vec { return m.fnma(a, b, c) },
		func(a, b, c float32) float32 { return exactFMA(neg(a), b, c) }),
	float1("fms", func(m machine, a, b, c vec) vec { return m.fms(a, b, c) },
		func(a, b, c float32) float32 { return exactFMA(a, b, neg(c)) }),
	float1("fma_constant", func(m machine, a, b, c vec) vec { return m.fma(a, m.f32(1.5), m.f32(-2)) },
		func(a, b, c float32) float32 { return exactFMA(a, 1.5, -2) }),
	float1("fma_overwrites_nothing", func(m machine, a, b, c vec) vec {
		a, b, c = m.hold(a), m.hold(b), m.hold(c)
		d := m.fma(a, b, c)
		return m.add(m.sub(m.add(d, m.sub(a, a)), m.sub(b, b)), m.sub(c, c))
	}, func(a, b, c float32) float32 { return ((exactFMA(a, b, c) + (a - a)) - (b - b)) + (c - c) }),
	float1("min", func(m machine, a, b, c vec) vec { return m.min(a, b) }, func(a, b, c float32) float32 {
		if a < b {
			return a
		}
		return b
	}),
	float1("max", func(m machine, a, b, c vec) vec { return m.max(a, b) }, func(a, b, c float32) float32 {
		if a > b {
			return a
		}
		return b
	}),
	float1("fmin_constant", func(m machine, a, b, c vec) vec { return m.min(m.f32(1.5), b) }, func(a, b, c float32) float32 {
		if 1.5 < b {
			return 1.5
		}
		return b
	}),
	float1("fmax_constant", func(m machine, a, b, c vec) vec { return m.max(m.f32(-2), b) }, func(a, b, c float32) float32 {
		if -2 > b {
			return -2
		}
		return b
	}),
	float1("max_zero", func(m machine, a, b, c vec) vec { return m.max(a, m.f32(0)) }, func(a, b, c float32) float32 {
		if a > 0 {
			return a
		}
		return 0
	}),
	float1("min_zero", func(m machine, a, b, c vec) vec { return m.min(m.f32(0), b) }, func(a, b, c float32) float32 {
		if 0 < b {
			return 0
		}
		return b
	}),
	word("iadd", func(m machine, a, b, c vec) vec { return m.iadd(a, b) }, func(a, b, c uint32) uint32 { return a + b }),
	word("isub", func(m machine, a, b, c vec) vec { return m.isub(a, b) }, func(a, b, c uint32) uint32 { return a - b }),
	word("umin", func(m machine, a, b, c vec) vec { return m.umin(a, b) }, func(a, b, c uint32) uint32 { return min(a, b) }),
	word("smin", func(m machine, a, b, c vec) vec { return m.smin(a, b) },
		func(a, b, c uint32) uint32 { return uint32(min(int32(a), int32(b))) }),
	word("smax", func(m machine, a, b, c vec) vec { return m.smax(a, b) },
		func(a, b, c uint32) uint32 { return uint32(max(int32(a), int32(b))) }),
	word("and", func(m machine, a, b, c vec) vec { return m.and(a, b) }, func(a, b, c uint32) uint32 { return a & b }),
	word("or", func(m machine, a, b, c vec) vec { return m.or(a, b) }, func(a, b, c uint32) uint32 { return a | b }),
	word("xor", func(m machine, a, b, c vec) vec { return m.xor(a, b) }, func(a, b, c uint32) uint32 { return a ^ b }),
	word("andnot", func(m machine, a, b, c vec) vec { return m.andnot(a, b) }, func(a, b, c uint32) uint32 { return b &^ a }),
	word("shl", func(m machine, a, b, c vec) vec { return m.shl(a, 20) }, func(a, b, c uint32) uint32 { return a << 20 }),
	word("shr", func(m machine, a, b, c vec) vec { return m.shr(a, 23) }, func(a, b, c uint32) uint32 { return a >> 23 }),
	word("sar", func(m machine, a, b, c vec) vec { return m.sar(a, 3) }, func(a, b, c uint32) uint32 { return uint32(int32(a) >> 3) }),
	word("float", func(m machine, a, b, c vec) vec { return m.float(a) },
		func(a, b, c uint32) uint32 { return bitsIn(float32(int32(a))) }),
	lookupOperation(4), lookupOperation(8), lookupOperation(16),
	compare("lt", machine.lt, func(a, b uint32) bool { return f(a) < f(b) }),
	compare("le", machine.le, func(a, b uint32) bool { return f(a) <= f(b) }),
	compare("eq", machine.eq, func(a, b uint32) bool { return f(a) == f(b) }),
	compare("unordered", machine.unordered, func(a, b uint32) bool { return f(a) != f(a) || f(b) != f(b) }),
	compare("igt", machine.igt, func(a, b uint32) bool { return int32(a) > int32(b) }),
	compare("ieq", machine.ieq, func(a, b uint32) bool { return a == b }),
	compare("both", func(m machine, a, b vec) mask { return m.both(m.igt(a, m.u32(0)), m.igt(b, m.u32(0))) },
		func(a, b uint32) bool { return int32(a) > 0 && int32(b) > 0 }),
	compare("either", func(m machine, a, b vec) mask { return m.either(m.igt(a, m.u32(0)), m.igt(b, m.u32(0))) },
		func(a, b uint32) bool { return int32(a) > 0 || int32(b) > 0 }),
	word("pick", func(m machine, a, b, c vec) vec { return m.pick(m.igt(a, m.u32(0)), b, c) }, func(a, b, c uint32) uint32 {
		if int32(a) > 0 {
			return b
		}
		return c
	}),
	word("keep", func(m machine, a, b, c vec) vec { return m.keep(m.igt(a, m.u32(0)), b) }, func(a, b, c uint32) uint32 {
		if int32(a) > 0 {
			return b
		}
		return 0
	}),
	word("drop", func(m machine, a, b, c vec) vec { return m.drop(m.igt(a, m.u32(0)), b) }, func(a, b, c uint32) uint32 {
		if int32(a) > 0 {
			return 0
		}
		return b
	}),
	// A target may keep the opposite of unordered: every way to use a mask then has a case of its own.
	compare("unordered_both", func(m machine, a, b vec) mask { return m.both(m.unordered(a, a), m.unordered(b, b)) },
		func(a, b uint32) bool { return isNaN(a) && isNaN(b) }),
	compare("unordered_both_first", func(m machine, a, b vec) mask { return m.both(m.unordered(a, a), m.igt(b, a)) },
		func(a, b uint32) bool { return isNaN(a) && int32(b) > int32(a) }),
	compare("unordered_both_last", func(m machine, a, b vec) mask { return m.both(m.igt(b, a), m.unordered(a, a)) },
		func(a, b uint32) bool { return isNaN(a) && int32(b) > int32(a) }),
	compare("unordered_either", func(m machine, a, b vec) mask { return m.either(m.unordered(a, a), m.unordered(b, b)) },
		func(a, b uint32) bool { return isNaN(a) || isNaN(b) }),
	compare("unordered_either_first", func(m machine, a, b vec) mask { return m.either(m.unordered(a, a), m.igt(b, a)) },
		func(a, b uint32) bool { return isNaN(a) || int32(b) > int32(a) }),
	compare("unordered_either_last", func(m machine, a, b vec) mask { return m.either(m.igt(b, a), m.unordered(a, a)) },
		func(a, b uint32) bool { return isNaN(a) || int32(b) > int32(a) }),
	word("unordered_keep", func(m machine, a, b, c vec) vec { return m.keep(m.unordered(a, b), c) }, func(a, b, c uint32) uint32 {
		if isNaN(a) || isNaN(b) {
			return c
		}
		return 0
	}),
	word("unordered_drop", func(m machine, a, b, c vec) vec { return m.drop(m.unordered(a, b), c) }, func(a, b, c uint32) uint32 {
		if isNaN(a) || isNaN(b) {
			return 0
		}
		return c
	}),
	word("pickNegative", func(m machine, a, b, c vec) vec { return m.pickNegative(a, b, c) }, func(a, b, c uint32) uint32 {
		if a>>31 != 0 {
			return b
		}
		return c
	}),
	{
		name: "scalef",
		emit: func(m machine, a, b, c vec) vec { return m.scalef(a, b) },
		want: func(a, b, c uint32) uint32 {
			return bitsIn(float32(math.Ldexp(float64(f(a)), int(math.Floor(float64(f(b)))))))
		},
		needs: func(p properties) bool { return p.scale },
		applies: func(a, b, c uint32) bool {
			n, x := math.Abs(float64(f(b))), math.Abs(float64(f(a)))
			return n < 300 && x <= math.MaxFloat32 && x >= 0x1p-126
		},
	},
	{
		name: "getexp",
		emit: func(m machine, a, b, c vec) vec { return m.getexp(a) },
		want: func(a, b, c uint32) uint32 {
			switch x := math.Abs(float64(f(a))); {
			case x == 0:
				return bitsIn(float32(math.Inf(-1)))
			case x > math.MaxFloat32 || x != x:
				return bitsIn(float32(x))
			default:
				return bitsIn(float32(math.Ilogb(x)))
			}
		},
		needs: func(p properties) bool { return p.scale },
	},
	{
		name: "getmant",
		emit: func(m machine, a, b, c vec) vec { return m.getmant(a) },
		want: func(a, b, c uint32) uint32 {
			switch x := float64(f(a)); {
			case x == 0 || math.IsInf(x, 1):
				return bitsIn(1)
			default:
				return bitsIn(float32(x / math.Exp2(math.Floor(math.Log2(x)))))
			}
		},
		needs:   func(p properties) bool { return p.scale },
		applies: func(a, b, c uint32) bool { return a>>31 == 0 },
	},
	wordsIn("loadWords", machine.loadWords, func(h uint32) uint32 { return h }),
	wordsIn("floatLoadFloat16", machine.loadFloat16, float16),
	wordsOut("storeWords", func(m machine, p gp, offset int, a vec) { m.storeWords(p, offset, m.shr(a, 16)) },
		func(a uint32) uint32 { return a >> 16 }),
	wordsOut("storeFloat16", machine.storeFloat16, toFloat16),
	{
		// log1p has no kernel of its own: here it is within 2 ULP of math.Log1p on all targets.
		name:    "log1p",
		emit:    func(m machine, a, b, c vec) vec { return log1p(m, a) },
		want:    func(a, b, c uint32) uint32 { return bitsIn(float32(math.Log1p(float64(f(a))))) },
		applies: func(a, b, c uint32) bool { return f(a) >= 0x1p-126 && f(a) < 0x1p126 },
	},
}

// Operations on 16-bit words read the first half of src, or write the first half of dst.

func wordsIn(name string, load func(m machine, p gp, offset int) vec, want func(h uint32) uint32) operation {
	return operation{
		name: name,
		body: func(m machine) {
			lanes := m.properties().lanes
			convert(m, 2, 4, func(dst, src gp, u int) { m.store(dst, 4*lanes*u, load(m, src, 2*lanes*u)) })
		},
		wantAt: func(_ int, src []uint32, i int) uint32 { return want(src[i/2] >> (16 * (i % 2)) & 0xffff) },
	}
}

func wordsOut(name string, store func(m machine, p gp, offset int, a vec), want func(a uint32) uint32) operation {
	return operation{
		name: name,
		body: func(m machine) {
			lanes := m.properties().lanes
			convert(m, 4, 2, func(dst, src gp, u int) { store(m, dst, 2*lanes*u, m.hold(m.load(src, 4*lanes*u))) })
		},
		wantAt: func(_ int, src []uint32, i int) uint32 {
			w := src[i]
			for j := range 2 { // the last word may be half written
				if k := 2*i + j; k < len(src) {
					w = w&^(0xffff<<(16*j)) | want(src[k])<<(16*j)
				}
			}
			return w
		},
	}
}

// float16 is the value of a binary16 number, and toFloat16 the nearest one.
func float16(h uint32) uint32 {
	m, e := float64(h&0x3ff), int(h>>10&31)
	v := math.Ldexp(1024+m, e-25)
	switch {
	case e == 31 && m != 0:
		v = math.NaN()
	case e == 31:
		v = math.Inf(1)
	case e == 0:
		v = math.Ldexp(m, -24)
	}
	return bitsIn(float32(v)) | h>>15<<31
}

func toFloat16(a uint32) uint32 {
	x := math.Abs(float64(f(a)))
	_, e := math.Frexp(x)
	unit := math.Ldexp(1, max(e, -13)-11)
	n := uint32(math.RoundToEven(x / unit)) // 2^11 goes on to the next exponent
	switch {
	case x != x:
		return 0x7e00 | a>>16&0x8000 | a>>13&0x3ff
	case x >= 65520:
		return 0x7c00 | a>>16&0x8000
	case x < 0x1p-14:
		return n | a>>16&0x8000
	}
	return uint32(e+14)<<10 + n - 1<<10 | a>>16&0x8000
}

// operands are the inputs: every triple of awkward values, and some random ones.
func operands() (a, b, c []uint32) {
	awkward := []uint32{0, 1, 0x7fffff, 0x800000, 0x3f800000, 0x3fc00000, 0x40400000, 0x4b800001, 0x7f7fffff, 0x7f800000,
		0x7f800001, 0x7fc00000, 0x33800000, 0x3f7fffff, 0x41a40000}
	for _, v := range awkward[:len(awkward):len(awkward)] {
		awkward = append(awkward, v|1<<31)
	}
	for _, x := range awkward {
		for _, y := range awkward {
			for _, z := range awkward {
				a, b, c = append(a, x), append(b, y), append(c, z)
			}
		}
	}
	state := uint64(1)
	random := func() uint32 {
		state = state*6364136223846793005 + 1442695040888963407
		return uint32(state >> 32)
	}
	for range 20000 {
		x, y := random(), random()
		z := random()
		if random()%2 == 0 { // an addend that the product nearly cancels
			z = bitsIn(-f(x)*f(y)) + random()%3
		}
		a, b, c = append(a, x), append(b, y), append(c, z)
	}
	for len(a)%3 != 1 { // ends with a part of a vector
		a, b, c = append(a, uint32(len(a))), append(b, 0), append(c, 0)
	}
	return a, b, c
}

var operandsA, operandsB, operandsC = operands()

// runner says how a program for an architecture runs here, as arguments of go run; ok is false if it does not.
func runner(architecture string) (args []string, ok bool) {
	if architecture == runtime.GOARCH {
		return nil, true
	}
	emulator := map[string]string{"arm64": "qemu-aarch64"}[architecture]
	if _, err := exec.LookPath(emulator); err != nil {
		return nil, false
	}
	return []string{"-exec", emulator}, true
}

// flags are what /proc/cpuinfo must list for a variant to run.
var flags = map[string]string{"avx2": " avx2 ", "avx512": " avx512dq "}

// TestOperations runs each operation of the machine on every target that this computer has or emulates, and compares with
// Go.
func TestOperations(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs Linux")
	}
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range architectures {
		args, ok := runner(a.name)
		for _, v := range a.variants {
			t.Run(v.name, func(t *testing.T) {
				if !ok || a.name == runtime.GOARCH && !strings.Contains(string(info), flags[v.name]) {
					t.Skip("does not run here")
				}
				testOperations(t, a, v, args)
			})
		}
	}
}

func testOperations(t *testing.T, arch architecture, v variant, args []string) {
	arch.variants = []variant{v}
	var list []kernel
	var calls strings.Builder
	var runs []operation
	has := v.target(newPool(arch.constBytes)).properties()
	for _, o := range slices.Concat(operations, blockOperations) {
		if o.needs != nil && !o.needs(has) {
			continue
		}
		list = append(list, kernel{
			name: "op_" + o.name, args: "dst, src, b, c *float32, n int",
			body: func(m machine) {
				if o.body != nil {
					o.body(m)
					return
				}
				elementwise{
					outs: at0("dst"), ins: at0("src", "b", "c"), unroll: 2, fill: []float32{1, 1, 1},
					step: func(m machine, x []vec) []vec { return []vec{o.emit(m, x[0], x[1], x[2])} },
				}.emit(m)
			},
		})
		runs = append(runs, o)
		fmt.Fprintf(&calls, "\trun(op_%s%s)\n", o.name, v.suffix)
	}
	a, b, c := operandsA, operandsB, operandsC
	var input bytes.Buffer
	binary.Write(&input, binary.LittleEndian, a)
	binary.Write(&input, binary.LittleEndian, b)
	binary.Write(&input, binary.LittleEndian, c)

	dir := t.TempDir()
	assembly, stubs := arch.assemble("main", list)
	for name, text := range map[string][]byte{
		"go.mod": []byte("module operations\n\ngo 1.25\n"), "ops.s": assembly, "ops.go": stubs,
		"main.go": []byte(fmt.Sprintf(runOperations, len(a), calls.String())),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", append(append([]string{"run"}, args...), ".")...)
	cmd.Dir, cmd.Stdin = dir, &input
	cmd.Env = append(os.Environ(), "GOARCH="+arch.name, "CGO_ENABLED=0")
	var failure bytes.Buffer
	cmd.Stderr = &failure
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, failure.Bytes())
	}
	got := make([]uint32, len(a)*len(runs))
	if err := binary.Read(bytes.NewReader(output), binary.LittleEndian, got); err != nil {
		t.Fatal(err)
	}
	for i, o := range runs {
		for j, g := range got[i*len(a):][:len(a)] {
			if o.applies != nil && !o.applies(a[j], b[j], c[j]) {
				continue
			}
			var w uint32
			if o.wantAt != nil {
				w = o.wantAt(has.lanes, a, j)
			} else {
				w = o.want(a[j], b[j], c[j])
			}
			same := g == w || isNaN(g) && isNaN(w) && isFloat(o.name)
			if o.name == "log1p" {
				same = g-w+2 <= 4
			}
			if !same {
				t.Errorf("%s: a = %08x, b = %08x, c = %08x: got %08x, want %08x", o.name, a[j], b[j], c[j], g, w)
				break
			}
		}
	}
}

func isNaN(bits uint32) bool { return f(bits) != f(bits) }

// isFloat reports whether any NaN will do as an operation's result: not in integer operations, minimum and maximum,
// which hand on bits.
func isFloat(name string) bool {
	switch name {
	case "add", "sub", "mul", "div", "sqrt", "getexp", "getmant", "scalef":
		return true
	}
	return strings.HasPrefix(name, "f")
}

// runOperations runs kernels on slices that end where memory does that may not be touched.
const runOperations = `package main

import (
	"encoding/binary"
	"os"
	"syscall"
	"unsafe"
)

const n = %d

var in [3][]uint32 // not float32: encoding/binary would quiet a NaN

// guarded is memory for n words before a page that may not be read or written.
func guarded() []uint32 {
	page := os.Getpagesize()
	size := (4*n + page - 1) / page * page
	memory, err := syscall.Mmap(-1, 0, size+page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		panic(err)
	}
	if err := syscall.Mprotect(memory[size:], syscall.PROT_NONE); err != nil {
		panic(err)
	}
	return unsafe.Slice((*uint32)(unsafe.Pointer(&memory[size-4*n])), n)
}

var dst = guarded()

func run(f func(dst, a, b, c *float32, n int)) {
	copy(dst, in[0])
	p := func(x []uint32) *float32 { return (*float32)(unsafe.Pointer(&x[0])) }
	f(p(dst), p(in[0]), p(in[1]), p(in[2]), n)
	binary.Write(os.Stdout, binary.LittleEndian, dst)
}

func main() {
	for i := range in {
		in[i] = guarded()
		if err := binary.Read(os.Stdin, binary.LittleEndian, in[i]); err != nil {
			panic(err)
		}
	}
%s}
`
