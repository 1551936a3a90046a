package main

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/klauspost/cpuid/v2"
)

//go:embed c/server.h
var serverH []byte

//go:embed c/peers.c
var peersC []byte

//go:embed c/loss.c
var lossC []byte

//go:embed c/onnx.c
var onnxC []byte

//go:embed torch/peer.py
var torchPy []byte

// writeSources puts the peers that are not Go into a directory for temporary files.
func writeSources(dir string) error {
	for name, text := range map[string][]byte{
		"server.h": serverH, "peers.c": peersC, "loss.c": lossC, "onnx.c": onnxC, "peer.py": torchPy,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

var (
	errNoCompiler = errors.New("no C compiler: install gcc")
	errPlatform   = errors.New("not on this machine")
)

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
	args = append([]string{"-Wno-psabi", filepath.Join(dir, name+".c"), "-o", program}, args...)
	if text, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s %v: %w\n%s", cc, args, err, text)
	}
	return program, nil
}

// cPeers are glibc's libmvec, SLEEF, and the losses as one writes them in C. It says why where one is missing.
func cPeers(dir string, skip func(name string, err error)) []*peer {
	var peers []*peer
	add := func(name, isa string, program string, args ...string) {
		r, err := startRemote(exec.Command(program, args...))
		if err != nil {
			skip(name, err)
			return
		}
		peers = append(peers, &peer{peerInfo: peerInfo{Name: name, Version: r.version, ISA: isa}, runner: r})
	}
	if runtime.GOOS == "linux" && runtime.GOARCH == "amd64" {
		libraries := []struct{ name, argument string }{{"libmvec ", "libmvec-"}, {"SLEEF u10 ", "sleef-"}}
		program, err := compile(dir, "peers", "-O2", "-DSLEEF", "-lsleef", "-lmvec", "-lm")
		if err != nil && !errors.Is(err, errNoCompiler) {
			skip("SLEEF", errors.New("not found: install libsleef-dev"))
			libraries = libraries[:1]
			program, err = compile(dir, "peers", "-O2", "-lmvec", "-lm")
		}
		if err != nil {
			skip("libmvec, SLEEF", err)
			libraries = nil
		}
		for _, l := range libraries {
			add(l.name+"avx2", "avx2", program, l.argument+"avx2")
			if cpuid.CPU.Supports(cpuid.AVX512F) {
				add(l.name+"avx512", "avx512", program, l.argument+"avx512")
			} else {
				skip(l.name+"avx512", fmt.Errorf("%w: no AVX-512", errPlatform))
			}
		}
	} else {
		skip("libmvec, SLEEF", fmt.Errorf("%w: only linux/amd64", errPlatform))
	}
	args := []string{"-Ofast", "-march=native", "-lm"}
	if runtime.GOARCH == "amd64" {
		args = append(args, "-mprefer-vector-width=512") // where there are such vectors
	}
	if program, err := compile(dir, "loss", args...); err != nil {
		skip("C -Ofast", err)
	} else {
		add("C -Ofast", "", program)
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
		found, err := filepath.Glob(filepath.Join("node_modules/onnxruntime-node/bin/napi-v*", runtime.GOOS, arch,
			"libonnxruntime.*"))
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
	program, err := compile(dir, "onnx", "-O2", "-ldl")
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
