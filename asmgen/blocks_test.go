package main

import (
	"fmt"
	"math"
)

// Operations that do more than a lane by itself: each test is a kernel that goes from block to block, the last of which ends
// where the slices do.

// blockOperation is an operation on blocks of some vectors: step goes from the block at src to the one at dst, and want is what
// it leaves at dst[i], which was block[i]. A name that begins with f is that of a floating-point result: see isFloat.
func blockOperation(name string, vectors int, step func(m machine, dst, src gp), want func(lanes int, block []uint32, i int) uint32) operation {
	return operation{
		name: name,
		body: func(m machine) {
			size := vectors * m.properties().lanes
			first := len(operandsA) % size
			dst, src, n := m.param("dst"), m.param("src"), m.param("n")
			m.advance(dst, 4*first)
			m.advance(src, 4*first)
			m.advance(n, -first)
			m.label("block")
			step(m, dst, src)
			m.advance(dst, 4*size)
			m.advance(src, 4*size)
			m.advance(n, -size)
			m.jumpIfAtLeast(n, size, "block")
			m.ret()
		},
		wantAt: func(lanes int, src []uint32, i int) uint32 {
			size := vectors * lanes
			at := i - len(src)%size
			if at < 0 {
				return src[i]
			}
			return want(lanes, src[i-at%size:][:size], at%size)
		},
	}
}

// firstWord is want for a step that writes the first word of a block.
func firstWord(want func(lanes int, block []uint32) uint32) func(lanes int, block []uint32, i int) uint32 {
	return func(lanes int, block []uint32, i int) uint32 {
		if i > 0 {
			return block[i]
		}
		return want(lanes, block)
	}
}

// countOperation takes the first two words of a block, signed, and gives a 32-bit word.
func countOperation(name string, emit func(m machine, a, b gp) gp, want func(a, b int64) int64) operation {
	return blockOperation(name, 1, func(m machine, dst, src gp) {
		m.storeFirst(dst, 0, m.broadcastCount(emit(m, m.loadInt32(src, 0), m.loadInt32(src, 4))))
	}, firstWord(func(_ int, block []uint32) uint32 {
		return uint32(want(int64(int32(block[0])), int64(int32(block[1]))))
	}))
}

// inPlace is countOperation's emit for an operation that changes a.
func inPlace(f func(m machine, a, b gp)) func(m machine, a, b gp) gp {
	return func(m machine, a, b gp) gp {
		f(m, a, b)
		return a
	}
}

// jumpOperation gives 1 where there is a jump, and 0 where there is none.
func jumpOperation(name string, jump func(m machine, src gp, label string), want func(lanes int, block []uint32) bool) operation {
	return blockOperation(name, 1, func(m machine, dst, src gp) {
		jumped := m.count(1)
		jump(m, src, "jumped")
		m.setCount(jumped, 0)
		m.label("jumped")
		m.storeFirst(dst, 0, m.broadcastCount(jumped))
	}, firstWord(func(lanes int, block []uint32) uint32 { return truth(want(lanes, block)) }))
}

// foldOf adds the lanes in float64: (i, i+8), (i, i+4), (i, i+2), (i, i+1), of those that there are.
func foldOf(lanes []uint32) float64 {
	x := make([]float64, len(lanes))
	for i, bits := range lanes {
		x[i] = float64(f(bits))
	}
	for h := 8; h > 0; h /= 2 {
		for i := h; i < min(2*h, len(x)); i++ {
			x[i-h] += x[i]
		}
	}
	return x[0]
}

// tilesAt are the tiles at p, of some vectors.
func tilesAt(m machine, p gp, vectors int) (tiles [][]vec) {
	lanes := m.properties().lanes
	for at := 0; at < vectors; at += rowTile / lanes {
		var tile []vec
		for u := range rowTile / lanes {
			tile = append(tile, m.load(p, 4*lanes*(at+u)))
		}
		tiles = append(tiles, tile)
	}
	return tiles
}

// tileVectors is a number of vectors that is whole tiles on every target.
const tileVectors = 8

// laneTotals adds the tiles of a block lane by lane.
func laneTotals(block []uint32) (total [rowTile]float64) {
	for i, bits := range block {
		total[i%rowTile] += float64(f(bits))
	}
	return total
}

func foldTotals(total [rowTile]float64) float64 {
	for h := rowTile / 2; h > 0; h /= 2 {
		for i := range h {
			total[i] += total[i+h]
		}
	}
	return total[0]
}

// clearedNaN clears the bits of x whose widened ones are a float64's lower word: then that is 0 for every NaN.
func clearedNaN(x uint32) uint32 { return x &^ 7 }

func loadColumnsOperation(width, stride int) operation {
	return blockOperation(fmt.Sprintf("load%dColumnsOf%d", width, stride), stride, func(m machine, dst, src gp) {
		for k, c := range m.loadColumns(src, m.count(4*stride), width) {
			m.store(dst, 4*k*m.properties().lanes, c)
		}
	}, func(lanes int, block []uint32, i int) uint32 {
		if k, row := i/lanes, i%lanes; k < width {
			return block[row*stride+k]
		}
		return block[i]
	})
}

func storeColumnsOperation(width, stride int) operation {
	return blockOperation(fmt.Sprintf("store%dColumnsOf%d", width, stride), stride, func(m machine, dst, src gp) {
		var columns []vec
		for k := range width {
			columns = append(columns, m.load(src, 4*k*m.properties().lanes))
		}
		m.storeColumns(dst, m.count(4*stride), columns)
	}, func(lanes int, block []uint32, i int) uint32 {
		if row, k := i/stride, i%stride; k < width {
			return block[k*lanes+row]
		}
		return block[i]
	})
}

func columnFoldOperation(columns int) operation {
	return blockOperation(fmt.Sprintf("fold%dColumns", columns), columns, func(m machine, dst, src gp) {
		m.store(dst, 0, m.columnFold(src, columns, false))
	}, foldedColumns(columns))
}

// wideFoldOperation takes columns of float64: their registers are written to dst, and folded there.
func wideFoldOperation(columns int) operation {
	folded := func(lanes int, block []uint32, i int) uint32 {
		sum := foldedColumns(columns)(lanes, block, i)
		if i < lanes && sum == 1<<31 {
			return 0 // the sums begin with +0
		}
		return sum
	}
	return blockOperation(fmt.Sprintf("fold%dWideColumns", columns), 2*columns, func(m machine, dst, src gp) {
		size := 4 * m.properties().lanes
		for k := range columns {
			sum := m.columnSum()
			m.laneSumsAdd(sum, []vec{m.hold(m.load(src, k*size))})
			for h, d := range sum {
				m.store(dst, (2*k+h)*size, vec{op: d})
			}
		}
		sum := m.hold(m.columnFold(dst, columns, true))
		for k := range 2 * columns {
			m.store(dst, k*size, m.hold(m.load(src, k*size)))
		}
		m.store(dst, 0, sum)
	}, folded)
}

func foldedColumns(columns int) func(lanes int, block []uint32, i int) uint32 {
	return func(lanes int, block []uint32, i int) uint32 {
		if i >= lanes {
			return block[i]
		}
		var x []uint32
		for k := range columns {
			x = append(x, block[k*lanes+i])
		}
		return bitsIn(float32(foldOf(x)))
	}
}

func swappedOperation(h int) operation {
	o := blockOperation(fmt.Sprintf("swapped%d", h), 1, func(m machine, dst, src gp) {
		m.store(dst, 0, m.swapped(m.hold(m.load(src, 0)), h))
	}, func(_ int, block []uint32, i int) uint32 { return block[i^h] })
	o.needs = func(p properties) bool { return h < p.lanes }
	return o
}

// partOperations are on the first n lanes: a load that ends where the block does, the lanes that are kept, a store.
func partOperations(n int) []operation {
	const fill = 0x7f800001 // a NaN whose bits are handed on
	inPart := func(lanes, i int) bool { return i < min(n, lanes) }
	// store is of the second vector, to the end of both.
	store := func(name string, op func(m machine, k part, p gp, offset int, v vec)) operation {
		return blockOperation(fmt.Sprintf("%s%dOfVector", name, n), 2, func(m machine, dst, src gp) {
			lanes := m.properties().lanes
			op(m, m.part(m.count(n)), dst, 4*(2*lanes-min(n, lanes)), m.hold(m.load(src, 0)))
		}, func(lanes int, block []uint32, i int) uint32 {
			if at := i - (2*lanes - min(n, lanes)); at >= 0 {
				return block[at]
			}
			return block[i]
		})
	}
	return []operation{
		blockOperation(fmt.Sprintf("load%dOfVector", n), 1, func(m machine, dst, src gp) {
			lanes := m.properties().lanes
			m.store(dst, 0, m.loadPart(m.part(m.count(n)), src, 4*(lanes-min(n, lanes)), m.u32(fill)))
		}, func(lanes int, block []uint32, i int) uint32 {
			if inPart(lanes, i) {
				return block[lanes-min(n, lanes)+i]
			}
			return fill
		}),
		blockOperation(fmt.Sprintf("keep%dOfVector", n), 1, func(m machine, dst, src gp) {
			m.store(dst, 0, m.keepPart(m.part(m.count(n)), m.hold(m.load(src, 0))))
		}, func(lanes int, block []uint32, i int) uint32 {
			if inPart(lanes, i) {
				return block[i]
			}
			return 0
		}),
		store("store", machine.storePart), store("storePieces", machine.storePieces),
	}
}

var numbers = table{"test_numbers", []uint32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23}}

// asideOperation and parkOperation exchange the first two vectors of a block, paramOperation moves all words but the first
// one down, the last one staying.
var (
	asideOperation = blockOperation("aside", 2, func(m machine, dst, src gp) {
		lanes := m.properties().lanes
		low, high := m.hold(m.load(src, 0)), m.hold(m.load(src, 4*lanes))
		m.aside([]vec{low, high}, func() {
			var all []vec // with the two values more than 16 registers
			for range 15 {
				all = append(all, m.variable(m.load(src, 0)))
			}
			for _, v := range all {
				m.store(dst, 0, v)
			}
		})
		m.store(dst, 0, high)
		m.store(dst, 4*lanes, low)
	}, exchanged)
	parkOperation = blockOperation("park", 2, func(m machine, dst, src gp) {
		lanes := m.properties().lanes
		low, high := m.park(m.hold(m.load(src, 0))), m.park(m.hold(m.load(src, 4*lanes)))
		m.store(dst, 0, high)
		m.store(dst, 4*lanes, low)
		m.unpark()
	}, exchanged)
	paramOperation = operation{
		name: "advanceParam",
		body: func(m machine) {
			m.advanceParam("dst", 4)
			m.advanceParamBy("src", m.count(8))
			m.advanceParam("n", -2)
			m.label("word")
			m.copyWord(m.param("dst"), m.param("src"))
			m.advanceParam("dst", 4)
			m.advanceParamBy("src", m.count(4))
			m.advanceParam("n", -1)
			m.jumpIfParam("n", "word")
			m.ret()
		},
		wantAt: func(_ int, src []uint32, i int) uint32 {
			if i == 0 || i == len(src)-1 {
				return src[i]
			}
			return src[i+1]
		},
	}
)

func exchanged(lanes int, block []uint32, i int) uint32 { return block[(i+lanes)%len(block)] }

var blockOperations = func() []operation {
	list := []operation{
		swappedOperation(1), swappedOperation(2), swappedOperation(4), swappedOperation(8),
		blockOperation("fold_value", tileVectors, func(m machine, dst, src gp) {
			total := m.laneSums()
			for _, t := range tilesAt(m, src, tileVectors) {
				m.laneSumsAdd(total, t)
			}
			m.storeFirst(dst, 0, m.laneSumsValue(total))
		}, firstWord(func(_ int, block []uint32) uint32 { return bitsIn(float32(foldTotals(laneTotals(block)))) })),
		blockOperation("fold_lane_sums", tileVectors, func(m machine, dst, src gp) {
			sums := m.laneSums()
			for _, t := range tilesAt(m, src, tileVectors) {
				for u := range t {
					t[u] = m.and(t[u], m.u32(clearedNaN(^uint32(0))))
				}
				m.laneSumsAdd(sums, t)
			}
			m.laneSumsFold(sums, dst)
		}, func(_ int, block []uint32, i int) uint32 {
			if i > 1 {
				return block[i]
			}
			var x []uint32
			for _, bits := range block {
				x = append(x, clearedNaN(bits))
			}
			sum := foldTotals(laneTotals(x))
			if sum != sum && i == 0 {
				return 0
			}
			return uint32(math.Float64bits(sum) >> (32 * i))
		}),
		countOperation("loadInt32", func(m machine, a, b gp) gp { return b }, func(a, b int64) int64 { return b }),
		countOperation("quadruple", inPlace(func(m machine, a, b gp) { m.quadruple(a) }), func(a, b int64) int64 { return 4 * a }),
		countOperation("times", inPlace(func(m machine, a, b gp) { m.times(a, 64) }), func(a, b int64) int64 { return 64 * a }),
		countOperation("advance", inPlace(func(m machine, a, b gp) { m.advance(a, -5) }), func(a, b int64) int64 { return a - 5 }),
		countOperation("advanceFar", inPlace(func(m machine, a, b gp) { m.advance(a, 4096) }), func(a, b int64) int64 { return a + 4096 }),
		countOperation("subtract", inPlace(func(m machine, a, b gp) { m.subtract(a, b) }), func(a, b int64) int64 { return a - b }),
		countOperation("setCopy", inPlace(func(m machine, a, b gp) { m.setCopy(a, b) }), func(a, b int64) int64 { return b }),
		countOperation("copyOf", func(m machine, a, b gp) gp { // the copy stays when a changes
			c := m.copyOf(a)
			m.advance(a, 1)
			return c
		}, func(a, b int64) int64 { return a }),
		countOperation("sum", func(m machine, a, b gp) gp { return m.sum(a, b) }, func(a, b int64) int64 { return a + b }),
		countOperation("product", func(m machine, a, b gp) gp { return m.product(a, b) }, func(a, b int64) int64 { return a * b }),
		countOperation("indexed", func(m machine, a, b gp) gp { return m.indexed(a, b) }, func(a, b int64) int64 { return a + 4*b }),
		countOperation("offset", func(m machine, a, b gp) gp { return m.offset(a, -1) }, func(a, b int64) int64 { return a - 1 }),
		countOperation("notNegative", func(m machine, a, b gp) gp { return m.notNegative(a) }, func(a, b int64) int64 { return max(a, 0) }),
		countOperation("atMost", func(m machine, a, b gp) gp { return m.atMost(a, 7) }, func(a, b int64) int64 { return int64(min(uint64(a), 7)) }),
		countOperation("excess", func(m machine, a, b gp) gp { return m.excess(a, 3) }, func(a, b int64) int64 { return max(a-3, 0) }),
		jumpOperation("jumpIfLess", func(m machine, src gp, label string) { m.jumpIfLess(m.loadInt32(src, 0), 1, label) },
			func(_ int, block []uint32) bool { return int32(block[0]) < 1 }),
		jumpOperation("jumpIfAtLeast", func(m machine, src gp, label string) { m.jumpIfAtLeast(m.loadInt32(src, 0), 1, label) },
			func(_ int, block []uint32) bool { return int32(block[0]) >= 1 }),
		jumpOperation("jumpIfAtMost", func(m machine, src gp, label string) {
			m.jumpIfAtMost(m.loadInt32(src, 0), m.loadInt32(src, 4), label)
		}, func(_ int, block []uint32) bool { return int32(block[0]) <= int32(block[1]) }),
		jumpOperation("jumpUnlessZero", func(m machine, src gp, label string) { m.jumpUnlessZero(src, 4, label) },
			func(_ int, block []uint32) bool { return block[1] != 0 }),
		jumpOperation("jumpIfAny", func(m machine, src gp, label string) {
			x := m.hold(m.load(src, 0))
			m.jumpIfAny(m.unordered(x, x), label)
		}, func(lanes int, block []uint32) bool {
			any := false
			for _, x := range block[:lanes] {
				any = any || isNaN(x)
			}
			return any
		}),
		jumpOperation("jumpIfBits", func(m machine, src gp, label string) {
			m.jumpIfBits(m.and(m.load(src, 0), m.u32(1)), label)
		}, func(lanes int, block []uint32) bool {
			any := uint32(0)
			for _, x := range block[:lanes] {
				any |= x & 1
			}
			return any != 0
		}),
		blockOperation("copyWord", 1, func(m machine, dst, src gp) { m.copyWord(dst, m.offset(src, 4)) },
			firstWord(func(_ int, block []uint32) uint32 { return block[1] })),
		blockOperation("storeWord", 1, func(m machine, dst, src gp) { m.storeWord(dst, 0, 0x7fc00001) },
			firstWord(func(int, []uint32) uint32 { return 0x7fc00001 })),
		blockOperation("storeFirst", 1, func(m machine, dst, src gp) { m.storeFirst(dst, 0, m.hold(m.load(src, 0))) },
			firstWord(func(_ int, block []uint32) uint32 { return block[0] })),
		blockOperation("broadcast", 1, func(m machine, dst, src gp) { m.store(dst, 0, m.broadcast(src, 4)) },
			func(_ int, block []uint32, i int) uint32 { return block[1] }),
		blockOperation("increment", 1, func(m machine, dst, src gp) {
			m.storeWord(dst, 0, ^uint32(0)) // with a carry, and without
			m.increment(dst)
			m.increment(dst)
		}, func(_ int, block []uint32, i int) uint32 {
			switch i {
			case 0:
				return 1
			case 1:
				return block[1] + 1
			}
			return block[i]
		}),
		blockOperation("field", 1, func(m machine, dst, src gp) {
			m.storeFirst(dst, 0, m.broadcastCount(m.sum(m.field(src, 4), m.count(0))))
		}, firstWord(func(_ int, block []uint32) uint32 { return block[1] })),
		blockOperation("loadTable", 1, func(m machine, dst, src gp) { m.store(dst, 0, m.hold(m.loadTable(numbers, 4))) },
			func(_ int, block []uint32, i int) uint32 { return uint32(4 + i) }),
		blockOperation("wordBefore", 1, func(m machine, dst, src gp) { m.copyWord(dst, m.wordBefore(numbers, 20, m.count(3))) },
			firstWord(func(int, []uint32) uint32 { return 17 })),
	}
	list = append(list, asideOperation, parkOperation, paramOperation)
	for width := 2; width <= 4; width++ {
		for _, stride := range []int{width, 5, 7} {
			list = append(list, loadColumnsOperation(width, stride), storeColumnsOperation(width, stride))
		}
	}
	for columns := 4; columns <= narrowMost; columns += 4 {
		list = append(list, columnFoldOperation(columns), wideFoldOperation(columns))
	}
	for n := 1; n <= 17; n++ {
		list = append(list, partOperations(n)...)
	}
	return list
}()
