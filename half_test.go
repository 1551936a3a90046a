package focal

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"unsafe"
)

// A halfFormat is a 16-bit format: its two conversions, as the public functions, kernels and specification, and what they
// are tested by: the number of its mantissa bits and the bias of its exponent.
type halfFormat struct {
	name                 string
	mantissa, bias       int
	nan                  uint16
	widen, widenKernel   func(dst []float32, src []uint16)
	widenGeneric         func(dst []float32, src []uint16)
	narrow, narrowKernel func(dst []uint16, src []float32)
	narrowGeneric        func(dst []uint16, src []float32)
}

var halfFormats = []halfFormat{
	{
		name: "BFloat16", mantissa: 7, bias: 127, nan: nanBFloat16,
		widen: WidenBFloat16[uint16], widenKernel: widenBFloat16Kernel, widenGeneric: widenBFloat16Generic,
		narrow: NarrowBFloat16[uint16], narrowKernel: narrowBFloat16Kernel, narrowGeneric: narrowBFloat16Generic,
	},
	{
		name: "Float16", mantissa: 10, bias: 15, nan: nanFloat16,
		widen: WidenFloat16[uint16], widenKernel: widenFloat16Kernel, widenGeneric: widenFloat16Generic,
		narrow: NarrowFloat16[uint16], narrowKernel: narrowFloat16Kernel, narrowGeneric: narrowFloat16Generic,
	},
}

// inf is the bits of infinity.
func (f *halfFormat) inf() uint16 { return 0x7fff >> f.mantissa << f.mantissa }

// value is what the bits stand for, by the format's definition; for infinity, it is the next number if the exponent went on.
func (f *halfFormat) value(h uint16) float64 {
	m, e := int(h)&(1<<f.mantissa-1), int(h&0x7fff)>>f.mantissa
	if e == 0 {
		e = 1
	} else {
		m += 1 << f.mantissa
	}
	v := math.Ldexp(float64(m), e-f.bias-f.mantissa)
	if h>>15 != 0 {
		v = math.Copysign(v, -1)
	}
	return v
}

// allHalves are all 16-bit words.
var allHalves = func() []uint16 {
	all := make([]uint16, 1<<16)
	for i := range all {
		all[i] = uint16(i)
	}
	return all
}()

// TestWiden holds the value of every 16-bit number against the definition.
func TestWiden(t *testing.T) {
	for _, f := range halfFormats {
		forEachVariant(t, func(t *testing.T) {
			got := make([]float32, len(allHalves))
			f.widen(got, allHalves)
			for i, h := range allHalves {
				want := math.Float32bits(float32(f.value(h)))
				switch a := h & 0x7fff; {
				case a > f.inf():
					want = canonicalNaN
				case a == f.inf():
					want = 0x7f800000 | uint32(h>>15)<<31
				}
				if math.Float32bits(got[i]) != want {
					t.Fatalf("Widen%s(%#04x) = %#08x, want %#08x", f.name, h, math.Float32bits(got[i]), want)
				}
			}
		})
	}
}

// narrowCases are, for each number of a format but NaN: itself, the middle between it and the next one, and that middle's
// neighbours. Rounding is monotonic, so what is between gives the same.
func (f *halfFormat) narrowCases() (x []float32, want []uint16) {
	for h := range f.inf() {
		middle := float32((f.value(h) + f.value(h+1)) / 2) // exact
		bits := math.Float32bits(middle)
		for _, c := range []struct {
			x    float32
			want uint16
		}{
			{float32(f.value(h)), h}, {math.Float32frombits(bits - 1), h},
			{middle, h + h&1}, {math.Float32frombits(bits + 1), h + 1},
		} {
			x, want = append(x, c.x, -c.x), append(want, c.want, c.want|1<<15)
		}
	}
	inf := float32(math.Inf(1))
	return append(x, inf, -inf, math.MaxFloat32, -math.MaxFloat32, nan32, math.Float32frombits(0xff800001), math.Float32frombits(0x7fffffff)),
		append(want, f.inf(), f.inf()|1<<15, f.inf(), f.inf()|1<<15, f.nan, f.nan, f.nan)
}

func TestNarrow(t *testing.T) {
	for _, f := range halfFormats {
		x, want := f.narrowCases()
		got := make([]uint16, len(x))
		forEachVariant(t, func(t *testing.T) {
			f.narrow(got, x)
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("Narrow%s(%x) = %#04x, want %#04x", f.name, x[i], got[i], want[i])
				}
			}
		})
	}
}

// The conversions' part of identity.
func init() {
	for _, f := range halfFormats {
		identity["widen"+f.name] = func(t *testing.T) {
			testConversion(t, allHalves, f.widenKernel, f.widenGeneric)
		}
		identity["narrow"+f.name] = func(t *testing.T) {
			x, _ := f.narrowCases()
			x = append(x, awkward...)
			r := random(21)
			for range 1 << 16 {
				x = append(x, math.Float32frombits(r.Uint32()))
			}
			testConversion(t, x, f.narrowKernel, f.narrowGeneric)
		}
	}
}

// testConversion holds a kernel against its specification on all of src, and on pieces of every length at several places:
// the neighbours stay as they are.
func testConversion[A, B uint16 | float32](t *testing.T, src []A, kernel, specification func(dst []B, src []A)) {
	t.Helper()
	want, got := make([]B, len(src)), make([]B, len(src))
	specification(want, src)
	kernel(got, src)
	checkBits(t, "all", got, want)
	sentinel := want[77]
	for n := range 100 {
		for offset := range 5 {
			for i := range got[:200] {
				got[i] = sentinel
			}
			at := 31*n + 7*offset
			kernel(got[16+offset:][:n], src[at:][:n])
			what := fmt.Sprintf("%d elements at %d to %d", n, at, offset)
			checkBits(t, what, got[16+offset:][:n], want[at:][:n])
			checkBits(t, what+": before", got[:16+offset], slices.Repeat([]B{sentinel}, 16+offset))
			checkBits(t, what+": behind", got[16+offset+n:200], slices.Repeat([]B{sentinel}, 184-offset-n))
			if t.Failed() {
				return
			}
		}
	}
	for _, n := range []int{chunk - 1, chunk, chunk + 1, 2*chunk - 1, 2 * chunk, 2*chunk + 1, 3*chunk + 5} {
		clear(got)
		kernel(got[:n], src[:n])
		checkBits(t, fmt.Sprint(n, " elements"), got[:n], want[:n])
	}
}

// asHalves gives floats' memory as 16-bit words.
func asHalves(x []float32) []uint16 {
	return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(x))), 2*len(x))
}

func TestHalfPanics(t *testing.T) {
	type float16 uint16 // any type whose underlying type is uint16 will do
	typed := make([]float16, 3)
	NarrowFloat16(typed, []float32{1, -2, 0.5})
	var back [3]float32
	WidenFloat16(back[:], typed)
	checkBits(t, "WidenFloat16 of a named type", back[:], []float32{1, -2, 0.5})

	for _, f := range halfFormats {
		floats, untouched := canaries(40)
		words := asHalves(floats)
		for _, n := range []int{0, 1, 16, 18} {
			checkPanic(t, func() { f.widen(floats[:n], make([]uint16, 17)) }, "Widen"+f.name, n, 17)
			checkPanic(t, func() { f.narrow(words[:n], make([]float32, 17)) }, "Narrow"+f.name, n, 17)
		}
		checkPanic(t, func() { f.widen(floats[:20], words[39:59]) }, "Widen"+f.name, "overlaps", 20)
		checkPanic(t, func() { f.widen(floats[10:20], words[11:21]) }, "Widen"+f.name, "overlaps", 10)
		checkPanic(t, func() { f.narrow(words[39:59], floats[:20]) }, "Narrow"+f.name, "overlaps", 20)
		checkPanic(t, func() { f.narrow(words[:10], floats[:10]) }, "Narrow"+f.name, "overlaps", 10)
		untouched(t, f.name)
		f.widen(floats[:20], words[40:60]) // side by side
		f.narrow(words[:20], floats[10:30])
		f.widen(nil, nil)
		f.narrow([]uint16{}, nil)
	}
}
