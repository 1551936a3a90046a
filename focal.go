// Package focal computes focal loss, forward and gradient, and the vector functions that it is built on, with the same
// bits on every CPU.
//
// # The losses
//
// Focal loss (Lin, Goyal, Girshick, He and Dollár, Focal Loss for Dense Object Detection, 2017, arXiv 1708.02002) is a
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
// A loss is configured once, by New..., and may then be used by any number of goroutines at once. Its methods allocate
// nothing and start nothing:
//
//   - Sum and Mean give a scalar.
//   - Each gives the losses one by one, unreduced.
//   - Grad is the forward and the backward pass in one.
//
// A row is a sample, an anchor or a pixel: a [B, N, C] batch is the same memory as [B*N, C]. All matrices are row-major
// slices of float32, logits are the raw outputs of a model (no softmax, no sigmoid), labels are class indices from 0.
//
// # The same bits everywhere
//
// Every function is specified to the bit, by the Go code in focal_generic.go. Assembly for AVX2, AVX-512 or NEON is used
// where the CPU has it ([Variant]), and gives those bits: whatever the CPU, the length, the alignment, the position of a
// row in its batch. Within one minor version no result changes.
//
// Sums can be split: Sum, and the sum that Grad returns, depend only on the float32 values that Each writes. Each block of
// [SumBlock] of them, from the slice's start, is added in float64 in one fixed order; then the blocks from left to
// right. So sums of single blocks, computed on any goroutines or machines and added in order, are the sum of one call.
//
// # Special values
//
// No finite logit and no gamma gives NaN. In the row functions and SoftmaxLoss a logit of -Inf is a masked class; NaN, +Inf or a
// row of nothing but -Inf makes the results of that row NaN, and of no other. Every NaN that is written has the bits
// 0x7fc00000.
//
// # Environment
//
// FOCAL_DISABLE=avx512,avx2,neon, read once at start, takes variants away; avx2 takes avx512 with it, and all leaves only
// the Go code. The build tag purego leaves the assembly out.
package focal

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

var (
	// ErrNotConfigured is what the methods of a zero or nil loss return. Make losses with New....
	ErrNotConfigured = errors.New("focal: loss is not configured: it was not made by New...")
	// ErrOverlap is returned where an output shares memory with an input, other than as exactly the same slice where
	// that is allowed.
	ErrOverlap = errors.New("focal: an output overlaps an input or another output")
)

// A LabelError reports a label that is no class.
type LabelError struct {
	Row     int
	Label   int32
	Classes int
}

func (e *LabelError) Error() string {
	return fmt.Sprintf("focal: label %d of row %d is out of range for %d classes", e.Label, e.Row, e.Classes)
}

// A TargetError reports a target that is not in [0, 1].
type TargetError struct {
	Index  int
	Target float32
}

func (e *TargetError) Error() string {
	return fmt.Sprintf("focal: target %v at index %d is not in [0, 1]", e.Target, e.Index)
}

// A ShapeError reports a slice of the wrong length.
type ShapeError struct {
	What      string
	Got, Want int
}

func (e *ShapeError) Error() string {
	return fmt.Sprintf("focal: %s is %d, must be %d", e.What, e.Got, e.Want)
}

// A ConfigError reports a field of a configuration that has no meaning.
type ConfigError struct {
	Field string
	Value any
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("focal: %s cannot be %v", e.Field, e.Value)
}

// SoftmaxConfig configures a [SoftmaxLoss].
type SoftmaxConfig struct {
	Classes      int       // the length of a row, at least 1
	Gamma        float32   // finite, >= 0; there is no default: 0 is the weighted cross-entropy, other libraries default to 2
	Alpha        []float32 // nil: every class weighs 1; else one finite weight >= 0 per class
	IgnoreLabels []int32   // rows with such a label count for nothing: loss 0, gradient 0, not in the mean
}

// OneVsRestConfig configures a [OneVsRestLoss].
type OneVsRestConfig struct {
	Classes      int     // the length of a row, at least 1
	Gamma        float32 // finite, >= 0; RetinaNet uses 2
	Alpha        float32 // weight of target 1, in (0, 1); target 0 weighs 1-Alpha; 0: both weigh 1 (torchvision's -1)
	IgnoreLabels []int32 // rows with such a label count for nothing: loss 0, gradient 0, not in the mean
}

// SigmoidConfig configures a [SigmoidLoss].
type SigmoidConfig struct {
	Gamma float32 // finite, >= 0
	Alpha float32 // as in OneVsRestConfig
}

// SoftmaxLoss is the softmax form: for each row with the label t
//
//	loss = -alpha_t (1 - p_t)^gamma log p_t,  p = softmax(logits)
//
// with p_t computed so that neither p_t nor 1 - p_t loses digits, however near to 0 or 1. Error: at most 5 (1 + gamma) ULP
// for a loss, 8 (1 + gamma) ULP for a gradient; below 2^-126 as many units of 2^-149.
//
// A label on a masked class (a logit of -Inf) has the loss +Inf (0 where its alpha is 0) and the gradient alpha_t (p_j -
// [j = t]).
type SoftmaxLoss rowLoss

// OneVsRestLoss is the sigmoid form on labels: class c of a row has the target 1 if the row's label is c, and 0 if not. The
// label Classes means background: target 0 for every class. The loss of a row is the sum over its classes of
//
//	target 1: -Alpha (1-p)^gamma log p        target 0: -(1-Alpha) p^gamma log(1-p)
//
// with p = 1/(1+e^-x). Error: as [SoftmaxLoss]. NaN stays in its row's loss and its own gradient. At x = ±Inf the limit is
// taken: for target 1 loss and gradient are 0 at +Inf, and +Inf and -Alpha at -Inf; mirrored for target 0.
type OneVsRestLoss rowLoss

// NewSoftmaxLoss checks and copies the configuration. The error is a *[ConfigError].
func NewSoftmaxLoss(cfg SoftmaxConfig) (*SoftmaxLoss, error) {
	if err := checkConfig(cfg.Classes, cfg.Gamma); err != nil {
		return nil, err
	}
	if cfg.Alpha != nil && len(cfg.Alpha) != cfg.Classes {
		return nil, &ConfigError{"len(Alpha)", len(cfg.Alpha)}
	}
	for i, a := range cfg.Alpha {
		if !(a >= 0 && a <= math.MaxFloat32) {
			return nil, &ConfigError{fmt.Sprintf("Alpha[%d]", i), a}
		}
	}
	return &SoftmaxLoss{
		params: newLossParams(cfg.Classes, cfg.Gamma, slices.Clone(cfg.Alpha), 1, 1),
		labels: cfg.Classes,
		ignore: slices.Clone(cfg.IgnoreLabels),
	}, nil
}

// Sum adds the losses of all rows. logits is [rows, classes], labels one per row.
//
// It returns a *[ShapeError] where the lengths don't match and a *[LabelError] for the first label that is neither a class
// nor ignored. The logits of ignored rows are never used.
func (l *SoftmaxLoss) Sum(logits []float32, labels []int32) (float64, error) {
	return (*rowLoss)(l).sum(logits, labels)
}

// Mean is Sum divided by Count: by the number of rows that are not ignored, not by the sum of their alphas. The mean of
// nothing is 0. Errors as in Sum.
func (l *SoftmaxLoss) Mean(logits []float32, labels []int32) (float64, error) {
	return (*rowLoss)(l).mean(logits, labels)
}

// Each sets dst[i] to the loss of row i, 0 where the row is ignored. len(dst) must equal len(labels), and dst may
// not overlap logits or labels ([ErrOverlap]). Errors as in Sum; nothing is written then.
func (l *SoftmaxLoss) Each(dst, logits []float32, labels []int32) error {
	return (*rowLoss)(l).each(dst, logits, labels)
}

// Grad is the forward and the backward pass in one: it sets grad to scale * d Sum / d logits, and returns the unscaled
// Sum. The gradient of the mean has the scale 1/Count.
//
// grad has the shape of logits and may be logits; any other overlap is [ErrOverlap]. Ignored rows get 0. A scale of 0
// writes +0 everywhere; any other, NaN and Inf included, follows the rules of multiplication. Errors as in Sum; nothing is
// written then.
//
// With q = 1 - p_t, the gradient is G p_j for j != t and -G q for j = t, where G = alpha_t q^gamma (1 + gamma p_t (-log
// p_t) / q).
func (l *SoftmaxLoss) Grad(grad, logits []float32, labels []int32, scale float32) (float64, error) {
	return (*rowLoss)(l).grad(grad, logits, labels, scale)
}

// Count is the number of rows that are not ignored. Errors as in Sum.
func (l *SoftmaxLoss) Count(labels []int32) (int, error) { return (*rowLoss)(l).count(labels) }

// NewOneVsRestLoss checks and copies the configuration. The error is a *[ConfigError].
func NewOneVsRestLoss(cfg OneVsRestConfig) (*OneVsRestLoss, error) {
	if err := checkConfig(cfg.Classes, cfg.Gamma); err != nil {
		return nil, err
	}
	positive, negative, err := sigmoidWeights(cfg.Alpha)
	if err != nil {
		return nil, err
	}
	if cfg.Classes == math.MaxInt { // labels reach to Classes
		return nil, &ConfigError{"Classes", cfg.Classes}
	}
	return &OneVsRestLoss{
		params:     newLossParams(cfg.Classes, cfg.Gamma, nil, positive, negative),
		labels:     cfg.Classes + 1,
		background: true,
		ignore:     slices.Clone(cfg.IgnoreLabels),
	}, nil
}

// Sum adds the losses of all rows. logits is [rows, classes], labels one per row.
//
// It returns a *[ShapeError] where the lengths don't match and a *[LabelError] for the first label that is neither a class nor Classes
// nor ignored. The logits of ignored rows are never used.
func (l *OneVsRestLoss) Sum(logits []float32, labels []int32) (float64, error) {
	return (*rowLoss)(l).sum(logits, labels)
}

// Mean is Sum divided by Count: by the number of rows that are not ignored, not of positives. The mean of
// nothing is 0. Errors as in Sum.
func (l *OneVsRestLoss) Mean(logits []float32, labels []int32) (float64, error) {
	return (*rowLoss)(l).mean(logits, labels)
}

// Each sets dst[i] to the loss of row i, the sum over its classes, 0 where the row is ignored. len(dst) must equal len(labels), and dst may
// not overlap logits or labels ([ErrOverlap]). Errors as in Sum; nothing is written then.
func (l *OneVsRestLoss) Each(dst, logits []float32, labels []int32) error {
	return (*rowLoss)(l).each(dst, logits, labels)
}

// Grad is the forward and the backward pass in one: it sets grad to scale * d Sum / d logits, and returns the unscaled
// Sum. The gradient of the mean has the scale 1/Count, RetinaNet's 1/Positives.
//
// grad has the shape of logits and may be logits; any other overlap is [ErrOverlap]. Ignored rows get 0. A scale of 0
// writes +0 everywhere; any other, NaN and Inf included, follows the rules of multiplication. Errors as in Sum; nothing is
// written then.
func (l *OneVsRestLoss) Grad(grad, logits []float32, labels []int32, scale float32) (float64, error) {
	return (*rowLoss)(l).grad(grad, logits, labels, scale)
}

// Count is the number of rows that are not ignored. Errors as in Sum.
func (l *OneVsRestLoss) Count(labels []int32) (int, error) { return (*rowLoss)(l).count(labels) }

// Positives is the number of rows that are neither ignored nor background: what RetinaNet divides its loss by. Errors as in
// Sum.
func (l *OneVsRestLoss) Positives(labels []int32) (int, error) {
	n, err := l.Count(labels)
	if err != nil {
		return 0, err
	}
	for _, t := range labels {
		if int(t) == l.params.classes && !(*rowLoss)(l).ignored(t) {
			n--
		}
	}
	return n, nil
}

// checkConfig checks what all forms have.
func checkConfig(classes int, gamma float32) error {
	if classes < 1 {
		return &ConfigError{"Classes", classes}
	}
	if !(gamma >= 0 && gamma <= math.MaxFloat32) {
		return &ConfigError{"Gamma", gamma}
	}
	return nil
}

// sigmoidWeights gives the weights of target 1 and target 0.
func sigmoidWeights(alpha float32) (positive, negative float32, err error) {
	if !(alpha >= 0 && alpha < 1) {
		return 0, 0, &ConfigError{"Alpha", alpha}
	}
	if alpha == 0 {
		return 1, 1, nil
	}
	return alpha, 1 - alpha, nil
}

// rowLoss is what the forms with a label per row share.
type rowLoss struct {
	params     lossParams
	labels     int  // how many labels there are; 0: not configured
	background bool // the one-vs-rest form
	ignore     []int32
}

func (l *rowLoss) sum(logits []float32, labels []int32) (float64, error) {
	if err := l.check(logits, labels); err != nil {
		return 0, err
	}
	if err := l.checkLabels(labels); err != nil {
		return 0, err
	}
	return l.run(nil, logits, labels, 0), nil
}

func (l *rowLoss) mean(logits []float32, labels []int32) (float64, error) {
	sum, err := l.sum(logits, labels)
	if err != nil {
		return 0, err
	}
	n := l.counted(labels)
	if n == 0 {
		return 0, nil
	}
	return sum / float64(n), nil
}

func (l *rowLoss) each(dst, logits []float32, labels []int32) error {
	if err := l.check(logits, labels); err != nil {
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
	raceWrite(dst)
	var mapped [SumBlock]int32
	for row := 0; row < len(labels); row += SumBlock {
		end := min(row+SumBlock, len(labels))
		l.losses(dst[row:end], l.rows(logits, row, end), l.mapLabels(&mapped, labels[row:end]))
	}
	return nil
}

func (l *rowLoss) grad(grad, logits []float32, labels []int32, scale float32) (float64, error) {
	if err := l.check(logits, labels); err != nil {
		return 0, err
	}
	if len(grad) != len(logits) {
		return 0, &ShapeError{"len(grad)", len(grad), len(logits)}
	}
	if overlaps(grad, logits) && !same(grad, logits) || overlaps(grad, labels) {
		return 0, ErrOverlap
	}
	if err := l.checkLabels(labels); err != nil {
		return 0, err
	}
	raceWrite(grad)
	return l.run(grad, logits, labels, scale), nil
}

func (l *rowLoss) count(labels []int32) (int, error) {
	if l == nil || l.labels == 0 {
		return 0, ErrNotConfigured
	}
	if err := l.checkLabels(labels); err != nil {
		return 0, err
	}
	return l.counted(labels), nil
}

// counted is how many of the checked labels are not ignored.
func (l *rowLoss) counted(labels []int32) int {
	if len(l.ignore) == 0 {
		return len(labels)
	}
	n := 0
	for _, t := range labels {
		if !l.ignored(t) {
			n++
		}
	}
	return n
}

func (l *rowLoss) ignored(label int32) bool {
	for _, t := range l.ignore {
		if t == label {
			return true
		}
	}
	return false
}

// checkLabels finds the first label that is neither in range nor ignored.
func (l *rowLoss) checkLabels(labels []int32) error {
	raceRead(labels)
	// Whether all are in range is decided without a branch; only if not, which one is the first.
	last := uint32(min(l.labels-1, math.MaxInt32))
	var beyond uint64
	for _, t := range labels {
		beyond |= uint64(last) - uint64(uint32(t)) // the upper half is set if uint32(t) > last
	}
	if beyond>>32 == 0 {
		return nil
	}
	for i, t := range labels {
		if uint32(t) > last && !l.ignored(t) {
			return &LabelError{i, t, l.params.classes}
		}
	}
	return nil
}

// check checks that there are whole rows of logits and a label for each.
func (l *rowLoss) check(logits []float32, labels []int32) error {
	if l == nil || l.labels == 0 {
		return ErrNotConfigured
	}
	c := l.params.classes
	if len(logits)%c != 0 {
		return &ShapeError{"len(logits)", len(logits), len(logits) / c * c}
	}
	if rows := len(logits) / c; len(labels) != rows {
		return &ShapeError{"len(labels)", len(labels), rows}
	}
	raceRead(logits)
	return nil
}

// rows gives the logits, or the gradients, of some rows.
func (l *rowLoss) rows(matrix []float32, start, end int) []float32 {
	return matrix[start*l.params.classes : end*l.params.classes]
}

// mapLabels gives the labels as kernels want them: noLabel for ignored rows.
func (l *rowLoss) mapLabels(mapped *[SumBlock]int32, labels []int32) []int32 {
	if len(l.ignore) == 0 {
		return labels
	}
	for i, t := range labels {
		if l.ignored(t) {
			t = noLabel
		}
		mapped[i] = t
	}
	return mapped[:len(labels)]
}

func (l *rowLoss) losses(losses, logits []float32, labels []int32) {
	if l.background {
		oneVsRestLossKernel(losses, logits, labels, &l.params)
	} else {
		softmaxLossKernel(losses, logits, labels, &l.params)
	}
}

// run sums the losses of checked input, block by block, and writes the gradients unless grad is nil.
func (l *rowLoss) run(grad, logits []float32, labels []int32, scale float32) float64 {
	var (
		mapped [SumBlock]int32
		buffer [SumBlock]float32
		total  float64
	)
	for row := 0; row < len(labels); row += SumBlock {
		end := min(row+SumBlock, len(labels))
		losses, z, t := buffer[:end-row], l.rows(logits, row, end), l.mapLabels(&mapped, labels[row:end])
		switch {
		case grad == nil:
			l.losses(losses, z, t)
		case l.background:
			oneVsRestGradKernel(losses, l.rows(grad, row, end), z, t, &l.params, scale)
		default:
			softmaxGradKernel(losses, l.rows(grad, row, end), z, t, &l.params, scale)
		}
		total += sumBlock(losses)
	}
	return canonical64(total)
}

// canonical64 makes every NaN math.NaN().
func canonical64(x float64) float64 {
	if x != x {
		return math.NaN()
	}
	return x
}

// SigmoidLoss is the sigmoid form on dense targets y in [0, 1], element by element, as torchvision.ops.sigmoid_focal_loss:
//
//	p = 1/(1+e^-x),  ce = -y log p - (1-y) log(1-p),  p_t = p y + (1-p) (1-y)
//	loss = (Alpha y + (1-Alpha) (1-y)) ce (1-p_t)^gamma
//
// or without the first factor where Alpha is 0. Error: at most 5 (1 + gamma) ULP for y = 0 or 1 (gradients 8 (1 + gamma)), 8
// (1 + gamma) ULP between; a gradient for y between 0 and 1 crosses zero: its error is at most 8 (1 + gamma) 2^-24 times the
// sum of the magnitudes of its terms. Special values as in [OneVsRestLoss].
type SigmoidLoss struct {
	params     lossParams
	configured bool
}

// NewSigmoidLoss checks the configuration. The error is a *[ConfigError].
func NewSigmoidLoss(cfg SigmoidConfig) (*SigmoidLoss, error) {
	if err := checkConfig(1, cfg.Gamma); err != nil {
		return nil, err
	}
	positive, negative, err := sigmoidWeights(cfg.Alpha)
	if err != nil {
		return nil, err
	}
	return &SigmoidLoss{params: newLossParams(1, cfg.Gamma, nil, positive, negative), configured: true}, nil
}

// Sum adds the losses of all elements. targets has the length of logits.
//
// It returns a *[ShapeError] where the lengths differ and a *[TargetError] for the first target outside [0, 1].
func (l *SigmoidLoss) Sum(logits, targets []float32) (float64, error) {
	if err := l.check(logits, targets); err != nil {
		return 0, err
	}
	// The targets are checked block by block, while they are in the cache; a sum that is not returned does no harm.
	var buffer [SumBlock]float32
	var total float64
	for i := 0; i < len(logits); i += SumBlock {
		end := min(i+SumBlock, len(logits))
		if err := checkTargets(targets[i:end], i); err != nil {
			return 0, err
		}
		losses := buffer[:end-i]
		sigmoidLossKernel(losses, logits[i:end], targets[i:end], &l.params)
		total += sumBlock(losses)
	}
	return canonical64(total), nil
}

// Mean is Sum divided by the number of elements. The mean of nothing is 0. Errors as in Sum.
func (l *SigmoidLoss) Mean(logits, targets []float32) (float64, error) {
	sum, err := l.Sum(logits, targets)
	if err != nil || len(logits) == 0 {
		return 0, err
	}
	return sum / float64(len(logits)), nil
}

// Each sets dst[i] to the loss of element i. dst has the length of logits and may be logits or targets; any other overlap is
// [ErrOverlap]. Errors as in Sum; nothing is written then.
func (l *SigmoidLoss) Each(dst, logits, targets []float32) error {
	if err := l.checkOutput("len(dst)", dst, logits, targets); err != nil {
		return err
	}
	for i := 0; i < len(logits); i += SumBlock {
		end := min(i+SumBlock, len(logits))
		sigmoidLossKernel(dst[i:end], logits[i:end], targets[i:end], &l.params)
	}
	return nil
}

// Grad is the forward and the backward pass in one: it sets grad to scale * d Sum / d logits, and returns the unscaled Sum.
//
// grad has the length of logits and may be logits or targets; any other overlap is [ErrOverlap]. A scale of 0 writes +0
// everywhere; any other follows the rules of multiplication. Errors as in Sum; nothing is written then.
func (l *SigmoidLoss) Grad(grad, logits, targets []float32, scale float32) (float64, error) {
	if err := l.checkOutput("len(grad)", grad, logits, targets); err != nil {
		return 0, err
	}
	var buffer [SumBlock]float32
	var total float64
	for i := 0; i < len(logits); i += SumBlock {
		end := min(i+SumBlock, len(logits))
		losses := buffer[:end-i]
		sigmoidGradKernel(losses, grad[i:end], logits[i:end], targets[i:end], &l.params, scale)
		total += sumBlock(losses)
	}
	return canonical64(total), nil
}

func (l *SigmoidLoss) check(logits, targets []float32) error {
	if l == nil || !l.configured {
		return ErrNotConfigured
	}
	if len(targets) != len(logits) {
		return &ShapeError{"len(targets)", len(targets), len(logits)}
	}
	raceRead(logits)
	raceRead(targets)
	return nil
}

// checkOutput checks the input of a method that writes, the targets too.
func (l *SigmoidLoss) checkOutput(name string, out, logits, targets []float32) error {
	if err := l.check(logits, targets); err != nil {
		return err
	}
	if len(out) != len(logits) {
		return &ShapeError{name, len(out), len(logits)}
	}
	if overlaps(out, logits) && !same(out, logits) || overlaps(out, targets) && !same(out, targets) {
		return ErrOverlap
	}
	raceWrite(out)
	return checkTargets(targets, 0)
}

// checkTargets finds the first target outside [0, 1]; first is the index of targets[0] in the caller's slice.
func checkTargets(targets []float32, first int) error {
	for i, y := range targets {
		if !(y >= 0 && y <= 1) {
			return &TargetError{first + i, y}
		}
	}
	return nil
}

// BackgroundAlpha gives the weights [background, 1-background, 1-background, ...] for a [SoftmaxConfig] whose class 0 is
// the background, as kornia and MONAI have it. It panics if classes < 1.
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
