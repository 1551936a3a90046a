package focal

import "fmt"

// LogProbs sets dst[i] to the logarithm of the probability that row i of logits gives to labels[i]: of a token under a
// language model, of a class under a classifier. Nothing else of the row's log-softmax is computed.
//
// logits is a row-major [rows, classes] matrix with a label for each row, and len(dst) must equal len(labels). dst may not
// overlap logits or labels. The error is a *[ConfigError] for classes below 1, a *[ShapeError], [ErrOverlap], or a
// *[LabelError] for the first label outside [0, classes); nothing is written then.
//
// Error: at most 5 ULP, near 0 too: a logit of 40 over 128,255 zeros gives -5.4e-13. A label on a masked class (a logit of
// -Inf) gives -Inf. A NaN, a +Inf or nothing but -Inf in a row makes its result NaN, and no other.
//
// It is minus what [SoftmaxLoss.Each] gives for gamma 0, to the bit; that also knows labels to ignore.
func LogProbs(dst, logits []float32, labels []int32, classes int) error {
	if classes < 1 {
		return &ConfigError{"classes", classes, "classes", "at least 1"}
	}
	l := rowLoss{params: newLossParams(classes, 0, nil, 1, 1), top: topLabel(classes - 1)}
	if err := l.each(dst, logits, labels); err != nil {
		return err
	}
	for i, loss := range dst {
		dst[i] = canonical(0 - loss) // log 1 is +0
	}
	return nil
}

// A RangeError reports the first label that an int32 cannot hold.
type RangeError struct {
	Index int   // the label's index
	Label int64 // its value
}

func (e *RangeError) Error() string {
	return fmt.Sprintf("focal: label %d at index %d is out of range for int32", e.Label, e.Index)
}

// CheckedLabels sets dst[i] to src[i], for labels that come in another type: ONNX's and PyTorch's are int64, masks are
// bytes. A plain conversion would make class 0 of 1<<32.
//
// len(dst) must equal len(src), else the error is a *[ShapeError]; a *[RangeError] names the first label that is not an
// int32. Nothing is written then. Whether a label is a class is checked by the loss.
func CheckedLabels[T ~int | ~int64 | ~uint8](dst []int32, src []T) error {
	if len(dst) != len(src) {
		return &ShapeError{"len(dst)", len(dst), len(src)}
	}
	for i, t := range src {
		if int64(int32(t)) != int64(t) {
			return &RangeError{i, int64(t)}
		}
	}
	for i, t := range src {
		dst[i] = int32(t)
	}
	return nil
}
