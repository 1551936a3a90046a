package focal

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// TestLogProbs: the bits of the loss of gamma 0, its sign turned; within the bound of the reference; and what a language model
// asks for.
func TestLogProbs(t *testing.T) {
	forEachVariant(t, func(t *testing.T) {
		r := newRNG(31)
		w := &worst{t: t, name: "LogProbs"}
		for _, classes := range []int{1, 2, 5, 17, 80, 1000} {
			l := must(NewSoftmaxLoss(SoftmaxConfig{Classes: classes}))
			var logits []float32
			var labels []int32
			for _, kind := range rowKinds {
				for range 20 {
					z, label := randomRow(r, kind, classes)
					logits, labels = append(logits, z...), append(labels, int32(label))
				}
			}
			got, want := make([]float32, len(labels)), make([]float32, len(labels))
			must(0, LogProbs(got, logits, labels, classes))
			must(0, l.Each(want, logits, labels))
			for i, v := range want {
				z, label := logits[i*classes:][:classes], int(labels[i])
				exact := refSoftmaxLoss(nil, z, label, 1, 0, 1)
				exact.value = -exact.value
				w.check(got[i], exact, func() string { return fmt.Sprintf("(%s, label %d)", show(z), label) })
				if want[i] = -v; v == 0 {
					want[i] = 0 // not -0
				}
			}
			checkBits(t, "LogProbs and Each", got, want)
		}
		w.log("")

		logits, dst := make([]float32, 128256), make([]float32, 1)
		logits[7] = 40
		must(0, LogProbs(dst, logits, []int32{7}, len(logits)))
		if want := -128255 * math.Exp(-40); !(math.Abs(float64(dst[0])-want) <= 5*ulpOf(want)) {
			t.Errorf("log p of a sure token = %g, want %g", dst[0], want)
		}
		inf := inf32
		got := make([]float32, 5)
		must(0, LogProbs(got, []float32{0, -inf, -inf, 3, inf, 0, -inf, -inf, 1, nan32}, []int32{1, 1, 1, 1, 0}, 2))
		checkBits(t, "special rows", got, []float32{-inf, 0, nan32, nan32, nan32})
	})
}

func TestLogProbsErrors(t *testing.T) {
	dst, untouched := canaries(2)
	logits, labels := make([]float32, 6), []int32{0, 2}
	for _, classes := range []int{0, -1, math.MinInt} {
		err := LogProbs(dst, logits, labels, classes)
		if e, ok := err.(*ConfigError); !ok || e.Field != "classes" || e.Value != classes {
			t.Errorf("%d classes: error %#v", classes, err)
		} else {
			checkMessage(t, "LogProbs", err.Error(), classes, "at least 1")
		}
	}
	checkError(t, "LogProbs", LogProbs(dst, logits, labels, 4), &ShapeError{"len(logits)", 6, 8})
	checkError(t, "LogProbs", LogProbs(dst, logits, labels[:1], 3), &ShapeError{"len(labels)", 1, 2})
	checkError(t, "LogProbs", LogProbs(dst[:1], logits, labels, 3), &ShapeError{"len(dst)", 1, 2})
	checkError(t, "LogProbs", LogProbs(logits[1:3], logits, labels, 3), ErrOverlap)
	checkError(t, "LogProbs", LogProbs(dst, logits, asLabels(dst), 3), ErrOverlap)
	for _, bad := range []int32{-1, 3, math.MaxInt32, math.MinInt32, noLabel} {
		checkError(t, "LogProbs", LogProbs(dst, logits, []int32{0, bad}, 3), &LabelError{1, bad, 3}, bad)
	}
	untouched(t, "LogProbs")
	must(0, LogProbs(nil, nil, nil, 3))
}

func TestCheckedLabels(t *testing.T) {
	type class int64
	check := func(got []int32, err error, want ...int32) {
		t.Helper()
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("CheckedLabels: %v, %v, want %v", got, err, want)
		}
	}
	dst := make([]int32, 4)
	check(dst, CheckedLabels(dst, []int64{0, -100, math.MaxInt32, math.MinInt32}), 0, -100, math.MaxInt32, math.MinInt32)
	check(dst, CheckedLabels(dst, []class{3, 2, 1, 0}), 3, 2, 1, 0)
	check(dst, CheckedLabels(dst, []uint8{0, 255, 128, 7}), 0, 255, 128, 7)
	check(dst[:2], CheckedLabels(dst[:2], []int{5, -1}), 5, -1)
	check(nil, CheckedLabels(nil, []int{}))
	for i := range 4 {
		for _, bad := range []int64{1 << 32, 1 << 31, -1<<31 - 1, math.MaxInt64, math.MinInt64, 1<<32 + 3} {
			src := []int64{1, 2, 3, 1 << 40}
			src[i] = bad // the first one is reported
			checkError(t, "CheckedLabels", CheckedLabels(dst, src), &RangeError{i, bad}, i, bad, "int32")
		}
	}
	checkError(t, "CheckedLabels", CheckedLabels(dst, []int{1, 2, 3}), &ShapeError{"len(dst)", 4, 3})
	if !slices.Equal(dst, []int32{5, -1, 128, 7}) {
		t.Errorf("CheckedLabels has written %v beside an error", dst)
	}
}

// TestTotal: the bits of Sum over what Each has written.
func TestTotal(t *testing.T) {
	l := must(NewSigmoidLoss(SigmoidConfig{Gamma: 2}))
	forEachVariant(t, func(t *testing.T) {
		r := newRNG(32)
		for _, n := range append(splits, 0) {
			logits, losses := make([]float32, n), make([]float32, n)
			for i := range logits {
				logits[i] = float32(r.normal() * 5)
			}
			must(0, l.Each(losses, logits, make([]float32, n)))
			got, want := Total(losses), must(l.Sum(logits, make([]float32, n)))
			if math.Float64bits(got) != math.Float64bits(want) {
				t.Errorf("Total of %d losses = %x, Sum = %x", n, got, want)
			}
		}
		nan := Total([]float32{1, math.Float32frombits(0xffc12345)})
		if math.Float64bits(nan) != math.Float64bits(math.NaN()) {
			t.Errorf("Total of NaN = %#x", math.Float64bits(nan))
		}
	})
}
