package main

import (
	"math"
	"slices"
	"strings"
)

// A curve is the worst error of a peer along the argument of a function.
type curve struct {
	Function string    `json:"function"`
	Peer     string    `json:"peer"`
	X        []float32 `json:"x"`
	ULP      []float32 `json:"ulp"` // -1 where the result is not of the exact one's kind
}

// curveRanges are the arguments that the pictures of errors show; a logarithmic axis runs over powers of two.
var curveRanges = map[string]struct {
	lo, hi float64
	powers bool
}{
	"Exp":     {-87, 88, false},
	"Log":     {-30, 30, true},
	"Pow":     {-40, 40, true},
	"Sigmoid": {-87, 20, false},
	// Of target 1, and of the class with the logit x where the other's is 0: further right, losses leave the normal range.
	"SigmoidLoss.Each": {-20, 28, false},
	"SoftmaxLoss.Each": {-20, 28, false},
}

const (
	curvePoints    = 160
	pointsPerPoint = 512 // inputs of which the worst counts
)

// newCurve measures a peer; it reports false where there is no curve of the function.
func newCurve(f *function, p *peer) (curve, bool, error) {
	c := curve{Function: f.name, Peer: p.Name}
	rg, ok := curveRanges[f.name]
	if !ok {
		return c, false, nil
	}
	xs := make([]float32, curvePoints*pointsPerPoint)
	for i := range xs {
		v := rg.lo + (rg.hi-rg.lo)*float64(i)/float64(len(xs)-1)
		if rg.powers {
			v = math.Exp2(v)
		}
		xs[i] = float32(v)
	}
	in := &input{f: f, shape: shape{1, len(xs)}, x: xs}
	switch {
	case f.target:
		in.targets = slices.Repeat([]float32{1}, len(xs))
	case f.labels:
		in.shape = shape{len(xs), 2}
		in.labels = make([]int32, len(xs))
		in.x = make([]float32, 2*len(xs))
		for i, x := range xs {
			in.x[2*i] = x
		}
	}
	got, ok, err := results(p, in)
	if !ok || err != nil {
		return c, ok, err
	}
	want := exact(in)
	for at := 0; at < len(xs); at += pointsPerPoint {
		worst := 0.0
		for i := at; i < at+pointsPerPoint; i++ {
			worst = max(worst, ulpError(got[i], want[i]))
		}
		if math.IsInf(worst, 0) {
			worst = -1
		}
		c.X = append(c.X, round3(float64(xs[at+pointsPerPoint/2])))
		c.ULP = append(c.ULP, round3(worst))
	}
	return c, true, nil
}

// round3 keeps four significant digits: more would only fill the file.
func round3(x float64) float32 {
	if x == 0 || math.IsInf(x, 0) {
		return float32(x)
	}
	scale := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(x))))
	return float32(math.Round(x*scale) / scale)
}

func functionOf(work string) string {
	name, _, _ := strings.Cut(work, "/")
	return name
}
