package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
	"unsafe"
)

// A remote is a runner in another process: focal in another variant, a Go library that allocates, a C library, Python.
// The process stays, so that its rounds can alternate with those of the others. It is asked by lines on its standard
// input and answers by lines on its standard output; numbers are binary, in the byte order of the machine:
//
//	                                                        hello VERSION
//	prepare FUNCTION ROWS CLASSES GAMMA ALPHA EXPONENT LABELS TARGETS
//	[ROWS x CLASSES float32] [LABELS int32] [TARGETS float32]
//	                                                        ok OUTPUTS | no | error TEXT
//	time WARM REPS                                          NANOSECONDS
//	result                                                  [OUTPUTS float32]
//
// LABELS and TARGETS are counts; the values follow the line. It ends at the end of its input, and leaves SIGINT to the
// parent.
type remote struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	stderr  strings.Builder
	version string
	outputs int

	// before, if there is one, is sent before prepare.
	before func(w io.Writer, in *input) error
}

func startRemote(cmd *exec.Cmd) (*remote, error) {
	r := &remote{cmd: cmd}
	cmd.Stderr = &r.stderr
	var err error
	if r.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	r.out = bufio.NewReader(out)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	hello, err := r.line()
	if err == nil && !strings.HasPrefix(hello, "hello ") {
		err = fmt.Errorf("%q instead of hello", hello)
	}
	if err != nil {
		r.in.Close()
		cmd.Wait()
		if text := strings.TrimSpace(r.stderr.String()); text != "" {
			return nil, errors.New(text[strings.LastIndexByte(text, '\n')+1:])
		}
		return nil, err
	}
	r.version = strings.TrimPrefix(hello, "hello ")
	return r, nil
}

func (r *remote) line() (string, error) {
	s, err := r.out.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("%s: %w", r.cmd.Path, err)
	}
	return strings.TrimSuffix(s, "\n"), nil
}

func (r *remote) prepare(in *input) (bool, error) {
	w := bufio.NewWriter(r.in)
	if r.before != nil {
		if err := r.before(w, in); err != nil {
			return false, err
		}
	}
	fmt.Fprintf(w, "prepare %s %d %d %v %v %v %d %d\n", in.f.name, in.Rows, in.Classes, gamma, alpha, exponent,
		len(in.labels), len(in.targets))
	w.Write(rawBytes(in.x))
	w.Write(rawBytes(in.labels))
	w.Write(rawBytes(in.targets))
	if err := w.Flush(); err != nil {
		return false, err
	}
	answer, err := r.line()
	if err != nil || answer == "no" {
		return false, err
	}
	if _, err := fmt.Sscanf(answer, "ok %d", &r.outputs); err != nil {
		return false, fmt.Errorf("%s: %s", r.cmd.Path, answer)
	}
	return true, nil
}

func (r *remote) time(warm, reps int) (time.Duration, error) {
	if _, err := fmt.Fprintf(r.in, "time %d %d\n", warm, reps); err != nil {
		return 0, err
	}
	answer, err := r.line()
	if err != nil {
		return 0, err
	}
	var ns float64
	if _, err := fmt.Sscan(answer, &ns); err != nil {
		return 0, fmt.Errorf("%s: %q instead of a time", r.cmd.Path, answer)
	}
	return time.Duration(ns), nil
}

func (r *remote) result() ([]float32, error) {
	if _, err := fmt.Fprintln(r.in, "result"); err != nil {
		return nil, err
	}
	out := make([]float32, r.outputs)
	_, err := io.ReadFull(r.out, rawBytes(out))
	return out, err
}

func (r *remote) close() error {
	r.in.Close()
	return r.cmd.Wait()
}

// serve is the other side, for the peers written in Go.
func serve(p *peer, in *bufio.Reader, out io.Writer) error {
	fmt.Fprintf(out, "hello %s\n", p.Version)
	for {
		line, err := in.ReadString('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var name string
		var work input
		var g, a, e float64
		var labels, targets, warm, reps int
		switch command, args, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " "); command {
		case "prepare":
			if _, err := fmt.Sscan(args, &name, &work.Rows, &work.Classes, &g, &a, &e, &labels, &targets); err != nil {
				return err
			}
			work.f = functionNamed(name)
			work.x = make([]float32, work.elements())
			work.labels = make([]int32, labels)
			work.targets = make([]float32, targets)
			for _, b := range [][]byte{rawBytes(work.x), rawBytes(work.labels), rawBytes(work.targets)} {
				if _, err := io.ReadFull(in, b); err != nil {
					return err
				}
			}
			ok, err := p.prepare(&work)
			runtime.GC() // not while it is timed
			switch {
			case err != nil:
				fmt.Fprintf(out, "error %s\n", err)
			case !ok:
				fmt.Fprintln(out, "no")
			default:
				fmt.Fprintf(out, "ok %d\n", work.f.outputs(work.Rows, work.Classes))
			}
		case "time":
			if _, err := fmt.Sscan(args, &warm, &reps); err != nil {
				return err
			}
			d, err := p.time(warm, reps)
			if err != nil {
				return err
			}
			fmt.Fprintln(out, d.Nanoseconds())
		case "result":
			x, err := p.result()
			if err != nil {
				return err
			}
			if err := binary.Write(out, binary.NativeEndian, x); err != nil {
				return err
			}
		default:
			return fmt.Errorf("unknown command %q", command)
		}
	}
}

func rawBytes[T float32 | int32](x []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x))
}

// startSelf starts this program again to serve a peer, with additions to the environment.
func startSelf(peer string, env ...string) (*remote, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "serve", peer)
	cmd.Env = append(os.Environ(), env...)
	return startRemote(cmd)
}
