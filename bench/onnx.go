package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// sendModel sends ONNX Runtime's server the model of a function, an empty one where there is none.
func sendModel(w io.Writer, in *input) error {
	model := onnxModel(in)
	if _, err := fmt.Fprintf(w, "model %d\n", len(model)); err != nil {
		return err
	}
	_, err := w.Write(model)
	return err
}

// onnxModel is a function as an ONNX graph from x and, for the losses, truth (labels or targets) to y, written down as
// one would export it from PyTorch. It is nil where the runtime has no such function: it has no gradients.
func onnxModel(in *input) []byte {
	g := &onnxGraph{}
	rows, classes := int64(in.Rows), int64(in.Classes)
	shape := []int64{rows, classes}
	g.value(graphInput, "x", onnxFloat, shape)
	switch in.f.name {
	case "Exp", "Log", "Sigmoid":
		g.node(in.f.name, "y", "x")
	case "Pow":
		g.node("Pow", "y", "x", g.constant(exponent))
	case "Softmax", "LogSoftmax":
		g.node(in.f.name, "y", "x", onnxInt("axis", 1))
	case "LogSumExp":
		g.node("ReduceLogSumExp", "y", "x", onnxInts("axes", 1))
		shape = []int64{rows, 1}
	case "LogProbs":
		shape = []int64{rows, 1}
		g.value(graphInput, "truth", onnxInt64, shape)
		g.node("LogSoftmax", "logs", "x", onnxInt("axis", 1))
		g.node("GatherElements", "y", "logs", "truth", onnxInt("axis", 1))
	case "SoftmaxLoss.Sum", "SoftmaxLoss.Each":
		shape = []int64{rows, 1}
		g.value(graphInput, "truth", onnxInt64, shape)
		g.tensor("weights", []int64{classes}, classWeights(in.Classes))
		g.node("LogSoftmax", "logs", "x", onnxInt("axis", 1))
		g.node("GatherElements", "logp", "logs", "truth", onnxInt("axis", 1))
		g.node("Exp", "p", "logp")
		g.node("Sub", "q", g.constant(1), "p")
		g.node("Pow", "power", "q", g.constant(gamma))
		g.node("Mul", "product", "power", "logp")
		g.node("Gather", "weight", "weights", "truth")
		g.node("Mul", "negative", "weight", "product")
		g.node("Neg", "each", "negative")
		shape = g.reduce(in, shape)
	case "SigmoidLoss.Sum", "SigmoidLoss.Each":
		g.value(graphInput, "truth", onnxFloat, shape)
		one := g.constant(1)
		g.node("Sigmoid", "p", "x")
		// Binary cross-entropy: max(x, 0) - x t + log(1 + e^-|x|).
		g.node("Relu", "positive", "x")
		g.node("Mul", "xt", "x", "truth")
		g.node("Sub", "linear", "positive", "xt")
		g.node("Abs", "abs", "x")
		g.node("Neg", "minus", "abs")
		g.node("Exp", "e", "minus")
		g.node("Add", "onePlus", "e", one)
		g.node("Log", "log", "onePlus")
		g.node("Add", "ce", "linear", "log")
		// 1 - p_t, and the weight.
		g.node("Sub", "other", one, "truth")
		g.node("Mul", "pt1", "p", "truth")
		g.node("Sub", "not", one, "p")
		g.node("Mul", "pt0", "not", "other")
		g.node("Add", "pt", "pt1", "pt0")
		g.node("Sub", "q", one, "pt")
		g.node("Pow", "power", "q", g.constant(gamma))
		g.node("Mul", "product", "power", "ce")
		g.node("Mul", "w1", "truth", g.constant(alpha))
		g.node("Mul", "w0", "other", g.constant(1-alpha))
		g.node("Add", "weight", "w1", "w0")
		g.node("Mul", "each", "weight", "product")
		shape = g.reduce(in, shape)
	default:
		return nil
	}
	g.value(graphOutput, "y", onnxFloat, shape)
	g.buf = protowire.AppendTag(g.buf, graphName, protowire.BytesType)
	g.buf = protowire.AppendString(g.buf, "g")

	var opset, model []byte
	opset = appendVarint(opset, 2, 13)
	model = appendVarint(model, 1, 8) // IR version
	model = appendBytes(model, 8, opset)
	return appendBytes(model, 7, g.buf)
}

// reduce ends the graph of a loss.
func (g *onnxGraph) reduce(in *input, shape []int64) []int64 {
	if strings.HasSuffix(in.f.name, ".Each") {
		g.node("Identity", "y", "each")
		return shape
	}
	g.node("ReduceSum", "y", "each", onnxInt("keepdims", 1))
	return []int64{1, 1}
}

// Fields of ONNX's GraphProto, and element types.
const (
	graphNode        = 1
	graphName        = 2
	graphInitializer = 5
	graphInput       = 11
	graphOutput      = 12

	onnxFloat = 1
	onnxInt64 = 7
)

// An onnxGraph is a GraphProto under construction.
type onnxGraph struct {
	buf       []byte
	constants int
}

type onnxAttribute []byte

func onnxInt(name string, v int64) onnxAttribute {
	b := appendBytes(nil, 1, []byte(name))
	b = appendVarint(b, 3, uint64(v))
	return appendVarint(b, 20, 2)
}

func onnxInts(name string, v int64) onnxAttribute {
	b := appendBytes(nil, 1, []byte(name))
	b = appendVarint(b, 8, uint64(v))
	return appendVarint(b, 20, 7)
}

// node adds an operation: inputs are names (string) and attributes.
func (g *onnxGraph) node(op, output string, inputs ...any) {
	var b []byte
	for _, in := range inputs {
		if name, ok := in.(string); ok {
			b = appendBytes(b, 1, []byte(name))
		}
	}
	b = appendBytes(b, 2, []byte(output))
	b = appendBytes(b, 4, []byte(op))
	for _, in := range inputs {
		if a, ok := in.(onnxAttribute); ok {
			b = appendBytes(b, 5, a)
		}
	}
	g.buf = appendBytes(g.buf, graphNode, b)
}

// value declares an input or an output.
func (g *onnxGraph) value(field protowire.Number, name string, element uint64, shape []int64) {
	var dims []byte
	for _, d := range shape {
		dims = appendBytes(dims, 1, appendVarint(nil, 1, uint64(d)))
	}
	tensor := appendBytes(appendVarint(nil, 1, element), 2, dims)
	g.buf = appendBytes(g.buf, field, appendBytes(appendBytes(nil, 1, []byte(name)), 2, appendBytes(nil, 1, tensor)))
}

// tensor adds an initializer.
func (g *onnxGraph) tensor(name string, shape []int64, values []float32) {
	var b, raw []byte
	for _, d := range shape {
		b = appendVarint(b, 1, uint64(d))
	}
	b = appendVarint(b, 2, onnxFloat)
	b = appendBytes(b, 8, []byte(name))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	g.buf = appendBytes(g.buf, graphInitializer, appendBytes(b, 9, raw))
}

// constant adds a scalar, and returns its name.
func (g *onnxGraph) constant(v float32) string {
	g.constants++
	name := fmt.Sprintf("constant%d", g.constants)
	g.tensor(name, nil, []float32{v})
	return name
}

func appendVarint(b []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}
