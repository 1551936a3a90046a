package focal

// lossParams is a loss's configuration, prepared once by New...
type lossParams struct {
	classes  int
	gamma    float32
	power    powParams // of gamma
	alpha    []float32 // softmax form: a weight per class; nil: every class weighs 1
	positive float32   // sigmoid forms: the weight of target 1 (1 where unweighted)
	negative float32   // and of target 0
}

func newLossParams(classes int, gamma float32, alpha []float32, positive, negative float32) lossParams {
	return lossParams{classes: classes, gamma: gamma, power: newPowParams(gamma), alpha: alpha, positive: positive, negative: negative}
}

// Stubs, replaced by the specification.
func softmaxGeneric(dst, logits []float32, classes int)                          {}
func logSoftmaxGeneric(dst, logits []float32, classes int)                       {}
func logSumExpGeneric(dst, logits []float32, classes int)                        {}
func softmaxLossGeneric(losses, logits []float32, labels []int32, p *lossParams) {}
func softmaxGradGeneric(losses, grad, logits []float32, labels []int32, p *lossParams, scale float32) {
}
func oneVsRestLossGeneric(losses, logits []float32, labels []int32, p *lossParams) {}
func oneVsRestGradGeneric(losses, grad, logits []float32, labels []int32, p *lossParams, scale float32) {
}
func sigmoidLossGeneric(losses, logits, targets []float32, p *lossParams)                      {}
func sigmoidGradGeneric(losses, grad, logits, targets []float32, p *lossParams, scale float32) {}

// sumBlock adds up to SumBlock losses in float64, in the one fixed order.
func sumBlock(losses []float32) float64 { return 0 }
