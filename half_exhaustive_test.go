//go:build exhaustive

package focal

import (
	"sync/atomic"
	"testing"
)

// TestExhaustiveNarrow holds every available variant against the specification on all 2^32 inputs.
func TestExhaustiveNarrow(t *testing.T) {
	for _, f := range halfFormats {
		for _, v := range available[:len(available)-1] {
			use(t, v)
			var different atomic.Int64
			parallel(1<<32/pieceSize, func(n int) {
				var p piece
				everyFloat(n, &p)
				x := p.x[:]
				var got, want [pieceSize]uint16
				f.narrowGeneric(want[:], x)
				f.narrowKernel(got[:], x)
				for i := range x {
					if got[i] != want[i] {
						if different.Add(1) <= 5 {
							t.Errorf("Narrow%s(%x) = %#04x on %v, want %#04x", f.name, x[i], got[i], v, want[i])
						}
					}
				}
			})
			t.Logf("Narrow%s, %v: all 2^32 inputs, %d differences", f.name, v, different.Load())
		}
	}
}
