//go:build purego || !amd64

package focal

// supported is empty: there is no assembly.
func supported() []variant { return nil }

func expKernel(dst, x []float32)               { expGeneric(dst, x) }
func logKernel(dst, x []float32)               { logGeneric(dst, x) }
func sigmoidKernel(dst, x []float32)           { sigmoidGeneric(dst, x) }
func powKernel(dst, x []float32, p *powParams) { powGeneric(dst, x, p) }
func sigmoidLossKernel(losses, logits, targets []float32, p *lossParams) {
	sigmoidLossGeneric(losses, logits, targets, p)
}
func sigmoidGradKernel(losses, grad, logits, targets []float32, p *lossParams, scale float32) {
	sigmoidGradGeneric(losses, grad, logits, targets, p, scale)
}
func softmaxLossKernel(losses, logits []float32, labels []int32, p *lossParams) {
	softmaxLossGeneric(losses, logits, labels, p)
}
