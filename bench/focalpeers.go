package main

import (
	"fmt"
	"os"
	"runtime/debug"

	"github.com/gofocal/focal"
)

// focalPeer is the package in some variant.
func focalPeer(variant string, r runner) *peer {
	p := &peer{peerInfo: peerInfo{Name: "focal " + variant, Version: variant, ISA: variant, Focal: true}, runner: r}
	if variant == "generic" {
		p.ISA = ""
	}
	return p
}

// activeFocal is the package in this process.
func activeFocal() *peer { return focalPeer(focal.Variant(), &local{ops: focalOps()}) }

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
		peers = append(peers, focalPeer(r.version, r))
		if r.version == variant {
			return peers, fmt.Errorf("FOCAL_DISABLE=%s did not take %s away", disabled, variant)
		}
		variant = r.version
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
		p.Name, p.hidden, p.runner = expName(p.Version), true, expOnly{p.runner}
	}
	return peers[:len(peers)-1], nil // not the generic one
}

// remoteSpago is spago in a process of its own: it allocates, and its garbage would trouble the others.
func remoteSpago() (*peer, error) {
	r, err := startSelf("spago")
	if err != nil {
		return nil, err
	}
	p := spagoPeer()
	p.runner = r
	return p, nil
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
