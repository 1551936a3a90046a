package focal

import (
	"math"

	"github.com/gofocal/focal/internal/coef"
)

// This file is the specification: every kernel in scalar Go, every rounding explicit. A variant is right if it gives these
// bits. It uses what a vector lane can do: IEEE operations, fused multiply-adds (fma32), bit operations, table look-ups of
// 4 or 8 entries, and blends, which are ifs here.
//
// A compiler may fuse x*y + z, in float64 too and across statements; on amd64 it usually doesn't, so mistakes hide there.
// So a product that is added is wrapped in a conversion, unless it is exact: in float64 every product of two float32
// values is.

// fma32 is x*y + z, rounded once.
//
// The float64 product is exact; the sum p + z is rounded, and rounding that to float32 rounds a second time. This does harm
// only where the float64 sum lies on the border between two float32 values, subnormal ones included: then its low 28 bits
// are zero. If the sum was not exact, it is moved one bit towards the exact value (round to odd), off the border.
func fma32(x, y, z float32) float32 {
	p := float64(x) * float64(y)
	s := p + float64(z)
	if b := math.Float64bits(s); b<<36 == 0 {
		t := s - p
		switch e := ((p - (s - t)) + (float64(z) - t)) * s; { // the error of the sum, with the sign that it has relative to s
		case e > 0:
			s = math.Float64frombits(b + 1)
		case e < 0:
			s = math.Float64frombits(b - 1)
		}
	}
	return float32(s)
}

// border is negative if s lies right between two float32 values of the normal range. If not, and if float32(s) is normal, that
// is fma32 where s is the float64 sum in it. So a chain of FMAs needs one branch: it is computed in float64, and anew if a
// border was met.
func border(s float64) int64 { return int64(math.Float64bits(s)&(1<<29-1)^1<<28) - 1 }

// horner is c[0] + x (c[1] + x (c[2] + ...)), each step fused. The loop has fma32's fast path inside: a call per step
// would double the time of exp.
func horner(x float32, c []float32) float32 {
	h := c[len(c)-1]
	for i := len(c) - 2; i >= 0; i-- {
		s := float64(h)*float64(x) + float64(c[i])
		if math.Float64bits(s)<<36 == 0 {
			h = fma32(h, x, c[i])
		} else {
			h = float32(s)
		}
	}
	return h
}

// nan32 is the one NaN that kernels write: how NaNs propagate differs by CPU and by compiler.
var nan32 = math.Float32frombits(0x7fc00000)

func canonical(x float32) float32 {
	if x != x {
		return nan32
	}
	return x
}

// exp1 is e^x.
//
//	x = (i/4) ln2 + r, |r| <= ln2/8      i = round(4 x log2 e)
//	e^x = 2^(i/4) e^r = T_j (1 + p(r)) 2^m    4 m + j = i + 1016, less the bias
//
// The power of two is applied in equal halves, one inside T_j: so the product T_j (1 + p) and the other half are normal, and
// a subnormal result is rounded once.
func exp1(x float32) float32 {
	switch {
	case x > expLow && x < expHigh:
		return expCore(x)
	case x <= coef.ExpMin:
		return 0
	case x >= coef.ExpMax:
		return float32(math.Inf(1))
	case x != x:
		return nan32
	}
	return expExact(x)
}

// Between expLow and expHigh the result of exp is neither subnormal nor infinite.
const expLow, expHigh = -87, 88

// expCore is e^c for -104 <= c <= 89, or NaN: expExact with the FMAs in float64, and with the power of two applied before the
// last rounding.
func expCore(c float32) float32 {
	if !(c > expLow && c < expHigh) {
		return expExact(c)
	}
	const magic = 0x1.8p50
	x := float64(c)
	n := x*coef.Log2E + magic
	i := math.Float64bits(n)
	n -= magic
	r := float64(float32((x - n*coef.Ln2Hi) - n*coef.Ln2Lo))
	scale := math.Float64frombits(math.Float64bits(float64(coef.ExpT[i&3])) + i>>2<<52)
	p3 := float64(coef.ExpPoly[4])*r + float64(coef.ExpPoly[3])
	p2 := float64(float32(p3))*r + float64(coef.ExpPoly[2])
	p1 := float64(float32(p2))*r + float64(coef.ExpPoly[1])
	p0 := float64(float32(p1))*r + float64(coef.ExpPoly[0])
	e := float64(float32(p0))*scale + scale
	if border(p3)|border(p2)|border(p1)|border(p0)|border(e) < 0 {
		return expExact(c)
	}
	return float32(e)
}

// expExact is expCore.
func expExact(c float32) float32 {
	// t = fma(c, log2 e, ExpMagic), n = t - ExpMagic: rounded to quarters once, as here, since the float64 product is exact.
	// r = c - n ln2 in two FMAs, the first of which is exact; so is all of it in float64.
	const magic = 0x1.8p50
	x := float64(c)
	n := x*coef.Log2E + magic - magic
	r := float32((x - n*coef.Ln2Hi) - n*coef.Ln2Lo)
	i := uint32(int32(4*n) + 1016)
	p := horner(r, coef.ExpPoly[:])
	scale := math.Float32frombits(math.Float32bits(coef.ExpT[i&7]) - 127<<23 + (i>>3)<<23)
	return fma32(scale, p, scale) * math.Float32frombits((i>>3)<<23)
}

// sigmoid1 is 1 / (1 + e^-x), from y = e^-|x| and q = y / (1+y): q for x < 0, 1 - q else. As v - v q, with v = y or 1, the
// sum 1 + y, which is rounded, only enters the smaller term.
func sigmoid1(x float32) float32 {
	if x != x {
		return nan32
	}
	y := exp1(-float32(math.Abs(float64(x))))
	q := y / (1 + y)
	v := float32(1)
	if x < 0 {
		v = y
	}
	return fma32(-v, q, v)
}

// log1 is log x.
//
//	x = 2^k z, z in [0.9375, 1.875);  f = z R_j - 1, exact;  log x = (k LH + TH_j) + f + (f^2 Q(f) + (k LL + TL_j))
//
// The first term is exact; its sum with f carries its rounding error d along.
func log1(x float32) float32 {
	b := math.Float32bits(x)
	switch {
	case x != x || b > 0x80000000:
		return nan32
	case b<<1 == 0:
		return float32(math.Inf(-1))
	case b == 0x7f800000:
		return x
	}
	t := b - coef.LogOff
	if b < 0x00800000 { // subnormal: its bits as a number, times 2^-149
		t = math.Float32bits(float32(int32(b))) - (coef.LogOff + 149<<23)
	}
	e, j := t&0xff800000, t>>21&3
	z := math.Float32frombits(t&0x7fffff + coef.LogOff)
	f := float32(float64(z)*float64(coef.LogR[j]) - 1) // exact
	return logSum(f, e, j, &coef.LogPoly)
}

// log1p1 is log(1 + v) for v >= 0, up to 0x1.e4p126; NaN in v gives some NaN. 1 + v only chooses k and j:
//
//	f = (1 + v) 2^-k R_j - 1 = v s + (s - 1), s = 2^-k R_j, rounded once; f = v where k = j = 0
func log1p1(v float32) float32 {
	t := math.Float32bits(v+1) - coef.Log1pOff
	e, j := t&0xff800000, t>>21&3
	s := float32(math.Float32frombits(0x3f800000-e) * coef.LogR[j])
	f := fma32(v, s, s-1)
	return logSum(f, e, j, &coef.Log1pPoly)
}

// log1pUnit is log(1 + v) for v in [0, 1], or NaN: v + v (v P(v)), without the square of v, which could be subnormal: a slow
// operand. Error: at most 1.52 ULP.
func log1pUnit(v float32) float32 {
	return fma32(v, v*horner(v, coef.Log1pUnit[:]), v)
}

// logSum is e ln2 - log R_j + log1p(f), e being the exponent in place, k 2^23. Q(f) is summed by Estrin's scheme.
func logSum(f float32, e, j uint32, q *[5]float32) float32 {
	k := float64(int32(e)) * 0x1p-23
	u := float32(k*coef.LogLL + float64(coef.LogTL[j])) // k and j have so few values that this is fma32, tried for all
	x, x2 := float64(f), float64(f*f)
	q3 := x*float64(q[3]) + float64(q[2])
	q1 := x*float64(q[1]) + float64(q[0])
	q2 := x2*float64(q[4]) + float64(float32(q3))
	q0 := x2*float64(float32(q2)) + float64(float32(q1))
	sum := float32(q0)
	if border(q3)|border(q1)|border(q2)|border(q0) < 0 {
		sum = fma32(f*f, fma32(f*f, q[4], fma32(f, q[3], q[2])), fma32(f, q[1], q[0]))
	}
	g := fma32(f*f, sum, u)
	a := float32(k*coef.LogLH + float64(coef.LogTH[j])) // exact
	s := a + f
	d := (a - s) + f
	return s + (g + d)
}

// powParams is what pow1 derives from its exponent, once per call. The assembly reads all but special, in this order.
type powParams struct {
	y        float32 // |y| clamped to 2^-50..2^32
	ah, al   float32 // y log2 e
	odd      uint32  // the sign bit if y is an odd integer, else 0
	fraction uint32  // all ones if y is not an integer, else 0
	special  powSpecial
}

type powSpecial uint8

const (
	powOrdinary powSpecial = iota
	powZero                // y = 0: 1 for every x, NaN too
	powInf                 // y = +-Inf
	powNaN                 // y is NaN: 1 for x = 1, else NaN
)

func newPowParams(y float32) powParams {
	p := powParams{y: y}
	switch a := math.Abs(float64(y)); {
	case y != y:
		p.special = powNaN
		return p
	case y == 0:
		p.special = powZero
		return p
	case a > math.MaxFloat32:
		p.special = powInf
	case a >= 1<<24: // every float from 2^24 on is an even integer
	case float32(int32(y)) != y:
		p.fraction = ^uint32(0)
	case int32(y)&1 != 0:
		p.odd = 1 << 31
	}
	p.y = float32(math.Copysign(min(max(math.Abs(float64(y)), coef.PowMinY), coef.PowMaxY), float64(y)))
	p.ah = p.y * coef.PowKh
	p.al = fma32(p.y, coef.PowKl, fma32(p.y, coef.PowKh, -p.ah))
	return p
}

// pow1 is x^y = 2^(y log2 x), special values as in C99 Annex F.
//
// log2 x is a sum of an exact multiple of 2^-16, Lh, and of log2 e times log1p(f) = u + l, a pair. y times it is rounded to
// n, a multiple of 1/8, and r = y log2 x - n, |r| <= 1/16; n is taken off before anything small is added, so that the one
// rounding of r, at 2^-29, is enough. Then 2^n (EH_j + (EH_j (2^r - 1) + EL_j)).
func pow1(x float32, p *powParams) float32 {
	a := float32(math.Abs(float64(x)))
	switch p.special {
	case powZero:
		return 1
	case powNaN:
		if x == 1 {
			return 1
		}
		return nan32
	case powInf:
		switch {
		case x != x:
			return nan32
		case a == 1:
			return 1
		case (a > 1) == (p.y > 0):
			return float32(math.Inf(1))
		}
		return 0
	}
	var res float32
	switch {
	case x != x || x < 0 && a <= math.MaxFloat32 && p.fraction != 0:
		return nan32
	case a == 0 || a > math.MaxFloat32:
		if (a == 0) != (p.y > 0) {
			res = float32(math.Inf(1))
		}
	default:
		res = powCore(a, p)
	}
	if p.odd != 0 {
		res = float32(math.Copysign(float64(res), float64(x)))
	}
	return res
}

// powCore is a^y for finite a > 0 and finite y != 0.
func powCore(a float32, p *powParams) float32 {
	y, e := p.y, float32(0)
	if a < 0x1p-126 {
		a, e = a*0x1p24, -24
	}
	// log1p(f) = u + l, f exact.
	t := int32(math.Float32bits(a)) - coef.PowOff
	e += float32(t >> 23)
	i := t >> 20 & 7
	z := math.Float32frombits(uint32(t&0x7fffff + coef.PowZOff))
	f := float32(float64(z)*float64(coef.PowR[i]) - 1)
	h := -0.5 * f
	u := fma32(f, h, f)
	l := fma32(f, h, f-u)
	f2 := f * f
	l = fma32(float32(f2*f), horner(f, coef.PowLog[:]), l)
	// s = y log2 x, only to choose n; zh + zl = y Lh.
	lh := e + coef.PowTH[i]
	zh := float32(y * lh)
	zl := fma32(y, lh, -zh)
	s := fma32(p.ah, u+l, zh)
	switch {
	case s > 129:
		return float32(math.Inf(1))
	case s < -152:
		return 0
	}
	tn := s + coef.PowMagic
	n := tn - coef.PowMagic
	lo := fma32(p.ah, l, fma32(p.al, u, fma32(y, coef.PowTL[i], zl)))
	r := fma32(p.ah, u, zh-n) + lo
	// 2^r - 1, then times the table's value.
	w := fma32(r, fma32(r, coef.PowExp[3], coef.PowExp[2]), coef.PowExp[1])
	w = fma32(r, coef.PowExp[0], float32(float32(r*r)*w))
	m := int32(math.Float32bits(tn)) - (0x49c00000 + 512) // 8 n; the constant is 1.5 2^20
	eh, k := coef.PowEH[m&7], m>>3
	c := fma32(eh, w, coef.PowEL[m&7])
	res := eh + c
	// A result below 2^-126 is rounded where its last bit will be: by adding 2^(-126-k).
	if k < 0 {
		if b := exp2i(-126 - k); res < b {
			sum := b + eh
			sum += (eh - (sum - b)) + c
			res = sum - b
		}
	}
	return scale2(res, k)
}

func expGeneric(dst, x []float32) {
	for i, v := range x {
		dst[i] = exp1(v)
	}
}

func logGeneric(dst, x []float32) {
	for i, v := range x {
		dst[i] = log1(v)
	}
}

func powGeneric(dst, x []float32, p *powParams) {
	for i, v := range x {
		dst[i] = pow1(v, p)
	}
}

func sigmoidGeneric(dst, x []float32) {
	for i, v := range x {
		dst[i] = sigmoid1(v)
	}
}

// The rows: softmax, log-softmax, log-sum-exp and the losses.
//
// # Exponentials of a row
//
// A row is plain if no logit (but the target's, which is kept apart) lies beyond +-plainMax. Its exponentials are taken as
// they are, e_j = exp z_j: their sum is far from overflow, and they are far from underflow.
//
// In any other row e^z = 2^n e^r with n = round(z log2 e) and r = z - n ln2, |r| <= ln2/2. The row's largest n is subtracted
// from the exponents, where it is exact, and never the maximum from the logits, where it would be rounded:
//
//	e_j = e^(r_j) 2^(n_j - N),   N = max_j n_j - rowBias      (plain rows: N = 0)
//
// With a bias of 64 the largest e_j is about 2^64, and classes down to 2^-190 of it still count; smaller ones (n_j - N <=
// -127) are +0. So a probability as small as float32 has is a product of two normal numbers, rounded once.
//
// n and r are right for |z| <= 2^21. Where the largest logit M of the row has |M| > 2^20, the row is computed with z - M in
// place of z: a difference that is rounded has no weight there, or is the loss itself. Otherwise a logit below -2^21 is
// 2^20 below M and has probability 0.
//
// # The sum of a row
//
// One order for all variants: blocks of rowBlock elements; in a block element i + 16 is added to element i in float32; the 16
// lanes of the blocks are added in float64, ascending; then the lanes are folded in float64, and the sum is rounded once.
// Elements that are absent add +0:
//
//	lane    0    1    2   ...   15
//	      z[0]  z[1] z[2]  ... z[15]
//	     z[16] z[17] z[18] ... z[31]
//	fold  (i, i+8)  (i, i+4)  (i, i+2)  (0, 1)
//
// Where one class is ahead of many others, its lane is rounded with every addition in float32, and in the worst case always
// the same way. With blocks of 128, of 8 additions, the error of log-softmax then reaches 7.9 ULP, that of a loss
// 8 (1 + gamma); with 64 still 4.8 on rows that occur.

const (
	lanes    = coef.Lanes
	rowBlock = coef.RowBlock
	rowBias  = coef.RowBias
	shiftAt  = coef.ShiftAt // beyond it the row's maximum is subtracted from the logits
	clampAt  = coef.ClampAt // logits are clamped to +-clampAt before the reduction
	// plainMax bounds the logits of plain rows. 2^31 classes of e^40 add up to 2^89, a single one of e^-40 is 2^-58: so sums,
	// their reciprocals and the rounding errors of both are normal numbers.
	plainMax = coef.PlainMax
	// gapMax is the largest exponent of u = (1 - p_t) / p_t that is computed as a ratio: 1 + u = u in float32 from 2^25 on,
	// and u stays far from overflow.
	gapMax = coef.GapMax
	// gradSplit: below it the factor of a row's gradient is kept 2^64 times larger, its exponentials smaller; above it
	// the factor divided by the sum (up to 2^89) is still a normal number.
	gradSplit = coef.GradSplit
)

// expReduce gives n = round(z log2 e) and r = z - n ln2 for |z| <= clampAt, NaN in r for a NaN or infinite z. In float64
// the products are exact, so n is rounded once, and so is r: z - n Ln2Hi is a multiple of 2^-25 below 1, like the FMA's.
func expReduce(z float32) (n, r float32) {
	const magic = 0x1.8p52
	x := float64(z)
	k := x*coef.Log2E + magic - magic
	return float32(k), float32((x - k*coef.Ln2Hi) - k*coef.Ln2Lo)
}

// expPoly is e^r for |r| <= ln2/2: Horner, with an FMA a step.
func expPoly(r float32) float32 { return horner(r, coef.RowPoly[:]) }

// exp2i is 2^k for -126 <= k <= 127, and +0 for -127.
func exp2i(k int32) float32 { return math.Float32frombits(uint32(k+127) << 23) }

// scale2 is x 2^k in two steps, so that a subnormal result is rounded once where x is near 1.
func scale2(x float32, k int32) float32 {
	k = min(max(k, -252), 252)
	h := k >> 1
	return float32(x * exp2i(h) * exp2i(k-h))
}

// clampLogit keeps NaN.
func clampLogit(z float32) float32 {
	if z < -clampAt {
		return -clampAt
	}
	if z > clampAt {
		return clampAt
	}
	return z
}

// maxOther is the largest logit of the classes other than t; NaN is passed over. -Inf where there is none.
func maxOther(z []float32, t int) float32 {
	m := float32(math.Inf(-1))
	for j, x := range z {
		if x > m && j != t {
			m = x
		}
	}
	return m
}

// rowShift is what to subtract from the logits of a row with the maximum m.
func rowShift(m float32) float32 {
	if m > shiftAt && m <= math.MaxFloat32 || m < -shiftAt && m >= -math.MaxFloat32 {
		return m
	}
	return 0
}

// rowExponent is the N of a row whose largest (shifted) logit is m.
func rowExponent(m float32) int32 {
	n, _ := expReduce(clampLogit(m))
	return int32(n) - rowBias
}

// fold adds the lanes.
func fold(a *[lanes]float64) float64 {
	for h := lanes / 2; h > 0; h /= 2 {
		for i := range h {
			a[i] += a[i+h]
		}
	}
	return a[0]
}

// A row is what the first pass over a row's logits leaves: the sum of the e_j over the classes other than t (t < 0: over
// all), and what they refer to.
type row struct {
	sum   float32
	n     int32   // N
	most  float32 // the largest logit but the target's; 0 in a plain row, where nobody needs it
	plain bool
}

// newRow sums a row. A row whose only class is the target is not plain.
func newRow(z []float32, t int) row {
	r := row{plain: len(z) > 1 || t < 0}
	for j, x := range z {
		if !(x >= -plainMax && x <= plainMax) && j != t {
			r.plain = false
			break
		}
	}
	if !r.plain {
		r.most = maxOther(z, t)
		r.n = rowExponent(r.most - r.shift())
	}
	shift := r.shift()
	var total [lanes]float64
	for start := 0; start < len(z); start += rowBlock {
		block, target := z[start:min(start+rowBlock, len(z))], t-start
		var acc [lanes]float32
		for j, x := range block {
			if j == target {
				continue
			}
			if r.plain {
				acc[j%lanes] += expCore(x)
			} else {
				p, power := r.term(x - shift)
				acc[j%lanes] = fma32(p, power, acc[j%lanes])
			}
		}
		for i, a := range acc {
			total[i] += float64(a)
		}
	}
	r.sum = float32(fold(&total))
	return r
}

func (r *row) shift() float32 { return rowShift(r.most) }

// term is e_j of a row that is not plain, as a factor and a power of two, for a shifted logit. The power is +0 where n - N <=
// -127, and for z < -clampAt. For a NaN or +Inf the factor is NaN, and so is every product with it.
func (r *row) term(z float32) (p, power float32) {
	if z < -clampAt {
		return 1, 0
	}
	n, rest := expReduce(z)
	if rest == rest {
		power = exp2i(max(int32(n)-r.n, -127))
	}
	return expPoly(rest), power
}

// exp is e_j for a logit as it is given.
func (r *row) exp(z float32) float32 {
	if r.plain {
		return expCore(z)
	}
	p, power := r.term(z - r.shift())
	return p * power
}

func softmaxGeneric(dst, logits []float32, classes int) {
	for len(logits) > 0 {
		softmaxRow(dst[:classes], logits[:classes])
		dst, logits = dst[classes:], logits[classes:]
	}
}

// softmaxRow: p_j = e_j / S, by a reciprocal with its own rounding error beside it. A row of -Inf has S = 0, hence NaN.
func softmaxRow(dst, z []float32) {
	r := newRow(z, -1)
	inv, invLow := reciprocal(r.sum)
	for j, x := range z {
		e := r.exp(x)
		dst[j] = canonical(fma32(e, inv, float32(e*invLow)))
	}
}

// reciprocal is 1/x and its rounding error.
func reciprocal(x float32) (inv, low float32) {
	inv = 1 / x
	return inv, fma32(-inv, x, 1) * inv
}

func logSumExpGeneric(dst, logits []float32, classes int) {
	for i := range dst {
		dst[i] = logSumExpRow(logits[:classes])
		logits = logits[classes:]
	}
}

// logSumExpRow is the logarithm of a plain row's sum; else M' + n ln2 + log(S 2^-n), n being the largest exponent, M' what was
// subtracted from the logits.
func logSumExpRow(z []float32) float32 {
	r := newRow(z, -1)
	return r.logSum(z)
}

func (r *row) logSum(z []float32) float32 {
	if r.plain {
		return log1(r.sum)
	}
	if math.IsInf(float64(r.most), 0) {
		for _, x := range z {
			if x != x {
				return nan32
			}
		}
		return r.most
	}
	n := float32(r.n + rowBias)
	l := log1(r.sum * exp2i(-rowBias))
	return canonical(r.shift() + fma32(n, coef.Ln2Hi, fma32(n, coef.Ln2Lo, l)))
}

func logSoftmaxGeneric(dst, logits []float32, classes int) {
	for len(logits) > 0 {
		logSoftmaxRow(dst[:classes], logits[:classes])
		dst, logits = dst[classes:], logits[classes:]
	}
}

// logSoftmaxRow: with M = z_t the first maximum, log p_j = (z_j - M) - (-log p_t): two terms of one sign, so nothing cancels.
func logSoftmaxRow(dst, z []float32) {
	m, t := firstMax(z)
	r := newRow(z, t)
	l := newTail(&r, z[t]).nll
	for j, x := range z {
		dst[j] = canonical((x - m) - l)
	}
}

// firstMax is the row's maximum and its first place; -Inf and 0 where all is -Inf or NaN.
func firstMax(z []float32) (m float32, first int) {
	m = float32(math.Inf(-1))
	for j, x := range z {
		if x > m {
			m, first = x, j
		}
	}
	return m, first
}

// lossParams is a loss's configuration, prepared once by New.... Assembly reads the fields up to least at their offsets.
type lossParams struct {
	focusKind focusKind
	factor    float32   // gamma where it multiplies: beyond 2^126 it changes nothing but would make 0 * Inf of a product
	positive  float32   // sigmoid forms: the weight of target 1 (1 where unweighted)
	negative  float32   // and of target 0
	limit     float32   // sigmoid forms: the largest |x| of the assembly's fast path
	power     powParams // of gamma
	smooth    float32   // label smoothing: softmax form eps, one-vs-rest eps/2
	least     float32   // sigmoid forms: what the assembly takes e^-|x| for where it is smaller, for targets 0 and 1
	classes   int
	ignores   bool      // there may be ignored rows
	alpha     []float32 // softmax form: a weight per class; nil: every class weighs 1
}

// focusKind is a way to compute q^gamma.
type focusKind int64

const (
	focus2 focusKind = iota // gamma 2, the most usual one
	focus0
	focus1
	focusHalf // 0.5
	focus1Half
	focus2Half
	focus3
	focus4
	focus5
	focusPow // any other
)

var focusGammas = [focusPow]float32{
	focus2: 2, focus0: 0, focus1: 1, focusHalf: 0.5, focus1Half: 1.5, focus2Half: 2.5, focus3: 3, focus4: 4, focus5: 5,
}

func newLossParams(classes int, gamma float32, alpha []float32, positive, negative float32) lossParams {
	kind := focusPow
	for k, g := range focusGammas {
		if g == gamma {
			kind = focusKind(k)
		}
	}
	// From gamma 1.5 on q^gamma is 0 for all q up to 2^-102, and while gamma is no larger than 2^24, e^-|x| adds nothing to
	// 1 + gamma ce e^-|x|. So any e up to there gives the same results, and a normal one without the delays of subnormal numbers.
	least := float32(0)
	if gamma >= 1.5 && gamma <= 0x1p24 {
		least = 0x1p-102
	}
	return lossParams{
		least:     least,
		focusKind: kind, factor: min(gamma, 0x1p126), positive: positive, negative: negative, limit: 87,
		power: newPowParams(gamma), classes: classes, ignores: true, alpha: alpha,
	}
}

// focus is q^gamma for q in [0, 1]. The gammas that are chosen in practice are short products and square roots; an odd
// half or a product of more than two factors carries the rounding error of its first product along (errors of at most
// 0.51 ULP; without, up to 2.9).
func (p *lossParams) focus(q float32) float32 {
	switch p.focusKind {
	case focus0:
		return 1
	case focusHalf:
		return sqrt32(q)
	case focus1:
		return q
	case focus1Half: // q s + (q - s^2) s/2
		s := sqrt32(q)
		return fma32(q, s, fma32(-s, s, q)*float32(s*0.5))
	case focus2:
		return q * q
	case focus2Half: // (q^2 + low) (s + (q - s^2) / (2 s))
		s := sqrt32(q)
		sq, low := square(q)
		c := fma32(q*fma32(-s, s, q), 0.5, low)
		return fma32(sq, s, float32(c*s))
	case focus3:
		sq, low := square(q)
		return fma32(sq, q, float32(low*q))
	case focus4:
		sq, low := square(q)
		return fma32(sq, sq, float32((sq+sq)*low))
	case focus5:
		sq, low := square(q)
		f := sq * sq
		fLow := fma32(sq+sq, low, fma32(sq, sq, -f))
		return fma32(f, q, float32(fLow*q))
	}
	return pow1(q, &p.power)
}

func sqrt32(x float32) float32 { return float32(math.Sqrt(float64(x))) } // rounding twice is harmless in a square root

// square is q^2 and its rounding error.
func square(q float32) (sq, low float32) {
	sq = float32(q * q)
	return sq, fma32(q, q, -sq)
}

// tail is what a row's loss and gradient need once the row has been summed.
//
//	R = sum_{j != t} e_j,  u = R / e_t = (1 - p_t) / p_t
//	-log p_t = log1p(u),  q = 1 - p_t = u / (1 + u),  p_t = 1 / (1 + u)
//
// The target never enters R, so no digit of q is lost where p_t is near 1. The error of u counts 1 + gamma times in the loss,
// so e^(r_t), u and 1 + u carry their rounding errors along.
type tail struct {
	sum float32 // R; NaN where the row's results are NaN
	nll float32 // -log p_t
	q   float32 // 1 - p_t
	pt  float32 // p_t; 0 where u > 2^gapMax
}

// newTail finishes a row whose target has the logit zt.
func newTail(row *row, zt float32) tail {
	sum, shift := row.sum, row.shift()
	if zt > math.MaxFloat32 || zt < -math.MaxFloat32 && row.most < -math.MaxFloat32 || zt != zt {
		sum = nan32 // a label on +Inf or NaN, or no class unmasked
	}
	zt -= shift
	x := clampLogit(zt)
	nt, r := expReduce(x)

	// e^(r_t) as p + pLow: the last step of Horner's scheme and its rounding error.
	h := horner(r, coef.RowPoly[1:])
	p := fma32(r, h, 1)
	pLow := fma32(r, h, 1-p)

	// v = R / e^(r_t), u = v 2^(N - n_t).
	inv := 1 / p
	v := sum * inv
	vLow := (fma32(-v, p, sum) - float32(v*pLow)) * inv
	k := row.n
	if r == r {
		k -= int32(nt)
	}
	over := max(k+int32(math.Float32bits(v)>>23)-(127+gapMax), 0)
	u, uLow := scale2(v, k-over), scale2(vLow, k-over)

	// w = 1 + u, q = u / w.
	a, b := max(u, 1), min(u, 1)
	w := a + b
	wLow := b - (w - a)
	inv = 1 / w
	q := float32(u * inv)
	q += float32(((fma32(-q, w, u) + uLow) - float32(q*(wLow+uLow))) * inv)

	// log(1 + u + uLow); beyond 2^gapMax the excess of the exponent times ln2; beyond the clamp the logits' difference.
	nll := log1p1(u) + float32(uLow*inv)
	nll = fma32(float32(over), coef.Ln2Hi, nll)
	if x > zt && sum != 0 {
		nll += x - zt
	}
	pt := inv
	if over > 0 {
		pt = 0
	}
	return tail{sum: sum, nll: nll, q: min(q, 1), pt: pt}
}

// weighted is (alpha l) P. A smoothed cross-entropy grows where 1 - p_t vanishes: there a P of 0 beats an infinite one.
func (p *lossParams) weighted(alpha, nll, focus float32) float32 {
	if p.smooth != 0 && focus == 0 && nll == nll {
		return 0
	}
	return weighted(alpha, nll, focus)
}

// weighted is (alpha l) P, where an alpha of 0 beats an infinite loss, and that beats a P of 0.
func weighted(alpha, nll, focus float32) float32 {
	l := alpha * nll
	if alpha == 0 && nll == nll {
		l = 0
	}
	if l <= math.MaxFloat32 {
		l *= focus
	}
	return canonical(l)
}

func (p *lossParams) weight(label int32) float32 {
	if p.alpha == nil {
		return 1
	}
	return p.alpha[label]
}

func softmaxLossGeneric(losses, logits []float32, labels []int32, p *lossParams) {
	for i, t := range labels {
		losses[i] = 0
		if t != noLabel {
			z := logits[i*p.classes:][:p.classes]
			row := newRow(z, int(t))
			end := newTail(&row, z[t])
			losses[i] = weighted(p.weight(t), end.nll, p.focus(end.q))
		}
	}
}

// gradient gives s q, and pre and f such that s p_j = (e_j pre) f.
func (p *lossParams) gradient(end *tail, alpha, focus, scale float32) (sq, pre, f float32) {
	ratio := end.nll / end.q
	if end.q == 0 {
		ratio = 1
	}
	x := end.pt * ratio
	if end.pt == 0 {
		x = 0
	}
	sq = scale * float32(float32(alpha*focus)*fma32(p.factor, x, 1)) * end.q
	pre, f = end.share(sq)
	return sq, pre, f
}

// share gives pre and f such that x e_j / R = (e_j pre) f. pre keeps e_j pre and f in range: f is x / (R pre).
func (end *tail) share(x float32) (pre, f float32) {
	pre = 1
	if end.sum < 1 {
		pre = 0x1p64
	}
	if !(x >= gradSplit || x <= -gradSplit) {
		pre = 0x1p-64
	}
	f = x / (end.sum * pre)
	if end.sum == 0 {
		f = 0
	}
	return pre, f
}

// softmaxGradGeneric: with G = alpha q^gamma (1 + gamma p_t l / q) and s = scale G,
//
//	d/dz_t = -s q,  d/dz_j = s p_j = e_j (s q / R)
//
// since p_j = (e_j / R) q. l/q tends to 1 as q -> 0, and (1-p)^(gamma-1) is never formed.
func softmaxGradGeneric(losses, grad, logits []float32, labels []int32, p *lossParams, scale float32) {
	for i, t := range labels {
		z, g := logits[i*p.classes:][:p.classes], grad[i*p.classes:][:p.classes]
		if t == noLabel {
			losses[i] = 0
			clear(g)
			continue
		}
		row := newRow(z, int(t))
		end := newTail(&row, z[t])
		alpha, focus := p.weight(t), p.focus(end.q)
		losses[i] = weighted(alpha, end.nll, focus)
		if scale == 0 {
			clear(g)
			continue
		}
		sq, pre, f := p.gradient(&end, alpha, focus, scale)
		for j, x := range z {
			if j != int(t) {
				g[j] = canonical(float32(row.exp(x)*pre) * f)
			}
		}
		g[t] = canonical(-sq)
	}
}

// The sigmoid form. With e = e^-|x| the probabilities of the likelier and the other side are 1/(1+e) and e/(1+e); p
// belongs to target 1, n to target 0. For a target y in [0, 1] (torchvision's formula, rearranged so that nothing cancels):
//
//	cross-entropy  ce = y log(1/p) + (1-y) log(1/n) = log1p(e) + |x| (x >= 0 ? 1-y : y)
//	1 - p_t        q  = p (1-y) + n y
//	weight         a  = positive y + negative (1-y)
//	loss           (a ce) q^gamma
//	gradient       a q^gamma D,  D = (p (1-y) - n y) + gamma (1-2y) ce p n / q
//
// For y = 1 or 0 the products with y and 1-y are exact, so a kernel for hard targets that leaves them out has the same
// bits: q is n or p, and p n / q, computed as p (n/q) for y >= 1/2 and as n (p/q) below, is p or n.
type sigmoidTerm struct {
	p, n, ce, q, alpha float32
}

func newSigmoidTerm(x, y float32, p *lossParams) (s sigmoidTerm) {
	a := float32(math.Abs(float64(x)))
	e := exp1(-a)
	likely := 1 / (1 + e)
	other := float32(e * likely)
	s.p, s.n = likely, other
	away := 1 - y // the target's distance from the likelier side
	if x < 0 {
		s.p, s.n = other, likely
		away = y
	}
	if p.smooth != 0 { // y is 0 or 1
		away = fma32(1-2*away, p.smooth, away)
	}
	if away == 0 {
		a = 0 // a term of weight 0 is 0, for infinite x too
	}
	s.ce = fma32(away, a, log1pUnit(e))
	s.q = fma32(s.p, 1-y, float32(s.n*y))
	s.alpha = fma32(p.positive, y, float32(p.negative*(1-y)))
	return s
}

// grad is D.
func (s *sigmoidTerm) grad(y float32, p *lossParams) float32 {
	a, b := s.p, s.n
	if y < 0.5 {
		a, b = s.n, s.p
	}
	ratio := b / s.q
	if s.q == 0 {
		ratio = 1
	}
	c := a * ratio
	cross := s.ce * c
	if c == 0 || p.factor == 0 {
		cross = 0
	}
	d := fma32(s.p, 1-y, -float32(s.n*y))
	if p.smooth != 0 { // the cross-entropy's own target is nearer
		d = fma32(2*y-1, p.smooth, d)
	}
	return fma32(p.factor*(1-2*y), cross, d)
}

func sigmoidLoss(x, y float32, p *lossParams) float32 {
	s := newSigmoidTerm(x, y, p)
	return p.weighted(s.alpha, s.ce, p.focus(s.q))
}

func sigmoidGrad(x, y float32, p *lossParams, scale float32) (loss, grad float32) {
	s := newSigmoidTerm(x, y, p)
	focus := p.focus(s.q)
	loss = p.weighted(s.alpha, s.ce, focus)
	if scale == 0 {
		return loss, 0
	}
	d := s.grad(y, p)
	if p.smooth != 0 && focus == 0 {
		d = 0
	}
	return loss, canonical(scale * float32(s.alpha*focus) * d)
}

func sigmoidLossGeneric(losses, logits, targets []float32, p *lossParams) {
	for i, x := range logits {
		losses[i] = sigmoidLoss(x, targets[i], p)
	}
}

func sigmoidGradGeneric(losses, grad, logits, targets []float32, p *lossParams, scale float32) {
	for i, x := range logits {
		losses[i], grad[i] = sigmoidGrad(x, targets[i], p, scale)
	}
}

func oneVsRestLossGeneric(losses, logits []float32, labels []int32, p *lossParams) {
	oneVsRest(losses, nil, logits, labels, p, 0)
}

func oneVsRestGradGeneric(losses, grad, logits []float32, labels []int32, p *lossParams, scale float32) {
	oneVsRest(losses, grad, logits, labels, p, scale)
}

// oneVsRest: the row's loss is the sum over its classes, in the order of newRow.
func oneVsRest(losses, grad, logits []float32, labels []int32, p *lossParams, scale float32) {
	for i, t := range labels {
		z := logits[i*p.classes:][:p.classes]
		var g []float32
		if grad != nil {
			g = grad[i*p.classes:][:p.classes]
		}
		losses[i] = 0
		if t == noLabel {
			clear(g)
			continue
		}
		var total [lanes]float64
		for start := 0; start < len(z); start += rowBlock {
			var acc [lanes]float32
			for j := start; j < min(start+rowBlock, len(z)); j++ {
				var y, l float32
				if j == int(t) {
					y = 1
				}
				if g == nil {
					l = sigmoidLoss(z[j], y, p)
				} else {
					l, g[j] = sigmoidGrad(z[j], y, p, scale)
				}
				acc[j%lanes] += l
			}
			for i, a := range acc {
				total[i] += float64(a)
			}
		}
		losses[i] = canonical(float32(fold(&total)))
	}
}

// sumBlockGeneric adds up to SumBlock losses in float64: 16 lanes, folded as in newRow.
func sumBlockGeneric(losses []float32) float64 {
	var acc [lanes]float64
	for i, l := range losses {
		acc[i%lanes] += float64(l)
	}
	return fold(&acc)
}
