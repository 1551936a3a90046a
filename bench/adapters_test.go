package main

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// claims are the relative errors that the peers' authors promise; everyone else's results are held to a hundred
// thousandth: an adapter that computes something else is further off.
var claims = map[string]map[string]float64{
	"tphakala/simd":    {"Exp": 7e-6, "Log": 1.4e-7, "Pow": 1.4e-5},
	"libmvec avx2":     {"Exp": 4 * 0x1p-23, "Log": 4 * 0x1p-23, "Pow": 4 * 0x1p-23},
	"libmvec avx512":   {"Exp": 4 * 0x1p-23, "Log": 4 * 0x1p-23, "Pow": 4 * 0x1p-23},
	"SLEEF u10 avx2":   {"Exp": 0x1p-23, "Log": 0x1p-23, "Pow": 0x1p-23},
	"SLEEF u10 avx512": {"Exp": 0x1p-23, "Log": 0x1p-23, "Pow": 0x1p-23},
	"Go math":          {"Exp": 0x1p-24, "Log": 0x1p-24, "Pow": 0x1p-24},
	"focal avx2":       {},
	"focal generic":    {},
}

const (
	noClaim  = 1e-5
	oursTerm = 2 * 0x1p-23 // what focal's own result may be off in the functions that have claims
)

// TestAdapters holds what every peer computes against focal's results on ordinary data. Peers that are not installed are
// skipped, unless BENCH_REQUIRE names them: c, onnx, torch.
func TestAdapters(t *testing.T) {
	require := strings.Split(os.Getenv("BENCH_REQUIRE"), ",")
	o := &options{c: true, onnx: true, torch: true}
	dir := t.TempDir()
	peers, err := startPeers(o, dir, func(name string, err error) {
		flag := map[string]string{"ONNX Runtime": "onnx", "PyTorch": "torch"}[name]
		if flag == "" {
			flag = "c"
		}
		if slices.Contains(require, flag) || name == "spago" {
			t.Errorf("%s: %v", name, err)
		} else {
			t.Logf("skipping %s: %v", name, err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, p := range peers {
			if err := p.close(); err != nil {
				t.Errorf("%s: %v", p.Name, err)
			}
		}
	})
	ours := peers[0]
	has := map[string]int{}
	for i := range functions {
		f := &functions[i]
		shapes := []shape{{1, 1}, {1, 7}, {1, 100}}
		if f.matrix {
			shapes = []shape{{1, 80}, {7, 5}, {3, 101}}
		}
		for _, s := range shapes {
			in := newInput(f, s)
			want, ok, err := results(ours, in)
			if !ok || err != nil {
				t.Fatalf("%s: focal has it: %v, %v", in, ok, err)
			}
			for _, p := range peers {
				got, ok, err := results(p, in)
				if err != nil {
					t.Fatalf("%s, %s: %v", p.Name, in, err)
				}
				if !ok {
					continue
				}
				has[p.Name]++
				if d, err := p.time(1, 2); err != nil || d < 0 {
					t.Errorf("%s, %s: time %v, %v", p.Name, in, d, err)
				}
				if len(got) != len(want) {
					t.Errorf("%s, %s: %d results, want %d", p.Name, in, len(got), len(want))
					continue
				}
				for i := range want {
					if !allowed(p, f, got[i], want[i]) {
						t.Errorf("%s, %s: result %d is %v, focal's is %v", p.Name, in, i, got[i], want[i])
						break
					}
				}
			}
		}
	}
	for _, p := range peers {
		if has[p.Name] == 0 {
			t.Errorf("%s has no function at all", p.Name)
		}
	}
}

func allowed(p *peer, f *function, got, want float32) bool {
	if p.Focal { // every variant has the same bits
		return math.Float32bits(got) == math.Float32bits(want)
	}
	diff := math.Abs(float64(got) - float64(want))
	if claim, ok := claims[p.Name][f.name]; ok {
		return diff <= (claim+oursTerm)*math.Abs(float64(want))
	}
	// What float32 cancels in a loss or a logarithm near 0 is lost; compared are the sizes that matter.
	return diff <= noClaim*max(math.Abs(float64(want)), 0.1)
}

// TestAdapterTestSees breaks a peer, and wants to see it refused.
func TestAdapterTestSees(t *testing.T) {
	p := &peer{peerInfo: peerInfo{Name: "tphakala/simd"}}
	exp, loss := functionNamed("Exp"), functionNamed("SoftmaxLoss.Each")
	nan := float32(math.NaN())
	for _, c := range []struct {
		f         *function
		got, want float32
		ok        bool
	}{
		{exp, 1, 1, true},
		{exp, 1 + 5e-6, 1, true},
		{exp, 1 + 1e-5, 1, false},
		{exp, nan, 1, false},
		{loss, 1 + 5e-6, 1, true},
		{loss, 1 + 2e-5, 1, false},
		{loss, 1e-3 + 5e-7, 1e-3, true},
		{loss, 1e-3 + 5e-6, 1e-3, false},
		{loss, nan, 0, false},
	} {
		if got := allowed(p, c.f, c.got, c.want); got != c.ok {
			t.Errorf("%s: %v for %v is allowed: %v", c.f.name, c.got, c.want, got)
		}
	}
}

func TestRemoteThatIsMissing(t *testing.T) {
	if _, err := startRemote(exec.Command("no-such-program")); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("error %v, want %v", err, exec.ErrNotFound)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := startRemote(exec.Command(self, "-test.run=^$")); err == nil {
		t.Error("a program that does not say hello was taken for a peer")
	}
}
