package focal

import (
	"os"
	"strings"
)

// SumBlock is the number of losses that are added in one go: Sum, and the sum that Grad returns, add each block of
// SumBlock losses (from the slice's start) in one fixed order in float64, then the blocks left to right.
const SumBlock = 256

// A variant is an implementation of the kernels. All of them give the same bits.
type variant uint8

const (
	generic variant = iota
	neon
	avx2
	avx512
)

var variantNames = [...]string{generic: "generic", neon: "neon", avx2: "avx2", avx512: "avx512"}

func (v variant) String() string { return variantNames[v] }

// available lists the variants that this CPU and operating system run and that FOCAL_DISABLE leaves, best first; the
// last one is generic. active is the one in use: only tests change it.
var (
	available = enabled(supported(), os.Getenv("FOCAL_DISABLE"))
	active    = available[0]
)

// enabled takes from variants what disable names, a list separated by commas, and adds generic. AVX-512 goes with AVX2,
// "all" stands for all, and unknown names are ignored.
func enabled(variants []variant, disable string) []variant {
	var off [len(variantNames)]bool
	for _, name := range strings.Split(disable, ",") {
		switch strings.TrimSpace(name) {
		case "all":
			return []variant{generic}
		case "avx2":
			off[avx2], off[avx512] = true, true
		case "avx512":
			off[avx512] = true
		case "neon":
			off[neon] = true
		}
	}
	var left []variant
	for _, v := range variants {
		if !off[v] {
			left = append(left, v)
		}
	}
	return append(left, generic)
}

// chunk is the most elements that one call of assembly may get where an element's slowest path takes up to 5 ns: such
// a call cannot be interrupted, and a garbage collection waits for it.
const chunk = 4096

// lossChunk is chunk for the losses, whose slowest elements take 20 ns.
const lossChunk = 1024

// rowChunk is chunk for rows, whose elements take at most 0.5 ns.
const rowChunk = 32768

// rowsAtOnce is how many rows a kernel of the softmax form gets at most.
const rowsAtOnce = 64

// rowSums is what the pass over the logits of some rows leaves for the rest: see rowSum. Assembly knows the order of the
// fields.
type rowSums struct {
	sum    [rowsAtOnce]float32
	n      [rowsAtOnce]int32
	most   [rowsAtOnce]float32 // the largest logit but the target's
	target [rowsAtOnce]float32 // the target's logit
	shift  [rowsAtOnce]float32 // what is subtracted from the logits
	pre    [rowsAtOnce]float32 // factors of the second pass
	factor [rowsAtOnce]float32
	low    [rowsAtOnce]float32 // the rounding error of factor; the label's weight
}

// A kernel computes one block: it knows nothing of errors, configuration or goroutines. Its arguments have been
// checked. Below, a row's label is its class in [0, classes); noLabel where the row counts for nothing, and in the
// one-vs-rest form also classes for background.
const noLabel = -1

// Variant names the active variant: "avx512", "avx2", "neon" or "generic". Names may be added.
func Variant() string { return active.String() }

// The kernels. In those of the losses, losses has one element per row (sigmoid form: per logit); the gradient kernels
// write grad as well, which may be logits: scale * d loss / d logits. What ends in Asm is generated: a switch to the
// active variant's assembly.
//
// A slice goes to the assembly in chunks, and a chunk before the last through a call of the same function:
// where a function begins is where the garbage collection can stop it. (Between two calls of assembly there are too few
// instructions of Go for a signal to hit.)

func expKernel(dst, x []float32) {
	for len(x) > chunk {
		expKernel(dst[:chunk], x[:chunk])
		dst, x = dst[chunk:], x[chunk:]
	}
	switch {
	case len(x) == 0:
	case active == generic:
		expGeneric(dst, x)
	default:
		expAsm(&dst[0], &x[0], len(x))
	}
}

func logKernel(dst, x []float32) {
	for len(x) > chunk {
		logKernel(dst[:chunk], x[:chunk])
		dst, x = dst[chunk:], x[chunk:]
	}
	switch {
	case len(x) == 0:
	case active == generic:
		logGeneric(dst, x)
	default:
		logAsm(&dst[0], &x[0], len(x))
	}
}

func sigmoidKernel(dst, x []float32) {
	for len(x) > chunk {
		sigmoidKernel(dst[:chunk], x[:chunk])
		dst, x = dst[chunk:], x[chunk:]
	}
	switch {
	case len(x) == 0:
	case active == generic:
		sigmoidGeneric(dst, x)
	default:
		sigmoidAsm(&dst[0], &x[0], len(x))
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
	case active == generic:
		powGeneric(dst, x, p)
	default:
		powAsm(&dst[0], &x[0], len(x), p)
	}
}

func sigmoidLossKernel(losses, logits, targets []float32, p *lossParams) {
	for len(logits) > lossChunk {
		sigmoidLossKernel(losses[:lossChunk], logits[:lossChunk], targets[:lossChunk], p)
		losses, logits, targets = losses[lossChunk:], logits[lossChunk:], targets[lossChunk:]
	}
	switch {
	case len(logits) == 0:
	case active == generic:
		sigmoidLossGeneric(losses, logits, targets, p)
	default:
		sigmoidLossAsm(&losses[0], &logits[0], &targets[0], len(logits), p)
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
	case active == generic:
		sigmoidGradGeneric(losses, grad, logits, targets, p, scale)
	default:
		sigmoidGradAsm(&losses[0], &grad[0], &logits[0], &targets[0], len(logits), p, &scale)
	}
}

// sumRows fills sums for some rows, whose labels are -1 where there is none.
func sumRows(sums *rowSums, logits []float32, labels []int32, classes int) {
	for i, t := range labels {
		if t >= 0 {
			sums.target[i] = logits[i*classes+int(t)]
		}
	}
	softmaxSumAsm(sums, &logits[0], &labels[0], len(labels), classes)
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
		if grad == nil {
			rowLossAsm(&losses[0], &sums, n, p)
		} else {
			rowGradAsm(&losses[0], &sums, n, p, &scale)
		}
		for i, t := range labels[:n] {
			if t == noLabel {
				losses[i] = 0
			}
		}
		if grad != nil {
			softmaxGradRowsAsm(&grad[0], &logits[0], &sums, n, c)
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
		softmaxRowsAsm(&dst[0], &logits[0], &sums, n, classes)
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
		logSoftmaxRowsAsm(&dst[0], &logits[0], &sums, n, classes)
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
	addBlocksAsm(total, &x[0], len(x))
}

func sumBlock(losses []float32) float64 {
	if active == generic || len(losses) == 0 {
		return sumBlockGeneric(losses)
	}
	var total [lanes]float64
	addLossesAsm(&total, &losses[0], len(losses))
	return fold(&total)
}
