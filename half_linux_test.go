package focal

import "testing"

// TestGuardHalf runs the conversions on slices that begin or end at a page that must not be touched.
func TestGuardHalf(t *testing.T) {
	const longest = 100
	for _, end := range []bool{false, true} {
		floats := guarded(t, longest, end)
		words := guarded(t, longest/2, end)
		packed := asHalves(words)
		forEachVariant(t, func(t *testing.T) {
			g := newGuards(t, end)
			for _, f := range halfFormats {
				for n := range longest + 1 {
					x, h := floats[:n], packed[:n]
					if end {
						x, h = floats[longest-n:], packed[longest-n:]
					}
					g.noFault(func() { f.widenKernel(x, h) }, "Widen%s, n = %d", f.name, n)
					g.noFault(func() { f.narrowKernel(h, x) }, "Narrow%s, n = %d", f.name, n)
				}
			}
		})
	}
}
