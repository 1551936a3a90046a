package focal

import (
	"fmt"
	"unsafe"
)

// The losses and vector functions work on float32. Models that put out 16-bit logits are served by widening a piece
// that fits the cache into a buffer, and calling the function on that.

// WidenBFloat16 sets dst[i] to the value of the bfloat16 with the bits src[i], exactly.
//
// len(dst) must equal len(src), and the two may not overlap: WidenBFloat16 panics before it writes anything if that does
// not hold. NaN gives the one NaN that this package writes, with the bits 0x7fc00000.
func WidenBFloat16[T ~uint16](dst []float32, src []T) {
	checkHalves("WidenBFloat16", dst, halves(src))
	widenBFloat16Kernel(dst, halves(src))
}

// WidenFloat16 sets dst[i] to the value of the IEEE 754 binary16 number with the bits src[i], exactly.
//
// Lengths, overlap and NaN as in [WidenBFloat16].
func WidenFloat16[T ~uint16](dst []float32, src []T) {
	checkHalves("WidenFloat16", dst, halves(src))
	widenFloat16Kernel(dst, halves(src))
}

// NarrowBFloat16 sets dst[i] to the bits of the bfloat16 nearest to src[i]: ties go to even, what lies beyond the largest
// bfloat16 by half a unit or more is infinite, and what is subnormal stays so.
//
// len(dst) must equal len(src), and the two may not overlap: NarrowBFloat16 panics before it writes anything if that does
// not hold. NaN gives the quiet NaN 0x7fc0.
func NarrowBFloat16[T ~uint16](dst []T, src []float32) {
	checkHalves("NarrowBFloat16", halves(dst), src)
	narrowBFloat16Kernel(halves(dst), src)
}

// NarrowFloat16 sets dst[i] to the bits of the IEEE 754 binary16 number nearest to src[i]: ties go to even, 65520 and
// more is infinite, and what is below 2^-14 becomes a multiple of 2^-24.
//
// Lengths and overlap as in [NarrowBFloat16]. NaN gives the quiet NaN 0x7e00.
func NarrowFloat16[T ~uint16](dst []T, src []float32) {
	checkHalves("NarrowFloat16", halves(dst), src)
	narrowFloat16Kernel(halves(dst), src)
}

// halves gives the same memory as plain 16-bit words.
func halves[T ~uint16](x []T) []uint16 {
	return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(x))), len(x))
}

// checkHalves panics unless dst and src have one length and nothing in common.
func checkHalves[D, S float32 | uint16](name string, dst []D, src []S) {
	if len(dst) != len(src) {
		panic(fmt.Sprintf("focal: %s: len(dst) is %d, len(src) is %d", name, len(dst), len(src)))
	}
	if overlaps(dst, src) {
		panic(fmt.Sprintf("focal: %s: dst overlaps src, %d elements each", name, len(dst)))
	}
	raceRead(src)
	raceWrite(dst)
}

// The kernels of the conversions go by tiles of 16 elements, since x86-64 has no masked access to 16-bit words before
// AVX-512. Where elements are left, the last tile is the slice's last 16, some of them for the second time; a shorter
// slice goes to the specification.

func widenBFloat16Kernel(dst []float32, src []uint16) {
	for len(src) >= 2*chunk { // so that the last piece has a tile
		widenBFloat16Kernel(dst[:chunk], src[:chunk])
		dst, src = dst[chunk:], src[chunk:]
	}
	if active == generic || len(src) < lanes {
		widenBFloat16Generic(dst, src)
		return
	}
	widenBFloat16Asm(&dst[0], &src[0], len(src))
}

func widenFloat16Kernel(dst []float32, src []uint16) {
	for len(src) >= 2*chunk { // so that the last piece has a tile
		widenFloat16Kernel(dst[:chunk], src[:chunk])
		dst, src = dst[chunk:], src[chunk:]
	}
	if active == generic || len(src) < lanes {
		widenFloat16Generic(dst, src)
		return
	}
	widenFloat16Asm(&dst[0], &src[0], len(src))
}

func narrowBFloat16Kernel(dst []uint16, src []float32) {
	for len(src) >= 2*chunk { // so that the last piece has a tile
		narrowBFloat16Kernel(dst[:chunk], src[:chunk])
		dst, src = dst[chunk:], src[chunk:]
	}
	if active == generic || len(src) < lanes {
		narrowBFloat16Generic(dst, src)
		return
	}
	narrowBFloat16Asm(&dst[0], &src[0], len(src))
}

func narrowFloat16Kernel(dst []uint16, src []float32) {
	for len(src) >= 2*chunk { // so that the last piece has a tile
		narrowFloat16Kernel(dst[:chunk], src[:chunk])
		dst, src = dst[chunk:], src[chunk:]
	}
	if active == generic || len(src) < lanes {
		narrowFloat16Generic(dst, src)
		return
	}
	narrowFloat16Asm(&dst[0], &src[0], len(src))
}
