package focal

import (
	"math"
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

// cachedRows is how many elements of rows are summed before their exponentials, kept in the output, are scaled: what fits
// the first-level cache beside the logits.
const cachedRows = 4096

// rowsAtOnce is how many rows a kernel of the softmax form gets at most: more would only make rowSums, which Go clears for
// every call, larger.
const rowsAtOnce = 32

// rowSums is what the pass over the logits of some rows leaves for the rest: see row in focal_generic.go. Assembly knows
// the order of the fields.
type rowSums struct {
	sum    [rowsAtOnce]float32 // R or S; then a factor of the second pass
	n      [rowsAtOnce]int32
	most   [rowsAtOnce]float32
	target [rowsAtOnce]float32 // the target's logit; then its gradient
	weight [rowsAtOnce]float32 // the label's weight; then another factor of the second pass
	plain  [rowsAtOnce]uint32  // all ones for plain rows, else 0
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

// sumRows is newRow for some rows, whose labels are noLabel where there is none. With dst it leaves the e_j of plain rows
// there. It reports whether all rows are plain.
func sumRows(sums *rowSums, dst, logits []float32, labels []int32, classes int) bool {
	rows, slow := len(labels), 0
	switch {
	case classes > rowChunk:
		return sumLongRow(sums, logits, int(labels[0]))
	case classes == 1 && labels[0] != noLabel: // no row is plain
		slow = rows
		for i := range labels {
			sums.target[i], sums.plain[i], sums.most[i] = logits[i], 0, float32(math.Inf(-1))
		}
	case dst != nil:
		rowExpAsm(&dst[0], &sums.sum[0], &logits[0], &labels[0], rows, classes, &slow)
	default:
		rowSumAsm(&sums.sum[0], &logits[0], &labels[0], rows, classes, &slow)
	}
	if slow > 0 {
		rowMostAsm(&sums.sum[0], &logits[0], &labels[0], rows, classes)
		rowShiftedAsm(&sums.sum[0], &logits[0], &labels[0], rows, classes)
	}
	return slow == 0
}

// sumLongRow is sumRows for a row that is longer than a chunk.
func sumLongRow(sums *rowSums, logits []float32, t int) bool {
	sums.target[0] = logits[max(t, 0)]
	var total [lanes]float64
	sums.plain[0], sums.n[0], sums.most[0] = ^uint32(0), 0, 0
	for start := 0; start < len(logits); start += rowChunk {
		if !sumPart(&total, part(logits, start), t-start) {
			sums.plain[0], sums.most[0] = 0, float32(math.Inf(-1))
			total = [lanes]float64{}
			break
		}
	}
	if sums.plain[0] == 0 {
		for start := 0; start < len(logits); start += rowChunk {
			mostOfPart(sums, part(logits, start), t-start)
		}
		for start := 0; start < len(logits); start += rowChunk {
			sumShiftedPart(sums, &total, part(logits, start), t-start)
		}
	}
	sums.sum[0] = float32(fold(&total))
	return sums.plain[0] != 0
}

func part(x []float32, start int) []float32 { return x[start:min(start+rowChunk, len(x))] }

// The parts of a long row. Functions that are not inlined, so that the garbage collection can stop where they begin.

//go:noinline
func sumPart(total *[lanes]float64, z []float32, t int) bool {
	slow := 0
	partSumAsm(total, &z[0], len(z), t, &slow)
	return slow == 0
}

//go:noinline
func mostOfPart(sums *rowSums, z []float32, t int) {
	label := int32(t)
	rowMostAsm(&sums.sum[0], &z[0], &label, 1, len(z))
}

//go:noinline
func sumShiftedPart(sums *rowSums, total *[lanes]float64, z []float32, t int) {
	partShiftedAsm(&sums.sum[0], total, &z[0], len(z), t)
}

// An output is what is made of the e_j of rows.
type output bool

const (
	probabilities output = false
	gradients     output = true
)

// write finishes rows, some of which are not plain unless plain says so: dst has the e_j of those that are, if they are no
// longer than a chunk.
func (o output) write(sums *rowSums, dst, logits []float32, t int32, rows, classes int, plain bool) {
	if classes <= rowChunk {
		o.scale(sums, dst, rows, classes)
		if !plain {
			o.recompute(sums, dst, logits, rows, classes)
		}
		return
	}
	for start := 0; start < classes; start += rowChunk {
		o.writePart(sums, part(dst, start), part(logits, start), int(t)-start, plain)
	}
}

//go:noinline
func (o output) writePart(sums *rowSums, dst, logits []float32, t int, plain bool) {
	if !plain {
		o.recompute(sums, dst, logits, 1, len(dst))
		return
	}
	var total [lanes]float64
	slow := 0
	partExpAsm(&dst[0], &total, &logits[0], len(dst), t, &slow)
	o.scale(sums, dst, 1, len(dst))
}

func (o output) scale(sums *rowSums, dst []float32, rows, classes int) {
	if o == gradients {
		gradScaleAsm(&dst[0], &sums.sum[0], rows, classes)
	} else {
		softmaxScaleAsm(&dst[0], &sums.sum[0], rows, classes)
	}
}

func (o output) recompute(sums *rowSums, dst, logits []float32, rows, classes int) {
	if o == gradients {
		gradRowsAsm(&dst[0], &sums.sum[0], &logits[0], rows, classes)
	} else {
		softmaxRowsAsm(&dst[0], &sums.sum[0], &logits[0], rows, classes)
	}
}

// rowsPerCall is how many rows of some classes are computed at once: some elements' worth, at least one.
func rowsPerCall(classes, elements int) int { return max(1, min(rowsAtOnce, elements/classes)) }

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
	c := p.classes
	rows := rowsPerCall(c, rowChunk)
	if grad != nil {
		rows = rowsPerCall(c, cachedRows)
	}
	for len(labels) > 0 {
		n := min(rows, len(labels))
		z, t := logits[:n*c], labels[:n]
		var g []float32
		if grad != nil {
			g, grad = grad[:n*c], grad[n*c:]
		}
		plain := sumRows(&sums, g, z, t, c)
		p.weights(&sums, t)
		if g == nil {
			rowLossAsm(&losses[0], &sums.sum[0], n, p)
		} else {
			rowGradAsm(&losses[0], &sums.sum[0], n, p, &scale)
			gradients.write(&sums, g, z, t[0], n, c, plain)
		}
		for i, label := range t {
			switch {
			case label == noLabel:
				losses[i] = 0
				if g != nil {
					clear(g[i*c:][:c])
				}
			case g != nil:
				g[i*c+int(label)] = sums.target[i]
			}
		}
		losses, logits, labels = losses[n:], logits[n*c:], labels[n:]
	}
}

// weights sets the weights of some rows.
func (p *lossParams) weights(sums *rowSums, labels []int32) {
	if p.alpha == nil {
		for i := range labels {
			sums.weight[i] = 1
		}
		return
	}
	for i, t := range labels {
		sums.weight[i] = p.alpha[max(t, 0)]
	}
}

func softmaxKernel(dst, logits []float32, classes int) {
	if active == generic {
		softmaxGeneric(dst, logits, classes)
		return
	}
	var sums rowSums
	rows := rowsPerCall(classes, cachedRows)
	for len(logits) > 0 {
		n := min(rows, len(logits)/classes)
		z, d := logits[:n*classes], dst[:n*classes]
		plain := sumRows(&sums, d, z, noLabels[:n], classes)
		reciprocalsAsm(&sums.sum[0], n)
		probabilities.write(&sums, d, z, noLabel, n, classes, plain)
		dst, logits = dst[n*classes:], logits[n*classes:]
	}
}

// logParams make rowLoss give -log p_t.
var logParams = newLossParams(1, 0, nil, 1, 1)

func logSoftmaxKernel(dst, logits []float32, classes int) {
	if active == generic {
		logSoftmaxGeneric(dst, logits, classes)
		return
	}
	var sums rowSums
	rows := rowsPerCall(classes, cachedRows)
	for len(logits) > 0 {
		n := min(rows, len(logits)/classes)
		z := logits[:n*classes]
		logSums(&sums, z, n, classes)
		for start := 0; start < len(z); start += max(rowChunk, len(z)) {
			logSoftmaxRowsAsm(&dst[start], &sums.sum[0], &z[start], n, classes)
		}
		dst, logits = dst[n*classes:], logits[n*classes:]
	}
}

// logSums leaves in sums what log-softmax subtracts from the logits of some rows: the maximum in most, and minus the
// logarithm of its probability in sum.
func logSums(sums *rowSums, logits []float32, rows, classes int) {
	var first [rowsAtOnce]float32
	var labels [rowsAtOnce]int32
	firstMaxima(&first, &labels, logits, rows, classes)
	sumRows(sums, nil, logits, labels[:rows], classes)
	logParams.weights(sums, labels[:rows])
	rowLossAsm(&sums.sum[0], &sums.sum[0], rows, &logParams)
	sums.most = first
}

// firstMaxima gives the first maximum of each row, and its place.
func firstMaxima(first *[rowsAtOnce]float32, labels *[rowsAtOnce]int32, logits []float32, rows, classes int) {
	if classes <= rowChunk {
		rowFirstAsm(&first[0], &logits[0], &labels[0], rows, classes)
		return
	}
	first[0], labels[0] = float32(math.Inf(-1)), 0
	for start := 0; start < classes; start += rowChunk {
		if m, t := firstOfPart(part(logits, start)); m > first[0] {
			first[0], labels[0] = m, int32(start)+t
		}
	}
}

//go:noinline
func firstOfPart(z []float32) (m float32, t int32) {
	rowFirstAsm(&m, &z[0], &t, 1, len(z))
	return m, t
}

func logSumExpKernel(dst, logits []float32, classes int) {
	if active == generic {
		logSumExpGeneric(dst, logits, classes)
		return
	}
	var sums rowSums
	rows := rowsPerCall(classes, rowChunk)
	for len(dst) > 0 {
		n := min(rows, len(dst))
		sumRows(&sums, nil, logits[:n*classes], noLabels[:n], classes)
		for i := range n {
			r := row{sums.sum[i], sums.n[i], sums.most[i], sums.plain[i] != 0}
			dst[i] = r.logSum(logits[i*classes:][:classes])
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
			switch {
			case p.smooth != 0 && grad == nil:
				smoothTerms(terms[:n], nil, logits[start:start+n], targets[:n], p, 0)
			case p.smooth != 0:
				smoothTerms(terms[:n], grad[start:start+n], logits[start:start+n], targets[:n], p, scale)
			case grad == nil:
				sigmoidLossKernel(terms[:n], logits[start:start+n], targets[:n], p)
			default:
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
