package focal

import (
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"os"
	"slices"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/golden.json anew")

const goldenFile = "testdata/golden.json"

// A golden holds all results by function and block, as bits; sums have 64.
type golden map[string]map[string][]uint64

func (g golden) add(function, block string, results []float32, sums ...float64) {
	if g[function] == nil {
		g[function] = map[string][]uint64{}
	}
	if g[function][block] != nil {
		panic("two blocks have the name " + function + ", " + block)
	}
	g[function][block] = bitsOf(results, sums...)
}

func bitsOf(results []float32, sums ...float64) []uint64 {
	bits := make([]uint64, 0, len(results)+len(sums))
	for _, x := range results {
		bits = append(bits, uint64(math.Float32bits(x)))
	}
	for _, x := range sums {
		bits = append(bits, math.Float64bits(x))
	}
	return bits
}

// hashes has FNV-1a of each block, in which a single wrong result cannot cancel out.
func (g golden) hashes() map[string]map[string]string {
	all := map[string]map[string]string{}
	for function, blocks := range g {
		all[function] = map[string]string{}
		for block, results := range blocks {
			h := fnv.New64a()
			for _, bits := range results {
				h.Write(binary.LittleEndian.AppendUint64(nil, bits))
			}
			all[function][block] = fmt.Sprintf("%016x", h.Sum64())
		}
	}
	return all
}

// TestGolden holds every function and loss, on every variant and platform, against the hashes in testdata. A mismatch
// names the function and the block, which says all about its input, and in assembly the first result that is not the
// specification's.
func TestGolden(t *testing.T) {
	use(t, generic)
	specification := goldenResults()
	if *update {
		text, err := json.MarshalIndent(specification.hashes(), "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(goldenFile, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]map[string]string
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	forEachVariant(t, func(t *testing.T) {
		results := specification
		if active != generic {
			results = goldenResults()
		}
		got := results.hashes()
		for _, function := range slices.Sorted(maps.Keys(got)) {
			wrong := 0
			for _, block := range slices.Sorted(maps.Keys(got[function])) {
				g, w := got[function][block], want[function][block]
				if g == w {
					continue
				}
				if wrong++; wrong <= 3 {
					t.Errorf("%s, %s: hash %s, want %s%s", function, block, g, w,
						difference(results[function][block], specification[function][block]))
				}
			}
			if wrong > 3 {
				t.Errorf("%s: %d of %d blocks differ", function, wrong, len(got[function]))
			}
		}
		for function := range want {
			for block := range want[function] {
				if got[function][block] == "" {
					t.Errorf("%s has %s, %s, which is not computed: run\n\n\tgo test -run TestGolden -update\n", goldenFile, function, block)
				}
			}
		}
	})
}

// difference says where results first differ from the specification's.
func difference(got, specification []uint64) string {
	for i := range got {
		if got[i] != specification[i] {
			return fmt.Sprintf("; result %d is %#08x, the specification's %#08x", i, got[i], specification[i])
		}
	}
	return "; the specification gives the same here"
}

func goldenResults() golden {
	g := golden{}
	goldenVectors(g)
	goldenRows(g)
	goldenSigmoid(g)
	goldenFeatures(g)
	return g
}

// goldenVectors: any bits, and values of the size that a function is used for.
func goldenVectors(g golden) {
	const n = 1024
	x, dst := make([]float32, n), make([]float32, n)
	for _, f := range []struct {
		name string
		f    func(dst, x []float32)
		size float64
	}{
		{"Exp", Exp, 40}, {"Log", Log, 1}, {"Sigmoid", Sigmoid, 8},
	} {
		r := newRNG(11)
		for block := range 24 {
			for i := range x {
				x[i] = r.bits()
			}
			f.f(dst, x)
			g.add(f.name, fmt.Sprintf("any bits, block %d", block), dst)
			for i := range x {
				x[i] = float32(r.normal() * f.size)
			}
			f.f(dst, x)
			g.add(f.name, fmt.Sprintf("ordinary, block %d", block), dst)
		}
	}
	r := newRNG(12)
	exponents := []float32{0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, -1, -2, -2.5, 7, 0.1, 100, 127.5, -1e-3, 1e-30, 1e30, nan32, inf32, -inf32}
	for range 10 {
		exponents = append(exponents, r.bits())
	}
	for _, y := range exponents {
		name := fmt.Sprintf("y = %x (%08x)", y, math.Float32bits(y))
		for i := range x {
			x[i] = r.bits()
		}
		Pow(dst, x, y)
		g.add("Pow", name+", any bits", dst)
		for i := range x {
			x[i] = float32(r.float())
		}
		Pow(dst, x, y)
		g.add("Pow", name+", in (0, 1)", dst)
	}
}

// goldenShapes are classes and rows: of less than a vector, of all but a vector, around a block of the sums, and long.
var goldenShapes = [][2]int{{1, 20}, {2, 300}, {3, 40}, {5, 70}, {8, 20}, {15, 9}, {16, 9}, {17, 9}, {33, 5}, {80, 20}, {91, 5}, {257, 3}, {1000, 2}, {5000, 1}}

// goldenRows: rows of every kind with labels that are classes, background and ignored.
func goldenRows(g golden) {
	r := newRNG(13)
	for _, shape := range goldenShapes {
		classes, rows := shape[0], shape[1]
		for k, kind := range append([]string{"any bits"}, rowKinds...) {
			logits, labels := make([]float32, 0, rows*classes), make([]int32, rows)
			for i := range labels {
				z, label := make([]float32, classes), r.below(classes)
				if kind == "any bits" {
					for j := range z {
						z[j] = r.bits()
					}
				} else {
					z, label = randomRow(r, kind, classes)
				}
				logits, labels[i] = append(logits, z...), int32(label)
				if r.below(8) == 0 {
					labels[i] = -100
				}
			}
			gamma, scale := gammas[(k+classes)%len(gammas)], float32(r.normal())
			var alpha []float32
			if k%2 == 0 {
				gamma = float32(r.float() * 8)
				for range classes {
					alpha = append(alpha, float32(r.float())+0.25)
				}
			}
			block := fmt.Sprintf("%d x %d, %s, gamma %x", rows, classes, kind, gamma)

			dst := make([]float32, len(logits))
			Softmax(dst, logits, classes)
			g.add("Softmax", block, dst)
			LogSoftmax(dst, logits, classes)
			g.add("LogSoftmax", block, dst)
			LogSumExp(dst[:rows], logits, classes)
			g.add("LogSumExp", block, dst[:rows])

			ignore := []int32{-100}
			softmax := must(NewSoftmaxLoss(SoftmaxConfig{Classes: classes, Gamma: gamma, Alpha: alpha, IgnoreLabels: ignore}))
			g.addRowForm("SoftmaxLoss", block, softmax, logits, labels, scale)
			for i := range labels {
				if labels[i] >= 0 && r.below(2) == 0 {
					labels[i] = int32(classes)
				}
			}
			var weight float32
			if k%2 == 0 {
				weight = float32(r.float())
			}
			oneVsRest := must(NewOneVsRestLoss(OneVsRestConfig{Classes: classes, Gamma: gamma, Alpha: weight, IgnoreLabels: ignore}))
			g.addRowForm("OneVsRestLoss", block, oneVsRest, logits, labels, scale)
		}
	}
}

// addRowForm adds what the methods of a loss with a label per row give.
func (g golden) addRowForm(name, block string, l rowForm, logits []float32, labels []int32, scale float32) {
	losses, grad := make([]float32, len(labels)), make([]float32, len(logits))
	must(0, l.Each(losses, logits, labels))
	g.add(name+".Each", block, losses)
	g.add(name+".Sum and Mean", block, nil, must(l.Sum(logits, labels)), must(l.Mean(logits, labels)))
	sum := must(l.Grad(grad, logits, labels, scale))
	g.add(name+".Grad", block, grad, sum)
}

// goldenSigmoid: the sigmoid form on hard and soft targets.
func goldenSigmoid(g golden) {
	r := newRNG(14)
	const n = 700
	for block := range 48 {
		gamma, scale, size := gammas[block%len(gammas)], float32(r.normal()), []float64{1, 8, 40, 4000}[block%4]
		var alpha float32
		if block%2 == 0 {
			gamma, alpha = float32(r.float()*8), float32(r.float())
		}
		var logits, targets, dst [n]float32
		for i := range logits {
			logits[i] = float32(r.normal() * size)
			if r.below(4) == 0 {
				logits[i] = r.bits()
			}
			targets[i] = []float32{0, 1, float32(r.float()), float32(math.Ldexp(r.float(), -r.below(150)))}[r.below(4)]
		}
		l := must(NewSigmoidLoss(SigmoidConfig{Gamma: gamma, Alpha: alpha}))
		name := fmt.Sprintf("block %d, size %v, gamma %x, alpha %x", block, size, gamma, alpha)
		must(0, l.Each(dst[:], logits[:], targets[:]))
		g.add("SigmoidLoss.Each", name, dst[:])
		g.add("SigmoidLoss.Sum and Mean", name, nil, must(l.Sum(logits[:], targets[:])), must(l.Mean(logits[:], targets[:])))
		sum := must(l.Grad(dst[:], logits[:], targets[:], scale))
		g.add("SigmoidLoss.Grad", name, dst[:], sum)
	}
}

// goldenFeatures: what is built on the rows and the sigmoid form: smoothed labels, soft targets, planes, half precision.
func goldenFeatures(g golden) {
	r := newRNG(16)
	for _, shape := range goldenShapes {
		classes, rows := shape[0], min(shape[1], 30)
		for k, kind := range rowKinds {
			logits, targets, labels := make([]float32, 0, rows*classes), make([]float32, rows*classes), make([]int32, rows)
			for i := range labels {
				z, label := randomRow(r, kind, classes)
				logits, labels[i] = append(logits, z...), int32(label)
			}
			for i := range targets {
				targets[i] = []float32{0, 1, float32(r.float())}[r.below(3)]
			}
			gamma, scale := gammas[k%len(gammas)], float32(r.normal())
			block := fmt.Sprintf("%d x %d, %s, gamma %x", rows, classes, kind, gamma)
			dst := make([]float32, len(logits))
			must(0, LogProbs(dst[:rows], logits, labels, classes))
			g.add("LogProbs", block, dst[:rows])
			SoftmaxPlanes(dst, logits, classes, rows)
			g.add("SoftmaxPlanes", block, dst)
			soft := must(NewSoftTargetLoss(SoftTargetConfig{Classes: classes, Gamma: gamma}))
			must(0, soft.Each(dst[:rows], logits, targets))
			g.add("SoftTargetLoss.Each", block, dst[:rows])
			sum := must(soft.Grad(dst, logits, targets, scale))
			g.add("SoftTargetLoss.Grad", block, dst, sum)
			g.addRowForm("SoftmaxLoss, smoothed", block, must(NewSoftmaxLoss(SoftmaxConfig{Classes: classes, Gamma: gamma, Smoothing: 0.1})), logits, labels, scale)
			g.addRowForm("OneVsRestLoss, smoothed", block, must(NewOneVsRestLoss(OneVsRestConfig{Classes: classes, Gamma: gamma, Smoothing: 0.1})), logits, labels, scale)
		}
	}
	x, half := make([]float32, 1024), make([]uint16, 1024)
	widened := make([]float32, len(x))
	for block := range 8 {
		name := fmt.Sprintf("block %d", block)
		for i := range x {
			x[i] = r.bits()
			if block >= 4 {
				x[i] = float32(r.normal() * 1e-3)
			}
		}
		NarrowFloat16(half, x)
		WidenFloat16(widened, half)
		g.add("NarrowFloat16 and back", name, widened)
		NarrowBFloat16(half, x)
		WidenBFloat16(widened, half)
		g.add("NarrowBFloat16 and back", name, widened)
	}
}
