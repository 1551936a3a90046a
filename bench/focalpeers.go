package main

import (
	"os"
	"runtime/debug"

	"github.com/gofocal/focal"
)

// activeFocal is the package in this process.
func activeFocal() *peer {
	isa := focal.Variant()
	if isa == "generic" {
		isa = ""
	}
	return &peer{
		Name: "focal " + focal.Variant(), Version: focal.Variant(), ISA: isa, Focal: true, runner: &local{ops: focalOps()},
	}
}

// focalPeers are all variants that this CPU has, best first. FOCAL_DISABLE, read at start, takes variants away: each but
// the best runs in a process of its own.
func focalPeers() ([]*peer, error) {
	peers := []*peer{activeFocal()}
	disabled := os.Getenv("FOCAL_DISABLE")
	for variant := focal.Variant(); variant != "generic"; {
		disabled += "," + variant
		r, err := startSelf("focal", "FOCAL_DISABLE="+disabled)
		if err != nil {
			return nil, err
		}
		variant = r.version
		p := &peer{Name: "focal " + variant, Version: variant, ISA: variant, Focal: true, runner: r}
		if variant == "generic" {
			p.ISA = ""
		}
		peers = append(peers, p)
	}
	return peers, nil
}

// expPeers time Exp in each variant on the elements of other functions, for the targets that are held against it.
func expPeers() ([]*peer, error) {
	peers, err := focalPeers()
	if err != nil {
		return nil, err
	}
	for _, p := range peers {
		p.Name, p.Focal, p.ISA, p.hidden, p.runner = expName(p.Version), false, "", true, expOnly{p.runner}
	}
	return peers[:len(peers)-1], nil // not the generic one
}

// moduleVersion is the version of a module that this program was built with.
func moduleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range info.Deps {
		if m.Path == path {
			if m.Replace != nil && m.Replace.Version != "" {
				return m.Replace.Version
			}
			return m.Version
		}
	}
	return "unknown"
}
