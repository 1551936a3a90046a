package focal

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// hexFloat is a number that the cases hold as a C99 hex string.
type hexFloat float64

func (h *hexFloat) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	f, err := strconv.ParseFloat(s, 64)
	*h = hexFloat(f)
	return err
}

func floats(h []hexFloat) []float32 {
	x := make([]float32, len(h))
	for i, v := range h {
		x[i] = float32(v)
	}
	return x
}

type oracleCase struct {
	Form          string
	Kind          string
	Rows, Classes int
	Gamma         hexFloat
	Alpha         json.RawMessage // softmax: null or a list; sigmoid: a number, < 0 for unweighted
	Logits        []hexFloat
	Labels        []int32
	Targets       []hexFloat
	Loss          []hexFloat
	Sum, Mean     hexFloat
	Grad          []hexFloat `json:"grad_of_sum"`
	TorchLoss     []hexFloat `json:"torch_float32_loss"`
	TorchGrad     []hexFloat `json:"torch_float32_grad_of_sum"`
}

// readCases reads gzipped JSON from testdata.
func readCases(t *testing.T, name string, cases any) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(z).Decode(cases); err != nil {
		t.Fatal(err)
	}
}

func readOracle(t *testing.T) []oracleCase {
	t.Helper()
	var all struct{ Cases []oracleCase }
	readCases(t, "cases.json.gz", &all)
	if len(all.Cases) != 72 {
		t.Fatalf("%d cases, want 72", len(all.Cases))
	}
	return all.Cases
}

// TestOracle holds losses, gradients, sums and means against 60-digit results that share no code with this package. What a
// result may miss is taken from the reference, whose values are checked too.
func TestOracle(t *testing.T) {
	forEachVariant(t, func(t *testing.T) {
		loss, grad := &worst{t: t, name: "loss"}, &worst{t: t, name: "gradient"}
		for i, c := range readOracle(t) {
			t.Run(fmt.Sprintf("%d-%s-%s", i, c.Form, c.Kind), func(t *testing.T) {
				loss.t, grad.t = t, t
				if c.Form == "softmax" {
					c.softmax(t, loss, grad)
				} else {
					c.sigmoid(t, loss, grad)
				}
			})
		}
		loss.t, grad.t = t, t
		loss.log("")
		grad.log("")
	})
}

// compare holds results against the oracle's values, within the reference's tolerance, and the reference's value too.
func compare(t *testing.T, w *worst, got []float32, oracle []hexFloat, wants []want, i, at int) {
	t.Helper()
	ref := wants[i]
	exact := ref
	exact.value = float64(oracle[at])
	if d := math.Abs(ref.value - exact.value); !(d <= 0x1p-40*math.Abs(exact.value)+ref.unit*0x1p-10) {
		t.Errorf("%s %d: the reference has %x, the oracle %x", w.name, at, ref.value, exact.value)
	}
	w.check(got[at], exact, func() string { return fmt.Sprintf(" %d", at) })
}

func (c *oracleCase) softmax(t *testing.T, lossWorst, gradWorst *worst) {
	var alphas []hexFloat
	if err := json.Unmarshal(c.Alpha, &alphas); err != nil {
		t.Fatal(err)
	}
	var alpha []float32
	if alphas != nil {
		alpha = floats(alphas)
	}
	l, err := NewSoftmaxLoss(SoftmaxConfig{Classes: c.Classes, Gamma: float32(c.Gamma), Alpha: alpha})
	if err != nil {
		t.Fatal(err)
	}
	logits := floats(c.Logits)
	each, grad := make([]float32, c.Rows), make([]float32, len(logits))
	sum, mean := c.run(t, func() error { return l.Each(each, logits, c.Labels) },
		func() (float64, error) { return l.Sum(logits, c.Labels) },
		func() (float64, error) { return l.Mean(logits, c.Labels) },
		func() (float64, error) { return l.Grad(grad, logits, c.Labels, 1) })
	var tol float64
	wants := make([]want, c.Classes)
	for r := range c.Rows {
		a := float32(1)
		if alpha != nil {
			a = alpha[c.Labels[r]]
		}
		loss := refSoftmaxLoss(wants, logits[r*c.Classes:][:c.Classes], int(c.Labels[r]), a, float32(c.Gamma), 1)
		compare(t, lossWorst, each, c.Loss, []want{loss}, 0, r)
		tol += loss.tol()
		for j := range wants {
			compare(t, gradWorst, grad, c.Grad, wants, j, r*c.Classes+j)
		}
	}
	c.sums(t, sum, mean, c.Mean, c.Rows, tol)
}

func (c *oracleCase) sigmoid(t *testing.T, lossWorst, gradWorst *worst) {
	var alpha hexFloat
	if err := json.Unmarshal(c.Alpha, &alpha); err != nil {
		t.Fatal(err)
	}
	l, err := NewSigmoidLoss(SigmoidConfig{Gamma: float32(c.Gamma), Alpha: max(float32(alpha), 0)})
	if err != nil {
		t.Fatal(err)
	}
	logits, targets := floats(c.Logits), floats(c.Targets)
	each, grad := make([]float32, len(logits)), make([]float32, len(logits))
	sum, mean := c.run(t, func() error { return l.Each(each, logits, targets) },
		func() (float64, error) { return l.Sum(logits, targets) },
		func() (float64, error) { return l.Mean(logits, targets) },
		func() (float64, error) { return l.Grad(grad, logits, targets, 1) })
	var tol float64
	for i, x := range logits {
		loss, g := refSigmoid(x, targets[i], l.params.positive, l.params.negative, float32(c.Gamma), 1)
		compare(t, lossWorst, each, c.Loss, []want{loss}, 0, i)
		compare(t, gradWorst, grad, c.Grad, []want{g}, 0, i)
		tol += loss.tol()
	}
	c.sums(t, sum, mean, hexFloat(float64(c.Sum)/float64(len(logits))), len(logits), tol)
}

// run calls the four methods; the sum that Grad returns must be Sum's.
func (c *oracleCase) run(t *testing.T, each func() error, sum, mean, grad func() (float64, error)) (float64, float64) {
	t.Helper()
	if err := each(); err != nil {
		t.Fatal(err)
	}
	s, err := sum()
	if err != nil {
		t.Fatal(err)
	}
	m, err := mean()
	if err != nil {
		t.Fatal(err)
	}
	g, err := grad()
	if err != nil {
		t.Fatal(err)
	}
	if math.Float64bits(g) != math.Float64bits(s) {
		t.Errorf("Grad returns the sum %x, Sum %x", g, s)
	}
	return s, m
}

// sums: the error of a sum is at most that of its terms, and the rounding of float64.
func (c *oracleCase) sums(t *testing.T, sum, mean float64, wantMean hexFloat, n int, tol float64) {
	t.Helper()
	tol += 0x1p-40 * math.Abs(float64(c.Sum))
	if d := math.Abs(sum - float64(c.Sum)); !(d <= tol) {
		t.Errorf("Sum = %x, want %x: off by %g, %g allowed", sum, c.Sum, d, tol)
	}
	if d := math.Abs(mean - float64(wantMean)); !(d <= tol/float64(n)) {
		t.Errorf("Mean = %x, want %x: off by %g, %g allowed", mean, wantMean, d, tol/float64(n))
	}
}

// TestRandomRows holds the row functions and the softmax form against the reference.
func TestRandomRows(t *testing.T) {
	counts := [][2]int{{1, 60}, {2, 900}, {3, 400}, {5, 900}, {10, 300}, {16, 200}, {17, 200}, {33, 200}, {80, 200}, {257, 50}, {1000, 12}, {5000, 2}}
	if testing.Short() {
		counts = [][2]int{{1, 10}, {2, 50}, {5, 50}, {17, 30}, {80, 15}, {1000, 2}}
	}
	forEachVariant(t, func(t *testing.T) {
		loss, grad := &worst{t: t, name: "loss"}, &worst{t: t, name: "gradient"}
		softmax, logSoftmax, logSumExp := &worst{t: t, name: "Softmax"}, &worst{t: t, name: "LogSoftmax"}, &worst{t: t, name: "LogSumExp"}
		r := newRNG(*seed)
		row := func(kind string, classes int) {
			z, label := randomRow(r, kind, classes)
			checkRow(t, z, softmax, logSoftmax, logSumExp)
			alpha, gamma, scale := float32(r.float())+0.25, randomGamma(r), float32(r.normal())
			checkLoss(t, z, label, alpha, gamma, scale, loss, grad)
		}
		for _, c := range counts { // classes, rows of each kind
			for _, kind := range rowKinds {
				for range c[1] {
					row(kind, c[0])
				}
			}
		}
		if !testing.Short() {
			for range 2000 { // where the order of the sum counts most
				row("one ahead", 128)
				row("two ahead", 80)
				row("two ahead", 128)
			}
			row("even", 65537)
			row("normal", 151936)
			row("spread", 1<<20)
			row("ties", 1<<20)
		}
		loss.log("`SoftmaxLoss`, loss")
		grad.log("`SoftmaxLoss`, gradient")
		softmax.log("`Softmax`")
		logSoftmax.log("`LogSoftmax`")
		logSumExp.log("`LogSumExp`")
	})
}

func checkRow(t *testing.T, z []float32, softmax, logSoftmax, logSumExp *worst) {
	t.Helper()
	got, wants := make([]float32, len(z)), make([]want, len(z))
	where := func(j int) func() string { return func() string { return fmt.Sprintf(" %d of %s", j, show(z)) } }
	Softmax(got, z, len(z))
	refSoftmax(wants, z)
	for j := range z {
		softmax.check(got[j], wants[j], where(j))
	}
	LogSoftmax(got, z, len(z))
	refLogSoftmax(wants, z)
	for j := range z {
		logSoftmax.check(got[j], wants[j], where(j))
	}
	LogSumExp(got[:1], z, len(z))
	logSumExp.check(got[0], refLogSumExp(z), where(0))
}

func checkLoss(t *testing.T, z []float32, label int, alpha, gamma, scale float32, loss, grad *worst) {
	t.Helper()
	alphas := make([]float32, len(z))
	alphas[label] = alpha
	l, err := NewSoftmaxLoss(SoftmaxConfig{Classes: len(z), Gamma: gamma, Alpha: alphas})
	if err != nil {
		t.Fatal(err)
	}
	var each [1]float32
	got, wants := make([]float32, len(z)), make([]want, len(z))
	if err := l.Each(each[:], z, []int32{int32(label)}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Grad(got, z, []int32{int32(label)}, scale); err != nil {
		t.Fatal(err)
	}
	where := func(j int) func() string {
		return func() string {
			return fmt.Sprintf(" %d of %s, label %d, alpha %x, gamma %x, scale %x", j, show(z), label, alpha, gamma, scale)
		}
	}
	loss.check(each[0], refSoftmaxLoss(wants, z, label, alpha, gamma, scale), where(label))
	for j := range wants {
		grad.check(got[j], wants[j], where(j))
	}
}

// TestRandomSigmoid holds the sigmoid form against the reference.
func TestRandomSigmoid(t *testing.T) {
	n := 300000
	if testing.Short() {
		n = 20000
	}
	forEachVariant(t, func(t *testing.T) {
		w := map[string]*worst{}
		for _, name := range []string{"hard loss", "hard gradient", "soft loss", "soft gradient"} {
			w[name] = &worst{t: t, name: name}
		}
		r := newRNG(*seed + 1)
		const block = 64
		for range n / block {
			alpha, gamma, scale := float32(r.float()), randomGamma(r), float32(r.normal())
			sigma := []float64{1, 8, 40, 4000}[r.below(4)]
			var x, y, losses, grads [block]float32
			for i := range x {
				x[i] = float32(r.normal() * sigma)
				switch r.below(4) {
				case 0:
				case 1:
					y[i] = 1
				case 2:
					y[i] = float32(r.float())
				case 3:
					y[i] = float32(math.Ldexp(r.float(), -r.below(100)))
				}
				if r.below(50) == 0 {
					x[i] = r.bits()
				}
			}
			l, err := NewSigmoidLoss(SigmoidConfig{Gamma: gamma, Alpha: alpha})
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Each(losses[:], x[:], y[:]); err != nil {
				t.Fatal(err)
			}
			if _, err := l.Grad(grads[:], x[:], y[:], scale); err != nil {
				t.Fatal(err)
			}
			for i := range x {
				loss, grad := refSigmoid(x[i], y[i], l.params.positive, l.params.negative, gamma, scale)
				kind := "soft"
				if y[i] == 0 || y[i] == 1 {
					kind = "hard"
				}
				where := func() string {
					return fmt.Sprintf("(%x, target %x, alpha %x, gamma %x, scale %x)", x[i], y[i], alpha, gamma, scale)
				}
				w[kind+" loss"].check(losses[i], loss, where)
				w[kind+" gradient"].check(grads[i], grad, where)
			}
		}
		w["hard loss"].log("`SigmoidLoss`, loss")
		w["hard gradient"].log("`SigmoidLoss`, gradient")
		w["soft loss"].log("targets between 0 and 1, loss")
		w["soft gradient"].log("targets between 0 and 1, gradient")
	})
}

// TestPyTorch counts what float32 formulas that subtract p_t from 1 get wrong in the oracle's cases. README.md quotes it.
func TestPyTorch(t *testing.T) {
	values, wrong, nans := 0, 0, 0
	count := func(got, want []hexFloat) {
		if len(got) != len(want) {
			t.Fatalf("%d values of PyTorch, want %d", len(got), len(want))
		}
		for i, w := range want {
			g, w := float64(got[i]), float64(w)
			values++
			switch {
			case g != g:
				nans++
			case math.Abs(w) > 0x1p-126 && !(math.Abs(g-w) < math.Abs(w)/2):
				wrong++
			}
		}
	}
	for _, c := range readOracle(t) {
		count(c.TorchLoss, c.Loss)
		count(c.TorchGrad, c.Grad)
	}
	quote := fmt.Sprintf("Of its %d losses and gradients %d are wrong by half of their value or more and %d are NaN", values, wrong, nans)
	t.Log(quote)
	if !strings.Contains(readme(t), quote) {
		t.Errorf("README.md does not say: %s", quote)
	}
}
