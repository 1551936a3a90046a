package main

import (
	"time"
)

// A peer is an implementation of some of the functions: focal in one variant, or what one might use in its place.
type peer struct {
	peerInfo
	hidden bool // not in the tables: it serves a comparison
	runner
}

// A peerInfo is what a report says of a peer.
type peerInfo struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	ISA     string `json:"isa,omitempty"` // the instruction set that it is known to use; "" where it picks for itself
	Focal   bool   `json:"focal,omitempty"`
}

// A runner times one implementation, in this process or in another.
type runner interface {
	// prepare makes ready to call a function; it reports whether the peer has it.
	prepare(in *input) (bool, error)
	// time calls the function warm times, and then reps times: it returns how long these took.
	time(warm, reps int) (time.Duration, error)
	// result is what the function wrote.
	result() ([]float32, error)
	close() error
}

// local runs Go code in this process. For each function, an op binds it to an input and an output.
type local struct {
	ops map[string]op
	out []float32
	run func()
}

type op func(in *input, out []float32) (run func())

func (l *local) prepare(in *input) (bool, error) {
	bind := l.ops[in.f.name]
	if bind == nil {
		return false, nil
	}
	l.out = make([]float32, in.f.outputs(in.Rows, in.Classes))
	l.run = bind(in, l.out)
	return true, nil
}

func (l *local) time(warm, reps int) (time.Duration, error) {
	for range warm {
		l.run()
	}
	start := time.Now()
	for range reps {
		l.run()
	}
	return time.Since(start), nil
}

func (l *local) result() ([]float32, error) {
	l.run()
	return l.out, nil
}

func (l *local) close() error { return nil }
