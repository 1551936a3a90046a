package focal

import "github.com/gofocal/focal/internal/coef"

// SoftTargetConfig configures a [SoftTargetLoss].
type SoftTargetConfig struct {
	Classes int       // the length of a row, at least 1
	Gamma   float32   // finite, >= 0; no default: 0 is the weighted cross-entropy, Keras defaults to 2
	Alpha   []float32 // nil: every class weighs 1; else one finite weight >= 0 per class
}

// SoftTargetLoss is the softmax form on targets instead of labels, for mixup, distillation or smoothed labels: targets has
// the shape of the logits and values in [0, 1], which need not add up to 1. The loss of a row is
//
//	loss = sum_c alpha_c y_c (1 - p_c)^gamma (-log p_c),  p = softmax(logits)
//
// as Keras' CategoricalFocalCrossentropy has it, without its clipping. On one-hot targets it is [SoftmaxLoss], within the
// bounds of both.
//
// Error: at most 8 (1 + gamma) ULP for a loss. A gradient crosses zero; its error is at most 8 (1 + gamma) 2^-24 times the
// sum of the magnitudes of its terms. See Accuracy in the package documentation.
//
// A target above 0 on a masked class (a logit of -Inf) makes the loss +Inf unless the class weighs 0. NaN, +Inf or nothing
// but -Inf in a row makes that row's results NaN, and no other's.
//
// It is safe for concurrent use, and its methods allocate nothing.
type SoftTargetLoss struct {
	params lossParams // classes is 0 in a loss that is not configured
}

// NewSoftTargetLoss checks and copies the configuration. The error is a *[ConfigError].
func NewSoftTargetLoss(cfg SoftTargetConfig) (*SoftTargetLoss, error) {
	params, err := softmaxParams(cfg.Classes, cfg.Gamma, cfg.Alpha)
	if err != nil {
		return nil, err
	}
	return &SoftTargetLoss{params}, nil
}

// Sum adds the losses of all rows. logits and targets are [rows, classes].
//
// It returns a *[ShapeError] where the lengths don't match and a *[TargetError] for the first target outside [0, 1].
func (l *SoftTargetLoss) Sum(logits, targets []float32) (float64, error) {
	if err := l.check(logits, targets); err != nil {
		return 0, err
	}
	return l.run(nil, logits, targets, 0), nil
}

// Mean is Sum divided by the number of rows. The mean of nothing is 0. Errors as in Sum.
func (l *SoftTargetLoss) Mean(logits, targets []float32) (float64, error) {
	sum, err := l.Sum(logits, targets)
	if err != nil {
		return 0, err
	}
	return meanOf(sum, len(logits)/l.params.classes), nil
}

// Each sets dst[i] to the loss of row i. len(dst) must equal the number of rows, and dst may not overlap logits or targets
// ([ErrOverlap]). Errors as in Sum; nothing is written then.
func (l *SoftTargetLoss) Each(dst, logits, targets []float32) error {
	if err := l.checkShape(logits, targets); err != nil {
		return err
	}
	if rows := len(logits) / l.params.classes; len(dst) != rows {
		return &ShapeError{"len(dst)", len(dst), rows}
	}
	if overlaps(dst, logits) || overlaps(dst, targets) {
		return ErrOverlap
	}
	if err := l.check(logits, targets); err != nil {
		return err
	}
	raceWrite(dst)
	softTargetKernel(dst, nil, logits, targets, &l.params, 0)
	return nil
}

// Grad is the forward and the backward pass in one: it sets grad to scale * d Sum / d logits, and returns the unscaled
// Sum. The gradient of the mean has the scale 1/rows.
//
// grad has the shape of logits and may be logits or targets; any other overlap is [ErrOverlap]. A scale of 0 writes +0
// everywhere; any other, NaN and Inf included, follows the rules of multiplication. Errors as in Sum; nothing is written
// then.
func (l *SoftTargetLoss) Grad(grad, logits, targets []float32, scale float32) (float64, error) {
	if err := l.checkShape(logits, targets); err != nil {
		return 0, err
	}
	if len(grad) != len(logits) {
		return 0, &ShapeError{"len(grad)", len(grad), len(logits)}
	}
	if err := checkOutput(grad, logits, targets); err != nil {
		return 0, err
	}
	return l.run(grad, logits, targets, scale), nil
}

// run sums the losses, and writes the gradients unless grad is nil.
func (l *SoftTargetLoss) run(grad, logits, targets []float32, scale float32) float64 {
	var losses [SumBlock]float32
	c, total := l.params.classes, 0.0
	for len(logits) > 0 {
		rows := min(SumBlock, len(logits)/c)
		n := rows * c
		var g []float32
		if grad != nil {
			g, grad = grad[:n], grad[n:]
		}
		softTargetKernel(losses[:rows], g, logits[:n], targets[:n], &l.params, scale)
		total += sumBlock(losses[:rows])
		logits, targets = logits[n:], targets[n:]
	}
	return canonicalSum(total)
}

func (l *SoftTargetLoss) checkShape(logits, targets []float32) error {
	if l == nil || l.params.classes == 0 {
		return ErrNotConfigured
	}
	if c := l.params.classes; len(logits)%c != 0 {
		return &ShapeError{"len(logits)", len(logits), len(logits) / c * c}
	}
	if len(targets) != len(logits) {
		return &ShapeError{"len(targets)", len(targets), len(logits)}
	}
	raceRead(logits)
	raceRead(targets)
	return nil
}

func (l *SoftTargetLoss) check(logits, targets []float32) error {
	if err := l.checkShape(logits, targets); err != nil {
		return err
	}
	return checkTargets(targets, 0)
}

// The softmax form on soft targets. With w_c = alpha_c y_c, l_c = -log p_c and q_c = 1 - p_c = 1 - e^(-l_c), a row's loss is
// the sum of the (w_c l_c) q_c^gamma. With H_c = w_c q_c^gamma (1 + gamma p_c l_c / q_c) and A their sum, its gradient is
//
//	sum_c H_c (p_j - [c = j]) = p_j (A - H_j) - q_j H_j
//
// p and l come from softmax and log-softmax, which lose no digits, nor does q; A is kept to float64, lest a dominant H_j
// hide the others in A - H_j.
type softTerm struct{ p, q, loss, h float32 }

func newSoftTerm(p, logP, w float32, params *lossParams) softTerm {
	l := 0 - logP
	q := complement(l, p)
	focus := params.focus(q)
	ratio := l / q
	if q == 0 {
		ratio = 1
	}
	x := p * ratio
	if p == 0 {
		x = 0
	}
	h := float32(float32(w*focus) * fma32(params.factor, x, 1)) // it is subtracted
	return softTerm{p, q, weighted(w, l, focus), h}
}

// complement is 1 - p for p = e^-l: by the polynomial of e^r - 1 = r h(r) for small l.
func complement(l, p float32) float32 {
	if l < complementMax {
		return l * horner(-l, coef.RowPoly[1:])
	}
	return 1 - p
}

// complementMax is ln2/2, or less.
const complementMax = coef.ComplementMax

// softTargetGeneric writes the gradients too, unless grad is nil.
func softTargetGeneric(losses, grad, logits, targets []float32, params *lossParams, scale float32) {
	c := params.classes
	for i := range losses {
		z, y := logits[i*c:][:c], targets[i*c:][:c]
		m, t := firstMax(z)
		r := newRow(z, -1)
		inv, invLow := reciprocal(r.sum)
		first := newRow(z, t)
		nll := newTail(&first, z[t]).nll
		term := func(j int) softTerm {
			e := r.exp(z[j])
			return newSoftTerm(canonical(fma32(e, inv, float32(e*invLow))), canonical((z[j]-m)-nll), params.weight(int32(j))*y[j], params)
		}
		var total, slopes [lanes]float64
		for j := range z {
			s := term(j)
			total[j%lanes] += float64(s.loss)
			slopes[j%lanes] += float64(s.h)
		}
		losses[i] = canonical(float32(fold(&total)))
		if grad == nil {
			continue
		}
		g := grad[i*c:][:c]
		if scale == 0 {
			clear(g)
			continue
		}
		a, aLow := split(fold(&slopes))
		for j := range z {
			s := term(j)
			g[j] = canonical(scale * fma32(s.p, (a-s.h)+aLow, -float32(s.q*s.h)))
		}
	}
}

// split is x as the sum of two float32.
func split(x float64) (high, low float32) {
	high = float32(x)
	return high, float32(x - float64(high))
}

// softTargetKernel writes the gradients too, unless grad is nil; grad may be logits or targets.
func softTargetKernel(losses, grad, logits, targets []float32, params *lossParams, scale float32) {
	switch {
	case active == generic:
		softTargetGeneric(losses, grad, logits, targets, params, scale)
	case scale == 0 || grad == nil:
		softTargetRows(losses, nil, logits, targets, params, 0)
		clear(grad)
	default:
		softTargetRows(losses, grad, logits, targets, params, scale)
	}
}

// softBuffers are what the passes over a piece hand on: some rows, or a part of a long one.
type softBuffers struct {
	probs, logs [lossChunk]float32 // logs becomes q
	losses      [lossChunk]float32
	slopes      [lossChunk]float32 // H
	weights     [lossChunk]float32
}

func softTargetRows(losses, grad, logits, targets []float32, params *lossParams, scale float32) {
	var b softBuffers
	c := params.classes
	rows := max(1, lossChunk/c)
	if c <= lossChunk {
		for i := range min(rows*c, len(logits)) {
			b.weights[i] = params.weight(int32(i % c))
		}
	}
	for len(losses) > 0 {
		n := min(rows, len(losses))
		z, y := logits[:n*c], targets[:n*c]
		var g []float32
		if grad != nil {
			g, grad = grad[:n*c], grad[n*c:]
		}
		if c <= lossChunk {
			softmaxKernel(b.probs[:n*c], z, c)
			logSoftmaxKernel(b.logs[:n*c], z, c)
			b.terms(y, params)
			for i := range n {
				losses[i] = canonical(float32(sumBlock(b.losses[i*c:][:c])))
				if g != nil {
					b.write(g[i*c:][:c], i*c, sumBlock(b.slopes[i*c:][:c]), scale)
				}
			}
		} else {
			losses[0] = b.longRow(g, z, y, params, scale)
		}
		losses, logits, targets = losses[n:], logits[n*c:], targets[n*c:]
	}
}

// longRow is a row of more than lossChunk classes, in pieces: for a gradient it goes through them twice.
func (b *softBuffers) longRow(grad, z, y []float32, params *lossParams, scale float32) float32 {
	var sums, logs rowSums
	pass := newPass(1, len(z), false, true)
	pass.plain = sumLong(&sums, z, noLabel)
	sums.reciprocals(1)
	logSums(&logs, z, 1, len(z))
	piece := func(start int) int {
		n := min(lossChunk, len(z)-start)
		probabilities.writePart(&sums, b.probs[:n], z[start:start+n], noLabel, pass.plain)
		logSoftmaxRowsAsm(&b.logs[0], &logs.sum[0], &z[start], 1, n)
		for i := range n {
			b.weights[i] = params.weight(int32(start + i))
		}
		b.terms(y[start:start+n], params)
		return n
	}
	var total, slopes [lanes]float64
	for start := 0; start < len(z); start += lossChunk {
		n := piece(start)
		addTermsAsm(&total, &b.losses[0], n)
		addTermsAsm(&slopes, &b.slopes[0], n)
	}
	if grad != nil {
		a := fold(&slopes)
		for start := 0; start < len(z); start += lossChunk {
			n := piece(start)
			b.write(grad[start:start+n], 0, a, scale)
		}
	}
	return canonical(float32(fold(&total)))
}

// terms computes a piece's losses, H and q.
func (b *softBuffers) terms(y []float32, params *lossParams) {
	softTermsAsm(&b.losses[0], &b.slopes[0], &b.logs[0], &b.probs[0], &y[0], &b.weights[0], len(y), params)
}

// write writes a gradient whose terms begin at start; a is the sum of its H.
func (b *softBuffers) write(grad []float32, start int, a float64, scale float32) {
	var sum [3]float32
	sum[0], sum[1] = split(a)
	sum[2] = scale
	softGradAsm(&grad[0], &b.probs[start], &b.logs[start], &b.slopes[start], len(grad), &sum[0])
}
