package main

// maxWord writes the largest of n unsigned words: how labels and targets are held against their range.
func maxWord(m machine) {
	x, left := m.param("x"), m.param("n")
	sign := m.hold(m.u32(1 << 31)) // turns the order of unsigned integers into that of signed ones
	most := make([]vec, rowTile/m.properties().lanes)
	for u := range most {
		most[u] = m.variable(sign)
	}
	tiles(m, "words", left, x, nil, m.u32(0), func(t tile) {
		for u := range most {
			m.set(most[u], m.smax(most[u], m.xor(sign, t.x[u])))
		}
	})
	v := most[0]
	for _, a := range most[1:] {
		v = m.smax(v, a)
	}
	m.storeFirst(m.param("most"), 0, m.xor(sign, across(m, v, m.smax)))
	m.ret()
}
