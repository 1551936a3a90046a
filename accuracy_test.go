package focal

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"math/big"
	"os"
	"strconv"
	"strings"
	"testing"
)

// bounds is the one table of the error bounds that the tests hold and the documentation promises. A unit is one ULP of the
// exact result, 2^-149 where that lies below 2^-126. The bounds of losses and gradients grow by 1 + gamma.
var bounds = struct {
	exp, log, pow, sigmoid float64
	log1p, log1pUnit       float64 // parts of losses
	softmax, logSoftmax    float64
	logSumExp              float64 // in units of 2^-23 max(1, the largest logit's magnitude): it crosses zero
	loss, lossSoft         float64 // hard labels, soft targets
	grad                   float64
}{
	exp: 1, log: 1, pow: 1, sigmoid: 2,
	log1p: 1, log1pUnit: 2,
	softmax: 4, logSoftmax: 4, logSumExp: 4,
	loss: 5, lossSoft: 8, grad: 8,
}

// ulpError is how far got is from the exact result want, in units of one ULP of want. It is +Inf where got is not even of
// want's kind: a NaN must be the one NaN with the bits 0x7fc00000, an exact zero must have want's sign, as must any zero, and
// Inf is allowed for what is near 2^128 or beyond, where it stands for 2^128.
func ulpError(got float32, want float64) float64 {
	g := float64(got)
	switch {
	case got != got || want != want:
		if want != want && math.Float32bits(got) == 0x7fc00000 {
			return 0
		}
		return math.Inf(1)
	case g == want && math.Signbit(g) == math.Signbit(want):
		return 0
	case want == 0 || math.IsInf(want, 0):
		return math.Inf(1)
	case g == 0 && math.Signbit(g) != math.Signbit(want):
		return math.Inf(1)
	case math.IsInf(g, 0):
		g = math.Copysign(0x1p128, g)
		if math.Abs(want) >= 0x1p128 && math.Signbit(g) == math.Signbit(want) {
			return 0
		}
	}
	_, e := math.Frexp(want) // 2^(e-1) <= |want| < 2^e
	return math.Ldexp(math.Abs(g-want), -min(max(e-24, -149), 104))
}

func TestULPError(t *testing.T) {
	inf, nan, zero := math.Inf(1), math.NaN(), math.Copysign(0, -1)
	for _, c := range []struct {
		got  float32
		want float64
		err  float64
	}{
		{1, 1, 0},
		{1 + 0x1p-23, 1, 1},
		{1 - 0x1p-24, 1, 0.5},
		{1, 1 - 0x1p-24, 1},
		{1, 1 + 0x1p-24, 0.5},
		{2, 2 - 0x1p-25, 0.25},
		{-3, -3 - 0x1p-23, 0.5},
		{1, -1, 0x1p24},
		{0x1p-126, 0x1p-126 + 0x1p-150, 0.5},
		{0x1p-149, 0x1p-150, 0.5},
		{0, 0x1p-150, 0.5},
		{0, 0x1p-1000, 0x1p-851},
		{float32(zero), 0x1p-150, inf},
		{float32(zero), -0x1p-150, 0.5},
		{0, 0, 0},
		{float32(zero), 0, inf},
		{0, zero, inf},
		{0x1p-149, 0, inf},
		{float32(inf), inf, 0},
		{float32(inf), 1e300, 0},
		{float32(-inf), 0x1p128, 0x1p25},
		{float32(inf), math.MaxFloat32, 1},
		{float32(inf), 0x1p128 - 0x1p103, 0.5},
		{math.MaxFloat32, 0x1p128, 1},
		{math.MaxFloat32, inf, inf},
		{float32(-inf), inf, inf},
		{nan32, nan, 0},
		{math.Float32frombits(0xffc00000), nan, inf},
		{math.Float32frombits(0x7fc00001), nan, inf},
		{nan32, 0, inf},
		{nan32, inf, inf},
		{0, nan, inf},
		{float32(inf), nan, inf},
	} {
		if got := ulpError(c.got, c.want); got != c.err {
			t.Errorf("ulpError(%x, %x) = %v, want %v", c.got, c.want, got, c.err)
		}
	}
}

// accuracyFile has what the exhaustive tests found, by function.
const accuracyFile = "testdata/accuracy.json"

// An accuracy is what was found about a function, on all variants.
type accuracy struct {
	Inputs              int      `json:"inputs"`
	NotCorrectlyRounded int      `json:"not_correctly_rounded"`
	Normal              witness  `json:"normal"`    // results from 2^-126 on, in ULP
	Subnormal           witness  `json:"subnormal"` // results below, in units of 2^-149
	Variants            []string `json:"variants"`
}

// A witness is where an error is largest. Numbers are C99 hex floats.
type witness struct {
	ULP float64 `json:"ulp"` // rounded up to four digits
	X   string  `json:"x"`
	Y   string  `json:"y,omitempty"`
}

// At is the input.
func (w witness) At() string {
	if w.Y != "" {
		return w.X + ", " + w.Y
	}
	return w.X
}

func roundUp(err float64) float64 { return math.Ceil(err*1e4-1e-9) / 1e4 }

func readAccuracy(t *testing.T) map[string]accuracy {
	t.Helper()
	all := map[string]accuracy{}
	b, err := os.ReadFile(accuracyFile)
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return all
}

// bigULPError is ulpError for finite results of the same sign.
func bigULPError(got float32, want *big.Float) float64 {
	d := new(big.Float).SetPrec(want.Prec()).SetFloat64(float64(got))
	if math.IsInf(float64(got), 0) {
		d.SetMantExp(d.SetInt64(1), 128)
	}
	d.Abs(d.Sub(d, want))
	err, _ := d.SetMantExp(d, -max(want.MantExp(nil)-24, -149)).Float64()
	return err
}

// y is the exponent in the name of a proof, as 2.5 in Pow(x, 2.5), or the witness's own.
func (w witness) y(t *testing.T, name string) float32 {
	t.Helper()
	if w.Y != "" {
		return parseFloat32(t, w.Y)
	}
	var y float32
	if _, err := fmt.Sscanf(name, "Pow(x, %g)", &y); err != nil {
		t.Fatalf("%s: no exponent", name)
	}
	return y
}

func parseFloat32(t *testing.T, s string) float32 {
	t.Helper()
	x, err := strconv.ParseFloat(s, 32)
	if err != nil {
		t.Fatal(err)
	}
	return float32(x)
}

// TestAccuracy: at the inputs where the exhaustive tests found the largest errors, every variant has just these errors.
func TestAccuracy(t *testing.T) {
	all := readAccuracy(t)
	for _, name := range []string{"Exp", "Log", "Sigmoid", "log1p", "log1p on [0, 1]", "Pow(x, y)", "Pow(x, y), x near 1.048",
		"Pow(x, y), largest known", "Pow(x, 0.5)", "Pow(x, 1)", "Pow(x, 1.5)",
		"Pow(x, 2)", "Pow(x, 2.5)", "Pow(x, 3)", "Pow(x, 5)"} {
		if all[name].Inputs == 0 {
			t.Errorf("%s has no %s: make exhaustive", accuracyFile, name)
		}
	}
	forEachVariant(t, func(t *testing.T) {
		for name, a := range all {
			for _, w := range []witness{a.Normal, a.Subnormal} {
				if w.ULP == 0 {
					continue
				}
				x := parseFloat32(t, w.X)
				in, got := []float32{x}, []float32{0}
				var want *big.Float
				var bound float64
				switch name {
				case "Exp":
					Exp(got, in)
					want, bound = bigExp(exactly(x)), bounds.exp
				case "Log":
					Log(got, in)
					want, bound = bigLog(exactly(x)), bounds.log
				case "Sigmoid":
					Sigmoid(got, in)
					want, bound = bigSigmoid(exactly(x)), bounds.sigmoid
				case "log1p":
					got[0] = log1p1(x)
					want, bound = bigLog1p(exactly(x)), bounds.log1p
				case "log1p on [0, 1]":
					got[0] = log1pUnit(x)
					want, bound = bigLog1p(exactly(x)), bounds.log1pUnit
				default:
					y := w.y(t, name)
					Pow(got, in, y)
					want, bound = bigPow(x, y), bounds.pow
				}
				if err := roundUp(bigULPError(got[0], want)); err != w.ULP || !(err <= bound) {
					t.Errorf("%s at %s = %x: off by %v ULP; %s says %v; at most %v allowed", name, w.At(), got[0], err,
						accuracyFile, w.ULP, bound)
				}
			}
		}
	})
}

// TestAccuracyDocs: the documentation says what was measured.
func TestAccuracyDocs(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "vector.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	docs := map[string]string{}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			docs[f.Name.Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
		}
	}
	check := func(name, measured string) {
		t.Helper()
		if !strings.Contains(docs[name], measured) {
			t.Errorf("the documentation of %s does not say %q", name, measured)
		}
	}
	all := readAccuracy(t)
	for _, name := range []string{"Exp", "Log", "Sigmoid"} {
		a := all[name]
		measured := fmt.Sprintf("Measured over all inputs: %.4f at %s", a.Normal.ULP, a.Normal.At())
		if a.Subnormal.ULP > 0 {
			measured += fmt.Sprintf(", and %.4f units of 2^-149 at %s where the result is subnormal", a.Subnormal.ULP, a.Subnormal.At())
		}
		check(name, measured+".")
	}
	var worst witness
	var worstName string
	for name, a := range all {
		if strings.HasPrefix(name, "Pow(x, ") && a.Normal.Y == "" && a.Normal.ULP > worst.ULP {
			worst, worstName = a.Normal, name
		}
	}
	pairs, hardest, known := all["Pow(x, y)"], all["Pow(x, y), x near 1.048"], all["Pow(x, y), largest known"]
	check("Pow", fmt.Sprintf("The largest error known is %.4f at x = %s, y = %s. Measured: %.4f at x = %s, y = %v, over all x for y in "+
		"{0.5, 1, 1.5, 2, 2.5, 3, 5}; %.4f, and %.4f units of 2^-149 where the result is subnormal, over 10^9 random pairs; %.4f over "+
		"2^31 pairs where errors are largest.", known.Normal.ULP, known.Normal.X, known.Normal.Y, worst.ULP, worst.X,
		worst.y(t, worstName), pairs.Normal.ULP, pairs.Subnormal.ULP, hardest.Normal.ULP))
}
