package focal

import (
	"flag"
	"fmt"
	"math"
	"testing"
)

// rng is SplitMix64. What it and randomRow return is the same on every platform: integers, exact operations, and no
// product that a compiler could fuse into a sum.
type rng struct{ state uint64 }

func newRNG(seed uint64) *rng { return &rng{seed} }

// seed starts the random rows and elements whose errors are measured: go test -run Random -seed 7 -v . takes others.
var seed = flag.Uint64("seed", 1, "of the random rows and elements")

func (r *rng) next() uint64 {
	r.state += 0x9e3779b97f4a7c15
	z := r.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below returns an integer in [0, n), n far below 2^64.
func (r *rng) below(n int) int { return int(r.next() % uint64(n)) }

// float returns a number in [0, 1).
func (r *rng) float() float64 { return float64(r.next()>>11) * 0x1p-53 }

// normal returns a number of mean 0 and variance 1, between -6 and 6: close enough to a normal deviate.
func (r *rng) normal() float64 {
	sum := -6.0
	for range 12 {
		sum += r.float()
	}
	return sum
}

// bits returns a float32 with random bits.
func (r *rng) bits() float32 { return math.Float32frombits(uint32(r.next() >> 32)) }

// benignKinds are the kinds of rows whose 1 - p_t lies above 2^-440, so that math/big can follow with bigPrec bits.
var benignKinds = []string{"normal", "confident", "ties", "spread", "masks", "near", "hopeless", "one ahead", "two ahead", "dropped", "even"}

// rowKinds are all kinds of rows without NaN and +Inf, and with a finite logit.
var rowKinds = append([]string{"huge", "large", "close", "masked label", "last bits"}, benignKinds...)

// randomRow returns a row of the given kind and its label.
func randomRow(r *rng, kind string, classes int) ([]float32, int) {
	z := make([]float32, classes)
	label := r.below(classes)
	fill := func(sigma, mean float64) {
		for j := range z {
			z[j] = float32(float64(r.normal()*sigma) + mean)
		}
	}
	switch kind {
	case "normal":
		fill(3, 0)
	case "confident": // one class far ahead
		fill(1, 0)
		z[[]int{label, r.below(classes)}[r.below(2)]] += 25
	case "one ahead": // of many nearly equal classes: its lane carries the sum, and rounds at each addition
		fill([]float64{0.3, 1, 3}[r.below(3)], 0)
		z[r.below(min(classes, lanes))] += float32(r.float() * 8)
	case "two ahead": // of noise: the label, and another whose lane carries the sum of those without the label
		fill(0.3, 0)
		second := r.below(min(classes, lanes))
		z[second] = float32(float64(r.float()*6) + 12)
		if label != second {
			z[label] = z[second] + float32(float64(r.float()*6)+2)
		}
	case "dropped": // the elements after the first one in lane 0 are almost half a unit of it each, and lost when added to it
		for j := range z {
			z[j] = -40
			if j%lanes == 0 {
				z[j] = -0x1.0a3facp+04
			}
		}
		z[0] = 0
		if label != 0 {
			z[label] = float32(float64(r.float()*12) + 2)
		}
	case "even": // the logarithm of the number of classes is much larger than any logit
		fill(0.1, 0)
	case "ties":
		for j := range z {
			z[j] = []float32{-1.5, 0, 2.25}[r.below(3)]
		}
	case "spread":
		fill(20, 0)
	case "masks":
		fill(3, 0)
		for j := range z {
			if j != label && r.below(3) == 0 {
				z[j] = float32(math.Inf(-1))
			}
		}
	case "masked label":
		fill(3, 0)
		z[label] = float32(math.Inf(-1))
		if classes == 1 {
			z[label] = 0
		}
	case "near": // 1 - p_t from 1e-5 to 1e-60
		fill(1, 0)
		z[label] = float32(float64(r.float()*128) + 12)
	case "hopeless": // p_t from 1e-5 to 1e-60
		fill(1, 0)
		z[label] = -float32(float64(r.float()*128) + 12)
	case "huge": // far outside the range of exp
		fill(4000, 0)
	case "large": // any exponent
		for j := range z {
			for z[j] = r.bits(); z[j] != z[j] || math.IsInf(float64(z[j]), 0); {
				z[j] = r.bits()
			}
		}
	case "close": // the maximum is beyond 2^20 and the others are near it
		base := math.Ldexp(1+r.float(), 19+r.below(5))
		if r.below(2) == 0 {
			base = -base
		}
		fill(4, base)
	case "last bits": // differences of a few units in the last place at a moderate size
		base := float32(math.Ldexp(1+r.float(), r.below(12)))
		for j := range z {
			z[j] = math.Float32frombits(math.Float32bits(base) + uint32(r.below(5)))
		}
	default:
		panic("unknown kind " + kind)
	}
	return z, label
}

// gammas are those that users choose; randomGamma mixes others in.
var gammas = []float32{0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5}

func randomGamma(r *rng) float32 {
	if r.below(3) > 0 {
		return gammas[r.below(len(gammas))]
	}
	return float32(r.float() * 8)
}

// A worst keeps the largest error of one function, in the units of its bound, and what gave it. It fails the test for
// results that are out of bounds.
type worst struct {
	t        *testing.T
	name     string
	units    float64
	bound    float64
	witness  string
	failures int
}

// check holds a result against what is wanted; where describes the call.
func (w *worst) check(got float32, want want, where func() string) {
	w.t.Helper()
	if !want.allows(got) {
		if w.failures++; w.failures <= 5 {
			w.t.Errorf("%s%s = %x (%#08x), want %x: off by %.4g, %.4g allowed", w.name, where(), got,
				math.Float32bits(got), want.value, math.Abs(float64(got)-want.value), want.tol())
		}
		return
	}
	if want.unit == 0 || math.IsInf(float64(got), 0) || math.IsNaN(want.value) {
		return
	}
	if units := (math.Abs(float64(got)-want.value) - want.lost) / want.unit; units > w.units {
		w.units, w.bound = units, want.bound
		w.witness = fmt.Sprintf("%s = %x (%#08x), exactly %x", where(), got, math.Float32bits(got), want.value)
	}
}

// log prints the worst error, and holds it against the measured error in the row of README.md's table, if one is named. Other
// seeds may find more, within the bound.
func (w *worst) log(row string) {
	w.t.Helper()
	if row != "" && *seed == 1 {
		if _, measured := readmeError(w.t, row); !(w.units <= measured) {
			w.t.Errorf("%s: README.md says that an error of %v was measured, this is %.3f", w.name, measured, w.units)
		}
	}
	if w.failures > 5 {
		w.t.Errorf("%s: %d results out of bounds", w.name, w.failures)
	}
	w.t.Logf("%-28s %.3f of %g units at %s", w.name, w.units, w.bound, w.witness)
}

// show prints a row in full where it is short.
func show(z []float32) string {
	if len(z) > 8 {
		return fmt.Sprintf("%d logits, the first %x", len(z), z[:3])
	}
	return fmt.Sprintf("%x", z)
}
