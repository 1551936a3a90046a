//go:build exhaustive

package focal

import (
	"math"
	"runtime"
	"sync"
	"testing"
)

// TestExhaustiveVariants holds every available variant against the specification on all 2^32 inputs.
func TestExhaustiveVariants(t *testing.T) {
	for _, c := range []struct {
		name                  string
		kernel, specification func(dst, x []float32)
	}{
		{"exp", expKernel, expGeneric},
		{"log", logKernel, logGeneric},
		{"sigmoid", sigmoidKernel, sigmoidGeneric},
	} {
		t.Run(c.name, func(t *testing.T) {
			const piece = 1 << 20
			pieces := 1 << 32 / piece
			want := make([][]float32, runtime.GOMAXPROCS(0)) // of one round: as many pieces as there are processors
			x := make([][]float32, len(want))
			for i := range want {
				want[i], x[i] = make([]float32, piece), make([]float32, piece)
			}
			got := make([]float32, piece)
			for first := 0; first < pieces; first += len(want) {
				var wg sync.WaitGroup
				for i := range want {
					wg.Go(func() {
						for j := range x[i] {
							x[i][j] = math.Float32frombits(uint32((first+i)*piece + j))
						}
						c.specification(want[i], x[i])
					})
				}
				wg.Wait()
				for _, v := range available[:len(available)-1] {
					active = v
					for i := range want {
						c.kernel(got, x[i])
						sameBits(t, c.name+", "+v.String(), x[i], got, want[i])
					}
				}
			}
			t.Logf("%s: all 2^32 inputs, variants %v", c.name, available)
		})
	}
	active = available[0]
}
