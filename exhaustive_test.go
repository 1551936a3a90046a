//go:build exhaustive

package focal

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gofocal/focal/internal/coef"
)

// These tests take every float32 there is, minutes each: go test -tags exhaustive -run Exhaustive -v -timeout 2h

func init() { hardwareTriples = 1e9 }

// everyFloat calls f with all 2^32 floats, 2^16 at a time, on all cores; worker tells the calls that run in turn.
func everyFloat(f func(worker int, x []float32)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for worker := range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			x := make([]float32, 1<<16)
			for {
				hi := next.Add(1) - 1
				if hi >= 1<<16 {
					return
				}
				for i := range x {
					x[i] = math.Float32frombits(uint32(hi)<<16 | uint32(i))
				}
				f(worker, x)
			}
		})
	}
	wg.Wait()
}

// A tally is what a test counts; each worker has its own.
type tally struct {
	normal, subnormal     float64 // the largest errors of normal and of subnormal results
	normalAt, subnormalAt float32
	rounding              int // results that are not correctly rounded
	special               int // wrong NaN, Inf, zero
	variant               int // results of the active variant that are not the specification's
	n                     int
}

func (a *tally) add(b *tally) {
	if b.normal > a.normal {
		a.normal, a.normalAt = b.normal, b.normalAt
	}
	if b.subnormal > a.subnormal {
		a.subnormal, a.subnormalAt = b.subnormal, b.subnormalAt
	}
	a.rounding += b.rounding
	a.special += b.special
	a.variant += b.variant
	a.n += b.n
}

// exhaust holds spec against ref and bound, and the active variant's kernel, if any, against spec, on all inputs that skip
// does not leave out.
func exhaust(t *testing.T, spec, kernel func(dst, x []float32), ref func(float64) float64, bound float64, in func(float32) bool) {
	start := time.Now()
	tallies := make([]tally, runtime.GOMAXPROCS(0))
	type buffers struct{ got, same [1 << 16]float32 }
	buf := make([]buffers, len(tallies))
	everyFloat(func(worker int, x []float32) {
		c, b := &tallies[worker], &buf[worker]
		spec(b.got[:], x)
		if kernel != nil {
			kernel(b.same[:], x)
			for i, g := range b.got {
				if math.Float32bits(g) != math.Float32bits(b.same[i]) {
					c.variant++
				}
			}
		}
		for i, v := range x {
			if in != nil && !in(v) {
				continue
			}
			c.n++
			got, want := b.got[i], ref(float64(v))
			if math.Float32bits(got) == math.Float32bits(float32(want)) {
				// Correctly rounded; ulpError would find at most 1/2.
				if c.normal >= 0.5 || want == 0 {
					continue
				}
			} else if want == want {
				c.rounding++
			}
			err := ulpError(got, want)
			switch {
			case math.IsInf(err, 1):
				c.special++
			case math.Abs(want) < 0x1p-126:
				if err > c.subnormal {
					c.subnormal, c.subnormalAt = err, v
				}
			case err > c.normal:
				c.normal, c.normalAt = err, v
			}
		}
	})
	var c tally
	for i := range tallies {
		c.add(&tallies[i])
	}
	t.Logf("%s: %d inputs: %.4f ULP at %x; subnormal results %.4f units at %x; %d (%.2f %%) not correctly rounded; "+
		"%d wrong special values; %d differences between %s and the specification; %v", t.Name(), c.n, c.normal, c.normalAt,
		c.subnormal, c.subnormalAt, c.rounding, 100*float64(c.rounding)/float64(c.n), c.special, c.variant, Variant(),
		time.Since(start).Round(time.Second))
	if !(c.normal <= bound && c.subnormal <= bound) || c.special > 0 || c.variant > 0 {
		t.Errorf("%s: out of bounds", t.Name())
	}
}

func TestExhaustiveExp(t *testing.T) { exhaust(t, expGeneric, Exp, refExp, bounds.exp, nil) }
func TestExhaustiveLog(t *testing.T) { exhaust(t, logGeneric, Log, refLog, bounds.log, nil) }
func TestExhaustiveSigmoid(t *testing.T) {
	exhaust(t, sigmoidGeneric, Sigmoid, refSigmoid1, bounds.sigmoid, nil)
}

// TestExhaustiveLog1p takes all of log1p1's domain.
func TestExhaustiveLog1p(t *testing.T) {
	spec := func(dst, x []float32) {
		for i, v := range x {
			dst[i] = log1p1(v)
		}
	}
	exhaust(t, spec, nil, math.Log1p, bounds.log1p, func(v float32) bool { return math.Float32bits(v) <= math.Float32bits(0x1.e4p126) })
}

func TestExhaustivePow(t *testing.T) {
	for _, y := range []float32{0.5, 1, 1.5, 2, 2.5, 3, 5} {
		t.Run(fmt.Sprint(y), func(t *testing.T) {
			p := newPowParams(y)
			exhaust(t, func(dst, x []float32) { powGeneric(dst, x, &p) }, func(dst, x []float32) { Pow(dst, x, y) },
				func(x float64) float64 { return refPow(x, float64(y)) }, bounds.pow, nil)
		})
	}
}

// TestExhaustiveReduction: expCore's and expReduce's n and r, in float64, are what FMAs give, for every argument they may get.
func TestExhaustiveReduction(t *testing.T) {
	var wrong atomic.Int64
	everyFloat(func(_ int, x []float32) {
		for _, c := range x {
			if c >= coef.ExpMin && c <= coef.ExpMax {
				const magic = 0x1.8p50
				v := float64(c)
				n := v*coef.Log2E + magic - magic
				r := float32((v - n*coef.Ln2Hi) - n*coef.Ln2Lo)
				tn := fma32(c, coef.Log2E, coef.ExpMagic)
				m := tn - coef.ExpMagic
				if float64(m) != n || fma32(m, -coef.Ln2Lo, fma32(m, -coef.Ln2Hi, c)) != r ||
					math.Float32bits(tn)&0xfff != uint32(int32(4*n)+1016)&0xfff {
					wrong.Add(1)
				}
			}
			if c >= -0x1p22 && c <= 0x1p22 {
				n, r := expReduce(c)
				const magic = 0x1.8p23
				m := fma32(c, coef.Log2E, magic) - magic
				if m != n || fma32(m, -coef.Ln2Lo, fma32(m, -coef.Ln2Hi, c)) != r {
					if wrong.Add(1) < 5 {
						t.Errorf("expReduce(%x) = %x, %x; FMAs: %x, %x", c, n, r, m, fma32(m, -coef.Ln2Lo, fma32(m, -coef.Ln2Hi, c)))
					}
				}
			}
		}
	})
	if n := wrong.Load(); n > 0 {
		t.Errorf("%d reductions differ", n)
	}
}
