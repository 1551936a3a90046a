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

func softmaxLossKernel(losses, logits []float32, labels []int32, p *lossParams) {
	if active == generic {
		softmaxLossGeneric(losses, logits, labels, p)
		return
	}
	var sums rowSums
	var classes [rowsAtOnce]int32 // labels, 0 for rows that are ignored: their results are not used
	rows := max(1, min(rowsAtOnce, rowChunk/p.classes))
	for len(labels) > 0 {
		n := min(rows, len(labels))
		for i, t := range labels[:n] {
			classes[i] = max(t, 0)
		}
		if active == avx512 {
			softmaxSumAVX512(&sums, &logits[0], &classes[0], n, p.classes)
		} else {
			softmaxSumAVX2(&sums, &logits[0], &classes[0], n, p.classes)
		}
		for i, t := range labels[:n] {
			losses[i] = 0
			if t != noLabel {
				row := finishRow(sums.sum[i], sums.n[i], sums.most[i], sums.target[i])
				losses[i] = weighted(p.weight(t), row.nll, p.focus(row.q))
			}
		}
		losses, logits, labels = losses[n:], logits[n*p.classes:], labels[n:]
	}
}
