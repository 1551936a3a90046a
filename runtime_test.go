package focal

import (
	"bytes"
	"compress/gzip"
	"io"
	"math"
	"regexp"
	"runtime"
	"runtime/pprof"
	"slices"
	"sync"
	"testing"
	"time"
)

// Assembly beside what the Go runtime does to a program: other goroutines, stacks that move, signals, profiles.

// everything is the input of every function and of a loss of each form.
type everything struct {
	logits, targets []float32
	labels          []int32
	classes         int
	softmax         *SoftmaxLoss
	oneVsRest       *OneVsRestLoss
	sigmoid         *SigmoidLoss
	soft            *SoftTargetLoss
}

func newEverything(rows, classes int) *everything {
	e := &everything{
		logits:    make([]float32, rows*classes),
		targets:   make([]float32, rows*classes),
		labels:    make([]int32, rows),
		classes:   classes,
		softmax:   must(NewSoftmaxLoss(SoftmaxConfig{Classes: classes, Gamma: 2.2})),
		oneVsRest: must(NewOneVsRestLoss(OneVsRestConfig{Classes: classes, Gamma: 2, Alpha: 0.25})),
		sigmoid:   must(NewSigmoidLoss(SigmoidConfig{Gamma: 1.5})),
		soft:      must(NewSoftTargetLoss(SoftTargetConfig{Classes: classes, Gamma: 2})),
	}
	r := newRNG(21)
	for i := range e.logits {
		e.logits[i], e.targets[i] = float32(r.normal()*6), float32(r.float())
	}
	for i := range e.labels {
		e.labels[i] = int32(r.below(classes))
	}
	return e
}

// run calls everything once, with dst, of the length of logits, as output, and returns the bits of all results.
func (e *everything) run(dst []float32) []uint64 {
	var bits []uint64
	var sums [7]float64
	n := len(e.labels)
	for _, f := range []func(){
		func() { Exp(dst, e.logits) },
		func() { Log(dst, e.logits) },
		func() { Pow(dst, e.logits, 3.3) },
		func() { Sigmoid(dst, e.logits) },
		func() { Softmax(dst, e.logits, e.classes) },
		func() { LogSoftmax(dst, e.logits, e.classes) },
		func() { LogSumExp(dst[:n], e.logits, e.classes) },
		func() { must(0, LogProbs(dst[:n], e.logits, e.labels, e.classes)) },
		func() { SoftmaxPlanes(dst, e.logits, e.classes, n) },
		func() { sums[6] = must(e.soft.Grad(dst, e.logits, e.targets, 0.5)) },
		func() { must(0, e.softmax.Each(dst[:n], e.logits, e.labels)) },
		func() { sums[0] = must(e.softmax.Grad(dst, e.logits, e.labels, 0.5)) },
		func() { must(0, e.oneVsRest.Each(dst[:n], e.logits, e.labels)) },
		func() { sums[1] = must(e.oneVsRest.Grad(dst, e.logits, e.labels, 0.5)) },
		func() { must(0, e.sigmoid.Each(dst, e.logits, e.targets)) },
		func() { sums[2] = must(e.sigmoid.Grad(dst, e.logits, e.targets, 0.5)) },
		func() { sums[3] = must(e.softmax.Mean(e.logits, e.labels)) },
		func() { sums[4] = must(e.oneVsRest.Mean(e.logits, e.labels)) },
		func() { sums[5] = must(e.sigmoid.Mean(e.logits, e.targets)) },
	} {
		f()
		bits = append(bits, bitsOf(dst)...)
	}
	return append(bits, bitsOf(nil, sums[:]...)...)
}

// hold fails unless results are what is wanted.
func hold(t *testing.T, got, want []uint64) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("other results%s", difference(got, want))
	}
}

// TestConcurrent uses the same losses and inputs from 64 goroutines.
func TestConcurrent(t *testing.T) {
	e := newEverything(20, 33)
	forEachVariant(t, func(t *testing.T) {
		want := e.run(make([]float32, len(e.logits)))
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				dst := make([]float32, len(e.logits))
				for range 3 {
					hold(t, e.run(dst), want)
				}
			})
		}
		wg.Wait()
	})
}

// deeper calls f with a buffer on the stack, below depth frames.
func deeper(depth int, f func(buffer []float32)) {
	var buffer [80]float32
	if depth > 0 {
		deeper(depth-1, f)
	}
	f(buffer[:])
}

// TestStacks calls everything near the end of small stacks, which grow then, with outputs on stacks that have moved, while
// garbage collections shrink them.
func TestStacks(t *testing.T) {
	e := newEverything(5, 16)
	forEachVariant(t, func(t *testing.T) {
		want := e.run(make([]float32, 80))
		stop := make(chan bool)
		var collector, wg sync.WaitGroup
		collector.Go(func() { collect(stop) })
		for depth := range 100 {
			wg.Go(func() { // a new stack, of 2 KB or so
				deeper(depth%50, func(buffer []float32) { hold(t, e.run(buffer), want) })
			})
		}
		wg.Wait()
		close(stop)
		collector.Wait()
	})
}

// TestSignals interrupts long rows by signals, those of the profiler and those by which garbage collections stop a
// goroutine: they must leave the vector registers as they are. The profile must name the assembly.
func TestSignals(t *testing.T) {
	if testing.Short() {
		t.Skip("takes time")
	}
	e := newEverything(1, 1<<18)
	dst := make([]float32, len(e.logits))
	forEachVariant(t, func(t *testing.T) {
		if active == generic {
			t.Skip("assembly only")
		}
		want := e.run(dst)
		kernel := regexp.MustCompile(`focal\.[a-zA-Z]+` + variantSuffix[active.String()])
		for range 20 { // on a busy machine samples are rare
			profile := profileOf(t, func() { hold(t, e.run(dst), want) })
			if kernel.Match(profile) {
				return
			}
		}
		t.Errorf("no profile names %v", kernel)
	})
}

// profileOf runs f for half a second beside garbage collections and returns the profile.
func profileOf(t *testing.T, f func()) []byte {
	var profile bytes.Buffer
	if err := pprof.StartCPUProfile(&profile); err != nil {
		t.Skip(err)
	}
	stop := make(chan bool)
	var collector sync.WaitGroup
	collector.Go(func() { collect(stop) })
	for start := time.Now(); time.Since(start) < 500*time.Millisecond; {
		f()
	}
	pprof.StopCPUProfile()
	close(stop)
	collector.Wait()
	z, err := gzip.NewReader(&profile)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// collect collects garbage until it is stopped.
func collect(stop chan bool) {
	for {
		select {
		case <-stop:
			return
		default:
			runtime.GC()
		}
	}
}

// TestStartup: choosing a variant reads CPUID once, which takes no time worth naming.
func TestStartup(t *testing.T) {
	best := time.Duration(math.MaxInt64)
	for range 20 {
		start := time.Now()
		enabled(supported(), "")
		best = min(best, time.Since(start))
	}
	t.Logf("choosing a variant takes %v", best)
	if best > 100*time.Microsecond {
		t.Errorf("choosing a variant takes %v", best)
	}
}
