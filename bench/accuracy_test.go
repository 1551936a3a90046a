package main

import (
	"compress/gzip"
	"encoding/json"
	"math"
	"os"
	"strconv"
	"testing"
)

func TestULPError(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct {
		got  float64
		want float64
		err  float64
	}{
		{1, 1, 0},
		{1 + 0x1p-23, 1, 1},
		{1 - 0x1p-24, 1, 0.5},
		{2, 2 - 0x1p-25, 0.25},
		{1, -1, 0x1p24},
		{0x1p-149, 0x1p-150, 0.5},
		{0, 0x1p-140, 512},
		{0, 0, 0},
		{inf, inf, 0},
		{inf, 1e300, 0},
		{inf, 1, inf},
		{1, inf, inf},
		{-inf, inf, inf},
		{nan, nan, 0},
		{nan, 1, inf},
		{1, nan, inf},
	} {
		if got := ulpError(float32(c.got), c.want); got != c.err {
			t.Errorf("ulpError(%x, %x) = %v, want %v", c.got, c.want, got, c.err)
		}
	}
}

type hex float64

func (h *hex) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	f, err := strconv.ParseFloat(s, 64)
	*h = hex(f)
	return err
}

// TestExact holds the references against the package's oracle, which has 60 digits.
func TestExact(t *testing.T) {
	f, err := os.Open("../testdata/cases.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Cases []struct {
			Form                  string
			Rows, Classes         int
			Gamma                 hex
			Alpha                 json.RawMessage
			Logits, Targets, Loss []hex
			Labels                []int32
			Grad                  []hex `json:"grad_of_sum"`
		}
	}
	if err := json.NewDecoder(z).Decode(&all); err != nil {
		t.Fatal(err)
	}
	// The references are float64: their own error is to stay far below a float32's last place, of any normal result.
	near := func(got float64, want hex) bool {
		w := float64(want)
		return math.Abs(got-w) <= 1e-9*math.Abs(w) || math.Abs(w) < 0x1p-126 && math.Abs(got-w) < 0x1p-149
	}
	losses, grads := 0, 0
	for n, c := range all.Cases {
		if c.Form != "softmax" {
			var a hex
			if err := json.Unmarshal(c.Alpha, &a); err != nil {
				t.Fatal(err)
			}
			for i, x := range c.Logits {
				loss, grad := exactSigmoidLoss(float64(x), float64(c.Targets[i]), max(float64(a), 0), float64(c.Gamma))
				if !near(loss, c.Loss[i]) || !near(grad, c.Grad[i]) {
					t.Fatalf("case %d, element %d: x=%v, target %v, gamma %v: loss %v, gradient %v; want %v, %v", n, i, x,
						c.Targets[i], c.Gamma, loss, grad, c.Loss[i], c.Grad[i])
				}
			}
			losses++
			continue
		}
		weights := make([]float32, c.Classes)
		for i := range weights {
			weights[i] = 1
		}
		if string(c.Alpha) != "null" {
			var a []hex
			if err := json.Unmarshal(c.Alpha, &a); err != nil {
				t.Fatal(err)
			}
			for i, w := range a {
				weights[i] = float32(w)
			}
		}
		grad := make([]float64, c.Classes)
		for i, label := range c.Labels {
			row := make([]float32, c.Classes)
			for j := range row {
				row[j] = float32(c.Logits[i*c.Classes+j])
			}
			if loss := exactSoftmaxLoss(row, int(label), weights, float64(c.Gamma), grad); !near(loss, c.Loss[i]) {
				t.Fatalf("case %d, row %d: loss %v, want %v", n, i, loss, c.Loss[i])
			}
			for j, g := range grad {
				if want := c.Grad[i*c.Classes+j]; !near(g, want) {
					t.Fatalf("case %d, row %d, class %d: gradient %v, want %v", n, i, j, g, want)
				}
			}
		}
		grads++
	}
	if losses == 0 || grads == 0 {
		t.Errorf("%d and %d cases", losses, grads)
	}
}

// TestCheckSeesWrong breaks Exp in each way that a report should show.
func TestCheckSeesWrong(t *testing.T) {
	c := newCheck(functionNamed("Exp"))
	evaluate := func(f func(float32) float32) accuracy {
		a, ok, err := c.evaluate(&peer{runner: &local{ops: map[string]op{"Exp": scalar(f)}}})
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		return a
	}
	right := func(x float32) float32 { return float32(math.Exp(float64(x))) }
	if a := evaluate(right); a.wrong() || a.ULP > 0.501 || a.Special == 0 || a.Sample != sampleSize {
		t.Errorf("a right one is %+v", a)
	}
	for name, f := range map[string]func(float32) float32{
		"inaccurate":    func(x float32) float32 { return right(x) * (1 + 2e-5) },
		"never small":   func(x float32) float32 { return max(right(x), 0x1p-120) },
		"infinite":      func(x float32) float32 { return right(min(x, 80)) },
		"no NaN":        func(x float32) float32 { return right(clearNaN(x)) },
		"NaN at places": func(x float32) float32 { return nanAround20(right(x), x) },
		"flushed":       func(x float32) float32 { return flush(right(x)) },
		"NaN":           func(x float32) float32 { return right(x) + float32(math.Inf(1))*0 },
	} {
		if a := evaluate(f); !a.wrong() {
			t.Errorf("%s: %+v passes for right", name, a)
		}
	}
}

func clearNaN(x float32) float32 {
	if x != x {
		return 0
	}
	return x
}

func nanAround20(y, x float32) float32 {
	if x > 20 && x < 20.1 {
		return float32(math.NaN())
	}
	return y
}

func flush(x float32) float32 {
	if x < 0x1p-126 {
		return 0
	}
	return x
}

// TestChecks holds that focal itself is right in every check, and that each has the parts that it should.
func TestChecks(t *testing.T) {
	p := activeFocal()
	for i := range functions {
		f := &functions[i]
		if f.name != accurateName(f.name) {
			continue
		}
		a, ok, err := newCheck(f).evaluate(p)
		if !ok || err != nil {
			t.Fatal(f.name, ok, err)
		}
		if a.wrong() || a.ULP > 30 || a.Lost > 1.6 {
			t.Errorf("%+v", a)
		}
		if a.Special == 0 {
			t.Errorf("%s has no special values", f.name)
		}
	}
}
