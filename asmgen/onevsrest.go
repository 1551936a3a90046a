package main

// foldRows sums the terms of each row of the one-vs-rest form, as oneVsRest of focal_generic.go does.
func foldRows(m machine) {
	x, rows := m.param("terms"), m.param("rows")
	m.label("row")
	left, total := m.param("classes"), m.doubles()
	m.label("block")
	acc := make([]vec, rowTile/m.properties().lanes)
	for u := range acc {
		acc[u] = m.variable(m.u32(0))
	}
	size := m.atMost(left, rowBlock)
	next := m.indexed(x, size)
	tiles(m, "add", size, x, nil, m.u32(0), func(t tile) {
		for u := range acc {
			m.set(acc[u], m.add(acc[u], t.x[u]))
		}
	})
	m.doublesAdd(total, acc)
	m.setCopy(x, next)
	m.advance(left, -rowBlock)
	m.jumpIfAtLeast(left, 1, "block")
	v := m.doublesFold(total)
	m.storeFirst(m.param("losses"), 0, m.pick(m.unordered(v, v), m.u32(nanBits), v))
	m.advanceParam("losses", 4)
	m.advance(rows, -1)
	m.jumpIfAtLeast(rows, 1, "row")
	m.ret()
}
