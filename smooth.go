package focal

import "math"

// Label smoothing in the softmax form. With the logarithms of all unmasked classes' probabilities, C in number,
//
//	ce = (1 - eps) (-log p_t) + eps mean_c(-log p_c)
//
// has no negative term. The loss is (alpha ce) q^gamma. Its gradient, with s = scale alpha q^gamma, is
//
//	j != t:  s (p_j - eps/C + gamma p_t ce p_j / q) = k e_j / R - s eps/C,  k = s (q + gamma p_t ce)
//	j = t:   s (-q + eps - eps/C - gamma p_t ce)    = s (eps - eps/C) - k
//
// since p_j / q = e_j / R. Masked classes have no part in C: their gradient has no eps/C.

// masked reports whether z is the logit, or the logarithm of the probability, of a masked class.
func masked(z float32) bool { return z < -math.MaxFloat32 }

// logMean is mean_c(-log p_c), from log-softmax, and the number of unmasked classes. It adds in float64, 16 lanes and their
// fold, as sumBlockGeneric does.
func logMean(z []float32) (mean, classes float32) {
	m, t := firstMax(z)
	r := newRow(z, t)
	l := newTail(&r, z[t]).nll
	var total, count [lanes]float64
	for j, x := range z {
		if !masked(x) {
			total[j%lanes] -= float64((x - m) - l)
			count[j%lanes]++
		}
	}
	return meanAndCount(&total, &count)
}

func meanAndCount(total, count *[lanes]float64) (mean, classes float32) {
	n := fold(count)
	return float32(fold(total) / n), float32(n)
}

// crossEntropy is ce.
func (p *lossParams) crossEntropy(nll, mean float32) float32 {
	return fma32(p.smooth, mean, float32((1-p.smooth)*nll))
}

// A smoothGrad is what the gradient of a smoothed row is made of: k e_j / R = (e_j pre) f, s eps/C, and that of the target.
type smoothGrad struct{ pre, f, even, target float32 }

func (p *lossParams) smoothGradient(end *tail, zt, ce, alpha, focus, scale, classes float32) smoothGrad {
	s := scale * float32(alpha*focus)
	x := end.pt * ce
	if end.pt == 0 || p.factor == 0 {
		x = 0
	}
	k := s * fma32(p.factor, x, end.q)
	if s == 0 && end.sum == end.sum { // whatever overflows beside it
		k = 0
	}
	share := p.smooth / classes
	rest := p.smooth
	if !masked(zt) {
		rest -= share
	}
	g := smoothGrad{even: float32(s * share), target: canonical(fma32(s, rest, -k))}
	g.pre, g.f = end.share(k)
	return g
}

// smoothGeneric is softmaxLossGeneric and softmaxGradGeneric, with smoothing; grad may be nil.
func smoothGeneric(losses, grad, logits []float32, labels []int32, p *lossParams, scale float32) {
	for i, t := range labels {
		z := logits[i*p.classes:][:p.classes]
		var g []float32
		if grad != nil {
			g = grad[i*p.classes:][:p.classes]
		}
		if t == noLabel {
			losses[i] = 0
			clear(g)
			continue
		}
		row := newRow(z, int(t))
		end := newTail(&row, z[t])
		mean, classes := logMean(z)
		ce := p.crossEntropy(end.nll, mean)
		alpha, focus := p.weight(t), p.focus(end.q)
		losses[i] = p.weighted(alpha, ce, focus)
		if g == nil {
			continue
		}
		if scale == 0 {
			clear(g)
			continue
		}
		d := p.smoothGradient(&end, z[t], ce, alpha, focus, scale, classes)
		for j, x := range z {
			y := float32(float32(row.exp(x)*d.pre) * d.f)
			if !masked(x) {
				y -= d.even
			}
			g[j] = canonical(y)
		}
		g[t] = d.target
	}
}

// smoothSums is what smoothing needs of some rows besides rowSums. Assembly knows the order of the fields.
type smoothSums struct {
	mean    [rowsAtOnce]float32 // then s eps/C
	classes [rowsAtOnce]float32
}

// smoothKernel writes the gradients too, unless grad is nil; grad may be logits.
func smoothKernel(losses, grad, logits []float32, labels []int32, p *lossParams, scale float32) {
	switch {
	case active == generic:
		smoothGeneric(losses, grad, logits, labels, p, scale)
	case scale == 0 || grad == nil:
		smoothRows(losses, nil, logits, labels, p, 1)
		clear(grad)
	default:
		smoothRows(losses, grad, logits, labels, p, scale)
	}
}

func smoothRows(losses, grad, logits []float32, labels []int32, p *lossParams, scale float32) {
	var sums rowSums
	var e columns
	var more smoothSums
	var buffer [lossChunk + lanes]float32 // addLogs reads whole tiles of it
	c := p.classes
	rows := rowsPerCall(c, lossChunk)
	for len(labels) > 0 {
		n := min(rows, len(labels))
		z, t := logits[:n*c], labels[:n]
		logMeans(&more, &buffer, z, n, c)
		var terms []float32
		if grad != nil && c <= lossChunk {
			terms = buffer[:n*c]
		}
		pass := newPass(n, c, true, grad != nil)
		pass.sum(&sums, &e, terms, z, t)
		p.weights(&sums, t)
		rowSmoothAsm(&losses[0], &sums.sum[0], &more.mean[0], n, p, &scale)
		if grad != nil {
			if c <= lossChunk {
				pass.write(&sums, &e, terms, z, t, gradients)
				for i := range n {
					smoothSpreadAsm(&grad[i*c], &terms[i*c], &z[i*c], c, &more.mean[i])
				}
			} else {
				for start := 0; start < c; start += lossChunk {
					end := min(start+lossChunk, c)
					gradients.writePart(&sums, buffer[:end-start], z[start:end], int(t[0])-start, pass.plain)
					smoothSpreadAsm(&grad[start], &buffer[0], &z[start], end-start, &more.mean[0])
				}
			}
		}
		for i, label := range t {
			if grad != nil && label != noLabel {
				grad[i*c+int(label)] = sums.target[i]
			}
		}
		clearIgnored(losses, grad, t, c)
		losses, logits, labels = losses[n:], logits[n*c:], labels[n:]
		if grad != nil {
			grad = grad[n*c:]
		}
	}
}

// logMeans is logMean for some rows.
func logMeans(more *smoothSums, buffer *[lossChunk + lanes]float32, logits []float32, rows, classes int) {
	var sums rowSums
	logSums(&sums, logits, rows, classes)
	for i := range rows {
		z := logits[i*classes:][:classes]
		var total [2 * lanes]float64
		for start := 0; start < classes; start += lossChunk {
			end := min(start+lossChunk, classes)
			logSoftmaxRowsAsm(&buffer[0], &sums.sum[i], &z[start], 1, end-start)
			addLogsAsm(&total, &z[start], &buffer[0], end-start)
		}
		more.mean[i], more.classes[i] = meanAndCount((*[lanes]float64)(total[:]), (*[lanes]float64)(total[lanes:]))
	}
}

// smoothTerms computes a piece of smoothed rows of the one-vs-rest form, with a kernel that always writes gradients; grad
// may be nil.
func smoothTerms(terms, grad, logits, targets []float32, p *lossParams, scale float32) {
	var scales, unused [lossChunk]float32
	for i := range logits {
		scales[i] = scale
	}
	if grad == nil {
		grad = unused[:len(logits)]
	}
	sigmoidGradScaledKernel(terms, grad, logits, targets, scales[:len(logits)], p)
}
