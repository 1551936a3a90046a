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
	if scale-scale != 0 { // NaN or infinite: the fast path does not look for NaN
		slow := *p
		slow.limit, p = -1, &slow
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

// A rowPass is the work on some rows, at most rowsAtOnce: sums is what the first pass leaves for the second. Columns are
// the e_j of narrow rows; the e_j of others are kept in the output.
type rowPass struct {
	rows, classes int
	targets       bool // rows have targets
	narrow        int  // how many rows, the first ones, are computed with a lane per row
	step          int  // the distance in bytes between the columns of two groups of narrow rows
	plain         bool
}

// narrowMost is the largest number of classes of narrow rows, which have a virtual lane per class in the order of the sum.
const narrowMost = lanes

// columns are the e_j of narrow rows, a column of rows for each class; those behind the last class are 0.
type columns [rowsAtOnce * narrowMost]float32

// narrowRows is how many of some rows, the first ones, are computed with a lane per row. Only where there are some a function
// has columns: Go clears them.
func narrowRows(rows, classes int) int {
	if classes < 2 || classes > narrowMost {
		return 0
	}
	return rows - rows%vectorLanes[active]
}

// newPass plans the work on n rows; keep says that the e_j are wanted after the sum.
func newPass(n, classes int, targets, keep bool) rowPass {
	r := rowPass{rows: n, classes: classes, targets: targets, narrow: narrowRows(n, classes), plain: true}
	if keep && r.narrow > 0 {
		r.step = 4 * vectorLanes[active] * ((classes + 3) &^ 3)
	}
	return r
}

// vectorLanes is how many float32 lanes a vector of a variant has.
var vectorLanes = [...]int{neon: 4, avx2: 8, avx512: 16}

// sum is newRow for the rows, whose labels are noLabel where there is none. dst and e get their e_j; dst may be nil, and e
// where no row is narrow.
func (r *rowPass) sum(sums *rowSums, e *columns, dst, logits []float32, labels []int32) {
	c, slow := r.classes, 0
	if r.narrow > 0 {
		narrowSumAsm(&sums.sum[0], &logits[0], &labels[0], r.narrow, c, &e[0], r.step, &slow)
		if slow > 0 {
			r.plain = false
			narrowShiftedAsm(&sums.sum[0], &logits[0], &labels[0], r.narrow, c, &e[0], r.step)
		}
	}
	i, n := r.narrow, r.rows-r.narrow
	if n == 0 {
		return
	}
	logits, labels, slow = logits[i*c:], labels[i:], 0
	if dst != nil {
		dst = dst[i*c:]
	}
	switch {
	case c > rowChunk:
		r.plain = sumLong(sums, logits, int(labels[0]))
		return
	case c == 1 && r.targets: // no row is plain
		slow = n
		for i := range n {
			sums.target[i], sums.plain[i], sums.most[i] = logits[i], 0, float32(math.Inf(-1))
		}
	case dst != nil:
		rowExpAsm(&dst[0], &sums.sum[i], &logits[0], &labels[0], n, c, &slow)
	default:
		rowSumAsm(&sums.sum[i], &logits[0], &labels[0], n, c, &slow)
	}
	if slow == 0 {
		return
	}
	r.plain = false
	rowMostAsm(&sums.sum[i], &logits[0], &labels[0], n, c)
	if dst != nil {
		rowShiftedExpAsm(&dst[0], &sums.sum[i], &logits[0], &labels[0], n, c)
	} else {
		rowShiftedAsm(&sums.sum[i], &logits[0], &labels[0], n, c)
	}
}

// write finishes the rows of dst from their e_j.
func (r *rowPass) write(sums *rowSums, e *columns, dst, logits []float32, labels []int32, out output) {
	c := r.classes
	if c > rowChunk {
		for start := 0; start < c; start += rowChunk {
			out.writePart(sums, part(dst, start), part(logits, start), int(labels[0])-start, r.plain)
		}
		return
	}
	if r.narrow > 0 {
		if out == gradients {
			narrowGradAsm(&dst[0], &sums.sum[0], &labels[0], r.narrow, c, &e[0], r.step)
		} else {
			narrowSoftmaxAsm(&dst[0], &sums.sum[0], &labels[0], r.narrow, c, &e[0], r.step)
		}
	}
	if r.narrow < r.rows {
		out.scale(&sums.sum[r.narrow], dst[r.narrow*c:], r.rows-r.narrow, c)
	}
}

// sumLong is rowPass.sum for a row that is longer than a chunk.
func sumLong(sums *rowSums, logits []float32, t int) bool {
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

//go:noinline
func (o output) writePart(sums *rowSums, dst, logits []float32, t int, plain bool) {
	var total [lanes]float64
	if plain {
		slow := 0
		partExpAsm(&dst[0], &total, &logits[0], len(dst), t, &slow)
	} else {
		partShiftedExpAsm(&dst[0], &sums.sum[0], &total, &logits[0], len(dst), t)
	}
	o.scale(&sums.sum[0], dst, 1, len(dst))
}

func (o output) scale(sums *float32, dst []float32, rows, classes int) {
	if o == gradients {
		gradScaleAsm(&dst[0], sums, rows, classes)
	} else {
		softmaxScaleAsm(&dst[0], sums, rows, classes)
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
	switch {
	case active == generic:
		softmaxLossGeneric(losses, logits, labels, p)
	case len(labels) == 1 && soleLossKernel(losses, logits, labels[0], p):
	default:
		softmaxLosses(losses, nil, logits, labels, p, 0)
	}
}

// soleLossKernel computes the loss of a sole row, unless it is one for a slower way.
func soleLossKernel(losses, logits []float32, label int32, p *lossParams) bool {
	if label == noLabel || len(logits) == 1 || len(logits) > rowChunk {
		return false
	}
	weight, slow := &ones[0], 0
	if p.alpha != nil {
		weight = &p.alpha[label]
	}
	soleLossAsm(&losses[0], &logits[0], len(logits), int(label), weight, p, &slow)
	return slow == 0
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
	if narrowRows(len(labels), p.classes) > 0 {
		var e columns
		softmaxRows(&e, losses, grad, logits, labels, p, scale)
		return
	}
	softmaxRows(nil, losses, grad, logits, labels, p, scale)
}

func softmaxRows(e *columns, losses, grad, logits []float32, labels []int32, p *lossParams, scale float32) {
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
		pass := newPass(n, c, true, g != nil)
		pass.sum(&sums, e, g, z, t)
		p.weights(&sums, t)
		if g == nil {
			rowLossAsm(&losses[0], &sums.sum[0], n, p)
		} else {
			rowGradAsm(&losses[0], &sums.sum[0], n, p, &scale)
			pass.write(&sums, e, g, z, t, gradients)
		}
		if g != nil {
			for i := pass.narrow; i < n; i++ {
				if t[i] != noLabel {
					g[i*c+int(t[i])] = sums.target[i]
				}
			}
		}
		if p.ignores {
			clearIgnored(losses, g, t, c)
		}
		losses, logits, labels = losses[n:], logits[n*c:], labels[n:]
	}
}

// clearIgnored makes the losses of ignored rows 0, and their gradients unless grad is nil.
func clearIgnored(losses, grad []float32, labels []int32, classes int) {
	for i, t := range labels {
		if t != noLabel {
			continue
		}
		losses[i] = 0
		if grad != nil {
			clear(grad[i*classes:][:classes])
		}
	}
}

// ones are the weights of rows without.
var ones = func() (w [rowsAtOnce]float32) {
	for i := range w {
		w[i] = 1
	}
	return w
}()

// weights sets the weights of some rows.
func (p *lossParams) weights(sums *rowSums, labels []int32) {
	if p.alpha == nil {
		copy(sums.weight[:len(labels)], ones[:])
		return
	}
	for i, t := range labels {
		sums.weight[i] = p.alpha[max(t, 0)]
	}
}

func softmaxKernel(dst, logits []float32, classes int) {
	switch {
	case active == generic:
		softmaxGeneric(dst, logits, classes)
	case narrowRows(len(logits)/classes, classes) > 0:
		var e columns
		softmaxBlocks(&e, dst, logits, classes)
	default:
		softmaxBlocks(nil, dst, logits, classes)
	}
}

// reciprocals makes Softmax's factors of the sums of some rows. That of one row is in the way of a vector: see rowEndKernel in
// asmgen.
func (sums *rowSums) reciprocals(n int) {
	if n == 1 {
		sums.sum[0], sums.weight[0] = reciprocal(sums.sum[0])
		return
	}
	reciprocalsAsm(&sums.sum[0], n)
}

func softmaxBlocks(e *columns, dst, logits []float32, classes int) {
	var sums rowSums
	rows := rowsPerCall(classes, cachedRows)
	for len(logits) > 0 {
		n := min(rows, len(logits)/classes)
		z, d := logits[:n*classes], dst[:n*classes]
		pass := newPass(n, classes, false, true)
		pass.sum(&sums, e, d, z, noLabels[:n])
		sums.reciprocals(n)
		pass.write(&sums, e, d, z, noLabels[:n], probabilities)
		dst, logits = dst[n*classes:], logits[n*classes:]
	}
}

//go:noinline
func logSoftmaxPart(sums *rowSums, dst, z []float32) {
	logSoftmaxRowsAsm(&dst[0], &sums.sum[0], &z[0], 1, len(z))
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
		if classes <= rowChunk {
			logSoftmaxRowsAsm(&dst[0], &sums.sum[0], &z[0], n, classes)
		} else {
			for start := 0; start < classes; start += rowChunk {
				logSoftmaxPart(&sums, part(dst[:classes], start), part(z, start))
			}
		}
		dst, logits = dst[n*classes:], logits[n*classes:]
	}
}

// logSums leaves in sums what log-softmax subtracts from the logits of some rows: the maximum in most, and minus the
// logarithm of its probability in sum.
func logSums(sums *rowSums, logits []float32, rows, classes int) {
	if narrowRows(rows, classes) > 0 {
		var e columns
		logSumsOf(&e, sums, logits, rows, classes)
		return
	}
	logSumsOf(nil, sums, logits, rows, classes)
}

func logSumsOf(e *columns, sums *rowSums, logits []float32, rows, classes int) {
	var first [rowsAtOnce]float32
	var labels [rowsAtOnce]int32
	firstMaxima(&first, &labels, logits, rows, classes)
	pass := newPass(rows, classes, true, false)
	pass.sum(sums, e, nil, logits, labels[:rows])
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
	switch {
	case active == generic:
		logSumExpGeneric(dst, logits, classes)
	case narrowRows(len(dst), classes) > 0:
		var e columns
		logSumExpBlocks(&e, dst, logits, classes)
	default:
		logSumExpBlocks(nil, dst, logits, classes)
	}
}

func logSumExpBlocks(e *columns, dst, logits []float32, classes int) {
	var sums rowSums
	rows := rowsPerCall(classes, rowChunk)
	for len(dst) > 0 {
		n := min(rows, len(dst))
		pass := newPass(n, classes, false, false)
		pass.sum(&sums, e, nil, logits[:n*classes], noLabels[:n])
		if pass.plain {
			logKernel(dst[:n], sums.sum[:n])
		} else {
			rowLogSumAsm(&sums.weight[0], &sums.sum[0], n)
			for i, m := range sums.most[:n] {
				if math.IsInf(float64(m), 0) {
					r := row{most: m}
					sums.weight[i] = r.logSum(logits[i*classes:][:classes])
				}
			}
			copy(dst[:n], sums.weight[:n]) // last: with one class dst may be logits
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

// oneVsRestLosses writes the gradients too, unless grad is nil. The terms of some rows, or of a piece of a long one, are
// kept in the cache.
func oneVsRestLosses(losses, grad, logits []float32, labels []int32, p *lossParams, scale float32) {
	switch { // Go clears the buffers
	case len(logits) <= smallTerms:
		var targets, terms [smallTerms]float32
		oneVsRestTerms(targets[:], terms[:], losses, grad, logits, labels, p, scale)
	case p.classes >= patchClasses && p.smooth == 0:
		var terms [lossChunk]float32
		oneVsRestTerms(nil, terms[:], losses, grad, logits, labels, p, scale)
	default:
		var targets, terms [lossChunk]float32
		oneVsRestTerms(targets[:], terms[:], losses, grad, logits, labels, p, scale)
	}
}

const smallTerms = 128

// patchClasses is from where on it is faster to take all classes for background first and to compute the labels' again.
const patchClasses = 32

// oneVsRestTerms has room for some terms, and either for as many targets, all 0, or, without, for the classes of rows of at
// least patchClasses.
func oneVsRestTerms(targets, terms, losses, grad, logits []float32, labels []int32, p *lossParams, scale float32) {
	c, room := p.classes, len(terms)
	for len(labels) > 0 {
		rows := min(max(1, room/c), len(labels))
		var total [lanes]float64
		for start := 0; start < rows*c; start += room { // more than once only where a row is longer
			n := min(room, rows*c-start)
			var g []float32
			if grad != nil {
				g = grad[start : start+n]
			}
			if targets == nil {
				backgroundTerms(terms[:n], g, logits[start:start+n], labels[:rows], start, p, scale)
			} else {
				targetTerms(targets[:n], terms[:n], g, logits[start:start+n], labels[:rows], start, p, scale)
			}
			if c > room {
				addBlocksAsm(&total, &terms[0], n)
			}
		}
		if c > room {
			losses[0] = canonical(float32(fold(&total)))
		} else {
			foldRowsAsm(&losses[0], &terms[0], rows, c)
		}
		clearIgnored(losses, grad, labels[:rows], c)
		losses, logits, labels = losses[rows:], logits[rows*c:], labels[rows:]
		if grad != nil {
			grad = grad[rows*c:]
		}
	}
}

// labelAt is where row i's label is in a piece of n logits from start on, or not below n.
func labelAt(i int, label int32, start, n, classes int) int {
	at := i*classes + int(label) - start
	if uint(label) >= uint(classes) || at < 0 {
		return n
	}
	return at
}

// targetTerms computes the terms of a piece of some rows from targets.
func targetTerms(targets, terms, grad, logits []float32, labels []int32, start int, p *lossParams, scale float32) {
	set := func(y float32) {
		for i, t := range labels {
			if at := labelAt(i, t, start, len(targets), p.classes); at < len(targets) {
				targets[at] = y
			}
		}
	}
	set(1)
	switch {
	case p.smooth != 0:
		smoothTerms(terms, grad, logits, targets, p, scale)
	case grad == nil:
		sigmoidLossKernel(terms, logits, targets, p)
	default:
		sigmoidGradKernel(terms, grad, logits, targets, p, scale)
	}
	set(0)
}

// backgroundTerms computes the terms of a piece of some rows of at least patchClasses as if all were background, and the
// labels' again.
func backgroundTerms(terms, grad, logits []float32, labels []int32, start int, p *lossParams, scale float32) {
	const most = lossChunk / patchClasses
	var at [most]int
	var x, y, l, g [most]float32
	k := 0
	for i, t := range labels {
		if j := labelAt(i, t, start, len(terms), p.classes); j < len(terms) {
			at[k], x[k], y[k] = j, logits[j], 1
			k++
		}
	}
	switch {
	case grad == nil || scale == 0:
		backgroundLossAsm(&terms[0], &logits[0], len(terms), p)
		clear(grad)
	default:
		if scale-scale != 0 { // as in sigmoidGradKernel
			slow := *p
			slow.limit, p = -1, &slow
		}
		backgroundGradAsm(&terms[0], &grad[0], &logits[0], len(terms), p, &scale)
	}
	if grad == nil {
		sigmoidLossKernel(l[:k], x[:k], y[:k], p)
	} else {
		sigmoidGradKernel(l[:k], g[:k], x[:k], y[:k], p, scale)
	}
	for i, j := range at[:k] {
		terms[j] = l[i]
		if grad != nil {
			grad[j] = g[i]
		}
	}
}

// maxWordKernel is the largest of some words, 0 of none.
func maxWordKernel(words []uint32) uint32 {
	var most uint32
	if active == generic || len(words) < lanes { // a call takes as long
		for _, w := range words {
			most = max(most, w)
		}
		return most
	}
	maxWordAsm(&most, &words[0], len(words))
	return most
}

func sumBlock(losses []float32) float64 {
	switch {
	case len(losses) == 1: // a call takes as long as all else of a single row
		return 0 + float64(losses[0])
	case active == generic || len(losses) == 0:
		return sumBlockGeneric(losses)
	}
	var sum float64
	sumLossesAsm(&sum, &losses[0], len(losses))
	return sum
}
