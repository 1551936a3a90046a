package main

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

//go:embed c/server.h
var serverH []byte

//go:embed c/peers.c
var peersC []byte

//go:embed c/onnx.c
var onnxC []byte

//go:embed torch/peer.py
var torchPy []byte

// writeSources puts the peers that are not Go into a directory for temporary files.
func writeSources(dir string) error {
	for name, text := range map[string][]byte{
		"server.h": serverH, "peers.c": peersC, "onnx.c": onnxC, "peer.py": torchPy,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

var errNoCompiler = errors.New("no C compiler: install gcc")

// compile builds a C program in dir.
func compile(dir, name string, args ...string) (string, error) {
	cc := os.Getenv("CC")
	if cc == "" {
		cc = "gcc"
	}
	if _, err := exec.LookPath(cc); err != nil {
		return "", errNoCompiler
	}
	program := filepath.Join(dir, name)
	args = append([]string{"-O2", "-Wno-psabi", filepath.Join(dir, name+".c"), "-o", program}, args...)
	if text, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s %v: %w\n%s", cc, args, err, text)
	}
	return program, nil
}

// cPeers are glibc's libmvec and SLEEF. It says why where one is missing.
func cPeers(dir string, skip func(string, error)) []*peer {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		skip("libmvec, SLEEF", errors.New("only on linux/amd64"))
		return nil
	}
	libraries := []string{"libmvec", "sleef"}
	program, err := compile(dir, "peers", "-DSLEEF", "-lsleef", "-lmvec", "-lm")
	if err != nil && !errors.Is(err, errNoCompiler) {
		skip("SLEEF", errors.New("not found: install libsleef-dev"))
		libraries = libraries[:1]
		program, err = compile(dir, "peers", "-lmvec", "-lm")
	}
	if err != nil {
		skip("libmvec, SLEEF", err)
		return nil
	}
	var peers []*peer
	for _, library := range libraries {
		for _, isa := range []string{"avx2", "avx512"} {
			name := map[string]string{"libmvec": "libmvec ", "sleef": "SLEEF u10 "}[library] + isa
			r, err := startRemote(exec.Command(program, library+"-"+isa))
			if err != nil {
				skip(name, err)
				continue
			}
			peers = append(peers, &peer{peerInfo: peerInfo{Name: name, Version: r.version, ISA: isa}, runner: r})
		}
	}
	return peers
}

// onnxPeer is ONNX Runtime, called from C.
func onnxPeer(dir string) (*peer, error) {
	library := os.Getenv("ONNXRUNTIME")
	if library == "" {
		arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
		if arch == "" {
			arch = runtime.GOARCH
		}
		found, err := filepath.Glob("node_modules/onnxruntime-node/bin/napi-v*/" + runtime.GOOS + "/" + arch + "/libonnxruntime.so*")
		if err != nil {
			return nil, err
		}
		library = "libonnxruntime.so" // where the dynamic linker finds it
		if len(found) > 0 {
			library, err = filepath.Abs(found[0])
			if err != nil {
				return nil, err
			}
		}
	}
	program, err := compile(dir, "onnx", "-ldl")
	if err != nil {
		return nil, err
	}
	r, err := startRemote(exec.Command(program, library))
	if err != nil {
		return nil, fmt.Errorf("%w: install it by npm, or name the library in $ONNXRUNTIME", err)
	}
	r.before = sendModel
	return &peer{peerInfo: peerInfo{Name: "ONNX Runtime", Version: r.version}, runner: r}, nil
}

// torchPeer is PyTorch, from Python, in the first interpreter that has it.
func torchPeer(dir string) (*peer, error) {
	var first error
	for _, python := range []string{"python3", "/usr/bin/python3", "python"} {
		r, err := startRemote(exec.Command(python, filepath.Join(dir, "peer.py")))
		if err == nil {
			return &peer{peerInfo: peerInfo{Name: "PyTorch", Version: r.version}, runner: r}, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}
