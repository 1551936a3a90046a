// Package bigfloat has the exponential and the logarithm of [big.Float], for tests: what they say is exact enough to
// decide how a float32 or float64 has to be rounded.
package bigfloat

import (
	"math"
	"math/big"
	"sync"
)

// guard is how many bits more than asked for are carried along.
const guard = 64

var (
	ln2Mutex sync.Mutex
	ln2Known = map[uint]*big.Float{}
)

// Ln2 returns log 2 = sum 1/(k 2^k) with prec bits.
func Ln2(prec uint) *big.Float {
	ln2Mutex.Lock()
	defer ln2Mutex.Unlock()
	if ln2Known[prec] == nil {
		sum := new(big.Float).SetPrec(prec + guard)
		for k := 1; k <= int(prec+guard); k++ {
			term := new(big.Float).SetPrec(prec + guard).SetInt64(1)
			term.Quo(term, new(big.Float).SetInt64(int64(k)))
			sum.Add(sum, term.SetMantExp(term, -k))
		}
		ln2Known[prec] = new(big.Float).SetPrec(prec).Set(sum)
	}
	return ln2Known[prec]
}

// Exp returns e^x for abs(x) < 2^30, with the precision of x and an error of a few units in its last place:
// x = n ln2 + 2^16 r, the series of e^r, and 16 squarings.
func Exp(x *big.Float) *big.Float {
	const squarings = 16
	prec := x.Prec() + guard
	f, _ := x.Float64()
	n := math.Round(f / math.Ln2)
	r := new(big.Float).SetPrec(prec).SetFloat64(n)
	r.Mul(r, Ln2(prec))
	r.Sub(x, r)
	r.SetMantExp(r, -squarings)
	sum := new(big.Float).SetPrec(prec).SetInt64(1)
	term := new(big.Float).SetPrec(prec).SetInt64(1)
	for k := int64(1); term.Sign() != 0 && term.MantExp(nil) > -int(prec)-8; k++ {
		term.Mul(term, r)
		term.Quo(term, new(big.Float).SetInt64(k))
		sum.Add(sum, term)
	}
	for range squarings {
		sum.Mul(sum, sum)
	}
	return new(big.Float).SetPrec(x.Prec()).SetMantExp(sum, int(n))
}

// Log returns log x for x > 0, with the precision of x: from float64's logarithm by Halley's iteration, each step of
// which triples the bits. Its error is relative to the larger of log x and 2^-64, but log 1 is 0.
func Log(x *big.Float) *big.Float {
	prec := x.Prec() + guard
	m := new(big.Float).SetPrec(prec)
	e := x.MantExp(m)
	if f, _ := m.Float64(); f < math.Sqrt2/2 { // so that near 1 nothing cancels
		m.SetMantExp(m, 1)
		e--
	}
	f, _ := m.Float64()
	y := new(big.Float).SetPrec(prec).SetFloat64(math.Log(f))
	for bits := uint(40); bits < prec; bits *= 3 {
		ey := Exp(y)
		step := new(big.Float).SetPrec(prec).Sub(m, ey)
		step.Quo(step, ey.Add(ey, m))
		y.Add(y, step.SetMantExp(step, 1))
	}
	n := new(big.Float).SetPrec(prec).SetInt64(int64(e))
	return new(big.Float).SetPrec(x.Prec()).Add(y, n.Mul(n, Ln2(prec)))
}
