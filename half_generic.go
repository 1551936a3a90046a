package focal

import "math"

// The specification of the conversions between float32 and the two 16-bit formats:
//
//	bfloat16  1 sign, 8 exponent, 7 mantissa bits: the upper half of a float32
//	float16   1 sign, 5 exponent, 10 mantissa bits: IEEE 754 binary16

// The NaNs that are written, beside nan32.
const (
	nanBFloat16 = 0x7fc0
	nanFloat16  = 0x7e00
)

func widenBFloat16Generic(dst []float32, src []uint16) {
	for i, h := range src {
		dst[i] = canonical(math.Float32frombits(uint32(h) << 16))
	}
}

func narrowBFloat16Generic(dst []uint16, src []float32) {
	for i, x := range src {
		dst[i] = narrowBFloat16(x)
	}
}

// narrowBFloat16 adds just under half a unit of the upper half, and one more if that is odd: a tie goes to even, a carry
// to the next exponent or to Inf.
func narrowBFloat16(x float32) uint16 {
	if x != x {
		return nanBFloat16
	}
	b := math.Float32bits(x)
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

func widenFloat16Generic(dst []float32, src []uint16) {
	for i, h := range src {
		dst[i] = widenFloat16(h)
	}
}

func widenFloat16(h uint16) float32 {
	sign, a := uint32(h>>15)<<31, uint32(h&0x7fff)
	var x uint32
	switch {
	case a > 0x7c00:
		return nan32
	case a == 0x7c00: // infinite
		x = 0x7f800000
	case a < 0x0400: // subnormal: a multiple of 2^-24
		x = math.Float32bits(float32(a) * 0x1p-24)
	default:
		x = a<<13 + (127-15)<<23
	}
	return math.Float32frombits(sign | x)
}

func narrowFloat16Generic(dst []uint16, src []float32) {
	for i, x := range src {
		dst[i] = narrowFloat16(x)
	}
}

func narrowFloat16(x float32) uint16 {
	b := math.Float32bits(x)
	sign, a := uint16(b>>31)<<15, b&0x7fffffff
	var h uint32
	switch {
	case a > 0x7f800000:
		return nanFloat16
	case a >= 0x477ff000: // from 65520 on, halfway between the largest float16 and 2^16
		h = 0x7c00
	case a < 0x38800000: // below 2^-14: rounded to a multiple of 2^-24, the last place of 1/2
		h = math.Float32bits(math.Float32frombits(a)+0.5) - math.Float32bits(0.5)
	default: // as in narrowBFloat16
		h = (a - (127-15)<<23 + 0xfff + a>>13&1) >> 13
	}
	return sign | uint16(h)
}
