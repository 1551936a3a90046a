package focal

import "math"

// Gradients with a scale for each loss: the backward pass of unreduced losses, whose upstream gradient is a number per
// row, and thereby weights of rows.

// GradRows is Grad with a scale for each row: it sets row i of grad to scales[i] * d loss[i] / d logits, and returns the
// sum of scales[i] * loss[i], where Grad returns the unscaled Sum. With row weights as scales that is the weighted loss
// and its gradient; with the upstream gradient of the losses that Each gives, it is their backward pass.
//
// len(scales) must equal len(labels), and grad may not overlap scales. Otherwise shapes, overlap and errors as in Grad.
// Where all scales are equal, grad has the bits that Grad gives. A scale of 0 writes +0 whatever the row holds, and its
// row is left out of the sum; any other, NaN and Inf included, follows the rules of multiplication. Ignored rows get 0 and
// are left out, whatever their scale.
//
// The products scales[i] * loss[i] are rounded to float32 and added in the order of Sum.
func (l *SoftmaxLoss) GradRows(grad, logits []float32, labels []int32, scales []float32) (float64, error) {
	return l.rowLoss().gradRows(grad, logits, labels, scales)
}

// GradRows is Grad with a scale for each row: see [SoftmaxLoss.GradRows].
func (l *OneVsRestLoss) GradRows(grad, logits []float32, labels []int32, scales []float32) (float64, error) {
	return l.rowLoss().gradRows(grad, logits, labels, scales)
}

// GradRows is Grad with a scale for each element: it sets grad[i] to scales[i] * d loss[i] / d logits[i], and returns the
// sum of scales[i] * loss[i], where Grad returns the unscaled Sum. With weights as scales that is the weighted loss and its
// gradient; with the upstream gradient of the losses that Each gives, it is their backward pass.
//
// len(scales) must equal len(logits), and grad may not overlap scales. Otherwise shapes, overlap and errors as in Grad.
// Where all scales are equal, grad has the bits that Grad gives. A scale of 0 writes +0 whatever the element holds, and the
// element is left out of the sum; any other, NaN and Inf included, follows the rules of multiplication.
//
// The products scales[i] * loss[i] are rounded to float32 and added in the order of Sum.
func (l *SigmoidLoss) GradRows(grad, logits, targets, scales []float32) (float64, error) {
	if err := l.checkShapes("len(grad)", grad, logits, targets); err != nil {
		return 0, err
	}
	if len(scales) != len(logits) {
		return 0, &ShapeError{"len(scales)", len(scales), len(logits)}
	}
	if overlaps(grad, scales) {
		return 0, ErrOverlap
	}
	if err := checkOutput(grad, logits, targets); err != nil {
		return 0, err
	}
	raceRead(scales)
	var losses [SumBlock]float32
	total := 0.0
	for i := 0; i < len(logits); i += SumBlock {
		end := min(i+SumBlock, len(logits))
		sigmoidGradScaledKernel(losses[:end-i], grad[i:end], logits[i:end], targets[i:end], scales[i:end], &l.params)
		weighKernel(losses[:end-i], scales[i:end])
		total += sumBlock(losses[:end-i])
	}
	return canonicalSum(total), nil
}

func (l *rowLoss) gradRows(grad, logits []float32, labels []int32, scales []float32) (float64, error) {
	if err := l.checkGrad(grad, logits, labels); err != nil {
		return 0, err
	}
	if len(scales) != len(labels) {
		return 0, &ShapeError{"len(scales)", len(scales), len(labels)}
	}
	if gradOverlaps(grad, logits, labels) || overlaps(grad, scales) {
		return 0, ErrOverlap
	}
	if err := l.checkLabels(labels); err != nil {
		return 0, err
	}
	l.layout.read(logits, len(labels), l.params.classes)
	raceRead(scales)
	l.layout.write(grad, len(labels), l.params.classes)
	return l.run(grad, logits, labels, gradScale{rows: scales}), nil
}

// scaledBlock is block where rows have scales: losses become scale * loss.
func (l *rowLoss) scaledBlock(losses, grad, logits []float32, labels []int32, scales []float32) {
	if len(l.ignore) > 0 { // whatever the scale of an ignored row, it counts for nothing
		var mapped [SumBlock]float32
		scales = mapped[:copy(mapped[:], scales)]
		for i, t := range labels {
			if t == noLabel {
				scales[i] = 0
			}
		}
	}
	c := l.params.classes
	for len(scales) > 0 { // rows of one scale go together
		n := 1
		for n < len(scales) && math.Float32bits(scales[n]) == math.Float32bits(scales[0]) {
			n++
		}
		switch {
		case l.background:
			oneVsRestGradKernel(losses[:n], grad[:n*c], logits[:n*c], labels[:n], &l.params, scales[0])
		case l.params.smooth != 0:
			smoothKernel(losses[:n], grad[:n*c], logits[:n*c], labels[:n], &l.params, scales[0])
		default:
			softmaxGradKernel(losses[:n], grad[:n*c], logits[:n*c], labels[:n], &l.params, scales[0])
		}
		weighKernel(losses[:n], scales[:n])
		losses, grad, logits, labels, scales = losses[n:], grad[n*c:], logits[n*c:], labels[n:], scales[n:]
	}
}

func sigmoidGradScaledGeneric(losses, grad, logits, targets, scales []float32, p *lossParams) {
	for i, x := range logits {
		losses[i], grad[i] = sigmoidGrad(x, targets[i], p, scales[i])
	}
}

// weighGeneric multiplies losses by their scales; a scale of 0 gives +0 whatever the loss.
func weighGeneric(losses, scales []float32) {
	for i, s := range scales {
		l := losses[i] * s
		if s == 0 {
			l = 0
		}
		losses[i] = canonical(l)
	}
}

func sigmoidGradScaledKernel(losses, grad, logits, targets, scales []float32, p *lossParams) {
	for len(logits) > lossChunk {
		sigmoidGradScaledKernel(losses[:lossChunk], grad[:lossChunk], logits[:lossChunk], targets[:lossChunk], scales[:lossChunk], p)
		losses, grad, logits = losses[lossChunk:], grad[lossChunk:], logits[lossChunk:]
		targets, scales = targets[lossChunk:], scales[lossChunk:]
	}
	switch {
	case len(logits) == 0:
	case active == generic:
		sigmoidGradScaledGeneric(losses, grad, logits, targets, scales, p)
	default:
		sigmoidGradScaledAsm(&losses[0], &grad[0], &logits[0], &targets[0], &scales[0], len(logits), p)
	}
}

func weighKernel(losses, scales []float32) {
	for len(losses) > chunk {
		weighKernel(losses[:chunk], scales[:chunk])
		losses, scales = losses[chunk:], scales[chunk:]
	}
	switch {
	case len(losses) == 0:
	case active == generic:
		weighGeneric(losses, scales)
	default:
		weighAsm(&losses[0], &scales[0], len(losses))
	}
}
