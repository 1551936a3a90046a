package focal

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

// TestWorkedExample holds the worked example against what PyTorch computes in float32, to 1e-6 as it is only that good:
// three rows, and a [3, 10, 5] batch of rows in one slice.
func TestWorkedExample(t *testing.T) {
	data, err := os.ReadFile("testdata/worked_example.json")
	if err != nil {
		t.Fatal(err)
	}
	type example struct {
		Logits    []hexFloat
		Labels    []int32
		Loss      []hexFloat
		Sum, Mean []hexFloat
	}
	var file struct {
		Classes    int
		Gamma      float32
		Alpha      []float32
		Softmax    []hexFloat
		LogSoftmax []hexFloat `json:"log_softmax"`
		Unweighted []hexFloat `json:"unweighted_loss"`
		Entropy    []hexFloat `json:"cross_entropy_mean"`
		ThreeDims  example    `json:"three_dims"`
		example
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	near := func(t *testing.T, name string, got, want []float32) {
		t.Helper()
		if len(got) != len(want) || len(want) == 0 {
			t.Fatalf("%s: %d values, want %d", name, len(got), len(want))
		}
		for i, g := range got {
			if d := math.Abs(float64(g) - float64(want[i])); !(d <= 1e-6*max(1, math.Abs(float64(want[i])))) {
				t.Errorf("%s[%d] = %v, want %v", name, i, g, want[i])
			}
		}
	}
	check := func(t *testing.T, cfg SoftmaxConfig, e example) {
		t.Helper()
		l, err := NewSoftmaxLoss(cfg)
		if err != nil {
			t.Fatal(err)
		}
		logits := floats(e.Logits)
		each := make([]float32, len(e.Labels))
		if err := l.Each(each, logits, e.Labels); err != nil {
			t.Fatal(err)
		}
		near(t, "Each", each, floats(e.Loss))
		sum, err := l.Sum(logits, e.Labels)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "Sum", []float32{float32(sum)}, floats(e.Sum))
		mean, err := l.Mean(logits, e.Labels)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "Mean", []float32{float32(mean)}, floats(e.Mean))
	}
	forEachVariant(t, func(t *testing.T) {
		focal := SoftmaxConfig{Classes: file.Classes, Gamma: file.Gamma, Alpha: file.Alpha}
		check(t, focal, file.example)
		check(t, focal, file.ThreeDims)

		unweighted, err := NewSoftmaxLoss(SoftmaxConfig{Classes: file.Classes, Gamma: file.Gamma})
		if err != nil {
			t.Fatal(err)
		}
		logits := floats(file.Logits)
		each := make([]float32, len(file.Labels))
		if err := unweighted.Each(each, logits, file.Labels); err != nil {
			t.Fatal(err)
		}
		near(t, "Each without alpha", each, floats(file.Unweighted))
		crossEntropy, err := NewSoftmaxLoss(SoftmaxConfig{Classes: file.Classes})
		if err != nil {
			t.Fatal(err)
		}
		mean, err := crossEntropy.Mean(logits, file.Labels)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "Mean of gamma 0", []float32{float32(mean)}, floats(file.Entropy))

		p := make([]float32, len(logits))
		Softmax(p, logits, file.Classes)
		near(t, "Softmax", p, floats(file.Softmax))
		LogSoftmax(p, logits, file.Classes)
		near(t, "LogSoftmax", p, floats(file.LogSoftmax))
	})
}
