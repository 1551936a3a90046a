package main

import (
	"math"
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
}

const (
	curvePoints    = 160
	pointsPerPoint = 1024 // inputs of which the worst counts
)

// newCurve measures a peer; it reports false where there is no curve of the function.
func newCurve(f *function, p *peer) (curve, bool, error) {
	c := curve{Function: f.name, Peer: p.Name}
	rg, ok := curveRanges[f.name]
	if !ok {
		return c, false, nil
	}
	in := &input{f: f, x: make([]float32, curvePoints*pointsPerPoint)}
	in.shape = shape{1, len(in.x)}
	for i := range in.x {
		v := rg.lo + (rg.hi-rg.lo)*float64(i)/float64(len(in.x)-1)
		if rg.powers {
			v = math.Exp2(v)
		}
		in.x[i] = float32(v)
	}
	got, ok, err := results(p, in)
	if !ok || err != nil {
		return c, ok, err
	}
	want := exact(in)
	for at := 0; at < len(in.x); at += pointsPerPoint {
		worst := 0.0
		for i := at; i < at+pointsPerPoint; i++ {
			worst = max(worst, ulpError(got[i], want[i]))
		}
		if math.IsInf(worst, 0) {
			worst = -1
		}
		c.X = append(c.X, round3(float64(in.x[at+pointsPerPoint/2])))
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
