package main

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/gofocal/focal"
)

// The parameters of everything that is timed: the paper's gamma and alpha, and an exponent that no library can treat as
// a product.
const (
	gamma    = 2
	alpha    = 0.25 // of class 0 in the softmax form, of target 1 in the sigmoid forms; the others weigh 1 - alpha
	exponent = 2.5
)

// A function is one of focal's, timed and checked under the name that it has there. A loss's Sum is one number, its
// Each one per row (SoftmaxLoss, OneVsRestLoss) or element (SigmoidLoss), its Grad one per logit.
type function struct {
	name   string
	matrix bool // of rows and classes; else a vector
	labels bool // a class for each row
	target bool // a number in [0, 1] for each logit
}

var functions = []function{
	{name: "Exp"},
	{name: "Log"},
	{name: "Pow"},
	{name: "Sigmoid"},
	{name: "Softmax", matrix: true},
	{name: "LogSoftmax", matrix: true},
	{name: "LogSumExp", matrix: true},
	{name: "LogProbs", matrix: true, labels: true},
	{name: "SoftmaxLoss.Sum", matrix: true, labels: true},
	{name: "SoftmaxLoss.Each", matrix: true, labels: true},
	{name: "SoftmaxLoss.Grad", matrix: true, labels: true},
	{name: "OneVsRestLoss.Sum", matrix: true, labels: true},
	{name: "OneVsRestLoss.Each", matrix: true, labels: true},
	{name: "OneVsRestLoss.Grad", matrix: true, labels: true},
	{name: "SigmoidLoss.Sum", target: true},
	{name: "SigmoidLoss.Each", target: true},
	{name: "SigmoidLoss.Grad", target: true},
}

func functionNamed(name string) *function {
	for i := range functions {
		if functions[i].name == name {
			return &functions[i]
		}
	}
	return nil
}

// outputs is how many numbers the function writes.
func (f *function) outputs(rows, classes int) int {
	switch {
	case strings.HasSuffix(f.name, ".Sum"):
		return 1
	case f.name == "LogSumExp", f.name == "LogProbs", f.labels && strings.HasSuffix(f.name, ".Each"):
		return rows
	}
	return rows * classes
}

// A shape is that of the logits; a vector of n elements is one row of n classes.
type shape struct{ Rows, Classes int }

func (s shape) elements() int { return s.Rows * s.Classes }

// An input is what a function is called with.
type input struct {
	f *function
	shape
	x       []float32
	labels  []int32
	targets []float32
}

func (in *input) String() string { return workName(in.f, in.shape) }

func workName(f *function, s shape) string {
	if f.matrix {
		return fmt.Sprintf("%s/rows=%d/classes=%d", f.name, s.Rows, s.Classes)
	}
	return fmt.Sprintf("%s/n=%d", f.name, s.elements())
}

// workingSet is the number of bytes that a call reads and writes.
func (in *input) workingSet() int {
	return 4 * (len(in.x) + len(in.labels) + len(in.targets) + in.f.outputs(in.Rows, in.Classes))
}

// newInput makes ordinary data, the same in every run: logits of standard deviation 3, exponents within ±10, bases and
// arguments of logarithms in (0, 1), one row in a hundred that is no background, one target in ten that is 1.
func newInput(f *function, s shape) *input {
	r := rand.New(rand.NewPCG(1, 2))
	in := &input{f: f, shape: s, x: make([]float32, s.elements())}
	for i := range in.x {
		switch {
		case f.name == "Log", f.name == "Pow":
			in.x[i] = r.Float32() + 0x1p-30
		case f.matrix, f.target:
			in.x[i] = 3 * float32(r.NormFloat64())
		default:
			in.x[i] = 20*r.Float32() - 10
		}
	}
	if f.labels {
		in.labels = make([]int32, s.Rows)
		for i := range in.labels {
			in.labels[i] = int32(r.IntN(s.Classes))
			if strings.HasPrefix(f.name, "OneVsRest") && r.IntN(100) > 0 {
				in.labels[i] = int32(s.Classes)
			}
		}
	}
	if f.target {
		in.targets = make([]float32, s.elements())
		for i := range in.targets {
			if r.IntN(10) == 0 {
				in.targets[i] = 1
			}
		}
	}
	return in
}

// classWeights are the weights of the softmax form.
func classWeights(classes int) []float32 { return focal.BackgroundAlpha(alpha, classes) }

// A work is one row of the report.
type work struct {
	f *function
	shape
}

func (w work) name() string { return workName(w.f, w.shape) }

// The shapes that people have: a click-through model's batches, one call on a vector that the first-level cache holds
// beside its result, and a YOLO head; one image of a classifier, a batch, two vocabularies, tabular data, and the
// anchors of RetinaNet.
var (
	vectorShapes = []shape{{1, 64}, {1, 256}, {1, 4096}, {1, 672_000}}
	vocabularies = []shape{{1, 128_256}, {1, 151_936}}
	rowShapes    = []shape{{1, 80}, {1, 1000}, {32, 1000}, {10_000, 5}, {1000, 80}}
	lossShapes   = []shape{
		{1, 80}, {1, 1000}, {10_000, 2}, {10_000, 3}, {10_000, 5}, {10_000, 10}, {10_000, 20}, {1000, 80}, {32, 1000},
	}
	anchorShapes = []shape{{76_725, 80}, {200_700, 91}}
)

// works lists the rows of the report.
func works() []work {
	var list []work
	for i := range functions {
		f := &functions[i]
		var shapes []shape
		switch {
		case f.name == "SoftmaxLoss.Each", f.name == "OneVsRestLoss.Each":
			shapes = []shape{{1000, 80}}
		case f.name == "SigmoidLoss.Each":
			shapes = []shape{{1, 4096}}
		case f.name == "LogProbs":
			shapes = append(append(shapes, rowShapes...), vocabularies...)
		case !f.matrix:
			shapes = vectorShapes
		case strings.HasPrefix(f.name, "OneVsRestLoss"):
			shapes = append(shapes, shape{1, 80}, shape{1000, 80})
			shapes = append(shapes, anchorShapes...)
		case f.labels:
			shapes = append(append(shapes, lossShapes...), vocabularies...)
			shapes = append(shapes, anchorShapes[0])
		default:
			shapes = append(append(shapes, rowShapes...), vocabularies...)
		}
		for _, s := range shapes {
			list = append(list, work{f, s})
		}
	}
	return list
}

// sweep lists the rows that only the pictures need: vectors of every size, and rows of every number of classes on about
// as many elements.
func sweep() []work {
	var list []work
	for _, name := range []string{"Exp", "Log", "Pow", "Sigmoid"} {
		for n := 1; n <= 1<<22; n *= 2 {
			list = append(list, work{functionNamed(name), shape{1, n}})
		}
	}
	for _, name := range []string{"SoftmaxLoss.Sum", "SoftmaxLoss.Grad"} {
		for classes := 2; classes <= 1<<17; classes *= 2 {
			list = append(list, work{functionNamed(name), shape{sweepRows(classes), classes}})
		}
	}
	return list
}

func sweepRows(classes int) int { return max(1, 1<<16/classes) }
