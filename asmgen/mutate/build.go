package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// A builder makes the root package's test program for a change of its assembly in a fifth of a second: go test would compile
// all Go files again. It compiles them once, and for each change assembles one function and links.
type builder struct {
	goarch            string
	asm, pack, linker string            // the Go tools' paths
	include           string            // where textflag.h is
	path              string            // the package's
	packages          map[string]string // the archive of each package, by import path
	compiled          []string          // what the package's archive has besides the assembly
	data              []string          // the assembly's lines before the first function
}

func newBuilder(root, dir, goarch, file string, lines []string) (*builder, error) {
	b := &builder{goarch: goarch, packages: map[string]string{}, data: lines[:kernels(lines)[0].start]}
	for tool, path := range map[string]*string{"asm": &b.asm, "pack": &b.pack, "link": &b.linker} {
		out, err := b.command(root, "go", "tool", "-n", tool)
		if err != nil {
			return nil, err
		}
		*path = out
	}
	goroot, err := b.command(root, "go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	b.include = filepath.Join(goroot, "pkg", "include")
	if b.path, err = b.command(root, "go", "list", "."); err != nil {
		return nil, err
	}
	list, err := b.command(root, "go", "list", "-export", "-test", "-deps", "-f", "{{if .Export}}{{.ImportPath}}\t{{.Export}}{{end}}", ".")
	if err != nil {
		return nil, err
	}
	for _, line := range strings.Split(list, "\n") {
		path, archive, _ := strings.Cut(line, "\t")
		// A package compiled for its test is "path [path.test]", and comes after the plain one.
		path, _, _ = strings.Cut(path, " ")
		b.packages[path] = archive
	}

	parts := filepath.Join(dir, "compiled")
	if err := os.Mkdir(parts, 0o755); err != nil {
		return nil, err
	}
	if _, err := b.command(parts, b.pack, "x", b.packages[b.path]); err != nil {
		return nil, err
	}
	// The assembler's object has the name of the assembly.
	if err := os.Remove(filepath.Join(parts, strings.TrimSuffix(file, ".s")+".o")); err != nil {
		return nil, err
	}
	for _, name := range []string{"__.PKGDEF", "_go_.o"} {
		b.compiled = append(b.compiled, filepath.Join(parts, name))
	}
	if entries, err := os.ReadDir(parts); err != nil || len(entries) != len(b.compiled) {
		return nil, fmt.Errorf("the package's archive has other parts than expected: %v %v", entries, err)
	}
	return b, nil
}

// command returns what a command prints, without the last line's end.
func (b *builder) command(dir, name string, args ...string) (string, error) {
	c := exec.Command(name, args...)
	c.Dir, c.Env = dir, append(os.Environ(), "GOOS="+runtime.GOOS, "GOARCH="+b.goarch, "CGO_ENABLED=0")
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("%v: %w\n%s%s", c, err, out, stderr.Bytes())
	}
	return strings.TrimSuffix(string(out), "\n"), nil
}

var errAssembly = errors.New("does not assemble")

// assemble makes an object of lines of assembly and the data that they use.
func (b *builder) assemble(dir, name string, lines ...[]string) (object string, err error) {
	source := filepath.Join(dir, name+".s")
	var text strings.Builder
	for _, part := range append([][]string{b.data}, lines...) {
		for _, line := range part {
			fmt.Fprintln(&text, line)
		}
	}
	if err := os.WriteFile(source, []byte(text.String()), 0o644); err != nil {
		return "", err
	}
	object = filepath.Join(dir, name+".o")
	_, err = b.command(dir, b.asm, "-p", b.path, "-I", b.include, "-D", "GOOS_"+runtime.GOOS, "-D", "GOARCH_"+b.goarch, "-o", object, source)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errAssembly, err)
	}
	return object, nil
}

// without makes an archive of the package that lacks k alone.
func (b *builder) without(dir string, k kernel, lines []string) (archive string, err error) {
	object, err := b.assemble(dir, "rest", lines[len(b.data):k.start], lines[k.end:])
	if err != nil {
		return "", err
	}
	archive = filepath.Join(dir, "rest.a")
	_, err = b.command(dir, b.pack, append(append([]string{"c", archive}, b.compiled...), object)...)
	return archive, err
}

// link makes the test program from an archive of the package without a kernel and the lines of that one.
func (b *builder) link(dir, rest string, kernel []string) (program string, err error) {
	object, err := b.assemble(dir, "kernel", kernel)
	if err != nil {
		return "", err
	}
	archive, err := os.ReadFile(rest)
	if err != nil {
		return "", err
	}
	whole := filepath.Join(dir, "whole.a")
	if err := os.WriteFile(whole, archive, 0o644); err != nil {
		return "", err
	}
	if _, err := b.command(dir, b.pack, "r", whole, object); err != nil {
		return "", err
	}
	var config strings.Builder
	for path, archive := range b.packages {
		if path == b.path {
			archive = whole
		}
		fmt.Fprintf(&config, "packagefile %s=%s\n", path, archive)
	}
	configFile := filepath.Join(dir, "importcfg")
	if err := os.WriteFile(configFile, []byte(config.String()), 0o644); err != nil {
		return "", err
	}
	program = filepath.Join(dir, "mutant.test")
	_, err = b.command(dir, b.linker, "-s", "-w", "-importcfg", configFile, "-o", program, b.packages[b.path+".test"])
	return program, err
}
