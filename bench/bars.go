package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"text/tabwriter"
)

// A bar is a target of the project: a variant's time on matching rows, at most so many times that of the best of some
// peers.
type bar struct {
	work    *regexp.Regexp
	variant string
	peers   func(p *peerInfo) bool
	exp     bool // in place of peers: the variant's Exp, on as many elements
	factor  float64
}

func named(names ...string) func(*peerInfo) bool {
	return func(p *peerInfo) bool {
		for _, n := range names {
			if p.Name == n {
				return true
			}
		}
		return false
	}
}

func vectorISA(isa string) func(*peerInfo) bool {
	return func(p *peerInfo) bool { return !p.Focal && p.ISA == isa }
}

// bars is the table of targets.
var bars = func() []bar {
	var list []bar
	add := func(work, variant string, peers func(*peerInfo) bool, factor float64) {
		list = append(list, bar{work: regexp.MustCompile("^" + work), variant: variant, peers: peers, factor: factor})
	}
	both := func(work string, peers func(*peerInfo) bool, avx2, avx512 float64) {
		add(work, "avx2", peers, avx2)
		add(work, "avx512", peers, avx512)
	}
	for work, factor := range map[string][2]float64{"Exp/": {0.8, 0.65}, "Log/": {0.9, 0.65}, "Pow/": {0.45, 0.5}} {
		add(work+"n=4096$", "avx2", vectorISA("avx2"), factor[0])
		add(work+"n=4096$", "avx512", vectorISA("avx512"), factor[1])
	}
	both(`Sigmoid/n=4096$`, named("tphakala/simd", "ONNX Runtime"), 0.9, 0.4)
	frameworks := named("ONNX Runtime", "PyTorch")
	both(`SoftmaxLoss.Sum/rows=\d{2,}/classes=5$`, named("ONNX Runtime", "PyTorch", "Go math"), 0.10, 0.07)
	both(`SoftmaxLoss.Sum/rows=\d{2,}/classes=80$`, frameworks, 0.40, 0.25)
	both(`SoftmaxLoss.Sum/rows=\d+/classes=1000$`, frameworks, 0.75, 0.45)
	both(`SoftmaxLoss.Sum/rows=1/classes=80$`, named("ONNX Runtime"), 0.016, 0.010)
	both(`SoftmaxLoss.Grad/rows=\d{2,}/classes=80$`, named("PyTorch"), 0.10, 0.06)
	both(`SigmoidLoss.(Sum|Each)/n=\d{4,}$`, named("PyTorch"), 0.08, 0.04)
	both(`SigmoidLoss.Grad/n=\d{4,}$`, named("PyTorch"), 0.07, 0.04)
	// The specification in Go.
	plain := named("Go math")
	add(`(Exp|Log)/n=4096$`, "generic", plain, 1.5)
	add(`SoftmaxLoss.Sum/rows=\d+/classes=(5|80|1000)$`, "generic", plain, 2)
	// Losses against Exp on as many elements.
	for _, v := range []string{"avx2", "avx512"} {
		for work, factor := range map[string]float64{
			`(SigmoidLoss|OneVsRestLoss)\.(Sum|Each)/(n=|rows=)\d{4,}`:     4,
			`(SigmoidLoss|OneVsRestLoss)\.Grad/(n=|rows=)\d{4,}`:           5,
			`(Softmax|LogSumExp|SoftmaxLoss.Sum)/rows=\d+/classes=\d{4,}$`: 1.3,
		} {
			list = append(list, bar{regexp.MustCompile("^" + work), v, named(), true, factor})
		}
	}
	return list
}()

// expName is the name of the peer that times Exp on the elements of another function.
func expName(variant string) string { return "focal " + variant + " Exp" }

// expOnly times Exp in place of each function that a bar holds against it.
type expOnly struct{ runner }

func (e expOnly) prepare(in *input) (bool, error) {
	if !in.f.matrix && !in.f.target {
		return false, nil
	}
	as := *in
	as.f = functionNamed("Exp")
	as.labels, as.targets = nil, nil
	return e.runner.prepare(&as)
}

// printBars lists the targets with the ratios that were measured, of the quickest rounds: a target is about the code, and
// they are the least disturbed.
func (r *report) printBars(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nTargets\tvariant\tns\tagainst\tns\tratio\ttarget\t")
	for i := range functions {
		for _, row := range r.rows(functions[i].name) {
			for _, b := range bars {
				if !b.work.MatchString(row.work) {
					continue
				}
				ours := row.by["focal "+b.variant]
				var best *timing
				for _, p := range r.Peers {
					if t := row.by[p.Name]; t != nil && b.peers(&p) && (best == nil || t.Min < best.Min) {
						best = t
					}
				}
				if t := row.by[expName(b.variant)]; t != nil && b.exp {
					best = t
				}
				if ours == nil || best == nil {
					continue
				}
				ratio := ours.Min / best.Min
				verdict := "ok"
				if !(ratio <= b.factor) {
					verdict = "MISSED"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%.3f\t%.3f\t%s\n", row.work, b.variant, digits(ours.Min),
					strings.TrimPrefix(best.Peer, "focal "), digits(best.Min), ratio, b.factor, verdict)
			}
		}
	}
	w.Flush()
}
