package main

// elementwise is a kernel that maps vectors of inputs to vectors of outputs, element by element: the loop over whole
// blocks, the rest, and the slow path are here once.
//
// The parameters are pointers named in outs and ins, and "n", the number of elements. An output may be an input.
type elementwise struct {
	outs, ins []place
	// unroll is the number of vectors in a block; together of them are interleaved in step, a divisor, 0 is 1.
	unroll, together int
	// fill is what the lanes behind the end hold: a value that takes no slow path, for each input.
	fill []float32
	// guard jumps to a label if the inputs of some vectors ask for the slow path; it may be nil. x[i] is input i.
	guard func(m machine, x [][]vec, slow string)
	// step computes the outputs from the inputs, and after them what else check wants to see.
	step func(m machine, x []vec) []vec
	// steps, in place of step, does some vectors together: x[u] are the inputs of vector u. It may jump to slow.
	steps func(m machine, x [][]vec, slow string) [][]vec
	// otherGuard jumps to a label if the inputs of some vectors ask for otherSteps in place of steps; both may be nil.
	otherGuard func(m machine, x [][]vec, other string)
	otherSteps func(m machine, x [][]vec, slow string) [][]vec
	// check jumps to a label if what step made of some vectors is not to be used; it may be nil. y[i] is value i of
	// step. Without it results are stored as they come.
	check func(m machine, y [][]vec, slow string)
	// slow computes the outputs for any input: the same bits as step wherever step is right.
	slow func(m machine, x []vec) []vec
	// patch, in place of slow, puts right the outputs that check did not like.
	patch func(m machine, x, y []vec) []vec
	// prologue loads what the steps need besides constants.
	prologue func(m machine)
}

// A place is where an output or input begins: some bytes behind a pointer.
type place struct {
	param  string
	offset int
	p      gp
}

// at0 makes places of pointers.
func at0(params ...string) []place {
	var places []place
	for _, name := range params {
		places = append(places, place{param: name})
	}
	return places
}

// emit writes the kernel: whole blocks, then vector by vector, the last of which may be a part. Where a guard or a
// step asks for it, the block or vector is done again by the slow path, vector by vector.
func (e elementwise) emit(m machine) {
	lanes := m.properties().lanes
	block := e.unroll * lanes
	n := m.param("n")
	pointers := map[string]gp{}
	var order []gp
	load := func(places []place) []place {
		var loaded []place
		for _, a := range places {
			if _, ok := pointers[a.param]; !ok {
				pointers[a.param] = m.param(a.param)
				order = append(order, pointers[a.param])
			}
			a.p = pointers[a.param]
			loaded = append(loaded, a)
		}
		return loaded
	}
	outs, ins := load(e.outs), load(e.ins)
	if e.prologue != nil {
		e.prologue(m)
	}
	next := func(vectors int) {
		for _, p := range order {
			m.advance(p, 4*vectors*lanes)
		}
	}
	parts := func(k part) []vec {
		var x []vec
		for i, p := range ins {
			x = append(x, m.loadPart(k, p.p, p.offset, m.f32(e.fill[i])))
		}
		return x
	}

	m.label("loop")
	m.jumpIfLess(n, block, "rest")

	m.label("block")
	input := func(u int) []vec {
		var x []vec
		for _, p := range ins {
			x = append(x, m.load(p.p, p.offset+4*u*lanes))
		}
		return x
	}
	inputs := func() (x [][]vec) {
		for u := range e.unroll {
			x = append(x, input(u))
		}
		return x
	}
	store := func(u int, y []vec) {
		for i, p := range outs {
			m.store(p.p, p.offset+4*u*lanes, y[i])
		}
	}
	storeAll := func(y [][]vec) {
		for u := range y {
			store(u, y[u])
		}
	}
	loaded := inputs()
	if e.guard != nil {
		e.guard(m, transposed(loaded), "slowblock")
	}
	if e.otherGuard != nil {
		e.otherGuard(m, transposed(loaded), "otherblock")
	}
	if e.steps != nil {
		storeAll(e.steps(m, loaded, "slowblock"))
	}
	var late [][]vec // results that wait for the check
	if e.steps == nil {
		y := make([][]vec, e.unroll)
		together(m, e.unroll, e.together, func(u int) { y[u] = e.step(m, loaded[u]) }, func(u int) {
			if e.check == nil {
				store(u, y[u])
				return
			}
			if late == nil {
				late = make([][]vec, len(y[u]))
			}
			appendEach(late, y[u])
		})
	}
	if e.check != nil {
		e.check(m, late, "slowblock")
		for u := range e.unroll {
			for i, p := range outs {
				m.store(p.p, p.offset+4*u*lanes, late[i][u])
			}
		}
	}
	m.label("nextblock")
	next(e.unroll)
	m.advance(n, -block)
	m.jumpIfAtLeast(n, block, "block")

	m.label("rest")
	m.jumpIfLess(n, 1, "done")
	m.label("vector")
	k := m.part(n)
	x := parts(k)
	if e.guard != nil {
		e.guard(m, each(x), "slowvector")
	}
	if e.otherGuard != nil {
		e.otherGuard(m, each(x), "othervector")
	}
	var y []vec
	if e.steps != nil {
		y = e.steps(m, [][]vec{x}, "slowvector")[0]
	} else {
		y = e.step(m, x)
	}
	if e.check != nil {
		e.check(m, each(y), "slowvector")
	}
	storePart := func(y []vec) {
		for i, p := range outs {
			m.storePart(k, p.p, p.offset, y[i])
		}
	}
	storePart(y)
	m.label("nextvector")
	next(1)
	m.advance(n, -lanes)
	m.jumpIfAtLeast(n, 1, "vector")
	m.label("done")
	m.ret()

	// aside and rare emit code that jumps back from the end.
	aside := func(label string, f func(), back string) {
		m.label(label)
		f()
		m.jump(back)
	}
	rare := func(label string, f func(), back string) {
		m.label(label)
		m.cold(f)
		m.reload()
		m.jump(back)
	}
	if e.otherGuard != nil {
		emit := aside // its constants are those of steps
		if m.properties().registers < 32 {
			emit = rare
		}
		emit("otherblock", func() { storeAll(e.otherSteps(m, inputs(), "slowblock")) }, "nextblock")
		emit("othervector", func() { storePart(e.otherSteps(m, [][]vec{x}, "slowvector")[0]) }, "nextvector")
	}
	if e.patch != nil {
		rare("slowblock", func() {
			for u := range e.unroll {
				var v []vec
				for i := range late {
					v = append(v, late[i][u])
				}
				for i, v := range e.patch(m, input(u), v)[:len(outs)] {
					m.store(outs[i].p, outs[i].offset+4*u*lanes, v)
				}
			}
		}, "nextblock")
		rare("slowvector", func() { storePart(e.patch(m, x, y)[:len(outs)]) }, "nextvector")
	}
	if e.slow == nil {
		return
	}
	// The vectors of a block, each whole; then the one that may be a part.
	rare("slowblock", func() {
		left := m.count(block)
		m.label("slow")
		y = e.slow(m, input(0))
		for i, p := range outs {
			m.store(p.p, p.offset, y[i])
		}
		next(1)
		m.advance(n, -lanes)
		m.advance(left, -lanes)
		m.jumpIfAtLeast(left, 1, "slow")
	}, "loop")
	rare("slowvector", func() {
		k = m.part(n)
		storePart(e.slow(m, parts(k)))
	}, "nextvector")
}

// together runs step and then end for u = 0, ..., n-1: as many steps interleaved as the target has use for, at least some, then
// their ends.
func together(m machine, n, some int, step, end func(u int)) {
	some = max(1, some, m.properties().together)
	for first := 0; first < n; first += some {
		var fs []func()
		for u := first; u < min(first+some, n); u++ {
			fs = append(fs, func() { step(u) })
		}
		m.interleave(fs...)
		for u := first; u < min(first+some, n); u++ {
			end(u)
		}
	}
}

// appendEach appends v[i] to lists[i].
func appendEach(lists [][]vec, v []vec) {
	for i := range v {
		lists[i] = append(lists[i], v[i])
	}
}

// transposed makes lists of each input of lists of each vector.
func transposed(vectors [][]vec) [][]vec {
	lists := make([][]vec, len(vectors[0]))
	for _, v := range vectors {
		appendEach(lists, v)
	}
	return lists
}

// each makes a list of one of every value.
func each(v []vec) [][]vec {
	lists := make([][]vec, len(v))
	appendEach(lists, v)
	return lists
}
