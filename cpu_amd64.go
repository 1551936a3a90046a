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

func expKernel(dst, x []float32) {
	for len(x) > 0 {
		n := min(len(x), chunk)
		switch active {
		case avx512:
			expAVX512(&dst[0], &x[0], n)
		case avx2:
			expAVX2(&dst[0], &x[0], n)
		default:
			expGeneric(dst[:n], x[:n])
		}
		dst, x = dst[n:], x[n:]
	}
}

func logKernel(dst, x []float32) {
	for len(x) > 0 {
		n := min(len(x), chunk)
		switch active {
		case avx512:
			logAVX512(&dst[0], &x[0], n)
		case avx2:
			logAVX2(&dst[0], &x[0], n)
		default:
			logGeneric(dst[:n], x[:n])
		}
		dst, x = dst[n:], x[n:]
	}
}

func sigmoidKernel(dst, x []float32) {
	for len(x) > 0 {
		n := min(len(x), chunk)
		switch active {
		case avx512:
			sigmoidAVX512(&dst[0], &x[0], n)
		case avx2:
			sigmoidAVX2(&dst[0], &x[0], n)
		default:
			sigmoidGeneric(dst[:n], x[:n])
		}
		dst, x = dst[n:], x[n:]
	}
}

func powKernel(dst, x []float32, p *powParams) {
	if p.special == powZero || p.special == powNaN { // constant, but for a few x
		powGeneric(dst, x, p)
		return
	}
	for len(x) > 0 {
		n := min(len(x), chunk)
		switch active {
		case avx512:
			powAVX512(&dst[0], &x[0], n, p)
		case avx2:
			powAVX2(&dst[0], &x[0], n, p)
		default:
			powGeneric(dst[:n], x[:n], p)
		}
		dst, x = dst[n:], x[n:]
	}
}

func sigmoidLossKernel(losses, logits, targets []float32, p *lossParams) {
	for len(logits) > 0 {
		n := min(len(logits), lossChunk)
		switch active {
		case avx512:
			sigmoidLossAVX512(&losses[0], &logits[0], &targets[0], n, p)
		case avx2:
			sigmoidLossAVX2(&losses[0], &logits[0], &targets[0], n, p)
		default:
			sigmoidLossGeneric(losses[:n], logits[:n], targets[:n], p)
		}
		losses, logits, targets = losses[n:], logits[n:], targets[n:]
	}
}

func sigmoidGradKernel(losses, grad, logits, targets []float32, p *lossParams, scale float32) {
	if scale == 0 {
		sigmoidLossKernel(losses, logits, targets, p)
		clear(grad)
		return
	}
	for len(logits) > 0 {
		n := min(len(logits), lossChunk)
		switch active {
		case avx512:
			sigmoidGradAVX512(&losses[0], &grad[0], &logits[0], &targets[0], n, p, &scale)
		case avx2:
			sigmoidGradAVX2(&losses[0], &grad[0], &logits[0], &targets[0], n, p, &scale)
		default:
			sigmoidGradGeneric(losses[:n], grad[:n], logits[:n], targets[:n], p, scale)
		}
		losses, grad, logits, targets = losses[n:], grad[n:], logits[n:], targets[n:]
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
