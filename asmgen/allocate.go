package main

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/reg"
)

// Liveness analysis and register allocation as avo's passes do them, with the same results, but over arrays: a function
// here has a thousand instructions, and is built some dozen times to find how many constants have room.

// liveness sets each instruction's LiveOut: the registers, and the parts of them, that are read later.
func liveness(fn *ir.Function) error {
	is := fn.Instructions()
	numbers, ids := map[reg.ID]int{}, []reg.ID{}
	number := func(r reg.Register) int {
		n, ok := numbers[r.ID()]
		if !ok {
			n = len(ids)
			numbers[r.ID()] = n
			ids = append(ids, r.ID())
		}
		return n
	}
	type access struct {
		register int
		mask     uint16
	}
	accesses := func(rs []reg.Register) (list []access) {
		for _, r := range rs {
			list = append(list, access{number(r), r.Mask()})
		}
		return list
	}
	place := map[*ir.Instruction]int{}
	reads, writes := make([][]access, len(is)), make([][]access, len(is))
	for n, i := range is {
		place[i] = n
		reads[n], writes[n] = accesses(i.InputRegisters()), accesses(i.OutputRegisters())
	}
	in, out := make([][]uint16, len(is)), make([][]uint16, len(is))
	for n := range is {
		in[n], out[n] = make([]uint16, len(ids)), make([]uint16, len(ids))
	}
	row := make([]uint16, len(ids))
	for changed, first := true, true; changed; first = false {
		changed = false
		for n := len(is) - 1; n >= 0; n-- {
			more := first
			for _, s := range is[n].Succ {
				if s == nil {
					continue
				}
				for r, mask := range in[place[s]] {
					if mask&^out[n][r] != 0 {
						out[n][r] |= mask
						more = true
					}
				}
			}
			if !more {
				continue
			}
			copy(row, out[n])
			for _, w := range writes[n] {
				row[w.register] &^= w.mask
			}
			for _, r := range reads[n] {
				row[r.register] |= r.mask
			}
			if !slices.Equal(in[n], row) {
				copy(in[n], row)
				changed = true
			}
		}
	}
	for n, i := range is {
		i.LiveOut = reg.NewEmptyMaskSet()
		for r, mask := range out[n] {
			if mask != 0 {
				i.LiveOut[ids[r]] = mask
			}
		}
	}
	return nil
}

// allocate gives each virtual register one of a target's registers of its kind: always the one with the fewest left to
// choose from comes next, and gets the first of these.
func allocate(fn *ir.Function, registers map[reg.Kind][]reg.Physical) error {
	fn.Allocation = reg.NewEmptyAllocation()
	for _, kind := range []reg.Kind{reg.KindGP, reg.KindVector, reg.KindOpmask} {
		if err := allocateKind(fn, kind, registers[kind]); err != nil {
			return fmt.Errorf("kind %d: %w", kind, err)
		}
	}
	return nil
}

func allocateKind(fn *ir.Function, kind reg.Kind, registers []reg.Physical) error {
	var colors []reg.ID
	for _, r := range registers {
		if r.Info()&reg.Restricted == 0 && !slices.Contains(colors, r.ID()) {
			colors = append(colors, r.ID())
		}
	}
	slices.Sort(colors)
	possible, neighbors := map[reg.ID]uint64{}, map[reg.ID][]reg.ID{} // possible: bits are places in colors
	add := func(id reg.ID) {
		if _, ok := possible[id]; !ok && id.IsVirtual() {
			possible[id] = 1<<len(colors) - 1
		}
	}
	discard := func(id, physical reg.ID) {
		if c, ok := slices.BinarySearch(colors, physical); ok {
			possible[id] &^= 1 << c
		}
	}
	for _, i := range fn.Instructions() {
		for _, r := range i.Registers() {
			if r.Kind() == kind {
				add(r.ID())
			}
		}
	}
	for _, i := range fn.Instructions() {
		for _, d := range i.OutputRegisters() {
			for id, mask := range i.LiveOut {
				if d.Kind() != kind || id.Kind() != kind || id == d.ID() || mask&d.Mask() == 0 {
					continue
				}
				add(id)
				switch {
				case d.ID().IsVirtual() && id.IsVirtual():
					neighbors[id] = append(neighbors[id], d.ID())
					neighbors[d.ID()] = append(neighbors[d.ID()], id)
				case d.ID().IsVirtual():
					discard(d.ID(), id)
				case id.IsVirtual():
					discard(id, d.ID())
				}
			}
		}
	}
	left := make([]reg.ID, 0, len(possible))
	for id := range possible {
		left = append(left, id)
	}
	slices.Sort(left)
	for len(left) > 0 {
		next := 0
		for n, id := range left {
			if bits.OnesCount64(possible[id]) < bits.OnesCount64(possible[left[next]]) {
				next = n
			}
		}
		id := left[next]
		left = slices.Delete(left, next, next+1)
		if possible[id] == 0 {
			return errors.New("failed to allocate registers")
		}
		c := colors[bits.TrailingZeros64(possible[id])]
		fn.Allocation[id] = c
		for _, n := range neighbors[id] {
			discard(n, c)
		}
	}
	return nil
}
