package main

// foldRows sums the terms of each row of the one-vs-rest form, as oneVsRest of focal_generic.go does.
func foldRows(m machine) {
	x, rows, total := m.param("terms"), m.param("rows"), m.local()
	acc := make([]vec, rowTile/m.properties().lanes)
	for u := range acc {
		acc[u] = m.variable(m.u32(0))
	}
	block := func(name string, left gp) {
		for u := range acc {
			m.set(acc[u], m.u32(0))
		}
		next := m.indexed(x, left)
		tiles(m, name, left, x, nil, m.u32(0), func(t tile) {
			for u := range acc {
				m.set(acc[u], m.add(acc[u], t.x[u]))
			}
		})
		m.setCopy(x, next)
	}
	write := func(v vec) {
		m.storeFirst(m.param("losses"), 0, m.pick(m.unordered(v, v), m.u32(nanBits), v))
		m.advanceParam("losses", 4)
		m.advance(rows, -1)
		m.jumpIfAtLeast(rows, 1, "row")
		m.ret()
	}
	m.label("row")
	left := m.param("classes")
	m.jumpIfAtLeast(left, rowBlock+1, "long")
	block("short", left)
	write(m.tileFold(acc))
	m.label("long")
	m.doublesClear(total)
	m.label("block")
	block("long", m.atMost(left, rowBlock))
	m.doublesAdd(total, acc)
	m.advance(left, -rowBlock)
	m.jumpIfAtLeast(left, 1, "block")
	write(m.doublesFold(total))
}

// addBlocks adds the terms of a part of a row to the float64 lanes of its sum.
func addBlocks(m machine) {
	x, left, total := m.param("x"), m.param("n"), m.param("total")
	m.label("block")
	acc := make([]vec, rowTile/m.properties().lanes)
	for u := range acc {
		acc[u] = m.variable(m.u32(0))
	}
	tiles(m, "add", m.atMost(left, rowBlock), x, nil, m.u32(0), func(t tile) {
		for u := range acc {
			m.set(acc[u], m.add(acc[u], t.x[u]))
		}
	})
	m.doublesAdd(total, acc)
	m.advance(left, -rowBlock)
	m.jumpIfAtLeast(left, 1, "block")
	m.ret()
}

// sumLosses adds losses in float64, as sumBlockGeneric of focal_generic.go does.
func sumLosses(m machine) {
	sums := m.laneSums()
	tiles(m, "add", m.param("n"), m.param("x"), nil, m.u32(0), func(t tile) { m.laneSumsAdd(sums, t.x) })
	m.laneSumsFold(sums, m.param("sum"))
	m.ret()
}
