package focal

import (
	"encoding/json"
	"math"
	"math/big"
	"os"
	"testing"
)

// bounds is the one table of the error bounds that the tests hold and the documentation promises. A unit is one ULP of the
// exact result, 2^-149 where that lies below 2^-126. The bounds of losses and gradients grow by 1 + gamma.
var bounds = struct {
	exp, log, log1p, pow, sigmoid float64
	softmax, logSoftmax           float64
	logSumExp                     float64 // in units of 2^-23 max(1, the largest logit's magnitude): it crosses zero
	loss, lossSoft                float64 // hard labels, soft targets
	grad                          float64
}{
	exp: 1, log: 1, log1p: 1, pow: 1, sigmoid: 2,
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

// At is the input in the words of the documentation.
func (w witness) At() string {
	if w.Y != "" {
		return w.X + "^" + w.Y
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
