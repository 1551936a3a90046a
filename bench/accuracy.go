package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

// An accuracy is how far a peer's results are from the exact ones, for one function. An ULP is that of the exact
// result, 2^-149 where that is below 2^-126; in LogSumExp, which crosses zero, it is 2^-23 times the larger of 1 and the
// largest logit's magnitude.
type accuracy struct {
	Function string  `json:"function"`
	Peer     string  `json:"peer"`
	ULP      float64 `json:"ulp"`   // the worst on the sample
	At       string  `json:"at"`    // where
	Wrong    int     `json:"wrong"` // results of the sample that are not of the exact one's kind: NaN, infinite
	Sample   int     `json:"sample"`

	Special      int      `json:"special"`      // special cases
	SpecialWrong int      `json:"specialWrong"` // and how many are wrong
	SpecialAt    []string `json:"specialAt,omitempty"`

	Lost      float64 `json:"digitsLost"`          // of 7.2, on confident rows; losses only
	Confident int     `json:"confident,omitempty"` // how many rows those are
}

// allDigits is what a float32 has.
var allDigits = 24 * math.Log10(2)

// ulpError is the distance of got from the exact result in units of the last place; it is +Inf where got is not of the
// same kind.
func ulpError(got float32, want float64) float64 {
	g := float64(got)
	switch {
	case math.IsNaN(g) || math.IsNaN(want):
		if math.IsNaN(g) && math.IsNaN(want) {
			return 0
		}
		return math.Inf(1)
	case g == want:
		return 0
	case math.IsInf(want, 0) || math.IsInf(g, 0):
		if math.Abs(want) > math.MaxFloat32 && math.IsInf(g, 0) && math.Signbit(g) == math.Signbit(want) {
			return 0
		}
		return math.Inf(1)
	}
	return math.Abs(g-want) / ulp(want)
}

// ulp is the unit in the last place of a float32 near x.
func ulp(x float64) float64 {
	_, e := math.Frexp(x)
	return math.Ldexp(1, min(max(e-24, -149), 104))
}

// exact is the result of a function in float64, whose own error is far below a float32's last place.
func exact(in *input) []float64 {
	out := make([]float64, in.f.outputs(in.Rows, in.Classes))
	form, method, _ := strings.Cut(in.f.name, ".")
	switch form {
	case "Exp":
		return each(in.x, out, math.Exp)
	case "Log":
		return each(in.x, out, math.Log)
	case "Pow":
		return each(in.x, out, func(x float64) float64 { return math.Pow(x, exponent) })
	case "Sigmoid":
		return each(in.x, out, func(x float64) float64 {
			if x < -700 {
				return math.Exp(x)
			}
			return 1 / (1 + math.Exp(-x))
		})
	}
	sum := 0.0
	for i := range in.Rows {
		z := in.x[i*in.Classes:][:in.Classes]
		row := out
		if len(out) == len(in.x) {
			row = out[i*in.Classes:][:in.Classes]
		}
		switch form {
		case "Softmax", "LogSoftmax", "LogSumExp":
			if form == "LogSumExp" {
				row = out[i:][:1]
			}
			exactRow(form, z, row)
		case "LogProbs":
			out[i] = -exactSoftmaxLoss(z, int(in.labels[i]), equalWeights(in.Classes), 0, nil)
		case "SoftmaxLoss":
			if method != "Grad" {
				row = nil
			}
			l := exactSoftmaxLoss(z, int(in.labels[i]), classWeights(in.Classes), gamma, row)
			sum += l
			if method == "Each" {
				out[i] = l
			}
		default: // sigmoid forms
			total := 0.0
			for j, x := range z {
				y := 0.0
				if form == "SigmoidLoss" {
					y = float64(in.targets[i*in.Classes+j])
				} else if j == int(in.labels[i]) {
					y = 1
				}
				l, g := exactSigmoidLoss(float64(x), y, alpha, gamma)
				total += l
				switch {
				case method == "Grad":
					row[j] = g
				case method == "Each" && form == "SigmoidLoss":
					row[j] = l
				}
			}
			sum += total
			if method == "Each" && form == "OneVsRestLoss" {
				out[i] = total
			}
		}
	}
	if method == "Sum" {
		out[0] = sum
	}
	return out
}

func each(x []float32, out []float64, f func(float64) float64) []float64 {
	for i, v := range x {
		out[i] = f(float64(v))
	}
	return out
}

// exactRow keeps the largest logit apart: the logarithm of the sum is then a log1p, which loses nothing where that class
// has nearly all of the probability.
func exactRow(form string, z []float32, out []float64) {
	first := 0 // of the largest
	for j, v := range z {
		if v > z[first] {
			first = j
		}
	}
	m, others := float64(z[first]), 0.0
	for j, v := range z {
		if j != first {
			others += math.Exp(float64(v) - m)
		}
	}
	switch {
	case form == "LogSumExp" && math.IsInf(m, 0) && !hasNaN(z):
		out[0] = m
	case form == "LogSumExp":
		out[0] = m + math.Log1p(others)
	case math.IsInf(m, 0):
		for j := range z {
			out[j] = math.NaN()
		}
	case form == "Softmax":
		for j, v := range z {
			out[j] = math.Exp(float64(v)-m) / (1 + others)
		}
	case form == "LogSoftmax":
		for j, v := range z {
			out[j] = float64(v) - m - math.Log1p(others)
		}
	}
}

func equalWeights(classes int) []float32 { return slices.Repeat([]float32{1}, classes) }

func hasNaN(z []float32) bool {
	for _, v := range z {
		if v != v {
			return true
		}
	}
	return false
}

// exactSoftmaxLoss is the loss of a row, and its gradient unless grad is nil. It forms neither p_t - 1 nor a logarithm
// near 1, so that no digits are lost.
func exactSoftmaxLoss(z []float32, label int, weights []float32, gamma float64, grad []float64) float64 {
	t, m := float64(z[label]), float64(largest(z))
	others, all := 0.0, 0.0 // sums of e^(z-m)
	for j, v := range z {
		e := math.Exp(float64(v) - m)
		all += e
		if j != label {
			others += e
		}
	}
	nll := m - t + math.Log(all) // -log p_t; where p_t is near 1, the other formula
	q := others / all
	if q < 0.5 {
		nll = math.Log1p(others / math.Exp(t-m))
	}
	factor := float64(weights[label]) * math.Pow(q, gamma)
	if grad != nil {
		ratio := 1.0 // nll / q, whose limit is 1
		if q > 0 {
			ratio = nll / q
		}
		g := factor * (1 + gamma*math.Exp(t-m)/all*ratio)
		for j, v := range z {
			grad[j] = g * math.Exp(float64(v)-m) / all
		}
		grad[label] = -g * q
	}
	return factor * nll
}

// exactSigmoidLoss is torchvision's loss of a logit and a target in [0, 1], and the derivative; alpha 0 weighs nothing.
func exactSigmoidLoss(x, y, alpha, gamma float64) (loss, grad float64) {
	e := math.Exp(-math.Abs(x))
	p, not := 1/(1+e), e/(1+e) // of the larger
	if x < 0 {
		p, not = not, p
	}
	log := math.Log1p(e)
	ce := (max(x, 0)*(1-y) + max(-x, 0)*y) + log // max(x, 0) - x y, without cancellation
	q := p*(1-y) + not*y
	weight := 1.0
	if alpha > 0 {
		weight = alpha*y + (1-alpha)*(1-y)
	}
	power := math.Pow(q, gamma)
	loss = weight * power * ce
	if power == 0 {
		loss = 0
	}
	slope := 0.0 // gamma q^(gamma-1) dq ce, with q in place of a power of it
	if q > 0 && p*not > 0 && gamma > 0 {
		slope = gamma * power * (ce / q) * p * not * (1 - 2*y)
	}
	diff := p*(1-y) - not*y // p - y
	return loss, weight * (power*diff + slope)
}

// accurateName is the function whose accuracy counts for another: that of a sum is that of what it adds.
func accurateName(name string) string {
	if s, ok := strings.CutSuffix(name, ".Sum"); ok {
		return s + ".Each"
	}
	return name
}

// sampleSize is the number of inputs of a vector function's sample.
const sampleSize = 1 << 18

// A check is what the accuracy of a function is measured on.
type check struct {
	sample, special, confident *input
}

// newCheck makes the sample: every input has a normal result. The special cases are those of C99 and of the package
// documentation, and results below the normal range.
func newCheck(f *function) *check {
	r := rand.New(rand.NewPCG(3, 4))
	c := &check{}
	vector := func(x []float32) *input { return &input{f: f, shape: shape{1, len(x)}, x: x} }
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	zero := float32(math.Copysign(0, -1))
	const subnormal, largest = 0x1p-140, math.MaxFloat32
	spread := func(lo, hi float64) *input { // evenly over the interval, and over the exponents of what is small
		x := make([]float32, sampleSize)
		for i := range x {
			if i%4 == 0 {
				x[i] = float32(math.Copysign(math.Exp2(-30*r.Float64()), r.Float64()-0.5))
			} else {
				x[i] = float32(lo + (hi-lo)*r.Float64())
			}
		}
		return vector(x)
	}
	magnitudes := func(lo, hi float64) *input { // powers of two, evenly by exponent, and near 1
		x := make([]float32, sampleSize)
		for i := range x {
			if i%4 == 0 {
				x[i] = float32(0.5 + 1.5*r.Float64())
			} else {
				x[i] = float32(math.Exp2(lo + (hi-lo)*r.Float64()))
			}
		}
		return vector(x)
	}
	switch f.name {
	case "Exp":
		c.sample = spread(-87.3, 88.7)
		c.special = vector([]float32{0, zero, inf, -inf, nan, 1, -88, -95, -100, -103.5, -104, -200, -largest, 88.72284,
			89, 200, largest, subnormal, -subnormal})
	case "Log":
		c.sample = magnitudes(-126, 128)
		c.special = vector([]float32{0, zero, inf, -inf, nan, 1, -1, -largest, -subnormal, subnormal, 0x1p-149, 0x1p-127,
			largest})
	case "Pow":
		c.sample = magnitudes(-50, 51)
		c.special = vector([]float32{0, zero, inf, -inf, nan, 1, -1, -2, 0x1p-54, 0x1.8p-57, 0x1p-59, 0x1p-70, subnormal,
			0x1p-149, 0x1p52, largest})
	case "Sigmoid":
		c.sample = spread(-87.3, 30)
		c.special = vector([]float32{0, zero, inf, -inf, nan, 30, 100, largest, -104, -200, -largest, subnormal})
	case "SigmoidLoss.Each", "SigmoidLoss.Grad":
		c.sample = newInput(f, shape{1, 1 << 16})
		// In turn with target 0 and with 1.
		pairs := func(x []float32) *input {
			in := vector(nil)
			for _, v := range x {
				in.x = append(in.x, v, v)
				in.targets = append(in.targets, 0, 1)
			}
			in.Classes = len(in.x)
			return in
		}
		c.special = pairs([]float32{0, inf, -inf, nan, 100, -100, 200, -200, 1e4, -1e4, largest, -largest})
		c.confident = vector(nil)
		for k := range 10 {
			x := float32(4 + 2*k) // q^2 stays in the normal range
			c.confident.x = append(c.confident.x, x, -x)
			c.confident.targets = append(c.confident.targets, 1, 0)
		}
		c.confident.Classes = len(c.confident.x)
	default:
		c.rows(f)
	}
	return c
}

// rows makes the checks of what works on rows.
func (c *check) rows(f *function) {
	const classes = 10
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	r := rand.New(rand.NewPCG(5, 6))
	rows := func(n int, change func(i int, z []float32, label int32)) *input {
		in := &input{f: f, shape: shape{n, classes}}
		for i := range n {
			z := make([]float32, classes)
			for j := range z {
				z[j] = 3 * float32(r.NormFloat64())
			}
			label := int32(i % classes)
			change(i, z, label)
			in.x = append(in.x, z...)
			if f.labels {
				in.labels = append(in.labels, label)
			}
		}
		return in
	}
	c.sample = rows(6000, func(int, []float32, int32) {})
	if f.labels && strings.HasPrefix(f.name, "OneVsRest") {
		for i := range c.sample.labels {
			if i%5 > 0 {
				c.sample.labels[i] = classes // background
			}
		}
	}
	changes := []func(z []float32, label int32){
		func(z []float32, label int32) { z[(label+1)%classes] = -inf },
		func(z []float32, label int32) { z[(label+1)%classes] = nan },
		func(z []float32, label int32) { z[(label+1)%classes] = inf },
		func(z []float32, label int32) { z[label] += 1e4 },
		func(z []float32, label int32) { z[label] -= 1e4 },
		func(z []float32, label int32) { z[(label+1)%classes] += 1e6 },
		func(z []float32, label int32) { z[label], z[(label+1)%classes] = 3e38, -3e38 },
		func(z []float32, label int32) {
			for j := range z {
				z[j] = -inf
			}
		},
	}
	if strings.HasSuffix(f.name, "Loss.Grad") || strings.HasPrefix(f.name, "OneVsRest") {
		changes = changes[:6] // finite logits, of sizes that occur
	}
	c.special = rows(len(changes), func(i int, z []float32, label int32) { changes[i](z, label) })
	if strings.HasPrefix(f.name, "SoftmaxLoss") || f.name == "LogProbs" {
		// 1 - p_t from 1e-2 to 1e-12: its cube, which the loss is near, is a normal number.
		c.confident = rows(11, func(i int, z []float32, label int32) {
			for j := range z {
				z[j] /= 3
			}
			z[label] = largest(z) + float32(float64(i+2)*math.Ln10)
		})
	}
	if f.name == "LogSoftmax" {
		c.confident = rows(7, func(i int, z []float32, label int32) {
			for j := range z {
				z[j] /= 3
			}
			z[label] = largest(z) + float32(float64(i+2)*math.Ln10)
		})
	}
}

// evaluate measures a peer; it reports false where the peer does not have the function.
func (c *check) evaluate(p *peer) (accuracy, bool, error) {
	f := c.sample.f
	a := accuracy{Function: f.name, Peer: p.Name}
	got, ok, err := results(p, c.sample)
	if !ok || err != nil {
		return a, ok, err
	}
	want := exact(c.sample)
	for i, g := range got {
		e := ulpError(g, want[i])
		if f.name == "LogSumExp" {
			z := c.sample.x[i*c.sample.Classes:][:c.sample.Classes]
			e = math.Abs(float64(g)-want[i]) / (0x1p-23 * max(1, math.Abs(float64(largest(z)))))
		}
		switch {
		case math.IsInf(e, 1) || math.IsNaN(e):
			a.Wrong++
		case e > a.ULP:
			a.ULP, a.At = e, c.sample.at(i)
		}
	}
	a.Sample = len(got)

	if got, _, err = results(p, c.special); err != nil {
		return a, true, err
	}
	want = exact(c.special)
	a.Special = len(got)
	for i, g := range got {
		// A special case is about the kind of result: half of the digits will do.
		e := ulpError(g, want[i])
		if e > 0x1p12 || math.IsNaN(e) || want[i] != 0 && g == 0 && math.Abs(want[i]) > 0x1p-149 {
			a.SpecialWrong++
			a.SpecialAt = append(a.SpecialAt, fmt.Sprintf("%s: %g instead of %g", c.special.at(i), g, float32(want[i])))
		}
	}

	if c.confident != nil {
		if got, _, err = results(p, c.confident); err != nil {
			return a, true, err
		}
		a.Confident = len(c.confident.labels) + len(c.confident.targets)
		for i, w := range exact(c.confident) {
			relative := math.Abs(float64(got[i])-w) / math.Abs(w)
			lost := math.Log10(relative * 0x1p24)
			if math.IsNaN(relative) || lost > allDigits {
				lost = allDigits
			}
			a.Lost = max(a.Lost, lost)
		}
	}
	return a, true, nil
}

// at describes the input of a result.
func (in *input) at(i int) string {
	n := in.f.outputs(in.Rows, in.Classes)
	switch {
	case n == len(in.x) && in.targets != nil:
		return fmt.Sprintf("x=%g, target %g", in.x[i], in.targets[i])
	case n == len(in.x) && in.Rows == 1:
		return fmt.Sprintf("x=%g", in.x[i])
	case n == len(in.x):
		return fmt.Sprintf("row %d, class %d", i/in.Classes, i%in.Classes)
	}
	return fmt.Sprintf("row %d", i)
}

func results(p *peer, in *input) ([]float32, bool, error) {
	ok, err := p.prepare(in)
	if err != nil {
		return nil, false, &peerError{p, in, err}
	}
	if !ok {
		return nil, false, nil
	}
	out, err := p.result()
	if err != nil {
		return nil, false, &peerError{p, in, err}
	}
	return out, true, nil
}
