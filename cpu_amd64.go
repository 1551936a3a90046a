//go:build !purego

package focal

import "github.com/klauspost/cpuid/v2"

// What the kernels of a variant use; a test holds the assembly against these lists. That the operating system saves
// the registers (XCR0) is part of cpuid's answer.
var (
	avx2Features   = []cpuid.FeatureID{cpuid.AVX, cpuid.AVX2, cpuid.FMA3, cpuid.CMOV}
	avx512Features = []cpuid.FeatureID{cpuid.AVX512F, cpuid.AVX512DQ, cpuid.AVX512BW, cpuid.AVX512VL, cpuid.BMI2}
)

// supported lists the variants that this CPU and operating system run, best first.
func supported() []variant { return supportedBy(&cpuid.CPU) }

func supportedBy(cpu *cpuid.CPUInfo) []variant {
	switch {
	case !cpu.Supports(avx2Features...):
		return nil
	case !cpu.Supports(avx512Features...):
		return []variant{avx2}
	}
	return []variant{avx512, avx2}
}

// The kernels. A slice goes to the assembly in chunks, and a chunk before the last through a call of the same function:
// where a function begins is where the garbage collection can stop it. (Between two calls of assembly there are too few
// instructions of Go for a signal to hit.)

func expKernel(dst, x []float32) {
	for len(x) > chunk {
		expKernel(dst[:chunk], x[:chunk])
		dst, x = dst[chunk:], x[chunk:]
	}
	switch {
	case len(x) == 0:
	case active == avx512:
		expAVX512(&dst[0], &x[0], len(x))
	case active == avx2:
		expAVX2(&dst[0], &x[0], len(x))
	default:
		expGeneric(dst, x)
	}
}

func logKernel(dst, x []float32) {
	for len(x) > chunk {
		logKernel(dst[:chunk], x[:chunk])
		dst, x = dst[chunk:], x[chunk:]
	}
	switch {
	case len(x) == 0:
	case active == avx512:
		logAVX512(&dst[0], &x[0], len(x))
	case active == avx2:
		logAVX2(&dst[0], &x[0], len(x))
	default:
		logGeneric(dst, x)
	}
}

func sigmoidKernel(dst, x []float32) {
	for len(x) > chunk {
		sigmoidKernel(dst[:chunk], x[:chunk])
		dst, x = dst[chunk:], x[chunk:]
	}
	switch {
	case len(x) == 0:
	case active == avx512:
		sigmoidAVX512(&dst[0], &x[0], len(x))
	case active == avx2:
		sigmoidAVX2(&dst[0], &x[0], len(x))
	default:
		sigmoidGeneric(dst, x)
	}
}

func powKernel(dst, x []float32, p *powParams) {
	for len(x) > chunk {
		powKernel(dst[:chunk], x[:chunk], p)
		dst, x = dst[chunk:], x[chunk:]
	}
	switch {
	case len(x) == 0:
	case p.special == powZero || p.special == powNaN: // constant, but for a few x
		powGeneric(dst, x, p)
	case active == avx512:
		powAVX512(&dst[0], &x[0], len(x), p)
	case active == avx2:
		powAVX2(&dst[0], &x[0], len(x), p)
	default:
		powGeneric(dst, x, p)
	}
}

func sigmoidLossKernel(losses, logits, targets []float32, p *lossParams) {
	for len(logits) > lossChunk {
		sigmoidLossKernel(losses[:lossChunk], logits[:lossChunk], targets[:lossChunk], p)
		losses, logits, targets = losses[lossChunk:], logits[lossChunk:], targets[lossChunk:]
	}
	switch {
	case len(logits) == 0:
	case active == avx512:
		sigmoidLossAVX512(&losses[0], &logits[0], &targets[0], len(logits), p)
	case active == avx2:
		sigmoidLossAVX2(&losses[0], &logits[0], &targets[0], len(logits), p)
	default:
		sigmoidLossGeneric(losses, logits, targets, p)
	}
}

func sigmoidGradKernel(losses, grad, logits, targets []float32, p *lossParams, scale float32) {
	if scale == 0 {
		sigmoidLossKernel(losses, logits, targets, p)
		clear(grad)
		return
	}
	for len(logits) > lossChunk {
		sigmoidGradKernel(losses[:lossChunk], grad[:lossChunk], logits[:lossChunk], targets[:lossChunk], p, scale)
		losses, grad, logits, targets = losses[lossChunk:], grad[lossChunk:], logits[lossChunk:], targets[lossChunk:]
	}
	switch {
	case len(logits) == 0:
	case active == avx512:
		sigmoidGradAVX512(&losses[0], &grad[0], &logits[0], &targets[0], len(logits), p, &scale)
	case active == avx2:
		sigmoidGradAVX2(&losses[0], &grad[0], &logits[0], &targets[0], len(logits), p, &scale)
	default:
		sigmoidGradGeneric(losses, grad, logits, targets, p, scale)
	}
}

// sumRows fills sums for some rows, whose labels are -1 where there is none.
func sumRows(sums *rowSums, logits []float32, labels []int32, classes int) {
	for i, t := range labels {
		if t >= 0 {
			sums.target[i] = logits[i*classes+int(t)]
		}
	}
	if active == avx512 {
		softmaxSumAVX512(sums, &logits[0], &labels[0], len(labels), classes)
	} else {
		softmaxSumAVX2(sums, &logits[0], &labels[0], len(labels), classes)
	}
	for i := range labels {
		sums.shift[i] = rowShift(sums.most[i])
	}
}

// rowsPerCall is how many rows of some classes a call of assembly gets.
func rowsPerCall(classes int) int { return max(1, min(rowsAtOnce, rowChunk/classes)) }

// noLabels are the labels of rows without.
var noLabels = func() (l [rowsAtOnce]int32) {
	for i := range l {
		l[i] = noLabel
	}
	return l
}()

func softmaxLossKernel(losses, logits []float32, labels []int32, p *lossParams) {
	if active == generic {
		softmaxLossGeneric(losses, logits, labels, p)
		return
	}
	softmaxLosses(losses, nil, logits, labels, p, 0)
}

func softmaxGradKernel(losses, grad, logits []float32, labels []int32, p *lossParams, scale float32) {
	switch {
	case active == generic:
		softmaxGradGeneric(losses, grad, logits, labels, p, scale)
	case scale == 0:
		softmaxLosses(losses, nil, logits, labels, p, scale)
		clear(grad)
	default:
		softmaxLosses(losses, grad, logits, labels, p, scale)
	}
}

// softmaxLosses writes the gradients too, unless grad is nil.
func softmaxLosses(losses, grad, logits []float32, labels []int32, p *lossParams, scale float32) {
	var sums rowSums
	c, rows := p.classes, rowsPerCall(p.classes)
	for len(labels) > 0 {
		n := min(rows, len(labels))
		sumRows(&sums, logits[:n*c], labels[:n], c)
		for i, t := range labels[:n] {
			sums.low[i] = p.weight(max(t, 0))
		}
		switch {
		case active == avx512 && grad == nil:
			rowLossAVX512(&losses[0], &sums, n, p)
		case active == avx512:
			rowGradAVX512(&losses[0], &sums, n, p, &scale)
		case grad == nil:
			rowLossAVX2(&losses[0], &sums, n, p)
		default:
			rowGradAVX2(&losses[0], &sums, n, p, &scale)
		}
		for i, t := range labels[:n] {
			if t == noLabel {
				losses[i] = 0
			}
		}
		if grad != nil {
			if active == avx512 {
				softmaxGradRowsAVX512(&grad[0], &logits[0], &sums, n, c)
			} else {
				softmaxGradRowsAVX2(&grad[0], &logits[0], &sums, n, c)
			}
			for i, t := range labels[:n] {
				if t == noLabel {
					clear(grad[i*c:][:c])
				} else {
					grad[i*c+int(t)] = canonical(-sums.target[i])
				}
			}
			grad = grad[n*c:]
		}
		losses, logits, labels = losses[n:], logits[n*c:], labels[n:]
	}
}

func softmaxKernel(dst, logits []float32, classes int) {
	if active == generic {
		softmaxGeneric(dst, logits, classes)
		return
	}
	var sums rowSums
	for len(logits) > 0 {
		n := min(rowsPerCall(classes), len(logits)/classes)
		sumRows(&sums, logits, noLabels[:n], classes)
		for i := range n {
			sums.factor[i], sums.low[i] = reciprocal(sums.sum[i])
		}
		if active == avx512 {
			softmaxRowsAVX512(&dst[0], &logits[0], &sums, n, classes)
		} else {
			softmaxRowsAVX2(&dst[0], &logits[0], &sums, n, classes)
		}
		dst, logits = dst[n*classes:], logits[n*classes:]
	}
}

func logSoftmaxKernel(dst, logits []float32, classes int) {
	if active == generic {
		logSoftmaxGeneric(dst, logits, classes)
		return
	}
	var sums rowSums
	var labels [rowsAtOnce]int32
	for len(logits) > 0 {
		n := min(rowsPerCall(classes), len(logits)/classes)
		sumRows(&sums, logits, noLabels[:n], classes) // for the maxima
		for i := range n {
			labels[i] = int32(firstIndex(logits[i*classes:][:classes], sums.most[i]))
		}
		most := sums.most
		sumRows(&sums, logits, labels[:n], classes)
		for i := range n {
			sums.factor[i] = finishRow(sums.sum[i], sums.n[i], sums.most[i], sums.target[i]).nll
		}
		sums.most = most
		if active == avx512 {
			logSoftmaxRowsAVX512(&dst[0], &logits[0], &sums, n, classes)
		} else {
			logSoftmaxRowsAVX2(&dst[0], &logits[0], &sums, n, classes)
		}
		dst, logits = dst[n*classes:], logits[n*classes:]
	}
}

// firstIndex is the index of the first m in z, 0 if there is none.
func firstIndex(z []float32, m float32) int {
	for j, x := range z {
		if x == m {
			return j
		}
	}
	return 0
}

func logSumExpKernel(dst, logits []float32, classes int) {
	if active == generic {
		logSumExpGeneric(dst, logits, classes)
		return
	}
	var sums rowSums
	for len(dst) > 0 {
		n := min(rowsPerCall(classes), len(dst))
		sumRows(&sums, logits, noLabels[:n], classes)
		for i := range n {
			dst[i] = finishLogSumExp(logits[i*classes:][:classes], sums.sum[i], sums.n[i], sums.most[i])
		}
		dst, logits = dst[n:], logits[n*classes:]
	}
}

func oneVsRestLossKernel(losses, logits []float32, labels []int32, p *lossParams) {
	if active == generic {
		oneVsRestLossGeneric(losses, logits, labels, p)
		return
	}
	oneVsRestLosses(losses, nil, logits, labels, p, 0)
}

func oneVsRestGradKernel(losses, grad, logits []float32, labels []int32, p *lossParams, scale float32) {
	if active == generic {
		oneVsRestGradGeneric(losses, grad, logits, labels, p, scale)
		return
	}
	oneVsRestLosses(losses, grad, logits, labels, p, scale)
}

// oneVsRestLosses writes the gradients too, unless grad is nil. The targets and the losses of some rows, or of a piece of a
// long one, are kept in the cache.
func oneVsRestLosses(losses, grad, logits []float32, labels []int32, p *lossParams, scale float32) {
	var targets, terms [lossChunk]float32
	c := p.classes
	for len(labels) > 0 {
		rows := min(max(1, lossChunk/c), len(labels))
		for i := range rows {
			losses[i] = 0
		}
		var total [lanes]float64
		for start := 0; start < rows*c; start += lossChunk { // more than once only where a row is longer
			n := min(lossChunk, rows*c-start)
			for i, t := range labels[:rows] {
				if at := i*c + int(t) - start; t >= 0 && int(t) < c && at >= 0 && at < n {
					targets[at] = 1
				}
			}
			if grad == nil {
				sigmoidLossKernel(terms[:n], logits[start:start+n], targets[:n], p)
			} else {
				sigmoidGradKernel(terms[:n], grad[start:start+n], logits[start:start+n], targets[:n], p, scale)
			}
			for i, t := range labels[:rows] {
				if at := i*c + int(t) - start; t >= 0 && int(t) < c && at >= 0 && at < n {
					targets[at] = 0
				}
				if c <= lossChunk {
					total = [lanes]float64{}
				}
				addBlocks(&total, terms[min(i*c, n):min(i*c+c, n)])
				if c <= lossChunk {
					losses[i] = canonical(float32(fold(&total)))
				}
			}
		}
		if c > lossChunk {
			losses[0] = canonical(float32(fold(&total)))
		}
		for i, t := range labels[:rows] {
			if t == noLabel {
				losses[i] = 0
				if grad != nil {
					clear(grad[i*c:][:c])
				}
			}
		}
		losses, logits, labels = losses[rows:], logits[rows*c:], labels[rows:]
		if grad != nil {
			grad = grad[rows*c:]
		}
	}
}

// addBlocks adds x to total, in blocks of rowBlock.
func addBlocks(total *[lanes]float64, x []float32) {
	if active == avx512 {
		addBlocksAVX512(total, &x[0], len(x))
	} else {
		addBlocksAVX2(total, &x[0], len(x))
	}
}

func sumBlock(losses []float32) float64 {
	if active == generic || len(losses) == 0 {
		return sumBlockGeneric(losses)
	}
	var total [lanes]float64
	if active == avx512 {
		addLossesAVX512(&total, &losses[0], len(losses))
	} else {
		addLossesAVX2(&total, &losses[0], len(losses))
	}
	return fold(&total)
}
