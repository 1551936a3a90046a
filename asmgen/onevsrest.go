package main

// foldRows sums the terms of each row of the one-vs-rest form, as oneVsRest of focal_generic.go does.
func foldRows(m machine) {
	m.label("row")
	x, left, total := m.param("terms"), m.param("classes"), m.laneSums()
	addBlocks(m, "sum", left, x, nil, total, func(t tile, acc []vec) []vec { return addTile(m, t, acc) })
	sum := m.laneSumsValue(total)
	m.storeFirst(m.param("losses"), 0, m.pick(m.unordered(sum, sum), m.u32(nanBits), sum))
	m.advanceParam("losses", 4)
	bytes := m.param("classes")
	m.quadruple(bytes)
	m.advanceParamBy("terms", bytes)
	m.advanceParam("rows", -1)
	m.jumpIfParam("rows", "row")
	m.ret()
}

// addTile is a step of addBlocks.
func addTile(m machine, t tile, acc []vec) (sum []vec) {
	for u, v := range t.x {
		sum = append(sum, plus(m, m.hold(v), acc, u))
	}
	return sum
}

// addPart adds the terms of a part of a row to the float64 lanes of its sum.
func addPart(m machine) {
	total := loadSums(m, m.param("total"))
	addBlocks(m, "sum", m.param("n"), m.param("x"), nil, total, func(t tile, acc []vec) []vec { return addTile(m, t, acc) })
	storeSums(m, m.param("total"), total)
	m.ret()
}

// sumLosses adds losses in float64, as sumBlockGeneric of focal_generic.go does.
func sumLosses(m machine) {
	sums := m.laneSums()
	tiles(m, "add", m.param("n"), m.param("x"), nil, m.u32(0), func(t tile) { m.laneSumsAdd(sums, t.x) })
	m.laneSumsFold(sums, m.param("sum"))
	m.ret()
}
