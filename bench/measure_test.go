package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSummarize(t *testing.T) {
	for _, c := range []struct {
		x    []float64
		want summary
	}{
		{[]float64{3}, summary{3, 3, 3, 3}},
		{[]float64{2, 1}, summary{1, 1.25, 1.5, 1.75}},
		{[]float64{5, 1, 4, 2, 3}, summary{1, 2, 3, 4}},
		{[]float64{1, 1, 1, 1, 100}, summary{1, 1, 1, 1}},
		{[]float64{4, 3, 2, 1}, summary{1, 1.75, 2.5, 3.25}},
	} {
		if got := summarize(slices.Clone(c.x)); got != c.want {
			t.Errorf("summarize(%v) = %v, want %v", c.x, got, c.want)
		}
	}
}

// A clockwork is a runner whose calls take a known time, and that notes in a log when it is timed.
type clockwork struct {
	name string
	call time.Duration
	log  *[]string
	err  error
	lack bool // the function
}

func (c *clockwork) prepare(*input) (bool, error) { return !c.lack, nil }

func (c *clockwork) time(warm, reps int) (time.Duration, error) {
	*c.log = append(*c.log, c.name)
	return time.Duration(reps) * c.call, c.err
}

func (c *clockwork) result() ([]float32, error) { return nil, nil }
func (c *clockwork) close() error               { return nil }

func clockworks(log *[]string, runners ...*clockwork) []*peer {
	var peers []*peer
	for _, r := range runners {
		r.log = log
		peers = append(peers, &peer{peerInfo: peerInfo{Name: r.name}, runner: r})
	}
	return peers
}

func TestMeasure(t *testing.T) {
	e := effort{round: time.Millisecond, rounds: 12, budget: 24 * time.Millisecond}
	in := newInput(functionNamed("Exp"), shape{1, 100})
	var log []string
	peers := clockworks(&log,
		&clockwork{name: "a", call: time.Microsecond},
		&clockwork{name: "lacks it", lack: true},
		&clockwork{name: "b", call: 2 * time.Microsecond},
		&clockwork{name: "slow", call: 6 * time.Millisecond},
		&clockwork{name: "slowest", call: 30 * time.Millisecond},
	)
	timings, err := measure(t.Context(), peers, in, e)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]timing{
		"a":       {Median: 10, Reps: 1000, Rounds: 12},
		"b":       {Median: 20, Reps: 500, Rounds: 12},
		"slow":    {Median: 60_000, Reps: 1, Rounds: 4},
		"slowest": {Median: 300_000, Reps: 1, Rounds: 3},
	}
	if len(timings) != len(want) {
		t.Fatalf("%d timings, want %d", len(timings), len(want))
	}
	for _, got := range timings {
		w := want[got.Peer]
		if got.Work != "Exp/n=100" || got.N != 100 || got.Bytes != 800 || got.Median != w.Median || got.Min != w.Median ||
			got.spread() != 0 || got.Reps != w.Reps || got.Rounds != w.Rounds {
			t.Errorf("%s: %+v, want %+v", got.Peer, got, w)
		}
	}
	// The rounds alternate, and the slow peer's are spread among them.
	rounds := strings.Join(log[slices.Index(log, "slowest")+1:], " ")
	const half = "a b a b a b slow a b a b a b slow slowest"
	if want := half + " " + half; rounds != want {
		t.Errorf("rounds were %q, want %q", rounds, want)
	}
}

func TestMeasureErrors(t *testing.T) {
	in := newInput(functionNamed("Exp"), shape{1, 100})
	var log []string
	broken := errors.New("broken")
	peers := clockworks(&log, &clockwork{name: "a", call: 1}, &clockwork{name: "b", call: 1, err: broken})
	_, err := measure(t.Context(), peers, in, quickEffort)
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "b failed on Exp/n=100") {
		t.Errorf("error %v, want %v, with names", err, broken)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := measure(ctx, peers[:1], in, quickEffort); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

func TestClock(t *testing.T) {
	if testing.Short() {
		t.Skip("measures time")
	}
	if ghz := clock(); !(ghz > 0.3 && ghz < 8) {
		t.Errorf("clock() = %v GHz", ghz)
	}
}

// TestFailingPeer holds that a peer that fails is left out, with a word, and the others stay.
func TestFailingPeer(t *testing.T) {
	ok := &peer{peerInfo: peerInfo{Name: "fine"}, runner: &local{ops: plainOps()}}
	bad := &peer{peerInfo: peerInfo{Name: "bad"}, runner: &failing{local{ops: plainOps()}}}
	w := work{functionNamed("Exp"), shape{1, 16}}
	r := &report{}
	if err := r.measure(t.Context(), &options{quick: true}, []work{w}, []*peer{bad, ok}, io.Discard); err != nil {
		t.Fatal(err)
	}
	if len(r.Timings) != 1 || r.Timings[0].Peer != "fine" || len(r.Skipped) != 1 || !strings.Contains(r.Skipped[0], "bad failed on Exp") {
		t.Errorf("%+v", r)
	}
	bad.Focal = true
	if err := r.measure(t.Context(), &options{quick: true}, []work{w}, []*peer{bad, ok}, io.Discard); !errors.Is(err, errFailing) {
		t.Errorf("error %v, want %v", err, errFailing)
	}
}

type failing struct{ local }

var errFailing = errors.New("crashed")

func (*failing) time(warm, reps int) (time.Duration, error) { return 0, errFailing }
