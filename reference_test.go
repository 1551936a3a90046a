package focal

import (
	"math"
	"math/big"
	"testing"

	"github.com/gofocal/focal/internal/bigfloat"
)

// This file computes every row function and loss anew, to be held against the package: in float64 from logarithms,
// and once more with math/big straight from the definitions, which in turn checks the former.
//
// # Error of the float64 reference
//
// Everything hangs on w = log(q/p_t), where q = 1 - p_t: in the softmax form w = (M - z_t) + log S with M the maximum
// of the other logits and S the sum of their e^(z_j - M); in the sigmoid form w = -z, exactly. A difference of two
// float32 has a relative error of 2^-53 in float64 and S, a compensated sum of positive terms of which one is 1, has
// one of a few 2^-53. So w is off by at most e = 2^-53 (abs(M - z_t) + log C + 2). A result that float32 can tell from
// 0 and from infinity is the exponential of a sum of logarithms (those of alpha, l, q^gamma, p_j, scale), each with a
// relative error of a few 2^-53:
//
//   - log q = -log1p(e^-w), or w - log1p(e^w) where w < 0: two terms of one sign, nothing cancels. The error e of w
//     enters as e p_t/abs(log q) relative to log q, which is at most e for w > 0 and e/abs(w) for w < -1.
//   - gamma log q lies above -104 - 89 wherever the result is not zero, so its absolute error is that relative error
//     times 193: below 193 * 750 * 2^-53 < 2^-35 even at the edge of float64's e^-w, and below 2^-43 for abs(w) < 4.
//   - l = log1p(e^w) and p_t l/q have relative errors of e and a few 2^-53.
//
// A relative error of 2^-35 is 2^-11 ULP of float32. TestReference allows 2^-40 against math/big.

// classTerms holds what the loss and the gradient of a row, or of an element with a hard label, are made of.
type classTerms struct {
	logQ  float64 // log q, q = 1 - p_t
	ell   float64 // l = -log p_t
	logL  float64 // log l
	slope float64 // p_t l/q
}

// newClassTerms computes them from w = log(q/p_t), which may be infinite: -Inf where p_t is 1, +Inf where it is 0.
func newClassTerms(w float64) classTerms {
	switch {
	case w < -40: // log1p(u) = u (1 - u/2 ...) and u < 2^-57
		return classTerms{logQ: w, ell: math.Exp(w), logL: w, slope: 1}
	case w <= 0:
		u := math.Exp(w)
		l := math.Log1p(u)
		return classTerms{logQ: w - l, ell: l, logL: math.Log(l), slope: l / u} // p_t/q = 1/u
	default:
		v := math.Exp(-w)
		l := w + math.Log1p(v)
		slope := 0.0
		if v > 0 {
			slope = v * l
		}
		return classTerms{logQ: -math.Log1p(v), ell: l, logL: math.Log(l), slope: slope}
	}
}

// logPower returns log(q^gamma), 0 where gamma is 0.
func (c classTerms) logPower(gamma float64) float64 {
	if gamma == 0 {
		return 0
	}
	return gamma * c.logQ
}

// A want is the exact value of a result and by how much the package may miss it: bound units, and what is lost to
// factors below the normal range.
type want struct {
	value float64
	unit  float64
	bound float64
	lost  float64
	inf   bool // a factor overflows: the documented infinity is right as well
}

func (w want) tol() float64 { return w.bound*w.unit + w.lost }

// ulpOf returns the unit in the last place of a float32 result whose exact value is x: that of the binade of x, 2^-149
// below the normal range.
func ulpOf(x float64) float64 {
	x = math.Abs(x)
	if !(x >= 0x1p-126) {
		return 0x1p-149
	}
	_, e := math.Frexp(math.Min(x, math.MaxFloat32))
	return math.Ldexp(1, e-24)
}

// allows reports whether got is within the tolerance; NaN is right only where it is wanted.
func (w want) allows(got float32) bool {
	g := float64(got)
	switch {
	case math.IsNaN(w.value):
		return math.Float32bits(got) == canonicalNaN
	case math.IsInf(w.value, 0):
		return g == w.value
	case math.IsInf(g, 0):
		return (w.inf || math.Abs(w.value)+w.tol() >= math.MaxFloat32) && math.Signbit(g) == math.Signbit(w.value)
	}
	return math.Abs(g-w.value) <= w.tol()
}

// canonicalNaN is the one NaN that the package writes.
const canonicalNaN = 0x7fc00000

const (
	tiny   = 0x1p-126 // the least normal float32
	oneBit = 0x1p-149 // the unit below it
)

// The bounds of the losses and gradients, in units in the last place for gamma 0; times 1 + gamma otherwise.
const (
	boundLoss     = 5.0
	boundLossSoft = 8.0
	boundGrad     = 8.0
)

// lost is what a factor loses that lies below the normal range, where rest is the product of the others.
func lost(factor, rest float64) float64 {
	if factor < tiny*(1+1e-4) {
		return oneBit * rest
	}
	return 0
}

// enlarged is lost for a probability, which ordinary scales don't make larger.
func enlarged(p, rest float64) float64 {
	if rest <= 1 {
		return 0
	}
	return lost(p, rest)
}

// wantLoss is alpha q^gamma l.
func (c classTerms) wantLoss(alpha, gamma float32) want {
	a, g := float64(alpha), float64(gamma)
	if a == 0 || c.ell == 0 && c.logL == math.Inf(-1) {
		return want{}
	}
	logPower := c.logPower(g)
	v := math.Exp(math.Log(a) + logPower + c.logL)
	return want{
		value: v,
		unit:  (1 + g) * ulpOf(v),
		bound: boundLoss,
		lost:  lost(math.Exp(logPower), a*c.ell),
		inf:   a*c.ell > math.MaxFloat32 || c.ell > math.MaxFloat32,
	}
}

// wantGrad is scale G p, where logP is log p_j, or log q of the target itself, with its sign.
func (c classTerms) wantGrad(alpha, gamma, scale float32, logP, sign float64) want {
	a, g, s := float64(alpha), float64(gamma), float64(scale)
	if a == 0 || s == 0 || math.IsInf(logP, -1) {
		return want{}
	}
	logPower := c.logPower(g)
	bracket := g * c.slope // finite: slope is at most 1
	v := math.Exp(math.Log(a) + logPower + math.Log1p(bracket) + math.Log(math.Abs(s)) + logP)
	power, p := math.Exp(logPower), math.Exp(logP)
	bracket++
	s = math.Abs(s)
	return want{
		value: math.Copysign(v, sign*float64(scale)),
		unit:  (1 + g) * ulpOf(v),
		bound: boundGrad,
		lost:  lost(power, a*bracket*p*s) + lost(a*power, bracket*p*s) + lost(a*power*bracket, p*s) + enlarged(p, a*power*bracket*s),
		inf:   a*power*bracket > math.MaxFloat32 || s*a*power*bracket > math.MaxFloat32,
	}
}

// refLogSum returns the maximum M of the logits but the one at skip (-1: none), the index of its first occurrence, and
// the logarithm of the sum of e^(z - M) over them, by a compensated sum. A NaN among all of z makes M NaN.
func refLogSum(z []float32, skip int) (m float64, first int, log float64) {
	m, first = math.Inf(-1), -1
	for j, v := range z {
		if v != v {
			return math.NaN(), j, math.NaN()
		}
		if j != skip && (first < 0 || float64(v) > m) {
			m, first = float64(v), j
		}
	}
	if math.IsInf(m, 0) {
		return m, first, 0
	}
	var sum, low float64
	for j, v := range z {
		if j == skip {
			continue
		}
		e := math.Exp(float64(v) - m)
		t := sum + e
		if sum >= e {
			low += (sum - t) + e
		} else {
			low += (e - t) + sum
		}
		sum = t
	}
	return m, first, math.Log(sum + low)
}

// refSoftmaxLoss returns what Each and Grad have to write for one row, grad being of len(z).
func refSoftmaxLoss(grad []want, z []float32, t int, alpha, gamma, scale float32) want {
	m, _, logS := refLogSum(z, t)
	zt := float64(z[t])
	nan := math.IsNaN(m) || math.IsInf(m, 1) || math.IsInf(zt, 1) || math.IsInf(m, -1) && math.IsInf(zt, -1)
	var w float64
	switch {
	case nan:
		w = math.NaN()
	case math.IsInf(m, -1): // nothing but the target has a probability
		w = math.Inf(-1)
	default:
		w = (m - zt) + logS // +Inf where the target is masked
	}
	c := newClassTerms(w)
	for j := range grad {
		logP, sign := c.logQ+(float64(z[j])-m)-logS, 1.0
		if math.IsInf(m, -1) {
			logP = m
		}
		if j == t {
			logP, sign = c.logQ, -1
		}
		switch {
		case scale == 0:
			grad[j] = want{}
		case nan || scale != scale:
			grad[j] = want{value: math.NaN()}
		default:
			grad[j] = c.wantGrad(alpha, gamma, scale, logP, sign)
		}
	}
	if nan {
		return want{value: math.NaN()}
	}
	return c.wantLoss(alpha, gamma)
}

// refSoftmax, refLogSoftmax and refLogSumExp compute one row each.
func refSoftmax(dst []want, z []float32) {
	m, _, logS := refLogSum(z, -1)
	for j := range dst {
		v := math.Exp(float64(z[j]) - m - logS) // NaN where m is infinite
		if math.IsInf(m, 0) {
			v = math.NaN()
		}
		dst[j] = want{value: v, unit: ulpOf(v), bound: boundSoftmax}
	}
}

func refLogSoftmax(dst []want, z []float32) {
	m, first, logS := refLogSum(z, -1)
	if math.IsNaN(m) || math.IsInf(m, 0) {
		for j := range dst {
			dst[j] = want{value: math.NaN()}
		}
		return
	}
	for j := range dst {
		v := (float64(z[j]) - m) - logS
		if j == first { // 1 + the others: their own sum, lest 1 swallow them
			mo, _, logO := refLogSum(z, j)
			v = 0
			if !math.IsInf(mo, -1) {
				v = -newClassTerms((mo - m) + logO).ell
			}
		}
		dst[j] = want{value: v, unit: ulpOf(v), bound: boundSoftmax, inf: v < -math.MaxFloat32}
	}
}

func refLogSumExp(z []float32) want {
	m, _, logS := refLogSum(z, -1)
	for _, v := range z {
		if v != v {
			return want{value: math.NaN()}
		}
	}
	unit := math.Max(0x1p-23*math.Max(1, math.Abs(m)), ulpOf(m+logS)/boundSoftmax)
	return want{value: m + logS, unit: unit, bound: boundSoftmax}
}

// boundSoftmax is the bound of Softmax and LogSoftmax in units in the last place, and of LogSumExp in units of 2^-23
// of the largest logit, or a unit in the last place where that is more: no less can be promised of a rounded result.
const boundSoftmax = 4.0

// refSigmoid returns what Each and Grad have to write for one element of the sigmoid form. Positive and negative are
// the weights of the targets 1 and 0.
func refSigmoid(x, y, positive, negative, gamma, scale float32) (loss, grad want) {
	if x != x {
		loss, grad = want{value: math.NaN()}, want{value: math.NaN()}
	} else if y == 0 || y == 1 {
		z, alpha, sign := float64(x), positive, -1.0
		if y == 0 {
			z, alpha, sign = -z, negative, 1
		}
		c := newClassTerms(-z)
		loss, grad = c.wantLoss(alpha, gamma), c.wantGrad(alpha, gamma, scale, c.logQ, sign)
	} else {
		loss, grad = refSigmoidSoft(float64(x), float64(y), float64(positive), float64(negative), float64(gamma), float64(scale))
	}
	switch {
	case scale == 0:
		grad = want{}
	case scale != scale:
		grad = want{value: math.NaN()}
	}
	return loss, grad
}

// refSigmoidSoft is torchvision's formula for a target strictly between 0 and 1. All sums but p - y have terms of one
// sign, and the bound of the gradient is relative to p + y; q is at least min(y, 1-y), so nothing underflows.
func refSigmoidSoft(x, y, positive, negative, gamma, scale float64) (loss, grad want) {
	e := math.Exp(-math.Abs(x))
	p, n := 1/(1+e), e/(1+e) // sigmoid of abs(x), and of -abs(x)
	if x < 0 {
		p, n = n, p
	}
	ce := y*(math.Max(-x, 0)+math.Log1p(e)) + (1-y)*(math.Max(x, 0)+math.Log1p(e))
	q := p*(1-y) + n*y
	a := positive*y + negative*(1-y)
	power := 1.0
	if gamma != 0 {
		power = math.Exp(gamma * math.Log(q))
	}
	v := a * power * ce
	loss = want{
		value: v,
		unit:  (1 + gamma) * ulpOf(v),
		bound: boundLossSoft,
		lost:  lost(power, a*ce),
		inf:   a*ce > math.MaxFloat32,
	}
	first, second := a*power, 0.0 // of (p - y), and of a q^gamma in the other term
	if gamma != 0 && p*n != 0 {   // ce p n vanishes for infinite x
		second = gamma * ce / q * (p * n) * math.Abs(1-2*y)
	}
	s := math.Abs(scale)
	rest := math.Abs(p-y) + second
	second *= first
	size := first*(p+y) + second
	grad = want{
		value: scale * (first*(p-y) + math.Copysign(second, 1-2*y)),
		unit:  (1 + gamma) * math.Max(0x1p-24*s*size, oneBit),
		bound: boundGrad,
		lost:  lost(power, a*rest*s) + lost(a*power, rest*s) + lost(a*power*rest, s),
		inf:   s*size > math.MaxFloat32,
	}
	return loss, grad
}

// bigPrec is the precision of the reference from the definitions. The least 1 - p_t that it meets is 2^-440: over half
// of the bits remain after the cancellation, and a difference quotient with a step of 2^-60 loses only 60 more.
const bigPrec = 1100

func bigNew(x float64) *big.Float { return new(big.Float).SetPrec(bigPrec).SetFloat64(x) }

func bigOp(f func(z, x, y *big.Float) *big.Float, x, y *big.Float) *big.Float {
	return f(new(big.Float).SetPrec(bigPrec), x, y)
}
func bigAdd(x, y *big.Float) *big.Float { return bigOp((*big.Float).Add, x, y) }
func bigSub(x, y *big.Float) *big.Float { return bigOp((*big.Float).Sub, x, y) }
func bigMul(x, y *big.Float) *big.Float { return bigOp((*big.Float).Mul, x, y) }
func bigQuo(x, y *big.Float) *big.Float { return bigOp((*big.Float).Quo, x, y) }

// bigFocal returns alpha q^gamma l.
func bigFocal(alpha, gamma float32, q, l *big.Float) *big.Float {
	v := bigMul(bigNew(float64(alpha)), l)
	switch {
	case gamma == 0:
		return v
	case q.Sign() == 0: // all other classes are masked
		return bigNew(0)
	}
	return bigMul(v, bigfloat.Exp(bigMul(bigNew(float64(gamma)), bigfloat.Log(q))))
}

// bigSoftmaxLoss is the definition: p_t = e^(z_t) / sum e^(z_j), with h added to logit j. Masked classes are left out.
func bigSoftmaxLoss(z []float32, t int, alpha, gamma float32, j int, h *big.Float) *big.Float {
	sum, et := bigNew(0), bigNew(0)
	for i, v := range z {
		if math.IsInf(float64(v), -1) {
			continue
		}
		x := bigNew(float64(v))
		if i == j {
			x = bigAdd(x, h)
		}
		e := bigfloat.Exp(x)
		sum = bigAdd(sum, e)
		if i == t {
			et = e
		}
	}
	pt := bigQuo(et, sum)
	l := bigfloat.Log(pt)
	return bigFocal(alpha, gamma, bigSub(bigNew(1), pt), l.Neg(l))
}

// bigSigmoidLoss is torchvision's formula with h added to the logit.
func bigSigmoidLoss(x, y, positive, negative, gamma float32, h *big.Float) *big.Float {
	one, t := bigNew(1), bigNew(float64(y))
	z := bigAdd(bigNew(float64(x)), h)
	e := bigfloat.Exp(z)
	p := bigQuo(e, bigAdd(one, e))
	n := bigSub(one, p)
	u := bigSub(one, t) // 1 - y
	ce := bigNew(0)
	if t.Sign() != 0 {
		ce = bigMul(t, bigfloat.Log(p))
	}
	if u.Sign() != 0 {
		ce = bigAdd(ce, bigMul(u, bigfloat.Log(n)))
	}
	q := bigAdd(bigMul(p, u), bigMul(n, t))
	a := bigAdd(bigMul(bigNew(float64(positive)), t), bigMul(bigNew(float64(negative)), u))
	return bigMul(a, bigFocal(1, gamma, q, ce.Neg(ce)))
}

// slopeOf is the central difference quotient of f at 0: its error relative to the third derivative is 2^-120.
func slopeOf(f func(h *big.Float) *big.Float) float64 {
	h := new(big.Float).SetPrec(bigPrec).SetMantExp(bigNew(1), -60)
	d := bigSub(f(h), f(new(big.Float).Neg(h)))
	v, _ := d.SetMantExp(d, 59).Float64()
	return v
}

// TestReference holds the float64 reference against the definitions in math/big: values, and gradients against
// difference quotients, which know nothing of the formula of the gradient.
func TestReference(t *testing.T) {
	const allowed = 0x1p-40 // relative
	check := func(got, value, size float64, format string, args ...any) {
		t.Helper()
		if !(math.Abs(got-value) <= allowed*size+math.SmallestNonzeroFloat64) {
			t.Errorf(format+" = %g, math/big gives %g", append(args, got, value)...)
		}
	}
	r := newRNG(0xbee5)
	rows := 200
	if testing.Short() {
		rows = 15
	}
	for i := range rows {
		classes := 1 + int(r.below(6))
		z, label := randomRow(r, benignKinds[i%len(benignKinds)], classes)
		alpha, gamma := float32(r.float())+0.25, randomGamma(r)
		grad := make([]want, classes)
		loss := refSoftmaxLoss(grad, z, label, alpha, gamma, 1)
		if loss.value == 0 {
			continue // nothing but the target: 1 - p_t has no logarithm
		}
		v, _ := bigSoftmaxLoss(z, label, alpha, gamma, -1, nil).Float64()
		check(loss.value, v, v, "softmax loss(%x, label %d, alpha %g, gamma %g)", z, label, alpha, gamma)
		for j := range grad {
			if math.IsInf(float64(z[j]), -1) {
				check(grad[j].value, 0, 0, "softmax gradient %d of a masked class", j)
				continue
			}
			d := slopeOf(func(h *big.Float) *big.Float { return bigSoftmaxLoss(z, label, alpha, gamma, j, h) })
			check(grad[j].value, d, math.Abs(d), "softmax gradient %d(%x, label %d, alpha %g, gamma %g)", j, z, label, alpha, gamma)
		}

		x, y := float32(r.normal()*8), float32(r.float())
		switch i % 4 {
		case 0:
			y = 0
		case 1:
			y = 1
		case 2:
			y = float32(math.Ldexp(float64(y), -int(r.below(100))))
		}
		loss, g := refSigmoid(x, y, alpha, 1.5-alpha, gamma, 1)
		v, _ = bigSigmoidLoss(x, y, alpha, 1.5-alpha, gamma, bigNew(0)).Float64()
		check(loss.value, v, v, "sigmoid loss(%x, target %x, alpha %g, gamma %g)", x, y, alpha, gamma)
		d := slopeOf(func(h *big.Float) *big.Float { return bigSigmoidLoss(x, y, alpha, 1.5-alpha, gamma, h) })
		size := math.Abs(d)
		if y != 0 && y != 1 { // p - y cancels; the bound is relative to p + y
			size = g.unit / (1 + float64(gamma)) * 0x1p24
		}
		check(g.value, d, size, "sigmoid gradient(%x, target %x, alpha %g, gamma %g)", x, y, alpha, gamma)
	}
}
