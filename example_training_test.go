package focal_test

import (
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"log"
	"os"
	"strconv"

	"github.com/gofocal/focal"
)

// A whole training: a linear model learns to tell the handwritten digit 8 from the others, with only 12 eights left among
// 1,099 images, by cross-entropy and by focal loss. Focusing on what is still wrong finds more of the rare eights after
// the same number of steps.
//
// Results are the same bits on every CPU, so the output is exact wherever this runs. For that an example has to take care
// too: this one wraps its own products in float32(), which keeps the compiler from fusing them into sums where a CPU can,
// draws the order of the images from integers, and leaves exponentials to focal.
func Example_training() {
	train, test := readDigits("testdata/digits.csv.gz", 12)
	fmt.Printf("%d images to train on, %d of them eights;", len(train), count(train, isEight))
	fmt.Printf(" %d new images, %d of them eights\n\n", len(test), count(test, isEight))
	fmt.Println("                       loss: before  after  eights found  false alarms")
	for _, c := range []struct {
		name   string
		config focal.SigmoidConfig
	}{
		{"cross-entropy", focal.SigmoidConfig{}},
		{"focal loss", focal.SigmoidConfig{Gamma: 2}},
		{"weighted cross-entropy", focal.SigmoidConfig{Alpha: 0.75}},
		{"weighted focal loss", focal.SigmoidConfig{Gamma: 2, Alpha: 0.75}},
	} {
		loss, err := focal.NewSigmoidLoss(c.config)
		if err != nil {
			log.Fatal(err)
		}
		var m model
		before := m.meanLoss(loss, train)
		m.train(loss, train)
		after := m.meanLoss(loss, train)
		found := count(test, func(d digit) bool { return isEight(d) && m.logit(d) > 0 })
		falseAlarms := count(test, func(d digit) bool { return !isEight(d) && m.logit(d) > 0 })
		fmt.Printf("%-22s       %.4f %.4f  %12d  %12d\n", c.name, before, after, found, falseAlarms)
	}
	// Output:
	// 1099 images to train on, 12 of them eights; 599 new images, 63 of them eights
	//
	//                        loss: before  after  eights found  false alarms
	// cross-entropy                0.6931 0.0219             6             0
	// focal loss                   0.1733 0.0042            10             0
	// weighted cross-entropy       0.1771 0.0137             7             1
	// weighted focal loss          0.0443 0.0027            12             1
}

// A digit is an image of 8 by 8 pixels from 0 to 1, and its target: 1 for an eight, 0 for any other digit.
type digit struct {
	pixels [64]float32
	target float32
}

func isEight(d digit) bool { return d.target == 1 }

// A model gives a logit for a digit: the larger, the more it looks like an eight.
type model struct {
	weights [64]float32
	bias    float32
}

func (m *model) logit(d digit) float32 {
	sum := m.bias
	for i, p := range d.pixels {
		sum += float32(m.weights[i] * p)
	}
	return sum
}

// train goes through the images in random order, some at a time, and takes a step down the gradient of their mean loss.
func (m *model) train(loss *focal.SigmoidLoss, digits []digit) {
	const (
		rounds = 40
		batch  = 32
		rate   = 0.5
	)
	order := make([]int, len(digits))
	for i := range order {
		order[i] = i
	}
	var logits, targets [batch]float32
	random := uint64(1)
	for range rounds {
		for i := len(order) - 1; i > 0; i-- {
			random = random*6364136223846793005 + 1442695040888963407
			j := int(random >> 33 % uint64(i+1))
			order[i], order[j] = order[j], order[i]
		}
		for start := 0; start < len(order); start += batch {
			n := min(batch, len(order)-start)
			for i, d := range order[start : start+n] {
				logits[i], targets[i] = m.logit(digits[d]), digits[d].target
			}
			grad := logits[:n] // the gradient replaces the logits
			if _, err := loss.Grad(grad, logits[:n], targets[:n], 1/float32(n)); err != nil {
				log.Fatal(err)
			}
			for i, d := range order[start : start+n] {
				step := rate * grad[i]
				for j, p := range digits[d].pixels {
					m.weights[j] -= float32(step * p)
				}
				m.bias -= step
			}
		}
	}
}

func (m *model) meanLoss(loss *focal.SigmoidLoss, digits []digit) float64 {
	logits, targets := make([]float32, len(digits)), make([]float32, len(digits))
	for i, d := range digits {
		logits[i], targets[i] = m.logit(d), d.target
	}
	mean, err := loss.Mean(logits, targets)
	if err != nil {
		log.Fatal(err)
	}
	return mean
}

func count(digits []digit, what func(digit) bool) int {
	n := 0
	for _, d := range digits {
		if what(d) {
			n++
		}
	}
	return n
}

// readDigits reads images of E. Alpaydin and C. Kaynak's Optical Recognition of Handwritten Digits (UCI Machine Learning
// Repository, 1998, CC BY 4.0): 64 pixels from 0 to 16 and the digit in a row. Each third image is for the test; of the
// eights among the others, all but the first few are left out.
func readDigits(name string, eights int) (train, test []digit) {
	file, err := os.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		log.Fatal(err)
	}
	rows, err := csv.NewReader(unzipped).ReadAll()
	if err != nil {
		log.Fatal(err)
	}
	for i, row := range rows {
		var d digit
		for j := range d.pixels {
			v, err := strconv.Atoi(row[j])
			if err != nil {
				log.Fatal(err)
			}
			d.pixels[j] = float32(v) / 16
		}
		if row[64] == "8" {
			d.target = 1
		}
		switch {
		case i%3 == 2:
			test = append(test, d)
		case !isEight(d):
			train = append(train, d)
		case eights > 0:
			eights--
			train = append(train, d)
		}
	}
	return train, test
}
