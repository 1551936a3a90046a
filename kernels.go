package focal

// SumBlock is the number of losses that are added in one go: Sum, and the sum that Grad returns, add each block of
// SumBlock losses (from the slice's start) in one fixed order in float64, then the blocks left to right.
const SumBlock = 256

// A kernel computes one block: it knows nothing of errors, configuration or goroutines. Its arguments have been
// checked. Below, a row's label is its class in [0, classes); noLabel where the row counts for nothing, and in the
// one-vs-rest form also classes for background.
const noLabel = -1

func expKernel(dst, x []float32)                          { expGeneric(dst, x) }
func logKernel(dst, x []float32)                          { logGeneric(dst, x) }
func powKernel(dst, x []float32, p *powParams)            { powGeneric(dst, x, p) }
func sigmoidKernel(dst, x []float32)                      { sigmoidGeneric(dst, x) }
func softmaxKernel(dst, logits []float32, classes int)    { softmaxGeneric(dst, logits, classes) }
func logSoftmaxKernel(dst, logits []float32, classes int) { logSoftmaxGeneric(dst, logits, classes) }
func logSumExpKernel(dst, logits []float32, classes int)  { logSumExpGeneric(dst, logits, classes) }

// The losses: losses has one element per row (sigmoid form: per logit). The gradient kernels write grad as well, which
// may be logits; grad is scale * d loss / d logits.
func softmaxLossKernel(losses, logits []float32, labels []int32, p *lossParams) {
	softmaxLossGeneric(losses, logits, labels, p)
}
func softmaxGradKernel(losses, grad, logits []float32, labels []int32, p *lossParams, scale float32) {
	softmaxGradGeneric(losses, grad, logits, labels, p, scale)
}
func oneVsRestLossKernel(losses, logits []float32, labels []int32, p *lossParams) {
	oneVsRestLossGeneric(losses, logits, labels, p)
}
func oneVsRestGradKernel(losses, grad, logits []float32, labels []int32, p *lossParams, scale float32) {
	oneVsRestGradGeneric(losses, grad, logits, labels, p, scale)
}
func sigmoidLossKernel(losses, logits, targets []float32, p *lossParams) {
	sigmoidLossGeneric(losses, logits, targets, p)
}
func sigmoidGradKernel(losses, grad, logits, targets []float32, p *lossParams, scale float32) {
	sigmoidGradGeneric(losses, grad, logits, targets, p, scale)
}

// Variant names the active variant: "avx512", "avx2", "neon" or "generic". Names may be added.
func Variant() string { return "generic" }
