package focal

import "math"

// powParams holds what Pow computes once per call from the exponent. The assembly knows the order of the first seven
// fields.
type powParams struct {
	y        float32 // clamped
	ah, al   float32 // y log2(e) in two parts
	zero     uint32  // bits of |0^y|
	inf      uint32  // bits of |Inf^y|
	odd      uint32  // 1<<31 if y is an odd integer, else 0
	fraction uint32  // all ones if y is not an integer, else 0
}

func newPowParams(y float32) powParams {
	const kh, kl = float32(0x1.715476p0), float32(0x1.4ae0c0p-26)
	yc := math.Float32frombits(math.Float32bits(y))
	if a := float32(math.Abs(float64(y))); a > 0x1p32 {
		yc = float32(math.Copysign(0x1p32, float64(y)))
	} else if a < 0x1p-50 {
		yc = float32(math.Copysign(0x1p-50, float64(y)))
	}
	f := func(a, b, c float32) float32 { return float32(math.FMA(float64(a), float64(b), float64(c))) }
	p := powParams{y: yc, ah: yc * kh}
	p.al = f(yc, kl, f(yc, kh, -p.ah))
	p.inf = 0x7f800000
	if y < 0 {
		p.zero, p.inf = p.inf, 0
	}
	if t := math.Trunc(float64(y)); t != float64(y) {
		p.fraction = ^uint32(0)
	} else if math.Abs(t) < 1<<24 && int64(t)&1 != 0 {
		p.odd = 1 << 31
	}
	return p
}

// Stubs, replaced by the specification.
func exp1(x float32) float32                    { return 0 } // e^x
func log1(x float32) float32                    { return 0 } // log x
func log1p1(v float32) float32                  { return 0 } // log(1+v), 0 <= v <= 0x1.8p126
func pow1(x float32, p *powParams) float32      { return 0 } // x^y
func sigmoid1(x float32) float32                { return 0 }
func fma32(x, y, z float32) float32             { return 0 }
func expGeneric(dst, x []float32)               {}
func logGeneric(dst, x []float32)               {}
func powGeneric(dst, x []float32, p *powParams) {}
func sigmoidGeneric(dst, x []float32)           {}
