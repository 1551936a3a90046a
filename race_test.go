//go:build race

package focal

import (
	"os"
	"os/exec"
	"regexp"
	"sync"
	"testing"
)

// racing calls a function or method on memory that another goroutine uses at the same time: it writes input, or reads the
// output.
var racing = func() map[string]func(other *[8]float32) {
	const classes = 4
	softmax := must(NewSoftmaxLoss(SoftmaxConfig{Classes: classes, Gamma: 2}))
	oneVsRest := must(NewOneVsRestLoss(OneVsRestConfig{Classes: classes, Gamma: 2}))
	sigmoid := must(NewSigmoidLoss(SigmoidConfig{Gamma: 2}))
	tests := map[string]func(other *[8]float32){}
	vector := func(name string, f func(dst, x []float32)) {
		tests[name+" reads"] = func(x *[8]float32) { f(make([]float32, 8), x[:]) }
		tests[name+" writes"] = func(dst *[8]float32) { f(dst[:], make([]float32, 8)) }
	}
	vector("Exp", Exp)
	vector("Log", Log)
	vector("Pow", func(dst, x []float32) { Pow(dst, x, 2.5) })
	vector("Sigmoid", Sigmoid)
	vector("Softmax", func(dst, x []float32) { Softmax(dst, x, classes) })
	vector("LogSoftmax", func(dst, x []float32) { LogSoftmax(dst, x, classes) })
	vector("LogSumExp", func(dst, x []float32) { LogSumExp(dst[:2], x, classes) })
	vector("SoftmaxPlanes", func(dst, x []float32) { SoftmaxPlanes(dst, x, classes, 2) })
	vector("LogProbs", func(dst, x []float32) { must(0, LogProbs(dst[:2], x, make([]int32, 2), classes)) })
	soft := must(NewSoftTargetLoss(SoftTargetConfig{Classes: classes, Gamma: 2}))
	vector("SoftTargetLoss.Each", func(dst, x []float32) { must(0, soft.Each(dst[:2], x, make([]float32, 8))) })
	vector("SoftTargetLoss.Grad", func(dst, x []float32) { must(soft.Grad(dst, x, make([]float32, 8), 1)) })
	tests["SoftTargetLoss.Sum reads targets"] = func(y *[8]float32) { must(soft.Sum(make([]float32, 8), y[:])) }
	for name, l := range map[string]rowForm{"SoftmaxLoss": softmax, "OneVsRestLoss": oneVsRest} {
		labels := make([]int32, 2)
		vector(name+".Each", func(dst, x []float32) { must(0, l.Each(dst[:2], x, labels)) })
		vector(name+".Grad", func(dst, x []float32) { must(l.Grad(dst, x, labels, 1)) })
		tests[name+".Sum reads"] = func(x *[8]float32) { must(l.Sum(x[:], labels)) }
		tests[name+".Mean reads"] = func(x *[8]float32) { must(l.Mean(x[:], labels)) }
		tests[name+".Sum reads labels"] = func(x *[8]float32) { must(l.Sum(make([]float32, 8), asLabels(x[:2]))) }
		tests[name+".Count reads labels"] = func(x *[8]float32) { must(l.Count(asLabels(x[:2]))) }
	}
	vector("SigmoidLoss.Each", func(dst, x []float32) { must(0, sigmoid.Each(dst, x, make([]float32, 8))) })
	vector("SigmoidLoss.Grad", func(dst, x []float32) { must(sigmoid.Grad(dst, x, make([]float32, 8), 1)) })
	tests["SigmoidLoss.Sum reads"] = func(x *[8]float32) { must(sigmoid.Sum(x[:], make([]float32, 8))) }
	tests["SigmoidLoss.Sum reads targets"] = func(y *[8]float32) { must(sigmoid.Sum(make([]float32, 8), y[:])) }
	tests["SigmoidLoss.Mean reads targets"] = func(y *[8]float32) { must(sigmoid.Mean(make([]float32, 8), y[:])) }
	return tests
}()

// TestRace holds that the race detector, which does not see into assembly, knows what every function and method reads and
// writes: a second process has a race in each, and must report it.
func TestRace(t *testing.T) {
	if os.Getenv("FOCAL_RACING") != "" {
		forEachVariant(t, func(t *testing.T) {
			for name, f := range racing {
				t.Run(name, func(t *testing.T) {
					var x [8]float32
					var wg sync.WaitGroup
					wg.Go(func() { f(&x) })
					x[1] = 0 // read or written by f in another goroutine
					wg.Wait()
				})
			}
		})
		return
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	second := exec.Command(program, "-test.run=^TestRace$", "-test.v")
	// By default a stack or an address that was in a report is in no other.
	second.Env = append(os.Environ(), "FOCAL_RACING=1", "GORACE=suppress_equal_stacks=0 suppress_equal_addresses=0")
	output, err := second.CombinedOutput()
	if err == nil {
		t.Error("no race at all was reported")
	}
	passed := regexp.MustCompile(`--- PASS: TestRace/.*`).FindAll(output, -1)
	failed := regexp.MustCompile(`--- FAIL: TestRace/.*/`).FindAll(output, -1)
	for _, line := range passed {
		t.Errorf("no race reported: %s", line)
	}
	if len(failed) != len(racing)*len(available) {
		t.Errorf("%d races reported, want %d\n%s", len(failed), len(racing)*len(available), output)
	}
}
