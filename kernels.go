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

// rowSums is what the pass over the logits of some rows leaves for the rest: see rowSum.
type rowSums struct {
	sum    [rowsAtOnce]float32
	n      [rowsAtOnce]int32
	most   [rowsAtOnce]float32 // the largest logit but the target's
	target [rowsAtOnce]float32 // the target's logit
}

// A kernel computes one block: it knows nothing of errors, configuration or goroutines. Its arguments have been
// checked. Below, a row's label is its class in [0, classes); noLabel where the row counts for nothing, and in the
// one-vs-rest form also classes for background.
const noLabel = -1

func softmaxKernel(dst, logits []float32, classes int)    { softmaxGeneric(dst, logits, classes) }
func logSoftmaxKernel(dst, logits []float32, classes int) { logSoftmaxGeneric(dst, logits, classes) }
func logSumExpKernel(dst, logits []float32, classes int)  { logSumExpGeneric(dst, logits, classes) }

// The losses: losses has one element per row (sigmoid form: per logit). The gradient kernels write grad as well, which
// may be logits; grad is scale * d loss / d logits.
func softmaxGradKernel(losses, grad, logits []float32, labels []int32, p *lossParams, scale float32) {
	softmaxGradGeneric(losses, grad, logits, labels, p, scale)
}
func oneVsRestLossKernel(losses, logits []float32, labels []int32, p *lossParams) {
	oneVsRestLossGeneric(losses, logits, labels, p)
}
func oneVsRestGradKernel(losses, grad, logits []float32, labels []int32, p *lossParams, scale float32) {
	oneVsRestGradGeneric(losses, grad, logits, labels, p, scale)
}

// Variant names the active variant: "avx512", "avx2", "neon" or "generic". Names may be added.
func Variant() string { return active.String() }
