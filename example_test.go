package focal_test

import (
	"cmp"
	"errors"
	"fmt"
	"log"
	"math"
	"slices"
	"sync"

	"github.com/gofocal/focal"
)

// Three images, five classes: logits as a model puts them out, and the classes that are right. README.md shows this
// example.
func Example() {
	logits := []float32{
		0.46249127, -0.16921774, 0.3718835, 1.4709035, -0.15678348,
		-2.8719716, 1.9053609, -0.14565827, -1.8826075, -1.0216962,
		-0.21685384, -1.011455, 0.1613893, -0.093918696, 1.7723202,
	}
	labels := []int32{2, 3, 4}

	loss, err := focal.NewSoftmaxLoss(focal.SoftmaxConfig{
		Classes: 5,
		Gamma:   2,
		Alpha:   []float32{0.25, 0.75, 0.75, 0.75, 0.75},
	})
	if err != nil {
		log.Fatal(err)
	}
	mean, err := loss.Mean(logits, labels)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("focal loss %.4f\n", mean)
	// Output: focal loss 1.2966
}

// The loss of each row and their mean: focal loss with the paper's gamma and a weight for the background, then gamma 0
// without weights, which is the cross-entropy.
func ExampleSoftmaxLoss() {
	logits := []float32{
		0.46249127, -0.16921774, 0.3718835, 1.4709035, -0.15678348,
		-2.8719716, 1.9053609, -0.14565827, -1.8826075, -1.0216962,
		-0.21685384, -1.011455, 0.1613893, -0.093918696, 1.7723202,
	}
	labels := []int32{2, 3, 4}
	for _, config := range []focal.SoftmaxConfig{
		{Classes: 5, Gamma: 2, Alpha: focal.BackgroundAlpha(0.25, 5)},
		{Classes: 5},
	} {
		loss, err := focal.NewSoftmaxLoss(config)
		if err != nil {
			log.Fatal(err)
		}
		var each [3]float32
		if err := loss.Each(each[:], logits, labels); err != nil {
			log.Fatal(err)
		}
		mean, err := loss.Mean(logits, labels)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("losses %.4f, mean %.4f\n", each, mean)
	}
	// Output:
	// losses [0.9723 2.8755 0.0419], mean 1.2966
	// losses [1.8354 3.9812 0.4402], mean 2.0856
}

// A batch [B, N, C] of B images with N anchors each is one slice, and the same memory as [B*N, C]. One image is a piece
// of it.
func ExampleSoftmaxLoss_batch() {
	const images, anchors, classes = 2, 3, 4
	logits := []float32{
		2, 0, 0, 0, // image 0
		0, 3, 0, 0,
		0, 0, 0, 0,
		0, 0, 5, 0, // image 1
		0, 0, 0, -1,
		1, 0, 0, 1,
	}
	labels := []int32{0, 1, 2, 2, 3, 3} // [B, N]

	loss, err := focal.NewSoftmaxLoss(focal.SoftmaxConfig{Classes: classes, Gamma: 2})
	if err != nil {
		log.Fatal(err)
	}
	sum, err := loss.Sum(logits, labels)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("batch    %.4f\n", sum)
	for i := range images {
		sum, err := loss.Sum(
			logits[i*anchors*classes:(i+1)*anchors*classes],
			labels[i*anchors:(i+1)*anchors])
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("image %d  %.4f\n", i, sum)
	}
	// Output:
	// batch    2.9727
	// image 0  0.8106
	// image 1  2.1621
}

// A weight for each class, here the inverse of how often it occurs, scaled so that the average row weighs 1.
func ExampleSoftmaxLoss_classWeights() {
	counts := []int{900, 80, 20} // rows of each class in the training data
	rows := 1000
	alpha := make([]float32, len(counts))
	for class, n := range counts {
		alpha[class] = float32(rows) / float32(len(counts)*n)
	}
	fmt.Printf("weights %.3f\n", alpha)

	loss, err := focal.NewSoftmaxLoss(focal.SoftmaxConfig{Classes: len(counts), Gamma: 2, Alpha: alpha})
	if err != nil {
		log.Fatal(err)
	}
	var each [3]float32 // of three rows that tell the model nothing
	if err := loss.Each(each[:], make([]float32, 9), []int32{0, 1, 2}); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("losses  %.3f\n", each)
	// Output:
	// weights [0.370 4.167 16.667]
	// losses  [0.181 2.034 8.138]
}

// The weights of kornia and MONAI: one for the background, class 0, and its complement for all other classes.
func ExampleBackgroundAlpha() {
	fmt.Println(focal.BackgroundAlpha(0.25, 5))
	// Output: [0.25 0.75 0.75 0.75 0.75]
}

// RetinaNet's loss: an anchor has the class of the object that it covers, or is background, or is ignored because it
// covers one only in part. The loss of all anchors is divided by the number of those that have a class.
func ExampleOneVsRestLoss() {
	const classes, background, ignored = 3, 3, -1
	logits := []float32{ // [anchors, classes]
		1.5, -2.0, -2.5,
		-3.0, -4.0, -2.0,
		-1.0, 0.5, -3.0,
		-5.0, -3.5, -4.5,
		-2.0, -2.0, 0.25,
	}
	labels := []int32{0, background, ignored, background, 2}

	loss, err := focal.NewOneVsRestLoss(focal.OneVsRestConfig{
		Classes:      classes,
		Gamma:        2,
		Alpha:        0.25,
		IgnoreLabels: []int32{ignored},
	})
	if err != nil {
		log.Fatal(err)
	}
	positives, err := loss.Positives(labels)
	if err != nil {
		log.Fatal(err)
	}
	norm := max(positives, 1) // an image may show nothing
	grad := make([]float32, len(logits))
	sum, err := loss.Grad(grad, logits, labels, 1/float32(norm))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("loss %.5f for %d positive anchors\n", sum/float64(norm), positives)
	for row, label := range labels {
		fmt.Printf("label %2d: gradient %8.5f\n", label, grad[row*classes:(row+1)*classes])
	}
	// Output:
	// loss 0.01757 for 2 positive anchors
	// label  0: gradient [-0.00213  0.00183  0.00048]
	// label  3: gradient [ 0.00012  0.00001  0.00183]
	// label -1: gradient [ 0.00000  0.00000  0.00000]
	// label  3: gradient [ 0.00000  0.00003  0.00000]
	// label  2: gradient [ 0.00183  0.00183 -0.02601]
}

// Several labels may be right at once, as in tagging: targets are 0 or 1 for each element, or anything between.
func ExampleSigmoidLoss() {
	logits := []float32{2.5, -1, 0.5, -3}
	targets := []float32{1, 0, 1, 0.1}
	loss, err := focal.NewSigmoidLoss(focal.SigmoidConfig{Gamma: 2, Alpha: 0.25}) // torchvision's defaults
	if err != nil {
		log.Fatal(err)
	}
	var each [4]float32
	if err := loss.Each(each[:], logits, targets); err != nil {
		log.Fatal(err)
	}
	mean, err := loss.Mean(logits, targets)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("losses %.5f, mean %.5f\n", each, mean)
	// Output: losses [0.00011 0.01699 0.01689 0.00464], mean 0.00966
}

// Hard-example mining: train on the rows with the largest losses only. Each finds them, and an ignored label takes the
// others out.
func ExampleSoftmaxLoss_Each() {
	const classes, ignored, keep = 2, -1, 2
	logits := []float32{
		3, 0,
		0, 1,
		-1, 1,
		0, 4,
		0.5, 0,
	}
	labels := []int32{0, 0, 1, 1, 0}
	loss, err := focal.NewSoftmaxLoss(focal.SoftmaxConfig{
		Classes:      classes,
		Gamma:        2,
		IgnoreLabels: []int32{ignored},
	})
	if err != nil {
		log.Fatal(err)
	}

	losses := make([]float32, len(labels))
	if err := loss.Each(losses, logits, labels); err != nil {
		log.Fatal(err)
	}
	rows := make([]int, len(labels))
	for i := range rows {
		rows[i] = i
	}
	slices.SortStableFunc(rows, func(a, b int) int { return cmp.Compare(losses[b], losses[a]) })
	fmt.Println("hardest rows:", rows[:keep])

	for _, easy := range rows[keep:] {
		labels[easy] = ignored
	}
	grad := make([]float32, len(logits))
	sum, err := loss.Grad(grad, logits, labels, 1/float32(keep))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("their mean loss: %.4f\n", sum/keep)
	fmt.Printf("gradient: %.4f\n", grad)
	// Output:
	// hardest rows: [1 4]
	// their mean loss: 0.3847
	// gradient: [0.0000 0.0000 -0.3841 0.3841 0.0000 0.0000 0.0000 0.0000 -0.0690 0.0690]
}

// A step of training for one linear layer, logits = inputs * weights. Grad may write over the logits, which are not
// needed any more.
func ExampleSoftmaxLoss_Grad() {
	const rows, features, classes, rate = 2, 3, 2, 0.5
	inputs := []float32{ // [rows, features]
		1, 0, 2,
		0, 1, 1,
	}
	labels := []int32{0, 1}
	weights := make([]float32, features*classes)
	loss, err := focal.NewSoftmaxLoss(focal.SoftmaxConfig{Classes: classes, Gamma: 2})
	if err != nil {
		log.Fatal(err)
	}

	logits := make([]float32, rows*classes)
	for step := range 3 {
		clear(logits)
		for i := range rows {
			for j := range features {
				for k := range classes {
					// The conversion keeps the compiler from fusing the product into the sum on some CPUs.
					logits[i*classes+k] += float32(inputs[i*features+j] * weights[j*classes+k])
				}
			}
		}
		grad := logits
		sum, err := loss.Grad(grad, logits, labels, 1.0/rows) // the gradient of the mean
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("step %d: mean loss %.5f\n", step, sum/rows)
		for i := range rows {
			for j := range features {
				for k := range classes {
					weights[j*classes+k] -= float32(rate * inputs[i*features+j] * grad[i*classes+k])
				}
			}
		}
	}
	fmt.Printf("weights %.4f\n", weights)
	// Output:
	// step 0: mean loss 0.17329
	// step 1: mean loss 0.12423
	// step 2: mean loss 0.09875
	// weights [0.1452 -0.1452 -0.2098 0.2098 0.0806 -0.0806]
}

// A batch is split over goroutines, in pieces of whole blocks of SumBlock rows. The sums of the blocks, added in order,
// are the sum of one call to the last bit.
func ExampleSoftmaxLoss_Sum_split() {
	const rows, classes = 10_000, 10
	logits, labels := make([]float32, rows*classes), make([]int32, rows)
	random := uint32(1)
	for i := range logits {
		random = random*1664525 + 1013904223
		logits[i] = float32(random>>24)/32 - 4
	}
	for i := range labels {
		labels[i] = int32(i % classes)
	}
	loss, err := focal.NewSoftmaxLoss(focal.SoftmaxConfig{Classes: classes, Gamma: 2})
	if err != nil {
		log.Fatal(err)
	}

	blocks := make([]float64, (rows+focal.SumBlock-1)/focal.SumBlock)
	const workers = 4
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for b := w; b < len(blocks); b += workers {
				start, end := b*focal.SumBlock, min((b+1)*focal.SumBlock, rows)
				sum, err := loss.Sum(logits[start*classes:end*classes], labels[start:end])
				if err != nil {
					log.Fatal(err)
				}
				blocks[b] = sum
			}
		})
	}
	wg.Wait()
	var split float64
	for _, sum := range blocks {
		split += sum
	}

	whole, err := loss.Sum(logits, labels)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("sum %.2f, the same bits: %v\n", split, split == whole)
	// Output: sum 38376.57, the same bits: true
}

// Wrong input is an error that names the first offender, and nothing has been written then.
func ExampleLabelError() {
	loss, err := focal.NewSoftmaxLoss(focal.SoftmaxConfig{Classes: 3, Gamma: 2})
	if err != nil {
		log.Fatal(err)
	}
	_, err = loss.Mean(make([]float32, 6), []int32{2, 255})
	fmt.Println(err)
	var wrong *focal.LabelError
	if errors.As(err, &wrong) {
		fmt.Println("look at row", wrong.Row)
	}
	// Output:
	// focal: label 255 of row 1 is out of range for 3 classes
	// look at row 1
}

// Probabilities of two rows of three classes, written over the logits. The second row has a masked class.
func ExampleSoftmax() {
	negativeInfinity := float32(math.Inf(-1))
	logits := []float32{1, 2, 3, 0, negativeInfinity, 0}
	focal.Softmax(logits, logits, 3)
	fmt.Printf("%.4f\n", logits)
	// Output: [0.0900 0.2447 0.6652 0.5000 0.0000 0.5000]
}

func ExampleLogSumExp() {
	logits := []float32{1000, 1000, -1, 0, 1, -1000} // [2, 3]
	dst := make([]float32, 2)
	focal.LogSumExp(dst, logits, 3)
	fmt.Printf("%.4f\n", dst)
	// Output: [1000.6932 1.3133]
}

func ExamplePow() {
	x := []float32{0, 0.25, 1, 4}
	focal.Pow(x, x, 1.5)
	fmt.Println(x)
	// Output: [0 0.125 1 8]
}
