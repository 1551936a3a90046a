package main

// Label smoothing in the softmax form: smooth.go of the package.

// The fields of smoothSums, as byte offsets for row 0.
const (
	meanField    = 4 * rowsAtOnce * iota // then s eps/C
	classesField                         // the number of unmasked classes
)

// rowSmooth is smoothGeneric's part between the passes over the logits, for a row in each lane: the loss, the target's
// gradient, pre, f and s eps/C.
func rowSmooth(m machine) {
	var args lossArgs
	sums := func(offset int) place { return place{param: "sums", offset: offset} }
	more := func(offset int) place { return place{param: "more", offset: offset} }
	elementwise{
		outs: []place{{param: "losses"}, sums(rowTargetField), sums(rowWeightField), sums(rowSumField), more(meanField)},
		ins: []place{sums(rowSumField), sums(rowNField), sums(rowMostField), sums(rowTargetField), sums(rowWeightField),
			more(meanField), more(classesField)},
		unroll: 1, fill: []float32{1, 0, 0, 0, 1, 1, 1},
		prologue: func(m machine) { args = loadLossArgs(m, true) },
		step: func(m machine, x []vec) []vec {
			m.unpark()
			zt, alpha, mean, classes := m.hold(x[3]), m.hold(x[4]), m.hold(x[5]), m.hold(x[6])
			var end tail
			m.aside([]vec{zt, alpha, mean, classes}, func() { end = newTail(m, x[0], x[1], x[2], zt) })
			unmasked, zero := m.lt(m.hold(m.u32(0xff800000)), zt), m.hold(m.f32(0))
			smooth := m.broadcast(args.params, lossFields.smooth)
			m.comment("ce = (1 - eps) (-log p_t) + eps mean(-log p_c)")
			ce := m.fma(smooth, mean, m.mul(m.sub(m.hold(m.f32(1)), smooth), end.nll))
			l := m.mul(alpha, ce)
			l = m.pick(m.both(m.eq(alpha, zero), m.eq(ce, ce)), zero, l)
			m.comment("q + gamma p_t ce; eps/C and what the target has of eps besides")
			factor, pt := m.broadcast(args.params, lossFields.factor), end.pt(m)
			c := m.pick(m.either(m.eq(pt, zero), m.eq(factor, zero)), zero, m.mul(pt, ce))
			k := m.fma(factor, c, end.q)
			share := m.div(smooth, classes)
			rest := m.sub(smooth, m.keep(unmasked, share))
			f := focus(m, args, []vec{end.q}, false, l, k, share, rest, end.sum, alpha, zero)[0]
			m.comment("loss = (alpha ce) q^gamma, 0 where q^gamma is")
			loss := m.pick(m.le(l, m.u32(0x7f7fffff)), m.mul(l, f), l)
			loss = m.umin(m.pick(m.eq(f, zero), zero, loss), m.u32(nanBits))
			m.comment("s = scale alpha q^gamma, k = s (q + gamma p_t ce)")
			s := m.mul(m.broadcast(args.scale, 0), m.mul(alpha, f))
			k = m.pick(m.both(m.eq(s, zero), m.eq(end.sum, end.sum)), zero, m.mul(s, k))
			target := canonical(m, m.fms(s, rest, k))
			even := m.mul(s, share)
			pre, part := end.share(m, k)
			return []vec{loss, target, pre, part, even}
		},
	}.emit(m)
}

// smoothSpread is smoothGeneric's last loop: terms less even, where the class is not masked.
func smoothSpread(m machine) {
	var even gp
	elementwise{
		outs: at0("grad"), ins: at0("terms", "logits"), unroll: 2, fill: []float32{0, 0},
		prologue: func(m machine) { even = m.param("even") },
		step: func(m machine, x []vec) []vec {
			unmasked := m.lt(m.hold(m.u32(0xff800000)), x[1])
			return []vec{canonical(m, m.sub(m.hold(x[0]), m.keep(unmasked, m.broadcast(even, 0))))}
		},
	}.emit(m)
}

// addLogs subtracts the logarithms of the classes' probabilities from total, and counts them behind it; masked classes are
// left out. logs is read in whole tiles.
func addLogs(m machine) {
	z, logs, left, memory := m.param("logits"), m.param("logs"), m.param("n"), m.param("total")
	counts := m.offset(memory, 8*rowTile)
	total, count := loadSums(m, memory), loadSums(m, counts)
	tiles(m, "add", left, z, []gp{logs}, m.u32(0xff800000), func(t tile) {
		var terms, ones []vec
		for u, v := range t.x {
			masked := m.eq(m.hold(v), m.u32(0xff800000))
			zero := m.hold(m.f32(0))
			terms = append(terms, m.sub(zero, m.pick(masked, zero, m.hold(t.vector(m, logs, u)))))
			ones = append(ones, m.pick(masked, zero, m.hold(m.f32(1))))
		}
		m.laneSumsAdd(total, terms)
		m.laneSumsAdd(count, ones)
	})
	storeSums(m, memory, total)
	storeSums(m, counts, count)
	m.ret()
}
