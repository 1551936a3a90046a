//go:build exhaustive

package focal

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gofocal/focal/internal/coef"
)

// These tests take every float32 there is, minutes each: go test -tags exhaustive -run Exhaustive -v -timeout 24h
// A run that was stopped goes on where it was. What they find goes to testdata/accuracy.json, which TestAccuracy reads.

func init() { hardwareTriples = 1e9 }

const (
	pieceSize  = 1 << 16
	roundSize  = 64 // pieces
	randomPows = 1_000_000_000
)

// A piece is some inputs: y only where each has its own, and what the specification and a variant make of them.
type piece struct{ x, y, want, got [pieceSize]float32 }

// A proof is about one function.
type proof struct {
	name   string
	pieces int
	fill   func(n int, p *piece) // sets x (and y) of piece n
	spec   func(p *piece)        // sets want
	kernel func(p *piece)        // sets got, by the active variant; nil: there is none
	// ref is the exact result up to a relative error of refError; exact is asked where that does not decide how it is
	// rounded, and may be nil where it always does.
	ref      func(x, y float32) float64
	refError float64
	exact    func(x, y float32) *big.Float
	bound    float64
}

// A tally is what a proof counts.
type tally struct {
	Normal, Subnormal record // the largest errors of normal and of subnormal results
	Rounding          int    // results that are not correctly rounded
	Special           int    // wrong NaN, Inf, zero
	Different         int    // results of variants that are not the specification's
	Undecided         int    // results that needed exact
	Inputs            int
}

type record struct {
	Err  float64
	X, Y uint32 // bits: JSON has no Inf and NaN
}

// take keeps the larger of two errors, and of equal ones the least bits, whatever the order.
func (r *record) take(s record) {
	if s.Err > r.Err || s.Err == r.Err && s.Err > 0 && (s.X < r.X || s.X == r.X && s.Y < r.Y) {
		*r = s
	}
}

func (a *tally) add(b *tally) {
	a.Normal.take(b.Normal)
	a.Subnormal.take(b.Subnormal)
	a.Rounding += b.Rounding
	a.Special += b.Special
	a.Different += b.Different
	a.Undecided += b.Undecided
	a.Inputs += b.Inputs
}

// undecided reports whether want, off by refError at most, may lie on either side of the border between two floats.
func (f *proof) undecided(want float64) bool {
	if a := math.Abs(want); a >= 0x1p-126 && a < 0x1p127 { // the border is in the middle of the low 29 bits
		d := int64(math.Float64bits(want)&(1<<29-1)) - 1<<28
		zone := int64(f.refError * 0x1p53)
		return -zone <= d && d <= zone
	}
	rounded := float32(want)
	return want == want && (rounded != float32(want*(1-f.refError)) || rounded != float32(want*(1+f.refError)))
}

// judge holds the results of a piece against the reference.
func (f *proof) judge(p *piece, c *tally) {
	for i, got := range p.want {
		x, y := p.x[i], p.y[i]
		want := f.ref(x, y)
		rounded := float32(want)
		if f.undecided(want) {
			c.Undecided++
			rounded, _ = f.exact(x, y).Float32()
		}
		largest := &c.Normal
		if math.Abs(want) < 0x1p-126 {
			largest = &c.Subnormal
		}
		if math.Float32bits(got) == math.Float32bits(rounded) {
			if largest.Err >= 0.5 || float64(got) == want || want != want {
				continue // correctly rounded: ulpError would find at most 1/2
			}
		} else if want == want {
			c.Rounding++
		}
		err := ulpError(got, want)
		if math.IsInf(err, 1) {
			c.Special++
			continue
		}
		largest.take(record{err, math.Float32bits(x), math.Float32bits(y)})
	}
	c.Inputs += pieceSize
}

// parallel calls f(0) to f(n-1) on all cores.
func parallel(n int, f func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
}

// run makes the proof, and writes what it finds.
func (f *proof) run(t *testing.T) {
	saved, key := loadProgress(t), f.name+" "+sourceHash(t)
	state := saved[key]
	if state.Pieces > 0 {
		t.Logf("%s: goes on at %.1f %%", f.name, 100*float64(state.Pieces)/float64(f.pieces))
	}
	pieces := make([]piece, roundSize)
	tallies := make([]tally, roundSize)
	start, first, said := time.Now(), state.Pieces, time.Now()
	for state.Pieces < f.pieces {
		n := min(roundSize, f.pieces-state.Pieces)
		parallel(n, func(i int) {
			p := &pieces[i]
			tallies[i] = tally{Normal: state.Tally.Normal, Subnormal: state.Tally.Subnormal}
			f.fill(state.Pieces+i, p)
			f.spec(p)
			f.judge(p, &tallies[i])
		})
		for _, v := range available[:len(available)-1] {
			if f.kernel == nil {
				break
			}
			active = v
			parallel(n, func(i int) {
				p := &pieces[i]
				f.kernel(p)
				for j, want := range p.want {
					if math.Float32bits(p.got[j]) != math.Float32bits(want) {
						if tallies[i].Different++; tallies[i].Different <= 3 {
							t.Errorf("%s, %v: f(%x, %x) = %x, not %x", f.name, v, p.x[j], p.y[j], p.got[j], want)
						}
					}
				}
			})
		}
		active = available[0]
		for i := range n {
			state.Tally.add(&tallies[i])
		}
		state.Pieces += n
		if time.Since(said) > 20*time.Second || state.Pieces == f.pieces {
			said = time.Now()
			saved[key] = state
			saveProgress(t, saved)
			spent := time.Since(start)
			left := time.Duration(float64(spent) / float64(state.Pieces-first) * float64(f.pieces-state.Pieces))
			t.Logf("%s: %5.1f %%, %v, %v left; so far at most %.4f ULP", f.name, 100*float64(state.Pieces)/float64(f.pieces),
				spent.Round(time.Second), left.Round(time.Second), state.Tally.Normal.Err)
		}
	}
	c := &state.Tally
	a := accuracy{
		Inputs: c.Inputs, NotCorrectlyRounded: c.Rounding,
		Normal: f.worst(c.Normal), Subnormal: f.worst(c.Subnormal),
	}
	t.Logf("%s: %d inputs: %v ULP at %s; subnormal results %v units at %s; %d (%.2f %%) not correctly rounded; %d wrong special "+
		"values; %d results where %v differ; %d undecided by float64", f.name, a.Inputs, a.Normal.ULP, a.Normal.At(),
		a.Subnormal.ULP, a.Subnormal.At(), c.Rounding, 100*float64(c.Rounding)/float64(c.Inputs), c.Special, c.Different,
		available, c.Undecided)
	if !(a.Normal.ULP <= f.bound && a.Subnormal.ULP <= f.bound) || c.Special > 0 || c.Different > 0 {
		t.Errorf("%s: out of bounds", f.name)
		return
	}
	if f.kernel == nil {
		a.Variants = []string{generic.String()}
	} else {
		for _, v := range available {
			a.Variants = append(a.Variants, v.String())
		}
	}
	all := readAccuracy(t)
	if old, ok := all[f.name]; ok { // the proofs of other variants stay, if they were about these results
		variants := a.Variants
		a.Variants = old.Variants
		if reflect.DeepEqual(old, a) {
			a.Variants = union(old.Variants, variants)
		} else {
			a.Variants = variants
		}
	}
	all[f.name] = a
	writeJSON(t, accuracyFile, all)
}

// union is the names of variants that are in a or b, best first.
func union(a, b []string) (all []string) {
	for v := len(variantNames) - 1; v >= 0; v-- {
		for _, name := range append(a[:len(a):len(a)], b...) {
			if name == variantNames[v] {
				all = append(all, name)
				break
			}
		}
	}
	return all
}

// worst measures a record anew, by exact.
func (f *proof) worst(r record) witness {
	if r.Err == 0 {
		return witness{}
	}
	x, y := math.Float32frombits(r.X), math.Float32frombits(r.Y)
	var p piece
	p.x[0], p.y[0] = x, y
	f.spec(&p)
	w := witness{ULP: roundUp(bigULPError(p.want[0], f.exact(x, y))), X: fmt.Sprintf("%x", x)}
	if y != 0 {
		w.Y = fmt.Sprintf("%x", y)
	}
	return w
}

// The progress of runs that were stopped, by name and source.
type progress struct {
	Pieces int
	Tally  tally
}

var progressFile = filepath.Join(os.TempDir(), "focal-exhaustive.json")

func loadProgress(t *testing.T) map[string]progress {
	saved := map[string]progress{}
	b, err := os.ReadFile(progressFile)
	if err != nil {
		return saved
	}
	if err := json.Unmarshal(b, &saved); err != nil {
		t.Logf("%s: %v: begins anew", progressFile, err)
	}
	return saved
}

func saveProgress(t *testing.T, saved map[string]progress) { writeJSON(t, progressFile, saved) }

// writeJSON replaces a file as a whole.
func writeJSON(t *testing.T, name string, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name+".new", append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// sourceHash names the source of the vector functions, and the variants that are compared.
func sourceHash(t *testing.T) string {
	h := sha256.New()
	for _, name := range []string{"focal_generic.go", "internal/coef/coef.go", "focal_" + runtime.GOARCH + ".s", "exhaustive_test.go"} {
		b, err := os.ReadFile(name)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		h.Write(b)
	}
	fmt.Fprint(h, available)
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}

// everyFloat fills a piece with the 2^16 floats whose bits begin with n.
func everyFloat(n int, p *piece) {
	for i := range p.x {
		p.x[i] = math.Float32frombits(uint32(n)<<16 | uint32(i))
	}
}

// every is a proof over all 2^32 inputs.
func every(name string, spec, kernel func(dst, x []float32), ref func(float64) float64, refError float64, exact func(x *big.Float) *big.Float, bound float64) *proof {
	f := &proof{
		name: name, pieces: 1 << 32 / pieceSize, fill: everyFloat,
		spec:     func(p *piece) { spec(p.want[:], p.x[:]) },
		ref:      func(x, _ float32) float64 { return ref(float64(x)) },
		refError: refError,
		exact:    func(x, _ float32) *big.Float { return exact(exactly(x)) },
		bound:    bound,
	}
	if kernel != nil {
		f.kernel = func(p *piece) { kernel(p.got[:], p.x[:]) }
	}
	return f
}

func TestExhaustiveExp(t *testing.T) {
	every("Exp", expGeneric, expKernel, refExp, refError, bigExp, bounds.exp).run(t)
}

func TestExhaustiveLog(t *testing.T) {
	every("Log", logGeneric, logKernel, refLog, refError, bigLog, bounds.log).run(t)
}

func TestExhaustiveSigmoid(t *testing.T) {
	every("Sigmoid", sigmoidGeneric, sigmoidKernel, refSigmoid1, refError, bigSigmoid, bounds.sigmoid).run(t)
}

// TestExhaustiveLog1p takes all of log1p1's domain, and of log1pUnit's. They are parts of kernels, not ones by themselves.
func TestExhaustiveLog1p(t *testing.T) {
	for _, c := range []struct {
		name  string
		f     func(v float32) float32
		most  float32
		bound float64
	}{{"log1p", log1p1, 0x1.e4p126, bounds.log1p}, {"log1p on [0, 1]", log1pUnit, 1, bounds.log1pUnit}} {
		spec := func(dst, x []float32) {
			for i, v := range x {
				dst[i] = c.f(v)
			}
		}
		f := every(c.name, spec, nil, math.Log1p, refError, bigLog1p, c.bound)
		f.pieces = int(math.Float32bits(c.most))/pieceSize + 1
		f.fill = func(n int, p *piece) {
			everyFloat(n, p)
			for i, v := range p.x {
				p.x[i] = min(v, c.most)
			}
		}
		f.run(t)
	}
}

// TestExhaustivePow: all x for the exponents that are wanted most. Roots and products are their reference.
func TestExhaustivePow(t *testing.T) {
	root := func(x float64) float64 { // x^0.5: as Sqrt, but +0 at -0, and +Inf at -Inf
		if x == 0 || math.IsInf(x, -1) {
			return math.Abs(x)
		}
		return math.Sqrt(x)
	}
	for _, c := range []struct {
		y   float32
		ref func(x float64) float64
	}{
		{0.5, root},
		{1, func(x float64) float64 { return x }},
		{1.5, func(x float64) float64 { return math.Abs(x) * root(x) }},
		{2, func(x float64) float64 { return x * x }},
		{2.5, func(x float64) float64 { return x * x * root(x) }},
		{3, func(x float64) float64 { return x * x * x }},
		{5, func(x float64) float64 { return x * x * x * (x * x) }},
	} {
		t.Run(fmt.Sprint(c.y), func(t *testing.T) {
			params := newPowParams(c.y)
			f := every(fmt.Sprintf("Pow(x, %v)", c.y), func(dst, x []float32) { powGeneric(dst, x, &params) },
				func(dst, x []float32) { powKernel(dst, x, &params) }, c.ref, refError,
				func(x *big.Float) *big.Float { return bigPowHalves(x, c.y) }, bounds.pow)
			f.run(t)
		})
	}
}

// TestExhaustivePowPairs: random pairs over all exponents, 64 x for each y. Most of them have results that are neither 0 nor
// Inf; of those almost half are near the ends, where errors are largest.
func TestExhaustivePowPairs(t *testing.T) { powPairs().run(t) }

func powPairs() *proof {
	const group = 64
	return pairs("Pow(x, y)", randomPows, group, func(n int, p *piece) {
		r := newRNG(uint64(n) << 32)
		for i := 0; i < pieceSize; i += group {
			y := math.Float32frombits(uint32(r.next()>>63)<<31 | uint32(127-40+r.below(72))<<23 | uint32(r.next()>>41))
			kind := r.below(8)
			switch kind {
			case 0:
				y = r.bits()
			case 1, 2: // near the ends x is where errors are largest
				y = float32(math.Copysign(1000+float64(2000*r.float()), float64(y)))
			}
			for j := i; j < i+group; j++ {
				u := r.float()
				if kind < 4 {
					u = 1 - u/3
				}
				// log2 x is u times what makes x^y the least number or more than the largest. In bits: 2^23 for a factor of
				// 2, but near 1 its mantissa is x - 1 or, below, 2 - 2 x.
				d := u * math.Min(152/math.Abs(float64(y)), 127) * 0x1p23
				below := r.below(2) == 0
				if d < 0x1p21 {
					d *= math.Ln2
					if below {
						d *= 2
					}
				}
				if below {
					d = -d
				}
				p.x[j], p.y[j] = math.Float32frombits(math.Float32bits(1)+uint32(int32(d))), y
				if kind == 0 {
					p.x[j] = r.bits()
				}
			}
		}
	})
}

// TestExhaustivePowHardest: errors are largest where x is near 1.048 and the result near the largest float. There the
// exponent is y times the logarithm of x, to which the rounding of f^2, f^3 and the polynomial contribute most. The errors of
// all steps can add up to 0.96 ULP: 0.5 for the last addition, 0.19 for f^3 P and l, 0.15 for r, 0.1 for 2^r - 1 and the
// table's sum, 0.02 for the polynomials. All x of that region, for 2^16 random y.
func TestExhaustivePowHardest(t *testing.T) {
	const group = pieceSize / 2
	pairs("Pow(x, y), x near 1.048", 1<<16*group, group, func(n int, p *piece) {
		r := newRNG(uint64(n)<<32 | 1)
		for i := 0; i < pieceSize; i += group {
			y := float32(float64(1-2*r.below(2)) * (1450 + float64(500*r.float())))
			for j := range group {
				p.x[i+j], p.y[i+j] = math.Float32frombits(math.Float32bits(1.0462)+uint32(j)), y
			}
		}
	}).run(t)
}

// pairs is a proof of Pow on at least n pairs, of which each group has one y.
func pairs(name string, n, group int, fill func(n int, p *piece)) *proof {
	each := func(p *piece, f func(dst, x []float32, y float32), dst *[pieceSize]float32) {
		for i := 0; i < pieceSize; i += group {
			f(dst[i:i+group], p.x[i:i+group], p.y[i])
		}
	}
	return &proof{
		name: name, pieces: (n + pieceSize - 1) / pieceSize, fill: fill,
		spec: func(p *piece) {
			each(p, func(dst, x []float32, y float32) {
				params := newPowParams(y)
				powGeneric(dst, x, &params)
			}, &p.want)
		},
		kernel:   func(p *piece) { each(p, Pow, &p.got) },
		ref:      func(x, y float32) float64 { return refPow(float64(x), float64(y)) },
		refError: refPowError,
		exact:    bigPow,
		bound:    bounds.pow,
	}
}

// TestExhaustiveReduction: expCore's and expReduce's n and r, in float64, are what FMAs give, for every argument they may get.
func TestExhaustiveReduction(t *testing.T) {
	var wrong atomic.Int64
	parallel(1<<32/pieceSize, func(i int) {
		for j := range uint32(pieceSize) {
			c := math.Float32frombits(uint32(i)*pieceSize + j)
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
				if math.Float32bits(expCore(c)) != math.Float32bits(expExact(c)) {
					if wrong.Add(1) < 5 {
						t.Errorf("expCore(%x) = %x, expExact gives %x", c, expCore(c), expExact(c))
					}
				}
			}
			if c >= -clampAt && c <= clampAt {
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
