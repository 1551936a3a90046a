package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"

	"github.com/gofocal/focal"
)

// checkWorkedExample computes the classic example, three rows of five classes, and holds the two losses against those
// of PyTorch.
func checkWorkedExample(out io.Writer) error {
	const path = "../testdata/worked_example.json"
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%w: run bench in its own directory, as go run -C bench . does", err)
	}
	var example struct {
		Classes      int
		Gamma        float32
		Alpha        []float32
		Labels       []int32
		Logits       []string
		Mean         []string
		CrossEntropy []string `json:"cross_entropy_mean"`
	}
	if err := json.Unmarshal(b, &example); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	logits := make([]float32, len(example.Logits))
	for i, s := range example.Logits {
		v, err := strconv.ParseFloat(s, 32)
		if err != nil {
			return err
		}
		logits[i] = float32(v)
	}
	for _, c := range []struct {
		name  string
		want  []string
		gamma float32
		alpha []float32
	}{
		{"focal loss", example.Mean, example.Gamma, example.Alpha},
		{"cross-entropy", example.CrossEntropy, 0, nil},
	} {
		if len(c.want) != 1 {
			return fmt.Errorf("%s: no mean of the %s", path, c.name)
		}
		want, err := strconv.ParseFloat(c.want[0], 64)
		if err != nil {
			return err
		}
		loss, err := focal.NewSoftmaxLoss(focal.SoftmaxConfig{Classes: example.Classes, Gamma: c.gamma, Alpha: c.alpha})
		if err != nil {
			return err
		}
		got, err := loss.Mean(logits, example.Labels)
		if err != nil {
			return err
		}
		if !(math.Abs(got-want) <= 1e-6) {
			return fmt.Errorf("the worked example's %s is %.7f, must be %.7f", c.name, got, want)
		}
		fmt.Fprintf(out, "worked example: %s %.4f, as PyTorch's\n", c.name, got)
	}
	return nil
}
