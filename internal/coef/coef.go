// Package coef holds the constants of the kernels, once for the specification and for the generator of the assembly.
//
// coef.sollya makes every polynomial and table again, and proves the errors that are given here; check.sh runs it, coef.txt
// is what it prints, and the package's test compares. All polynomials are Sollya's fpminimax: minimax among those with
// float32 coefficients. Intervals are those of the reduced argument.
package coef

// Exp: e^x = 2^(k/4) e^r, |r| <= ln2/8.
//
// The scale s = ExpT[0] is the float nearest to 1 for which s 2^(j/4), j = 1..3, lie within 0.015 2^-24 (relative) of
// floats, and 1/s - 1 within 0.015 2^-24 of one too. So the table needs no low part, and the polynomial's constant term is
// as good as exact: it is e^r/s - 1, at no extra operation.
const (
	ExpMin = -104.0         // e^-104 < 2^-150 rounds to 0
	ExpMax = 89.0           // e^89 > 2^128 rounds to +Inf
	Log2E  = 0x1.715476p0   // log2 e
	Ln2Hi  = 0x1.62e43p-1   // ln 2 in 21 bits: in float64 n Ln2Hi is exact
	Ln2Lo  = -0x1.05c61p-29 // ln 2 - Ln2Hi
	// ExpMagic puts round(4 x log2 e) + 1016 in the low bits of a float: 1.5 2^21 + 254.
	ExpMagic = 3145982.0
)

var (
	// ExpT is s 2^(j/4), j = 0..7.
	ExpT = [8]float32{
		0x1.00be2cp0, 0x1.315208p0, 0x1.6b16d8p0, 0x1.afc9cep0,
		0x1.00be2cp1, 0x1.315208p1, 0x1.6b16d8p1, 0x1.afc9cep1,
	}
	// ExpPoly: e^r/s - 1 on |r| <= ln2/8 + 2^-17, absolute, constant term fixed: 2^-28.24; as a relative error of e^r
	// 2^-28.20.
	ExpPoly = [5]float32{-0x1.7b3e46p-9, 0x1.fe84bcp-1, 0x1.fe84bcp-2, 0x1.54836cp-3, 0x1.5483f6p-5}
)

// Rows: e^z = 2^n e^r, |r| <= ln2/2.
//
// RowPoly: e^r, the first three terms fixed, relative: 2^-28.24.
var RowPoly = [7]float32{
	1, 1, 0x1.fffffcp-2, 0x1.555494p-3, 0x1.5558c2p-5, 0x1.123854p-7, 0x1.6a3866p-10,
}

// Log: log x = k ln2 + log c_j + log1p(f), z = x 2^-k in [0.9375, 1.875), f = z R_j - 1.
//
// The R_j have so few bits that f is exact; the cell around 1 has R = 1. k LogLH + TH is exact (multiples of 2^-17).
const (
	LogOff   = 0x3f700000 // bits of 0.9375
	Log1pOff = 0x3f730000 // bits of 0.949: log1p's f stays within [-0.0728, 0.14844]
	LogLH    = 0x1.62e4p-1
	LogLL    = 0x1.7f7d1cp-20 // ln 2 - LogLH
)

var (
	LogR  = [4]float32{1, 0.8125, 0.6875, 0.5625}
	LogTH = [4]float32{0, 0x1.a94p-3, 0x1.7fbp-2, 0x1.2696p-1} // TH + TL = -log R_j
	LogTL = [4]float32{0, -0x1.2c3752p-19, -0x1.7109fap-20, 0x1.089a6ep-20}
	// LogPoly: (log1p(f) - f) / f^2 on [-0.0859375, 0.125], relative to log1p: 2^-27.21.
	LogPoly = [5]float32{-0x1.fffffp-2, 0x1.55544ep-2, -0x1.0023dap-2, 0x1.9cb02p-3, -0x1.396d64p-3}
	// Log1pPoly: the same on [-0.0728, 0.14844]: 2^-26.95.
	Log1pPoly = [5]float32{-0x1.ffffecp-2, 0x1.555634p-2, -0x1.0032c8p-2, 0x1.9973b6p-3, -0x1.1f6bc2p-3}
)

// Log1pUnit: log(1+v) = v + v (v P(v)) on [2^-30, 1], relative error: 2^-24.84.
var Log1pUnit = [8]float32{
	-0x1.ffff14p-2, 0x1.5535dep-2, -0x1.fd1368p-3, 0x1.884554p-3, -0x1.19af8ep-3, 0x1.44707ap-4, -0x1.eca398p-6, 0x1.5fa0dap-8,
}

// Pow: x^y = 2^(y log2 x), log2 x as E + PowTH_j + PowTL_j + (f + ...) log2 e in pairs.
const (
	PowOff   = 0x1f760000 // bits of 0.9609, the exponent 64 lower: E = e + 64 comes out unsigned for x in 2^-64..2^64
	PowZOff  = 0x3f760000
	PowKh    = 0x1.715476p0 // log2 e
	PowKl    = 0x1.4ae0cp-26
	PowMagic = 1572928.0 // 1.5 2^20 + 64: round(8 s) + 512 in the low bits
	PowMaxY  = 0x1p32    // x^y for larger |y| has the same value
	PowMinY  = 0x1p-50   // and for smaller |y| than this: products stay normal numbers
)

var (
	// PowR: few bits, so that f = z R - 1 is exact, |f| <= 0.0665; R = 1 in the cell around 1.
	PowR = [8]float32{1, 0.90625, 0.8125, 0.75, 0.6875, 0.625, 0.5625, 0.53125}
	// PowTH + PowTL = -log2 R - 64; TH is a multiple of 2^-16, so that E + TH is exact.
	PowTH = [8]float32{-0x1p6, -0x1.fedd28p5, -0x1.fd9a8p5, -0x1.fcaep5, -0x1.fbace8p5, -0x1.fa935p5, -0x1.f95cp5, -0x1.f8b32p5}
	PowTL = [8]float32{
		0, 0x1.6e155ap-18, -0x1.1c8f12p-22, -0x1.a39fbep-20, -0x1.3e032ep-18, 0x1.ed0cbap-20, -0x1.a39fbep-19, 0x1.20a6dep-21,
	}
	// PowEH + PowEL = 2^(j/8), here without the factor 2^-64 that the vector tables carry.
	PowEH = [8]float32{
		1, 0x1.172b84p0, 0x1.306fep0, 0x1.4bfdaep0, 0x1.6a09e6p0, 0x1.8ace54p0, 0x1.ae89fap0, 0x1.d5818ep0,
	}
	PowEL = [8]float32{
		0, -0x1.c15742p-27, 0x1.4636e2p-25, -0x1.593abcp-25, 0x1.9fcef4p-26, 0x1.15506ep-27, -0x1.a94b14p-26, -0x1.822dbcp-27,
	}
	// PowLog: (log1p(f) - f + f^2/2) / f^3 on [-0.0596, 0.0665], the first term fixed, relative to log1p: 2^-35.95.
	PowLog = [5]float32{0x1.555554p-2, -0x1.ffff92p-3, 0x1.99a29ap-3, -0x1.56b724p-3, 0x1.1e0ad6p-3}
	// PowExp: (2^r - 1) / r on |r| <= 1/16 + 2^-16, the first two terms fixed, absolute error of 2^r: 2^-32.22.
	PowExp = [4]float32{0x1.62e43p-1, 0x1.ebfbep-3, 0x1.c6b8c2p-5, 0x1.3b2f46p-7}
)

// Rows: focal_generic.go says why.
const (
	Lanes         = 16      // of a sum
	RowBlock      = 32      // elements that are added in float32 before they go to float64
	RowBias       = 64      // what the exponents of a row that is not plain are raised by
	PlainMax      = 40      // the largest magnitude of a plain row's logits
	ShiftAt       = 0x1p20  // the magnitude beyond which a row's maximum is subtracted from its logits
	ClampAt       = 0x1p21  // that to which logits are clamped
	GapMax        = 100     // the largest exponent of (1 - p_t) / p_t as a ratio
	GradSplit     = 0x1p-30 // the magnitude below which a row's factor is kept 2^64 times larger
	ComplementMax = 0.34    // ln2/2, or less: where 1 - e^-l is a polynomial
)
