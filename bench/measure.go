package main

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"
)

// A timing is what one peer took for one row of the report, in nanoseconds per element.
type timing struct {
	Work    string  `json:"work"`
	Peer    string  `json:"peer"`
	N       int     `json:"n"`
	Bytes   int     `json:"bytes"` // the working set
	Median  float64 `json:"ns"`
	Min     float64 `json:"min"`
	Quarter float64 `json:"p25"`
	Three   float64 `json:"p75"`
	Rounds  int     `json:"rounds"`
	Reps    int     `json:"reps"` // calls in a round
}

// spread is the distance of the quartiles, as a part of the median.
func (t *timing) spread() float64 { return (t.Three - t.Quarter) / t.Median }

// A peerError says which peer failed, and on what.
type peerError struct {
	peer *peer
	in   *input
	err  error
}

func (e *peerError) Error() string {
	return fmt.Sprintf("%s failed on %s: %v", e.peer.Name, e.in, e.err)
}
func (e *peerError) Unwrap() error { return e.err }

// effort says how much time to spend.
type effort struct {
	round  time.Duration // what one round of one peer should take
	rounds int
	budget time.Duration // what the rounds of one peer on one row may take in all, but there are three at least
}

var (
	normalEffort = effort{2 * time.Millisecond, 15, 400 * time.Millisecond}
	quickEffort  = effort{500 * time.Microsecond, 9, 20 * time.Millisecond}
)

// An entry is a peer that takes part in measuring one row.
type entry struct {
	*peer
	warm, reps int       // calls in a round, before the clock starts and after
	rounds     int       // still to come when the rounds begin
	ns         []float64 // per element, for each round
}

// calibrate finds out how many calls make a round, and how many rounds the effort allows.
func calibrate(p *peer, in *input, e effort) (*entry, error) {
	n := &entry{peer: p, reps: 1}
	took, err := p.time(0, n.reps)
	for ; err == nil && took < e.round/4 && n.reps < 1<<24; took, err = p.time(0, n.reps) {
		n.reps *= 4
	}
	if err != nil {
		return nil, err
	}
	call := max(float64(took)/float64(n.reps), 1)
	n.reps = max(1, int(float64(e.round)/call))
	n.warm = n.reps / 8
	if n.warm == 0 && call < 4*float64(e.round) { // a longer call warms itself
		n.warm = 1
	}
	round := time.Duration(call * float64(n.warm+n.reps))
	n.rounds = min(e.rounds, max(3, int(e.budget/max(round, 1))))
	if round > e.budget { // this was a round
		n.ns = append(n.ns, call/float64(in.elements()))
		n.rounds = 2
	}
	return n, nil
}

// measure times every peer that has the function, in alternation: round by round, each peer in turn. What disturbs the
// machine for a while so disturbs all.
func measure(ctx context.Context, peers []*peer, in *input, e effort) ([]timing, error) {
	var list []*entry
	most := 0
	for _, p := range peers {
		ok, err := p.prepare(in)
		if err != nil {
			return nil, &peerError{p, in, err}
		}
		if !ok {
			continue
		}
		n, err := calibrate(p, in, e)
		if err != nil {
			return nil, &peerError{p, in, err}
		}
		most = max(most, n.rounds)
		list = append(list, n)
	}
	runtime.GC() // not during the rounds
	for round := range most {
		for _, n := range list {
			// A slow peer sits out rounds, evenly.
			if (round+1)*n.rounds/most == round*n.rounds/most {
				continue
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			took, err := n.time(n.warm, n.reps)
			if err != nil {
				return nil, &peerError{n.peer, in, err}
			}
			n.ns = append(n.ns, float64(took)/float64(n.reps*in.elements()))
		}
	}
	var timings []timing
	for _, n := range list {
		s := summarize(n.ns)
		timings = append(timings, timing{
			Work: in.String(), Peer: n.Name, N: in.elements(), Bytes: in.workingSet(),
			Median: s.median, Min: s.min, Quarter: s.p25, Three: s.p75, Rounds: len(n.ns), Reps: n.reps,
		})
	}
	return timings, nil
}

type summary struct{ min, p25, median, p75 float64 }

// summarize sorts x.
func summarize(x []float64) summary {
	slices.Sort(x)
	return summary{x[0], quantile(x, 0.25), quantile(x, 0.5), quantile(x, 0.75)}
}

// quantile interpolates between the two nearest of the sorted numbers.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	below := int(math.Floor(at))
	if below+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[below] + (at-float64(below))*(sorted[below+1]-sorted[below])
}
