package focal_test

import (
	"fmt"
	"log"

	"github.com/gofocal/focal"
)

// Segmentation: a head's [B, C, H, W] output with labels [B, H, W], as they lie in memory. Pixels labelled 255 are void.
func ExampleSoftmaxLoss_Planes() {
	const classes, height, width = 3, 2, 2
	logits := []float32{
		4, -1, 0, 2, // class 0 of the image's pixels
		0, 3, 0, 1, // class 1
		-2, 0, 0, 1, // class 2
	}
	labels := []int32{
		0, 1,
		2, 255,
	}
	loss, err := focal.NewSoftmaxLoss(focal.SoftmaxConfig{Classes: classes, Gamma: 2, IgnoreLabels: []int32{255}})
	if err != nil {
		log.Fatal(err)
	}
	image := loss.Planes(height * width)
	each := make([]float32, len(labels))
	if err := image.Each(each, logits, labels); err != nil {
		log.Fatal(err)
	}
	mean, err := image.Mean(logits, labels)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("losses %.5f\nmean %.5f\n", each, mean)
	// Output:
	// losses [0.00001 0.00027 0.48827 0.00000]
	// mean 0.16285
}

// Label smoothing: the focus and alpha stay with the label, the cross-entropy is that of smoothed targets: a sure row
// costs something, too.
func ExampleSoftmaxConfig_smoothing() {
	logits, labels := []float32{6, 0, 1}, []int32{0}
	for _, smoothing := range []float32{0, 0.1} {
		loss, err := focal.NewSoftmaxLoss(focal.SoftmaxConfig{Classes: 3, Gamma: 2, Smoothing: smoothing})
		if err != nil {
			log.Fatal(err)
		}
		var grad [3]float32
		sum, err := loss.Grad(grad[:], logits, labels, 1)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("smoothing %.1f: loss %.3g, gradient %.2g\n", smoothing, sum, grad)
	}
	// Output:
	// smoothing 0.0: loss 7.65e-07, gradient [-2.3e-06 6.1e-07 1.7e-06]
	// smoothing 0.1: loss 3.13e-05, gradient [-5.7e-05 1.4e-05 4.3e-05]
}

// Row weights: hard examples count twice, doubtful ones not at all. GradRows gives the weighted loss and its gradient.
func ExampleSoftmaxLoss_GradRows() {
	logits := []float32{
		2, 0, 1,
		0, 1, 0,
		1, 1, 1,
	}
	labels, weights := []int32{0, 0, 2}, []float32{1, 2, 0}
	loss, err := focal.NewSoftmaxLoss(focal.SoftmaxConfig{Classes: 3, Gamma: 2})
	if err != nil {
		log.Fatal(err)
	}
	var grad [9]float32
	sum, err := loss.GradRows(grad[:], logits, labels, weights)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("weighted loss %.4f\n", sum)
	for row := range 3 {
		fmt.Printf("%.3f\n", grad[3*row:3*row+3])
	}
	// Output:
	// weighted loss 1.9727
	// [-0.098 0.026 0.072]
	// [-1.796 1.313 0.483]
	// [0.000 0.000 0.000]
}

// The probability of each token under a language model, from its logits.
func ExampleLogProbs() {
	const vocabulary = 5
	logits := []float32{
		9, 1, 2, 0, 1,
		40, 0, 0, 0, 0, // a sure token
		0, 3, 3, 0, 0,
	}
	tokens := []int32{0, 0, 2}
	logProbs := make([]float32, len(tokens))
	if err := focal.LogProbs(logProbs, logits, tokens, vocabulary); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.4g\nlog-likelihood %.4f\n", logProbs, focal.Total(logProbs))
	// Output:
	// [-0.001705 -1.699e-17 -0.7652]
	// log-likelihood -0.7669
}

// Mixup: a row's targets are a mixture of two labels.
func ExampleSoftTargetLoss() {
	loss, err := focal.NewSoftTargetLoss(focal.SoftTargetConfig{Classes: 3, Gamma: 2})
	if err != nil {
		log.Fatal(err)
	}
	logits, targets := []float32{2, 1, 0}, []float32{0.7, 0.3, 0}
	sum, err := loss.Sum(logits, targets)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.4f\n", sum)
	// Output: 0.2729
}

// 16-bit logits are widened piece by piece, into a buffer that fits the cache.
func ExampleWidenBFloat16() {
	const classes = 2
	logits := []uint16{0x3f80, 0xbf80, 0x4000, 0x0000} // [1 -1] and [2 0], from a model
	labels := []int32{0, 1}
	loss, err := focal.NewSoftmaxLoss(focal.SoftmaxConfig{Classes: classes, Gamma: 2})
	if err != nil {
		log.Fatal(err)
	}
	total := 0.0
	var wide [focal.SumBlock * classes]float32
	for row := 0; row < len(labels); row += focal.SumBlock {
		end := min(row+focal.SumBlock, len(labels))
		block := wide[:(end-row)*classes]
		focal.WidenBFloat16(block, logits[row*classes:end*classes])
		sum, err := loss.Sum(block, labels[row:end])
		if err != nil {
			log.Fatal(err)
		}
		total += sum
	}
	fmt.Printf("%.4f\n", total)
	// Output: 1.6519
}

// Labels in another type are checked: int32(1<<32) would be class 0.
func ExampleCheckedLabels() {
	labels := make([]int32, 2)
	fmt.Println(focal.CheckedLabels(labels, []int64{3, 1 << 32}))
	// Output: focal: label 4294967296 at index 1 is out of range for int32
}
