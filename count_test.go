package focal

import (
	"math"
	"os"
	"testing"
)

// TestCount calls every function and loss once on logits of the class that FOCAL_COUNT names, for a program that counts
// instructions: see .ci/count.
func TestCount(t *testing.T) {
	class := os.Getenv("FOCAL_COUNT")
	if class == "" {
		t.Skip("counts nothing")
	}
	fill := map[string]func(r *rng) float32{
		"ordinary":  func(r *rng) float32 { return float32(r.normal()) },
		"positive":  func(r *rng) float32 { return float32(r.float() + 0.1) },
		"wide":      func(r *rng) float32 { return float32(r.normal() * 6) },
		"equal":     func(r *rng) float32 { return 0.75 },
		"apart":     func(r *rng) float32 { return []float32{-30, 30}[r.below(2)] },
		"subnormal": func(r *rng) float32 { return math.Float32frombits(uint32(1 + r.below(1<<22))) },
		"huge":      func(r *rng) float32 { return float32(math.Ldexp(r.float(), 100)) },
		"infinite":  func(r *rng) float32 { return inf32 },
		"nan":       func(r *rng) float32 { return nan32 },
	}[class]
	if fill == nil {
		t.Fatalf("FOCAL_COUNT: no class %q", class)
	}
	e, r := newEverything(40, 80), newRNG(31)
	for i := range e.logits {
		e.logits[i] = fill(r)
	}
	e.run(make([]float32, len(e.logits)))
}
