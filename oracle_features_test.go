package focal

import (
	"fmt"
	"math"
	"testing"
)

// A featureCase is one of testdata/make_feature_cases.py: label smoothing in both forms, and soft targets.
type featureCase struct {
	Form          string
	Kind          string
	Rows, Classes int
	Gamma         hexFloat
	Smoothing     hexFloat
	Alpha         []hexFloat
	Logits        []hexFloat
	Labels        []int32
	Targets       []hexFloat
	Loss          []hexFloat
	Grad, Size    []hexFloat
}

func readFeatures(t *testing.T) []featureCase {
	t.Helper()
	var cases []featureCase
	readCases(t, "feature_cases.json.gz", &cases)
	if len(cases) != 98 {
		t.Fatalf("%d cases, want 98", len(cases))
	}
	return cases
}

// featureLoss is what the losses of the cases have in common, labels or targets being bound.
type featureLoss struct {
	each func(dst []float32) error
	sum  func() (float64, error)
	grad func(grad []float32, scale float32) (float64, error)
}

func (c *featureCase) loss(t *testing.T, logits []float32) featureLoss {
	t.Helper()
	gamma, eps, alpha := float32(c.Gamma), float32(c.Smoothing), floats(c.Alpha)
	rows := func(l rowForm) featureLoss {
		return featureLoss{
			func(dst []float32) error { return l.Each(dst, logits, c.Labels) },
			func() (float64, error) { return l.Sum(logits, c.Labels) },
			func(grad []float32, scale float32) (float64, error) { return l.Grad(grad, logits, c.Labels, scale) },
		}
	}
	switch c.Form {
	case "softmax":
		return rows(must(NewSoftmaxLoss(SoftmaxConfig{Classes: c.Classes, Gamma: gamma, Alpha: alpha, Smoothing: eps})))
	case "onevsrest":
		return rows(must(NewOneVsRestLoss(OneVsRestConfig{Classes: c.Classes, Gamma: gamma, Alpha: alpha[0], Smoothing: eps})))
	}
	l := must(NewSoftTargetLoss(SoftTargetConfig{Classes: c.Classes, Gamma: gamma, Alpha: alpha}))
	targets := floats(c.Targets)
	return featureLoss{
		func(dst []float32) error { return l.Each(dst, logits, targets) },
		func() (float64, error) { return l.Sum(logits, targets) },
		func(grad []float32, scale float32) (float64, error) { return l.Grad(grad, logits, targets, scale) },
	}
}

// TestFeatureOracle holds losses, gradients and sums against 60-digit results.
func TestFeatureOracle(t *testing.T) {
	cases := readFeatures(t)
	forEachVariant(t, func(t *testing.T) {
		w := map[string]*worst{}
		for _, form := range []string{"softmax", "onevsrest", "soft"} {
			w[form+" loss"], w[form+" gradient"] = &worst{t: t, name: form + " loss"}, &worst{t: t, name: form + " gradient"}
		}
		for i, c := range cases {
			logits := floats(c.Logits)
			l := c.loss(t, logits)
			each, grad := make([]float32, c.Rows), make([]float32, len(logits))
			must(0, l.each(each))
			sum := must(l.sum())
			if g := must(l.grad(grad, 0.5)); math.Float64bits(g) != math.Float64bits(sum) || math.Float64bits(sum) != math.Float64bits(Total(each)) {
				t.Errorf("case %d: Sum = %x, Grad returns %x, the total of Each is %x", i, sum, g, Total(each))
			}
			units, lossBound := 1+float64(c.Gamma), bounds.loss
			if c.Form == "soft" {
				lossBound = bounds.lossSoft
			}
			// A power below the normal range loses up to 2^-149 of the factors that remain, a 1 - p_t there up to 2^-149 in
			// the power.
			slack := oneBit * (1 << 20)
			if c.Gamma > 0 && c.Gamma < 1 {
				slack += math.Pow(oneBit, float64(c.Gamma)) * (1 << 10)
			}
			where := func(j int) func() string {
				return func() string { return fmt.Sprintf(" %d of case %d, %s, gamma %g", j, i, c.Kind, float64(c.Gamma)) }
			}
			for r, v := range c.Loss {
				w[c.Form+" loss"].check(each[r], want{value: float64(v), unit: units * ulpOf(float64(v)), bound: lossBound, lost: slack}, where(r))
			}
			for j, v := range c.Grad {
				unit := units * math.Max(0x1p-24*float64(c.Size[j]), oneBit)
				w[c.Form+" gradient"].check(2*grad[j], want{value: float64(v), unit: unit, bound: bounds.grad, lost: slack}, where(j))
			}
		}
		for _, v := range w {
			v.log("")
		}
	})
}
