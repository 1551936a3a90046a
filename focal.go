// Package focal computes focal loss, forward and gradient, and the vector functions that it is built on, with the same
// bits on every CPU.
//
//	loss, err := focal.NewSoftmaxLoss(focal.SoftmaxConfig{Classes: 80, Gamma: 2})
//	...
//	mean, err := loss.Mean(logits, labels) // 80 logits (float32) for each label (int32)
//
// # The losses
//
// Focal loss (Lin, Goyal, Girshick, He and Dollár, [Focal Loss for Dense Object Detection], 2017, arXiv 1708.02002) is a
// cross-entropy that gives little weight to what is already right. With p_t the probability of the right answer,
//
//	loss = -alpha_t (1 - p_t)^gamma log p_t
//
// Gamma 0 is the weighted cross-entropy exactly; the paper uses 2. There are three forms:
//
//   - [SoftmaxLoss]: logits [rows, classes] and a class label for each row; probabilities by softmax.
//   - [OneVsRestLoss]: logits [rows, classes] and a label for each row; each class is a yes-or-no question of its own,
//     answered by a sigmoid, and a row may be background. This is RetinaNet's loss.
//   - [SigmoidLoss]: logits and targets in [0, 1] of the same shape; torchvision's sigmoid_focal_loss.
//
// [SoftTargetLoss] is the softmax form on targets in [0, 1] in place of labels.
//
// A loss is configured once, by New..., and may then be used by any number of goroutines at once. Its methods allocate
// nothing (errors and views of more than 4096 classes apart), lock nothing and start nothing:
//
//   - Sum and Mean give a scalar.
//   - Each gives the losses one by one, unreduced.
//   - Grad is the forward and the backward pass in one, GradRows the same with a scale for each row.
//   - Count, and Positives in RetinaNet's form, are what a sum may be divided by.
//
// A row is a sample, an anchor or a pixel: a [B, N, C] batch is the same memory as [B*N, C]. All matrices are row-major
// slices of float32. Logits are the raw outputs of a model, no softmax or sigmoid applied. Labels are class indices
// from 0, not 0/1 targets: those are for [SigmoidLoss]. Outputs are slices of the caller's, overwritten completely. Logits
// that lie otherwise, in class planes or in padded rows, are read by views: see [SoftmaxLoss.Planes] and
// [SoftmaxLoss.Strided].
//
// # Wrong input
//
// The methods of the losses return an error for wrong input, and then have written nothing: [ErrNotConfigured], a
// *[ShapeError], [ErrOverlap], a *[LabelError] or a *[TargetError], looked for in this order, and by a view with a wrong
// size a *[ConfigError], looked for second. The number that comes with an error is 0. Logits are never wrong: every
// float32 has its documented result. An output may be the very slice that is an input where its method says so; any other
// memory in common is [ErrOverlap]. Slices without elements, nil or not, overlap nothing and are valid where the shapes
// match.
//
// The vector functions ([Exp] to [LogSumExp]) and the conversions of 16-bit numbers ([WidenBFloat16] and its like) have no
// error to return: they panic, also before they write anything.
//
// # The same bits everywhere
//
// Every function is specified to the bit, by the Go code in focal_generic.go. Assembly for AVX2, AVX-512 or NEON is
// used where the CPU has it ([Variant]), and gives those bits: whatever the CPU, the length, the alignment, the
// position of a row in its batch. Within one minor version no result changes.
//
// Sums can be split: Sum, and the sum that Grad returns, depend only on the float32 values that Each writes. Each block
// of [SumBlock] of them, from the slice's start, is added in float64 in one fixed order; then the blocks from left to
// right. So sums of single blocks, computed on any goroutines or machines and added in order, are the sum of one call.
// A call itself stays on its goroutine.
//
// # Accuracy
//
// Bounds are in ULP (units in the last place of the exact result): at most 5 (1 + gamma) for a loss, 8 (1 + gamma) for
// a gradient or the loss of a target that is neither 0 nor 1. They hold for p_t within 1e-30 of 0 and of 1 too, where
// 1 - p_t is never formed by subtraction. For results below 2^-126 they are in units of 2^-149. A loss is
// (alpha_t (-log p_t)) (1 - p_t)^gamma and a gradient (scale G) p_j: where a power, a product or a probability in them is
// itself below 2^-126, add 2^-149 times the factors that remain; where it overflows, the result is infinite. (Where a
// large alpha_t times a large scale overflows, a gradient is NaN if its probability is 0.) All this is promised for gammas
// up to 2^24; beyond, losses lie between 0 and alpha_t (-log p_t), and gradients have the right sign.
//
// # Special values
//
// No finite logit and no gamma gives NaN. In the row functions and [SoftmaxLoss] a logit of -Inf is a masked class, of
// probability 0; NaN, +Inf or a row of nothing but -Inf makes the results of that row NaN, and of no other. The sigmoid
// forms take the limit at +Inf and -Inf. Every float32 NaN that is written has the bits 0x7fc00000, every float64 NaN
// that is returned is [math.NaN]'s.
//
// # Environment
//
// FOCAL_DISABLE=avx512,avx2,neon, read once at start, takes variants away; avx2 takes avx512 with it, and all leaves
// only the Go code. Unknown names are ignored. The build tag purego leaves the assembly out.
//
// [Focal Loss for Dense Object Detection]: https://arxiv.org/abs/1708.02002
package focal

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

var (
	// ErrNotConfigured is what the methods of a zero or nil loss return: losses are made by [NewSoftmaxLoss] and its like.
	ErrNotConfigured = errors.New("focal: loss is not configured: it was not made by a New function")
	// ErrOverlap is returned where an output shares memory with an input, other than as exactly the same slice where
	// that is allowed.
	ErrOverlap = errors.New("focal: the output overlaps an input")
)

// A LabelError reports the first label that is neither a class, nor background where there is one, nor ignored.
type LabelError struct {
	Row     int   // the label's index
	Label   int32 // its value
	Classes int   // the loss's Classes
}

func (e *LabelError) Error() string {
	return fmt.Sprintf("focal: label %d of row %d is out of range for %d classes", e.Label, e.Row, e.Classes)
}

// A TargetError reports the first target that is not in [0, 1].
type TargetError struct {
	Index  int     // the target's index
	Target float32 // its value, which may be NaN
}

func (e *TargetError) Error() string {
	return fmt.Sprintf("focal: target %v at index %d is not in [0, 1]", e.Target, e.Index)
}

// A ShapeError reports a slice of the wrong length. What says whose length, as in "len(logits)". Want is [math.MaxInt]
// where rows * classes is more than an int can hold.
type ShapeError struct {
	What      string
	Got, Want int
}

func (e *ShapeError) Error() string {
	return fmt.Sprintf("focal: %s is %d, must be %d", e.What, e.Got, e.Want)
}

// A ConfigError reports a field of a configuration, or an argument like classes, inner or stride, that has no meaning. Field
// is its name. Value is its value; for an Alpha with a weight per class, it is the first weight (a float32) that is none, or
// the length (an int) if that is wrong.
type ConfigError struct {
	Field string
	Value any

	what string // the field, or the part of it whose value Value is
	want string
}

func (e *ConfigError) Error() string {
	if e.want == "" { // not made here
		return fmt.Sprintf("focal: %s cannot be %v", e.Field, e.Value)
	}
	return fmt.Sprintf("focal: %s is %v, must be %s", e.what, e.Value, e.want)
}

// SoftmaxConfig configures a [SoftmaxLoss].
type SoftmaxConfig struct {
	Classes      int       // the length of a row, at least 1
	Gamma        float32   // finite, >= 0; no default: 0 is the weighted cross-entropy, other libraries default to 2
	Alpha        []float32 // nil: every class weighs 1; else one finite weight >= 0 per class
	IgnoreLabels []int32   // rows with such a label count for nothing: loss 0, gradient 0, not in the mean
	Smoothing    float32   // label smoothing, in [0, 1): see Label smoothing in SoftmaxLoss
}

// OneVsRestConfig configures a [OneVsRestLoss].
type OneVsRestConfig struct {
	Classes      int     // the length of a row, at least 1
	Gamma        float32 // finite, >= 0; no default: RetinaNet uses 2
	Alpha        float32 // weight of target 1, in (0, 1); target 0 weighs 1-Alpha; 0: both weigh 1 (torchvision's -1)
	IgnoreLabels []int32 // rows with such a label count for nothing: loss 0, gradient 0, not in the mean
	Smoothing    float32 // label smoothing, in [0, 1): see Label smoothing in OneVsRestLoss
}

// SigmoidConfig configures a [SigmoidLoss].
type SigmoidConfig struct {
	Gamma float32 // finite, >= 0; no default: torchvision's is 2
	Alpha float32 // weight of target 1, in (0, 1); target 0 weighs 1-Alpha; 0: both weigh 1 (torchvision's -1)
}

// SoftmaxLoss is the softmax form: for each row with the label t
//
//	loss = -alpha_t (1 - p_t)^gamma log p_t,  p = softmax(logits)
//
// with p_t computed so that neither p_t nor 1 - p_t loses digits, however near to 0 or 1; without the factor alpha_t
// where Alpha is nil.
//
// Error: at most 5 (1 + gamma) ULP for a loss (measured: 4.5 (1 + gamma)), 8 (1 + gamma) ULP for a gradient (measured:
// 5.0 (1 + gamma)); see Accuracy in the package documentation.
//
// A label on a masked class (a logit of -Inf) has the loss +Inf (0 where its alpha is 0) and the gradient -alpha_t, and
// alpha_t p_j for the other classes j.
//
// # Label smoothing
//
// With eps = Smoothing above 0 the cross-entropy is that of smoothed targets, while the focus and alpha stay with the
// label, as in EfficientDet and apex:
//
//	loss = alpha_t (1 - p_t)^gamma [(1 - eps) (-log p_t) + (eps / C) sum_c (-log p_c)]
//
// C and c count the row's unmasked classes. Error: at most 5 (1 + gamma) ULP for a loss; a gradient crosses zero, and its
// error is at most 8 (1 + gamma) 2^-24 times the sum of the magnitudes of its terms. Where 1 - p_t is below 2^-126,
// add 2^(-149 gamma) times the factors that remain.
//
// Other libraries mean other things by smoothing. Keras' CategoricalFocalCrossentropy adds up a focal loss for each
// class: that is [SoftTargetLoss] on smoothed targets.
type SoftmaxLoss struct{ rows rowLoss }

// NewSoftmaxLoss checks and copies the configuration. The error is a *[ConfigError].
//
// A label is looked up in IgnoreLabels before its range is checked: any number can be one, a class too.
func NewSoftmaxLoss(cfg SoftmaxConfig) (*SoftmaxLoss, error) {
	params, err := softmaxParams(cfg.Classes, cfg.Gamma, cfg.Alpha)
	if err != nil {
		return nil, err
	}
	if params.smooth, err = checkSmoothing(cfg.Smoothing); err != nil {
		return nil, err
	}
	return &SoftmaxLoss{newRowLoss(params, cfg.Classes-1, cfg.IgnoreLabels)}, nil
}

// Sum adds the losses of all rows. logits is [rows, classes], labels has a class for each row.
//
// It returns a *[ShapeError] where the lengths don't match, and a *[LabelError] for the first label that is neither a
// class nor ignored. The logits of ignored rows are never used.
func (l *SoftmaxLoss) Sum(logits []float32, labels []int32) (float64, error) {
	return l.rowLoss().sum(logits, labels)
}

// Mean is Sum divided by Count: by the number of rows that are not ignored, not by the sum of their alphas as torch's
// weighted cross-entropy does. The mean of nothing is 0. Errors as in Sum.
func (l *SoftmaxLoss) Mean(logits []float32, labels []int32) (float64, error) {
	return l.rowLoss().mean(logits, labels)
}

// Each sets dst[i] to the loss of row i, 0 where the row is ignored. len(dst) must equal len(labels), and dst may not
// overlap logits or labels ([ErrOverlap]). Errors as in Sum; nothing is written then.
func (l *SoftmaxLoss) Each(dst, logits []float32, labels []int32) error {
	return l.rowLoss().each(dst, logits, labels)
}

// Grad is the forward and the backward pass in one: it sets grad to scale * d Sum / d logits, and returns the unscaled
// Sum. The gradient of the mean has the scale 1/Count.
//
// grad has the shape of logits and may be logits; any other overlap is [ErrOverlap]. Ignored rows get 0. A scale of 0
// writes +0 everywhere; any other, NaN and Inf included, follows the rules of multiplication. Errors as in Sum; nothing
// is written then.
//
// With q = 1 - p_t, the gradient of a loss is G p_j for j != t and -G q for j = t, where
// G = alpha_t q^gamma (1 + gamma p_t (-log p_t) / q).
func (l *SoftmaxLoss) Grad(grad, logits []float32, labels []int32, scale float32) (float64, error) {
	return l.rowLoss().grad(grad, logits, labels, scale)
}

// Count is the number of rows that are not ignored. It returns a *[LabelError] as Sum does.
func (l *SoftmaxLoss) Count(labels []int32) (int, error) { return l.rowLoss().count(labels) }

// rowLoss is nil where l is.
func (l *SoftmaxLoss) rowLoss() *rowLoss {
	if l == nil {
		return nil
	}
	return &l.rows
}

// OneVsRestLoss is the sigmoid form on labels: class c of a row has the target 1 if the row's label is c, and 0 if not.
// The label Classes means background: target 0 for every class. The loss of a row is the sum over its classes of
//
//	target 1: -Alpha (1-p)^gamma log p        target 0: -(1-Alpha) p^gamma log(1-p)
//
// with p = 1/(1+e^-x), and without the factors Alpha and 1-Alpha where Alpha is 0.
//
// Error: at most 5 (1 + gamma) ULP for a loss, 8 (1 + gamma) ULP for a gradient; see Accuracy in the package
// documentation. Each element is computed as in [SigmoidLoss].
//
// NaN stays in its row's loss and its own gradient. At ±Inf the limit is taken: for target 1 loss and gradient are 0 at
// +Inf, and +Inf and -Alpha at -Inf (-1 where Alpha is 0); mirrored for target 0.
//
// # Label smoothing
//
// With eps = Smoothing above 0 the cross-entropy is that of the targets 1 - eps/2 and eps/2, while the focus and Alpha
// stay with the label, as in EfficientDet and apex:
//
//	target 1: Alpha (1-p)^gamma [(1 - eps/2) (-log p) + (eps/2) (-log(1-p))]
//	target 0: (1-Alpha) p^gamma [(eps/2) (-log p) + (1 - eps/2) (-log(1-p))]
//
// Error: at most 5 (1 + gamma) ULP for a loss; a gradient crosses zero, and its error is at most 8 (1 + gamma) 2^-24
// times the sum of the magnitudes of its terms. Where 1 - p_t is below 2^-126, add 2^(-149 gamma) times the factors that
// remain. At +Inf and -Inf a loss is 0 where the focus is 0, else +Inf.
//
// Torchvision and optax blend p_t and alpha by the target too: that is [SigmoidLoss] on targets y (1 - eps) + eps/2.
type OneVsRestLoss struct{ rows rowLoss }

// NewOneVsRestLoss checks and copies the configuration. The error is a *[ConfigError].
//
// A label is looked up in IgnoreLabels before its range is checked: any number can be one, a class or background too.
func NewOneVsRestLoss(cfg OneVsRestConfig) (*OneVsRestLoss, error) {
	params, err := sigmoidParams(cfg.Classes, cfg.Gamma, cfg.Alpha)
	if err != nil {
		return nil, err
	}
	eps, err := checkSmoothing(cfg.Smoothing)
	if err != nil {
		return nil, err
	}
	params.smooth = eps / 2
	loss := &OneVsRestLoss{newRowLoss(params, cfg.Classes, cfg.IgnoreLabels)}
	loss.rows.background = true
	return loss, nil
}

// Sum adds the losses of all rows. logits is [rows, classes], labels has for each row a class, or Classes for background.
//
// It returns a *[ShapeError] where the lengths don't match, and a *[LabelError] for the first label that is neither in
// [0, Classes] nor ignored. The logits of ignored rows are never used.
func (l *OneVsRestLoss) Sum(logits []float32, labels []int32) (float64, error) {
	return l.rowLoss().sum(logits, labels)
}

// Mean is Sum divided by Count: by the number of rows that are not ignored, not of elements and not of Positives. The
// mean of nothing is 0. Errors as in Sum.
func (l *OneVsRestLoss) Mean(logits []float32, labels []int32) (float64, error) {
	return l.rowLoss().mean(logits, labels)
}

// Each sets dst[i] to the loss of row i, the sum over its classes, and 0 where the row is ignored. len(dst) must equal
// len(labels), and dst may not overlap logits or labels ([ErrOverlap]). Errors as in Sum; nothing is written then.
func (l *OneVsRestLoss) Each(dst, logits []float32, labels []int32) error {
	return l.rowLoss().each(dst, logits, labels)
}

// Grad is the forward and the backward pass in one: it sets grad to scale * d Sum / d logits, and returns the unscaled
// Sum. The gradient of the mean has the scale 1/Count, RetinaNet's 1/Positives.
//
// grad has the shape of logits and may be logits; any other overlap is [ErrOverlap]. Ignored rows get 0. A scale of 0
// writes +0 everywhere; any other, NaN and Inf included, follows the rules of multiplication. Errors as in Sum; nothing
// is written then.
//
// With q = 1 - p for target 1 and q = p for target 0, the gradient of a loss is -G q and G q, where G is the weight of the target
// times q^gamma (1 + gamma (1-q) (-log(1-q)) / q).
func (l *OneVsRestLoss) Grad(grad, logits []float32, labels []int32, scale float32) (float64, error) {
	return l.rowLoss().grad(grad, logits, labels, scale)
}

// Count is the number of rows that are not ignored. It returns a *[LabelError] as Sum does.
func (l *OneVsRestLoss) Count(labels []int32) (int, error) { return l.rowLoss().count(labels) }

// Positives is the number of rows that are neither ignored nor background: what RetinaNet divides its loss by. It
// returns a *[LabelError] as Sum does.
func (l *OneVsRestLoss) Positives(labels []int32) (int, error) {
	n, err := l.Count(labels)
	if err != nil {
		return 0, err
	}
	c := l.rows.params.classes
	if c > math.MaxInt32 || slices.Contains(l.rows.ignore, int32(c)) {
		return n, nil // no label is background, or it is not among the n
	}
	return n - occurrences(labels, int32(c)), nil
}

// rowLoss is nil where l is.
func (l *OneVsRestLoss) rowLoss() *rowLoss {
	if l == nil {
		return nil
	}
	return &l.rows
}

// softmaxParams checks the configuration of a loss over the softmax.
func softmaxParams(classes int, gamma float32, alpha []float32) (lossParams, error) {
	gamma, err := checkConfig(classes, gamma)
	if err != nil {
		return lossParams{}, err
	}
	alpha, err = checkAlpha(alpha, classes)
	if err != nil {
		return lossParams{}, err
	}
	return newLossParams(classes, gamma, alpha, 1, 1), nil
}

// sigmoidParams checks the configuration of a sigmoid form.
func sigmoidParams(classes int, gamma, alpha float32) (lossParams, error) {
	gamma, err := checkConfig(classes, gamma)
	if err != nil {
		return lossParams{}, err
	}
	positive, negative, err := sigmoidWeights(alpha)
	if err != nil {
		return lossParams{}, err
	}
	return newLossParams(classes, gamma, nil, positive, negative), nil
}

// checkConfig checks what all forms have, and returns gamma without a sign.
func checkConfig(classes int, gamma float32) (float32, error) {
	if classes < 1 {
		return 0, &ConfigError{"Classes", classes, "Classes", "at least 1"}
	}
	if !finite(gamma) {
		return 0, &ConfigError{"Gamma", gamma, "Gamma", "finite and at least 0"}
	}
	return withoutSign(gamma), nil
}

// checkAlpha returns a copy of the weights, without signs.
func checkAlpha(alpha []float32, classes int) ([]float32, error) {
	if alpha != nil && len(alpha) != classes {
		return nil, &ConfigError{"Alpha", len(alpha), "len(Alpha)", fmt.Sprintf("%d, a weight per class", classes)}
	}
	alpha = slices.Clone(alpha)
	for i, a := range alpha {
		if !finite(a) {
			return nil, &ConfigError{"Alpha", a, fmt.Sprintf("Alpha[%d]", i), "finite and at least 0"}
		}
		alpha[i] = withoutSign(a)
	}
	return alpha, nil
}

func checkSmoothing(eps float32) (float32, error) {
	if !(eps >= 0 && eps < 1) {
		return 0, &ConfigError{"Smoothing", eps, "Smoothing", "in [0, 1)"}
	}
	return withoutSign(eps), nil
}

// finite reports whether x is finite and at least 0.
func finite(x float32) bool { return x >= 0 && x <= math.MaxFloat32 }

// withoutSign makes -0 a plain 0, which a loss would show, and no number else.
func withoutSign(x float32) float32 {
	if x == 0 {
		return 0
	}
	return x
}

// sigmoidWeights gives the weights of target 1 and target 0.
func sigmoidWeights(alpha float32) (positive, negative float32, err error) {
	if !(alpha >= 0 && alpha < 1) {
		return 0, 0, &ConfigError{"Alpha", alpha, "Alpha", "in (0, 1), or 0 for no weights"}
	}
	if alpha == 0 {
		return 1, 1, nil
	}
	return alpha, 1 - alpha, nil
}

// rowLoss is what the forms with a label per row share. No method changes it.
type rowLoss struct {
	params     lossParams // classes is 0 in a loss that is not configured
	top        uint32     // the largest label in range
	background bool       // the one-vs-rest form
	ignore     []int32    // each once
	layout     layout
}

func newRowLoss(params lossParams, top int, ignore []int32) rowLoss {
	ignore = slices.Clone(ignore)
	slices.Sort(ignore)
	params.ignores = len(ignore) > 0
	return rowLoss{params: params, top: topLabel(top), ignore: slices.Compact(ignore)}
}

// topLabel is the largest label in range as checkLabels wants it.
func topLabel(top int) uint32 { return uint32(min(top, math.MaxInt32)) }

func (l *rowLoss) sum(logits []float32, labels []int32) (float64, error) {
	if err := l.checkShape(logits, labels); err != nil {
		return 0, err
	}
	if err := l.checkLabels(labels); err != nil {
		return 0, err
	}
	l.layout.read(logits, len(labels), l.params.classes)
	return l.run(nil, logits, labels, gradScale{}), nil
}

func (l *rowLoss) mean(logits []float32, labels []int32) (float64, error) {
	sum, err := l.sum(logits, labels)
	if err != nil {
		return 0, err
	}
	return meanOf(sum, l.counted(labels)), nil
}

func (l *rowLoss) each(dst, logits []float32, labels []int32) error {
	if err := l.checkShape(logits, labels); err != nil {
		return err
	}
	if len(dst) != len(labels) {
		return &ShapeError{"len(dst)", len(dst), len(labels)}
	}
	if overlaps(dst, logits) || overlaps(dst, labels) {
		return ErrOverlap
	}
	if err := l.checkLabels(labels); err != nil {
		return err
	}
	l.layout.read(logits, len(labels), l.params.classes)
	raceWrite(dst)
	for row := 0; row < len(labels); row += SumBlock {
		end := min(row+SumBlock, len(labels))
		l.block(dst[row:end], nil, logits, labels, row, end, gradScale{})
	}
	return nil
}

func (l *rowLoss) grad(grad, logits []float32, labels []int32, scale float32) (float64, error) {
	if err := l.checkGrad(grad, logits, labels); err != nil {
		return 0, err
	}
	if gradOverlaps(grad, logits, labels) {
		return 0, ErrOverlap
	}
	if err := l.checkLabels(labels); err != nil {
		return 0, err
	}
	l.layout.read(logits, len(labels), l.params.classes)
	l.layout.write(grad, len(labels), l.params.classes)
	return l.run(grad, logits, labels, gradScale{all: scale}), nil
}

func (l *rowLoss) count(labels []int32) (int, error) {
	if !l.configured() {
		return 0, ErrNotConfigured
	}
	if err := l.layout.checkSize(l.params.classes); err != nil {
		return 0, err
	}
	if err := l.checkLabels(labels); err != nil {
		return 0, err
	}
	return l.counted(labels), nil
}

// counted is how many of the checked labels are not ignored.
func (l *rowLoss) counted(labels []int32) int {
	n := len(labels)
	for _, ignore := range l.ignore {
		n -= occurrences(labels, ignore)
	}
	return n
}

func occurrences(labels []int32, label int32) int {
	n := 0
	for _, t := range labels {
		if t == label {
			n++
		}
	}
	return n
}

func (l *rowLoss) configured() bool { return l != nil && l.params.classes > 0 }

// checkShape checks that there are whole rows of logits and a label for each. rows * classes may be more than an int
// holds, so it divides.
func (l *rowLoss) checkShape(logits []float32, labels []int32) error {
	if !l.configured() {
		return ErrNotConfigured
	}
	c := l.params.classes
	if err := l.layout.check(len(logits), len(labels), c); err != nil {
		return err
	}
	if l.layout.kind == padded {
		return nil
	}
	if len(logits)%c != 0 {
		want := math.MaxInt
		if len(labels) <= math.MaxInt/c {
			want = len(labels) * c
		}
		return &ShapeError{"len(logits)", len(logits), want}
	}
	if rows := len(logits) / c; len(labels) != rows {
		return &ShapeError{"len(labels)", len(labels), rows}
	}
	return nil
}

// checkGrad checks the shape of grad too.
func (l *rowLoss) checkGrad(grad, logits []float32, labels []int32) error {
	if err := l.checkShape(logits, labels); err != nil {
		return err
	}
	if len(grad) != len(logits) {
		return &ShapeError{"len(grad)", len(grad), len(logits)}
	}
	return nil
}

// gradOverlaps reports whether grad shares memory with an input, other than as exactly logits.
func gradOverlaps(grad, logits []float32, labels []int32) bool {
	return overlaps(grad, logits) && !same(grad, logits) || overlaps(grad, labels)
}

// checkLabels finds the first label that is neither in range nor ignored.
func (l *rowLoss) checkLabels(labels []int32) error {
	raceRead(labels)
	if i := firstBeyond(words(labels), l.top, words(l.ignore)); i >= 0 {
		return &LabelError{i, labels[i], l.params.classes}
	}
	return nil
}

// firstBeyond returns the index of the first word that is greater than top and none of except, or -1. It costs a loss
// next to nothing: the largest word tells whether to look for one.
func firstBeyond(words []uint32, top uint32, except []uint32) int {
	for start := 0; start < len(words); start += checkBlock {
		block := words[start:min(start+checkBlock, len(words))]
		if maxWordKernel(block) <= top {
			continue
		}
		for i, w := range block {
			if w > top && !slices.Contains(except, w) {
				return start + i
			}
		}
	}
	return -1
}

// checkBlock is how many labels or targets are looked at together; a block with an ignored label is looked at one by one.
const checkBlock = 512

// gradScale is what gradients are multiplied by: all, or rows[i] in row i.
type gradScale struct {
	all  float32
	rows []float32
}

// run sums the losses of checked input, each times its scale where rows have scales, and writes the gradients unless grad
// is nil.
func (l *rowLoss) run(grad, logits []float32, labels []int32, scale gradScale) float64 {
	// A call for a single row takes little more than what it does besides computing.
	if len(labels) == 1 && l.layout.kind == packed && len(l.ignore) == 0 {
		var loss [1]float32
		l.packedBlock(loss[:], grad, logits, labels, scale)
		return canonicalSum(sumBlock(loss[:]))
	}
	// Go clears the buffer.
	if len(labels) <= smallBlock {
		var losses [smallBlock]float32
		return l.runBlocks(losses[:], grad, logits, labels, scale)
	}
	var losses [SumBlock]float32
	return l.runBlocks(losses[:], grad, logits, labels, scale)
}

const smallBlock = 16

// runBlocks goes from block to block of rows; buffer has room for the losses of a block.
func (l *rowLoss) runBlocks(buffer, grad, logits []float32, labels []int32, scale gradScale) float64 {
	total := 0.0
	for row := 0; row < len(labels); row += SumBlock {
		end := min(row+SumBlock, len(labels))
		losses := buffer[:end-row]
		l.block(losses, grad, logits, labels, row, end, scale)
		total += sumBlock(losses)
	}
	return canonicalSum(total)
}

// block computes the rows from row to end, at most SumBlock: their losses, and their gradients unless grad is nil.
func (l *rowLoss) block(losses, grad, logits []float32, labels []int32, row, end int, scale gradScale) {
	labels = labels[row:end]
	if len(l.ignore) > 0 {
		var mapped [SumBlock]int32
		labels = l.mapIgnored(&mapped, labels)
	}
	if scale.rows != nil {
		scale.rows = scale.rows[row:end]
	}
	if l.layout.kind != packed {
		l.viewBlock(losses, grad, logits, labels, row, scale)
		return
	}
	c := l.params.classes
	if grad != nil {
		grad = grad[row*c : end*c]
	}
	l.packedBlock(losses, grad, logits[row*c:end*c], labels, scale)
}

// packedBlock is block for rows that lie side by side, ignored ones having the label noLabel.
func (l *rowLoss) packedBlock(losses, grad, logits []float32, labels []int32, scale gradScale) {
	switch {
	case scale.rows != nil:
		l.scaledBlock(losses, grad, logits, labels, scale.rows)
	case l.params.smooth != 0 && !l.background:
		smoothKernel(losses, grad, logits, labels, &l.params, scale.all)
	case l.background && grad == nil:
		oneVsRestLossKernel(losses, logits, labels, &l.params)
	case l.background:
		oneVsRestGradKernel(losses, grad, logits, labels, &l.params, scale.all)
	case grad == nil:
		softmaxLossKernel(losses, logits, labels, &l.params)
	default:
		softmaxGradKernel(losses, grad, logits, labels, &l.params, scale.all)
	}
}

// mapIgnored gives the labels as kernels want them: noLabel for ignored rows.
func (l *rowLoss) mapIgnored(mapped *[SumBlock]int32, labels []int32) []int32 {
	m := mapped[:copy(mapped[:], labels)]
	for _, ignore := range l.ignore {
		for i, t := range labels[:len(m)] {
			to := m[i]
			if t == ignore { // a conditional move: ignored rows may lie anywhere
				to = noLabel
			}
			m[i] = to
		}
	}
	return m
}

// canonicalSum makes every NaN math.NaN(): which one an addition gives depends on the CPU.
func canonicalSum(x float64) float64 {
	if x != x {
		return math.NaN()
	}
	return x
}

// meanOf divides a sum by the number of its terms; the mean of nothing is 0.
func meanOf(sum float64, count int) float64 {
	if count == 0 {
		return 0
	}
	return canonicalSum(sum / float64(count))
}

// SigmoidLoss is the sigmoid form on dense targets y in [0, 1], element by element, as
// torchvision.ops.sigmoid_focal_loss:
//
//	p = 1/(1+e^-x),  ce = -y log p - (1-y) log(1-p),  p_t = p y + (1-p) (1-y)
//	loss = (Alpha y + (1-Alpha) (1-y)) ce (1-p_t)^gamma
//
// or without the first factor where Alpha is 0.
//
// Error for y = 0 or 1: at most 5 (1 + gamma) ULP for a loss (measured: 3.4 (1 + gamma)), 8 (1 + gamma) ULP for a
// gradient (measured: 4.1 (1 + gamma)). Between 0 and 1: at most 8 (1 + gamma) ULP for a loss (measured:
// 4.3 (1 + gamma)); a gradient crosses zero there, its error is at most 8 (1 + gamma) 2^-24 times the sum of the
// magnitudes of its terms (measured: 5.8 (1 + gamma) 2^-24). See Accuracy in the package documentation.
//
// NaN stays in its element. At ±Inf the limit is taken: for target 1 loss and gradient are 0 at +Inf, and +Inf and
// -Alpha at -Inf (-1 where Alpha is 0); mirrored for target 0. For targets between, the loss is +Inf at either end and
// the gradient finite.
type SigmoidLoss struct {
	params lossParams // classes is 1, or 0 in a loss that is not configured
}

// NewSigmoidLoss checks the configuration. The error is a *[ConfigError].
func NewSigmoidLoss(cfg SigmoidConfig) (*SigmoidLoss, error) {
	params, err := sigmoidParams(1, cfg.Gamma, cfg.Alpha)
	if err != nil {
		return nil, err
	}
	return &SigmoidLoss{params}, nil
}

// Sum adds the losses of all elements. targets has the length of logits.
//
// It returns a *[ShapeError] where the lengths differ and a *[TargetError] for the first target outside [0, 1].
func (l *SigmoidLoss) Sum(logits, targets []float32) (float64, error) {
	if err := l.checkShape(logits, targets); err != nil {
		return 0, err
	}
	// The targets are checked block by block, while they are in the cache: a sum that is not returned does no harm.
	return l.run(nil, logits, targets, 0)
}

// Mean is Sum divided by the number of elements. The mean of nothing is 0. Errors as in Sum.
func (l *SigmoidLoss) Mean(logits, targets []float32) (float64, error) {
	sum, err := l.Sum(logits, targets)
	if err != nil {
		return 0, err
	}
	return meanOf(sum, len(logits)), nil
}

// Each sets dst[i] to the loss of element i. dst has the length of logits and may be logits or targets; any other
// overlap is [ErrOverlap]. Errors as in Sum; nothing is written then.
func (l *SigmoidLoss) Each(dst, logits, targets []float32) error {
	if err := l.checkShapes("len(dst)", dst, logits, targets); err != nil {
		return err
	}
	if err := checkOutput(dst, logits, targets); err != nil {
		return err
	}
	sigmoidLossKernel(dst, logits, targets, &l.params)
	return nil
}

// Grad is the forward and the backward pass in one: it sets grad to scale * d Sum / d logits, and returns the unscaled
// Sum. The gradient of the mean has the scale 1/len(logits).
//
// grad has the length of logits and may be logits or targets; any other overlap is [ErrOverlap]. A scale of 0 writes +0
// everywhere; any other, NaN and Inf included, follows the rules of multiplication. Errors as in Sum; nothing is
// written then.
func (l *SigmoidLoss) Grad(grad, logits, targets []float32, scale float32) (float64, error) {
	if err := l.checkShapes("len(grad)", grad, logits, targets); err != nil {
		return 0, err
	}
	if err := checkOutput(grad, logits, targets); err != nil {
		return 0, err
	}
	return l.run(grad, logits, targets, scale)
}

// run sums the losses, and either checks the targets on its way (grad is nil) or writes the gradients.
func (l *SigmoidLoss) run(grad, logits, targets []float32, scale float32) (float64, error) {
	switch { // as in rowLoss.run
	case len(logits) <= smallBlock:
		var losses [smallBlock]float32
		return l.runBlocks(losses[:], grad, logits, targets, scale)
	case len(logits) <= SumBlock:
		var losses [SumBlock]float32
		return l.runBlocks(losses[:], grad, logits, targets, scale)
	}
	var losses [4 * SumBlock]float32 // the kernels' latency counts less in longer pieces
	return l.runBlocks(losses[:], grad, logits, targets, scale)
}

func (l *SigmoidLoss) runBlocks(buffer, grad, logits, targets []float32, scale float32) (float64, error) {
	total := 0.0
	for i := 0; i < len(logits); i += len(buffer) {
		end := min(i+len(buffer), len(logits))
		losses := buffer[:end-i]
		if grad != nil {
			sigmoidGradKernel(losses, grad[i:end], logits[i:end], targets[i:end], &l.params, scale)
		} else {
			if err := checkTargets(targets[i:end], i); err != nil {
				return 0, err
			}
			sigmoidLossKernel(losses, logits[i:end], targets[i:end], &l.params)
		}
		for len(losses) > SumBlock {
			total += sumBlock(losses[:SumBlock])
			losses = losses[SumBlock:]
		}
		total += sumBlock(losses)
	}
	return canonicalSum(total), nil
}

func (l *SigmoidLoss) checkShape(logits, targets []float32) error {
	if l == nil || l.params.classes == 0 {
		return ErrNotConfigured
	}
	if len(targets) != len(logits) {
		return &ShapeError{"len(targets)", len(targets), len(logits)}
	}
	raceRead(logits)
	raceRead(targets)
	return nil
}

// checkShapes checks the shape of an output too.
func (l *SigmoidLoss) checkShapes(name string, out, logits, targets []float32) error {
	if err := l.checkShape(logits, targets); err != nil {
		return err
	}
	if len(out) != len(logits) {
		return &ShapeError{name, len(out), len(logits)}
	}
	return nil
}

// checkOutput checks what a method that writes needs besides shapes: no overlap, and targets in [0, 1].
func checkOutput(out, logits, targets []float32) error {
	if overlaps(out, logits) && !same(out, logits) || overlaps(out, targets) && !same(out, targets) {
		return ErrOverlap
	}
	if err := checkTargets(targets, 0); err != nil {
		return err
	}
	raceWrite(out)
	return nil
}

// Of all floats only those in [0, 1] have no more bits than 1, and -0.
var (
	one          = math.Float32bits(1)
	negativeZero = []uint32{1 << 31}
)

// checkTargets finds the first target outside [0, 1]; first is the index of targets[0] in the caller's slice.
func checkTargets(targets []float32, first int) error {
	if i := firstBeyond(words(targets), one, negativeZero); i >= 0 {
		return &TargetError{first + i, targets[i]}
	}
	return nil
}

// BackgroundAlpha gives the weights [background, 1-background, 1-background, ...] for a [SoftmaxConfig] whose class 0
// is the background, as kornia and MONAI have it: their alpha is 1-background. It panics if classes < 1.
func BackgroundAlpha(background float32, classes int) []float32 {
	if classes < 1 {
		panic(fmt.Sprintf("focal: BackgroundAlpha: classes is %d, must be at least 1", classes))
	}
	alpha := make([]float32, classes)
	for i := range alpha {
		alpha[i] = 1 - background
	}
	alpha[0] = background
	return alpha
}

// Total adds losses in Sum's order: over what Each has written it has the bits of Sum, and of the sums of pieces of
// [SumBlock] losses added in order. NaN gives [math.NaN].
func Total(losses []float32) float64 {
	raceRead(losses)
	total := 0.0
	for i := 0; i < len(losses); i += SumBlock {
		total += sumBlock(losses[i:min(i+SumBlock, len(losses))])
	}
	return canonicalSum(total)
}
