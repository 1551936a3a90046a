package main

// The conversions between float32 and the 16-bit formats, as half_generic.go says.

// convert maps tiles of src to dst, n >= 16 elements of srcBytes and dstBytes. A last tile that is not whole begins earlier,
// at elements that have been converted before: src and dst do not overlap.
func convert(m machine, srcBytes, dstBytes int, step func(dst, src gp, u int)) {
	dst, src, n := m.param("dst"), m.param("src"), m.param("n")
	m.label("tile")
	for u := range rowTile / m.properties().lanes {
		step(dst, src, u)
	}
	m.advance(dst, dstBytes*rowTile)
	m.advance(src, srcBytes*rowTile)
	m.advance(n, -rowTile)
	m.jumpIfAtLeast(n, rowTile, "tile")
	m.jumpIfLess(n, 1, "done")
	back := m.count(rowTile)
	m.subtract(back, n)
	for range dstBytes {
		m.subtract(dst, back)
	}
	for range srcBytes {
		m.subtract(src, back)
	}
	m.setCount(n, rowTile)
	m.jump("tile")
	m.label("done")
	m.ret()
}

func widenBFloat16(m machine) {
	lanes := m.properties().lanes
	convert(m, 2, 4, func(dst, src gp, u int) {
		m.store(dst, 4*lanes*u, canonical(m, m.shl(m.loadWords(src, 2*lanes*u), 16)))
	})
}

func widenFloat16(m machine) {
	lanes := m.properties().lanes
	convert(m, 2, 4, func(dst, src gp, u int) {
		m.store(dst, 4*lanes*u, canonical(m, m.loadFloat16(src, 2*lanes*u)))
	})
}

func narrowBFloat16(m machine) {
	lanes := m.properties().lanes
	convert(m, 4, 2, func(dst, src gp, u int) {
		x := canonical(m, m.hold(m.load(src, 4*lanes*u)))
		m.comment("nearest: half a unit less one, and one if the upper half is odd. The NaN does not reach the next exponent")
		odd := m.and(m.shr(x, 16), m.u32(1))
		m.storeWords(dst, 2*lanes*u, m.shr(m.iadd(m.iadd(x, m.u32(0x7fff)), odd), 16))
	})
}

func narrowFloat16(m machine) {
	lanes := m.properties().lanes
	convert(m, 4, 2, func(dst, src gp, u int) {
		m.storeFloat16(dst, 2*lanes*u, canonical(m, m.hold(m.load(src, 4*lanes*u))))
	})
}
