// Bench times focal against what its users would pick instead.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

const usage = `usage: go run -C bench . [flags]

Times every function of focal, in every variant that this CPU has, against the
Go libraries that offer the same, and prints nanoseconds per element.

`

func main() {
	log := func(err error) {
		if err != nil && !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
	}
	if len(os.Args) == 3 && os.Args[1] == "serve" { // started by another bench
		signal.Ignore(os.Interrupt)
		p := activeFocal()
		if os.Args[2] == "spago" {
			p = spagoPeer()
		}
		log(serve(p, bufio.NewReader(os.Stdin), os.Stdout))
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	log(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	filter := flags.String("filter", "", "only rows whose name matches this `regexp`, as in 'Exp/n=4096' or 'SoftmaxLoss.Sum/rows=1/'")
	quick := flags.Bool("quick", false, "half a minute in all: fewer and shorter rounds, nothing of more than a million elements")
	c := flags.Bool("c", false, "also time libmvec and SLEEF (needs gcc and libsleef-dev)")
	onnx := flags.Bool("onnx", false, "also time ONNX Runtime (needs gcc, and npm install --ignore-scripts onnxruntime-node@1.30.0 here)")
	torch := flags.Bool("torch", false, "also time PyTorch (needs python3-torch, python3-torchvision)")
	bars := flags.Bool("bars", false, "print how each variant stands against the project's targets")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unknown command %q", flags.Arg(0))
	}
	pattern, err := regexp.Compile(*filter)
	if err != nil {
		return err
	}
	var rows []work
	for _, w := range works() {
		if pattern.MatchString(w.name()) && !(*quick && w.elements() > 1_000_000) {
			rows = append(rows, w)
		}
	}
	if len(rows) == 0 {
		return fmt.Errorf("-filter %q matches no row", *filter)
	}
	dir, err := os.MkdirTemp("", "focal-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := writeSources(dir); err != nil {
		return err
	}

	peers, err := focalPeers()
	if err != nil {
		return err
	}
	skip := func(name string, err error) {
		fmt.Fprintf(stderr, "bench: skipping %s: %v\n", name, err)
	}
	peers = append(peers, goPeers()...)
	if r, err := startSelf("spago"); err != nil {
		skip("spago", err)
	} else {
		p := spagoPeer()
		p.runner = r
		peers = append(peers, p)
	}
	if *c {
		peers = append(peers, cPeers(dir, skip)...)
	}
	if *onnx {
		if p, err := onnxPeer(dir); err != nil {
			skip("ONNX Runtime", err)
		} else {
			peers = append(peers, p)
		}
	}
	if *torch {
		if p, err := torchPeer(dir); err != nil {
			skip("PyTorch", err)
		} else {
			peers = append(peers, p)
		}
	}
	if *bars {
		exp, err := expPeers()
		if err != nil {
			return err
		}
		peers = append(peers, exp...)
	}
	defer func() {
		for _, p := range peers {
			p.close()
		}
	}()

	e := normalEffort
	if *quick {
		e = quickEffort
	}
	progress := progressbar.NewOptions(len(rows), progressbar.OptionSetWriter(stderr),
		progressbar.OptionSetVisibility(isTerminal(stderr)), progressbar.OptionClearOnFinish())
	var all []timing
	for _, w := range rows {
		progress.Describe(w.name())
		t, err := measure(ctx, peers, newInput(w.f, w.shape), e)
		if err != nil {
			if ctx.Err() != nil {
				break
			}
			return err
		}
		all = append(all, t...)
		progress.Add(1)
	}
	progress.Finish()
	printTimings(stdout, peers, all)
	if *bars {
		printBars(stdout, peers, all)
	}
	return nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func functionOf(work string) string {
	name, _, _ := strings.Cut(work, "/")
	return name
}
