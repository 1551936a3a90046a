package focal

import (
	"fmt"
	"os"
	"runtime/debug"
	"syscall"
	"testing"
	"unsafe"
)

// guarded returns a slice of n floats before which or behind which (at the end) no byte may be touched.
func guarded(t *testing.T, n int, end bool) []float32 {
	page := os.Getpagesize()
	size := (4*n + page - 1) / page * page
	mem, err := syscall.Mmap(-1, 0, size+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Munmap(mem) })
	for _, guard := range [][]byte{mem[:page], mem[page+size:]} {
		if err := syscall.Mprotect(guard, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	at := page
	if end {
		at += size - 4*n
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&mem[at])), n)
}

// guards hands out slices that begin or end at a page that must not be touched, by number: those of one call differ.
type guards struct {
	t      *testing.T
	end    bool
	slices [4][]float32
	values []float32 // of every kind
}

const guardLongest = 3 * rowChunk

func newGuards(t *testing.T, end bool) *guards {
	g := &guards{t: t, end: end, values: make([]float32, guardLongest)}
	for i := range g.slices {
		g.slices[i] = guarded(t, guardLongest, end)
	}
	r := random(4)
	mixture(r, g.values)
	for i := 0; i+64 < len(g.values); i += 128 { // fast and slow paths
		ordinaryValues(r, g.values[i:i+64])
	}
	return g
}

// floats returns slice i cut to n elements, with values.
func (g *guards) floats(i, n int) []float32 {
	s := g.slices[i]
	if g.end {
		s = s[len(s)-n:]
	} else {
		s = s[:n]
	}
	copy(s, g.values)
	return s
}

// targets are 0 and 1.
func (g *guards) targets(i, n int) []float32 {
	s := g.floats(i, n)
	for j := range s {
		s[j] = float32(j * j % 3 % 2)
	}
	return s
}

// labels go from 0 to top; every seventh is -100.
func (g *guards) labels(i, n, top int) []int32 {
	labels := asLabels(g.floats(i, n))
	for j := range labels {
		labels[j] = int32(j * 5 % (top + 1))
		if j%7 == 3 {
			labels[j] = -100
		}
	}
	return labels
}

// noFault stops the test if f touches a page that it must not.
func (g *guards) noFault(f func(), format string, args ...any) {
	g.t.Helper()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if err := recover(); err != nil {
			g.t.Fatalf("%s, at the end of its pages: %v: %v", fmt.Sprintf(format, args...), g.end, err)
		}
	}()
	f()
}

// TestGuard runs every function and method on slices that begin or end at a page that must not be touched: all lengths to
// 300 and those around the borders of chunks.
func TestGuard(t *testing.T) {
	lengths := []int{lossChunk - 1, lossChunk, lossChunk + 1, 2*lossChunk + 3, chunk - 1, chunk, chunk + 1, 2*chunk + 17}
	for n := range 301 {
		lengths = append(lengths, n)
	}
	var shapes [][2]int // rows, classes
	for n := 1; n <= 300; n++ {
		shapes = append(shapes, [2]int{1, n}, [2]int{3, n}, [2]int{n, 1 + n%5})
	}
	for _, classes := range []int{lossChunk - 1, lossChunk, lossChunk + 1, chunk + 1, rowChunk - 1, rowChunk, rowChunk + 1, 2*rowChunk + 5} {
		shapes = append(shapes, [2]int{1, classes})
	}
	for _, more := range []int{2, 4, 9, 10, 12} { // a row's last part ends within a vector
		shapes = append(shapes, [2]int{1, rowChunk + more})
	}
	for _, rows := range []int{rowsAtOnce, SumBlock, 2 * SumBlock, 4 * SumBlock} {
		for _, classes := range []int{1, 2, 5, 16, 17} {
			shapes = append(shapes, [2]int{rows - 1, classes}, [2]int{rows + 1, classes})
		}
	}
	for _, end := range []bool{false, true} {
		forEachVariant(t, func(t *testing.T) {
			g := newGuards(t, end)
			for i, n := range lengths {
				if testing.Short() && i%7 != 0 {
					continue
				}
				g.vectors(n)
				g.sigmoid(n)
			}
			for _, plain := range []bool{false, true} { // few rows of values of every kind are
				if plain {
					ordinaryValues(random(5), g.values)
				}
				for i, s := range shapes {
					if testing.Short() && i%7 != 0 {
						continue
					}
					g.rows(s[0], s[1])
				}
			}
		})
	}
}

func (g *guards) vectors(n int) {
	for name, f := range map[string]func(dst, x []float32){
		"Exp": Exp, "Log": Log, "Sigmoid": Sigmoid,
		"Pow": func(dst, x []float32) { Pow(dst, x, 2.5) },
	} {
		g.noFault(func() { f(g.floats(0, n), g.floats(1, n)) }, "%s, n = %d", name, n)
		g.noFault(func() { x := g.floats(0, n); f(x, x) }, "%s in place, n = %d", name, n)
	}
}

func (g *guards) sigmoid(n int) {
	l := must(NewSigmoidLoss(SigmoidConfig{Gamma: 2, Alpha: 0.25}))
	x, y := g.floats(0, n), g.targets(1, n)
	g.noFault(func() { must(l.Sum(x, y)); must(l.Mean(x, y)) }, "SigmoidLoss.Sum and Mean, n = %d", n)
	g.noFault(func() { must(0, l.Each(g.floats(2, n), x, y)) }, "SigmoidLoss.Each, n = %d", n)
	g.noFault(func() { must(l.Grad(g.floats(2, n), x, y, 0.5)) }, "SigmoidLoss.Grad, n = %d", n)
	g.noFault(func() { must(l.GradRows(g.floats(2, n), x, y, g.floats(3, n))) }, "SigmoidLoss.GradRows, n = %d", n)
	g.noFault(func() { must(l.Grad(x, x, y, 0.5)) }, "SigmoidLoss.Grad in place, n = %d", n)
}

func (g *guards) rows(rows, classes int) {
	n := rows * classes
	for name, f := range map[string]func(dst, x []float32, classes int){"Softmax": Softmax, "LogSoftmax": LogSoftmax} {
		g.noFault(func() { f(g.floats(0, n), g.floats(1, n), classes) }, "%s, %d x %d", name, rows, classes)
		g.noFault(func() { x := g.floats(0, n); f(x, x, classes) }, "%s in place, %d x %d", name, rows, classes)
	}
	g.noFault(func() { LogSumExp(g.floats(0, rows), g.floats(1, n), classes) }, "LogSumExp, %d x %d", rows, classes)

	inner := rows // as one plane of each class
	g.noFault(func() { SoftmaxPlanes(g.floats(0, n), g.floats(1, n), classes, inner) }, "SoftmaxPlanes, %d x %d", classes, inner)
	labels := g.labels(1, rows, classes-1)
	for i, t := range labels {
		labels[i] = max(t, 0)
	}
	g.noFault(func() { must(0, LogProbs(g.floats(0, rows), g.floats(2, n), labels, classes)) }, "LogProbs, %d x %d", rows, classes)
	soft := must(NewSoftTargetLoss(SoftTargetConfig{Classes: classes, Gamma: 2}))
	x, y := g.floats(0, n), g.targets(1, n)
	g.noFault(func() { must(soft.Sum(x, y)); must(0, soft.Each(g.floats(2, rows), x, y)) }, "SoftTargetLoss.Sum and Each, %d x %d", rows, classes)
	g.noFault(func() { must(soft.Grad(g.floats(2, n), x, y, 0.5)) }, "SoftTargetLoss.Grad, %d x %d", rows, classes)

	ignore := []int32{-100}
	for _, gamma := range []float32{2, 0.7} {
		softmax := must(NewSoftmaxLoss(SoftmaxConfig{Classes: classes, Gamma: gamma, IgnoreLabels: ignore}))
		g.loss("SoftmaxLoss", softmax, rows, classes, classes-1)
	}
	smoothed := must(NewSoftmaxLoss(SoftmaxConfig{Classes: classes, Gamma: 2, Smoothing: 0.1, IgnoreLabels: ignore}))
	g.loss("SoftmaxLoss, smoothed", smoothed, rows, classes, classes-1)
	oneVsRest := must(NewOneVsRestLoss(OneVsRestConfig{Classes: classes, Gamma: 2, Alpha: 0.25, IgnoreLabels: ignore}))
	g.loss("OneVsRestLoss", oneVsRest, rows, classes, classes)
}

// loss calls every method; top is the largest label.
func (g *guards) loss(name string, l rowForm, rows, classes, top int) {
	x, labels := g.floats(0, rows*classes), g.labels(1, rows, top)
	g.noFault(func() { must(l.Sum(x, labels)); must(l.Mean(x, labels)); must(l.Count(labels)) },
		"%s.Sum, Mean and Count, %d x %d", name, rows, classes)
	g.noFault(func() { must(0, l.Each(g.floats(2, rows), x, labels)) }, "%s.Each, %d x %d", name, rows, classes)
	g.noFault(func() { must(l.Grad(g.floats(3, rows*classes), x, labels, 0.5)) }, "%s.Grad, %d x %d", name, rows, classes)
	g.noFault(func() { must(l.GradRows(g.floats(3, rows*classes), x, labels, g.floats(2, rows))) }, "%s.GradRows, %d x %d", name, rows, classes)
	g.noFault(func() { must(l.Grad(x, x, labels, 0.5)) }, "%s.Grad in place, %d x %d", name, rows, classes)
}
