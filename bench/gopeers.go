package main

import (
	"math"
	"runtime"
	"slices"
	"strings"

	"github.com/chewxy/math32"
	"github.com/nlpodyssey/spago/ag"
	"github.com/nlpodyssey/spago/losses"
	"github.com/nlpodyssey/spago/mat"
	"github.com/tphakala/simd/f32"
	"github.com/viterin/vek/vek32"
	"gonum.org/v1/gonum/floats"

	"github.com/gofocal/focal"
)

// elementwise is an op of a function on slices.
func elementwise(f func(dst, x []float32)) op {
	return func(in *input, out []float32) func() { return func() { f(out, in.x) } }
}

// scalar is an op of a function on numbers, called element by element.
func scalar(f func(float32) float32) op {
	return elementwise(func(dst, x []float32) {
		for i, v := range x {
			dst[i] = f(v)
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// focalOps are the package itself.
func focalOps() map[string]op {
	ops := map[string]op{
		"Exp":     elementwise(focal.Exp),
		"Log":     elementwise(focal.Log),
		"Pow":     elementwise(func(dst, x []float32) { focal.Pow(dst, x, exponent) }),
		"Sigmoid": elementwise(focal.Sigmoid),
	}
	for name, f := range map[string]func(dst, logits []float32, classes int){
		"Softmax": focal.Softmax, "LogSoftmax": focal.LogSoftmax, "LogSumExp": focal.LogSumExp,
	} {
		ops[name] = func(in *input, out []float32) func() {
			return func() { f(out, in.x, in.Classes) }
		}
	}
	ops["LogProbs"] = func(in *input, out []float32) func() {
		return func() { must(0, focal.LogProbs(out, in.x, in.labels, in.Classes)) }
	}
	addLoss(ops, "SoftmaxLoss", func(in *input) loss[int32] {
		return must(focal.NewSoftmaxLoss(focal.SoftmaxConfig{
			Classes: in.Classes, Gamma: gamma, Alpha: classWeights(in.Classes),
		}))
	}, func(in *input) []int32 { return in.labels })
	addLoss(ops, "OneVsRestLoss", func(in *input) loss[int32] {
		return must(focal.NewOneVsRestLoss(focal.OneVsRestConfig{Classes: in.Classes, Gamma: gamma, Alpha: alpha}))
	}, func(in *input) []int32 { return in.labels })
	addLoss(ops, "SigmoidLoss", func(in *input) loss[float32] {
		return must(focal.NewSigmoidLoss(focal.SigmoidConfig{Gamma: gamma, Alpha: alpha}))
	}, func(in *input) []float32 { return in.targets })
	return ops
}

// loss is what the losses have in common: T is that of the labels or targets.
type loss[T any] interface {
	Sum(logits []float32, truth []T) (float64, error)
	Each(dst, logits []float32, truth []T) error
	Grad(grad, logits []float32, truth []T, scale float32) (float64, error)
}

func addLoss[T any](ops map[string]op, name string, make func(*input) loss[T], truth func(*input) []T) {
	ops[name+".Sum"] = func(in *input, out []float32) func() {
		l, t := make(in), truth(in)
		return func() { out[0] = float32(must(l.Sum(in.x, t))) }
	}
	ops[name+".Each"] = func(in *input, out []float32) func() {
		l, t := make(in), truth(in)
		return func() { must(0, l.Each(out, in.x, t)) }
	}
	ops[name+".Grad"] = func(in *input, out []float32) func() {
		l, t := make(in), truth(in)
		return func() { must(l.Grad(out, in.x, t, 1)) }
	}
}

// goPeers are the Go libraries, each in the version that this module requires, and the code that one writes without.
func goPeers() []*peer {
	return []*peer{
		{
			peerInfo: peerInfo{Name: "Go math", Version: runtime.Version()},
			runner:   &local{ops: plainOps()},
		},
		{
			peerInfo: peerInfo{Name: "math32", Version: moduleVersion("github.com/chewxy/math32")},
			runner: &local{ops: map[string]op{
				"Exp":     scalar(math32.Exp),
				"Log":     scalar(math32.Log),
				"Pow":     scalar(func(x float32) float32 { return math32.Pow(x, exponent) }),
				"Sigmoid": scalar(func(x float32) float32 { return 1 / (1 + math32.Exp(-x)) }),
			}},
		},
		{
			peerInfo: peerInfo{Name: "vek", Version: moduleVersion("github.com/viterin/vek"), ISA: onAMD64("avx2")},
			runner: &local{ops: map[string]op{
				"Exp": elementwise(func(dst, x []float32) { vek32.Exp_Into(dst, x) }),
				"Log": elementwise(func(dst, x []float32) { vek32.Log_Into(dst, x) }),
				"Pow": func(in *input, out []float32) func() {
					y := slices.Repeat([]float32{exponent}, len(in.x))
					return func() { vek32.Pow_Into(out, in.x, y) }
				},
			}},
		},
		{
			peerInfo: peerInfo{Name: "tphakala/simd", Version: moduleVersion("github.com/tphakala/simd"), ISA: onAMD64("avx2")},
			runner: &local{ops: map[string]op{
				"Exp":     elementwise(f32.Exp),
				"Log":     elementwise(f32.Log),
				"Pow":     elementwise(func(dst, x []float32) { f32.Pow(dst, x, exponent) }),
				"Sigmoid": elementwise(f32.Sigmoid),
			}},
		},
		{
			peerInfo: peerInfo{Name: "gonum", Version: moduleVersion("gonum.org/v1/gonum")},
			runner: &local{ops: map[string]op{
				"LogSumExp": func(in *input, out []float32) func() {
					x := make([]float64, len(in.x)) // gonum's numbers
					for i, v := range in.x {
						x[i] = float64(v)
					}
					return func() {
						for i := range out {
							out[i] = float32(floats.LogSumExp(x[i*in.Classes:][:in.Classes]))
						}
					}
				},
			}},
		},
	}
}

func onAMD64(isa string) string {
	if runtime.GOARCH == "amd64" {
		return isa
	}
	return ""
}

// plainOps are what a Go program does with package math, in float64 as its functions are.
func plainOps() map[string]op {
	ops := map[string]op{
		"Exp":     scalar(func(x float32) float32 { return float32(math.Exp(float64(x))) }),
		"Log":     scalar(func(x float32) float32 { return float32(math.Log(float64(x))) }),
		"Pow":     scalar(func(x float32) float32 { return float32(math.Pow(float64(x), exponent)) }),
		"Sigmoid": scalar(func(x float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) }),
		"Softmax": func(in *input, out []float32) func() {
			return eachRow(in, func(i int, z []float32) {
				m, sum := largest(z), 0.0
				p := out[i*in.Classes:][:in.Classes]
				for j, v := range z {
					e := math.Exp(float64(v - m))
					p[j] = float32(e)
					sum += e
				}
				for j := range p {
					p[j] *= float32(1 / sum)
				}
			})
		},
		"LogSoftmax": func(in *input, out []float32) func() {
			return eachRow(in, func(i int, z []float32) {
				lse := plainLogSumExp(z)
				for j, v := range z {
					out[i*in.Classes+j] = float32(float64(v) - lse)
				}
			})
		},
		"LogSumExp": func(in *input, out []float32) func() {
			return eachRow(in, func(i int, z []float32) { out[i] = float32(plainLogSumExp(z)) })
		},
		"LogProbs": func(in *input, out []float32) func() {
			return eachRow(in, func(i int, z []float32) {
				out[i] = float32(float64(z[in.labels[i]]) - plainLogSumExp(z))
			})
		},
		"SoftmaxLoss.Sum": func(in *input, out []float32) func() {
			weights := classWeights(in.Classes)
			return func() {
				sum := 0.0
				for i, t := range in.labels {
					sum += plainSoftmaxLoss(in.x[i*in.Classes:][:in.Classes], t, weights)
				}
				out[0] = float32(sum)
			}
		},
		"SoftmaxLoss.Each": func(in *input, out []float32) func() {
			weights := classWeights(in.Classes)
			return eachRow(in, func(i int, z []float32) {
				out[i] = float32(plainSoftmaxLoss(z, in.labels[i], weights))
			})
		},
		"SoftmaxLoss.Grad": func(in *input, out []float32) func() {
			weights := classWeights(in.Classes)
			return eachRow(in, func(i int, z []float32) {
				t := in.labels[i]
				lse := plainLogSumExp(z)
				logp := float64(z[t]) - lse
				p := math.Exp(logp)
				q := 1 - p
				g := float64(weights[t]) * (q*q - gamma*q*p*logp)
				grad := out[i*in.Classes:][:in.Classes]
				for j, v := range z {
					grad[j] = float32(g * math.Exp(float64(v)-lse))
				}
				grad[t] = float32(-g * q)
			})
		},
	}
	for _, suffix := range []string{".Sum", ".Each", ".Grad"} {
		grad := suffix == ".Grad"
		ops["OneVsRestLoss"+suffix] = func(in *input, out []float32) func() {
			return func() {
				total := 0.0
				for i, t := range in.labels {
					sum := 0.0
					for j, x := range in.x[i*in.Classes:][:in.Classes] {
						y := 0.0
						if j == int(t) {
							y = 1
						}
						l, g := plainSigmoidLoss(x, y, grad)
						sum += l
						if grad {
							out[i*in.Classes+j] = float32(g)
						}
					}
					total += sum
					if suffix == ".Each" {
						out[i] = float32(sum)
					}
				}
				if suffix == ".Sum" {
					out[0] = float32(total)
				}
			}
		}
		ops["SigmoidLoss"+suffix] = func(in *input, out []float32) func() {
			return func() {
				sum := 0.0
				for i, x := range in.x {
					l, g := plainSigmoidLoss(x, float64(in.targets[i]), grad)
					sum += l
					switch suffix {
					case ".Each":
						out[i] = float32(l)
					case ".Grad":
						out[i] = float32(g)
					}
				}
				if suffix == ".Sum" {
					out[0] = float32(sum)
				}
			}
		}
	}
	return ops
}

func eachRow(in *input, f func(i int, z []float32)) func() {
	return func() {
		for i := range in.Rows {
			f(i, in.x[i*in.Classes:][:in.Classes])
		}
	}
}

func largest(z []float32) float32 {
	m := z[0]
	for _, v := range z[1:] {
		if v > m {
			m = v
		}
	}
	return m
}

func plainLogSumExp(z []float32) float64 {
	m, sum := largest(z), 0.0
	for _, v := range z {
		sum += math.Exp(float64(v - m))
	}
	return float64(m) + math.Log(sum)
}

func plainSoftmaxLoss(z []float32, label int32, weights []float32) float64 {
	logp := float64(z[label]) - plainLogSumExp(z)
	q := 1 - math.Exp(logp)
	return -float64(weights[label]) * q * q * logp
}

// plainSigmoidLoss is torchvision's formula, and its derivative for hard targets.
func plainSigmoidLoss(logit float32, y float64, grad bool) (loss, gradient float64) {
	x := float64(logit)
	e := math.Exp(-math.Abs(x))
	ce := max(x, 0) - x*y + math.Log1p(e)
	p := 1 / (1 + e)
	if x < 0 {
		p = e / (1 + e)
	}
	q := p*(1-y) + (1-p)*y // 1 - p_t
	weight := alpha*y + (1-alpha)*(1-y)
	loss = weight * q * q * ce
	if grad {
		dq := p * (1 - p) * (1 - 2*y)
		gradient = weight * (q*q*(p-y) + 2*q*dq*ce)
	}
	return loss, gradient
}

// spagoPeer is the one Go library that has a focal loss.
func spagoPeer() *peer {
	return &peer{
		peerInfo: peerInfo{Name: "spago", Version: moduleVersion("github.com/nlpodyssey/spago")},
		runner: &local{ops: map[string]op{
			"SoftmaxLoss.Sum":  spagoLoss,
			"SoftmaxLoss.Each": spagoLoss,
			"SoftmaxLoss.Grad": spagoLoss,
		}},
	}
}

func spagoLoss(in *input, out []float32) func() {
	vector := func(x []float32, grad bool) *mat.Dense[float32] {
		return mat.NewDense[float32](mat.WithShape(len(x)), mat.WithBacking(x), mat.WithGrad(grad))
	}
	focalLoss := losses.WeightedFocalLoss(vector(classWeights(in.Classes), false))
	rows := make([]*mat.Dense[float32], in.Rows)
	for i := range rows {
		rows[i] = vector(in.x[i*in.Classes:][:in.Classes], strings.HasSuffix(in.f.name, ".Grad"))
	}
	return func() {
		sum := 0.0
		for i, row := range rows {
			l := focalLoss(row, int(in.labels[i]), gamma)
			switch in.f.name {
			case "SoftmaxLoss.Sum":
				sum += l.Value().Item().F64()
			case "SoftmaxLoss.Each":
				out[i] = float32(l.Value().Item().F64())
			case "SoftmaxLoss.Grad":
				row.ZeroGrad()
				must(0, ag.Backward(l))
				copy(out[i*in.Classes:], mat.Data[float32](row.Grad()))
			}
		}
		if in.f.name == "SoftmaxLoss.Sum" {
			out[0] = float32(sum)
		}
	}
}
