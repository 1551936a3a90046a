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
	"slices"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

const usage = `Bench times every function of focal, in every variant that this CPU has, against
what its users would pick instead, and measures how accurate each is.

	go run -C bench . [flags]                run, and print tables
	go run -C bench . record                 run with all peers and the rows of the
	                                         pictures; keep the results in results/
	go run -C bench . compare A.json B.json  put two results side by side
	go run -C bench . render                 make the README's table and the pictures
	                                         from results/

Files are relative to bench/. Flags of a run:

`

func main() {
	err := command(os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func command(args []string) error {
	if len(args) > 0 {
		switch rest := args[1:]; args[0] {
		case "serve": // started by another bench
			signal.Ignore(os.Interrupt)
			p := activeFocal()
			if len(rest) == 1 && rest[0] == "spago" {
				p = spagoPeer()
			}
			return serve(p, bufio.NewReader(os.Stdin), os.Stdout)
		case "compare":
			return compare(os.Stdout, rest)
		case "render":
			return render(rest)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	return run(ctx, args, os.Stdout, os.Stderr)
}

// options are the flags of a run.
type options struct {
	quick, sweep, bars bool
	c, onnx, torch     bool
	cpu                bool
	filter             *regexp.Regexp
	json               string
	record             bool
}

func parseOptions(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	if len(args) > 0 && args[0] == "record" {
		o.record, args = true, args[1:]
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	filter := flags.String("filter", "", "only rows whose name matches this `regexp`, as in '^Exp/n=4096' or 'SoftmaxLoss.Sum/rows=1/'")
	flags.BoolVar(&o.quick, "quick", false, "half a minute in all: fewer and shorter rounds, at most a million elements")
	flags.BoolVar(&o.c, "c", false, "time libmvec and SLEEF too (they need gcc and libsleef-dev)")
	flags.BoolVar(&o.onnx, "onnx", false, "time ONNX Runtime too (bench/README.md has the line that installs it)")
	flags.BoolVar(&o.torch, "torch", false, "time PyTorch too (it needs python3-torch and python3-torchvision)")
	flags.BoolVar(&o.sweep, "sweep", false, "also the rows of the pictures: vectors of 1 to 2^22 elements, rows of 2 to 2^17 classes")
	flags.BoolVar(&o.bars, "bars", false, "print how each variant stands against the project's targets")
	flags.StringVar(&o.json, "json", "", "write the report to this `file` as JSON, for - to the standard output in place of tables")
	flags.BoolVar(&o.cpu, "cpu", false, "print what is known of this machine, and end")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unknown command %q", flags.Arg(0))
	}
	if o.record {
		if *filter != "" || o.quick || o.json != "" {
			return nil, errors.New("record runs all rows at full length: it takes no -filter, -quick or -json")
		}
		o.c, o.onnx, o.torch, o.sweep = true, true, true, true
	}
	var err error
	if o.filter, err = regexp.Compile(*filter); err != nil {
		return nil, fmt.Errorf("-filter: %w", err)
	}
	return o, nil
}

// works lists the rows of the report that the options want.
func (o *options) works() ([]work, error) {
	list := works()
	if o.sweep {
		list = append(list, sweep()...)
	}
	var picked []work
	seen := map[string]bool{}
	for _, w := range list {
		name := w.name()
		if !seen[name] && o.filter.MatchString(name) && !(o.quick && w.elements() > 1_000_000) {
			picked = append(picked, w)
		}
		seen[name] = true
	}
	if len(picked) == 0 {
		return nil, fmt.Errorf("-filter %q matches no row", o.filter)
	}
	return picked, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parseOptions(args, stderr)
	if err != nil {
		return err
	}
	works, err := o.works()
	if err != nil {
		return err
	}
	r := &report{Format: reportFormat, Date: time.Now().UTC().Truncate(time.Second), Machine: thisMachine(), Quick: o.quick}
	if o.cpu {
		fmt.Fprintln(stdout, &r.Machine)
		return nil
	}
	text := stdout
	if o.json == "-" {
		text = io.Discard
	}
	if err := checkWorkedExample(text); err != nil {
		return err
	}

	dir, err := os.MkdirTemp("", "focal-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	absent := 0
	peers, err := startPeers(o, dir, func(name string, err error) {
		r.Skipped = append(r.Skipped, fmt.Sprintf("%s: %v", name, err))
		if !errors.Is(err, errPlatform) {
			absent++
		}
	})
	defer func() {
		for _, p := range peers {
			p.close()
		}
	}()
	if err != nil {
		return err
	}
	for _, p := range peers {
		if !p.hidden {
			r.Peers = append(r.Peers, p.peerInfo)
		}
	}
	if o.record && absent > 0 {
		return fmt.Errorf("recorded results have all peers, but skipped: %s", r.Skipped)
	}
	skipped := len(r.Skipped)
	err = r.measure(ctx, o, works, peers, stderr)
	if err != nil && ctx.Err() == nil {
		return err
	}
	if o.record && len(r.Skipped) > skipped {
		return fmt.Errorf("recorded results have all peers, but %s", r.Skipped[skipped:])
	}
	r.Partial = ctx.Err() != nil
	r.Warnings = warnings(&r.Machine, clock(), r.Timings)
	r.print(text)
	if o.bars {
		r.printBars(text)
	}
	err = nil
	switch {
	case o.json == "-":
		err = r.writeJSON(stdout)
	case o.json != "":
		err = r.writeFile(o.json)
	case o.record && !r.Partial:
		path := r.Machine.fileName()
		fmt.Fprintln(stderr, "bench: writing", path)
		if err = os.MkdirAll(resultsDir, 0o755); err == nil {
			err = r.writeFile(path)
		}
	}
	if r.Partial {
		err = errors.Join(err, errInterrupted)
	}
	return err
}

var errInterrupted = errors.New("interrupted")

// startPeers starts focal in every variant, then the others.
func startPeers(o *options, dir string, skip func(name string, err error)) ([]*peer, error) {
	peers, err := focalPeers()
	if err != nil {
		return nil, err
	}
	peers = append(peers, goPeers()...)
	add := func(name string, p *peer, err error) {
		if err != nil {
			skip(name, err)
		} else {
			peers = append(peers, p)
		}
	}
	p, err := remoteSpago()
	add("spago", p, err)
	if err := writeSources(dir); err != nil {
		return peers, err
	}
	if o.c {
		peers = append(peers, cPeers(dir, skip)...)
	}
	if o.onnx {
		p, err := onnxPeer(dir)
		add("ONNX Runtime", p, err)
	}
	if o.torch {
		p, err := torchPeer(dir)
		add("PyTorch", p, err)
	}
	if o.bars {
		exp, err := expPeers()
		if err != nil {
			return peers, err
		}
		peers = append(peers, exp...)
	}
	return peers, nil
}

// measure fills the report, first with the accuracy of the functions that works name, then with their times. What has
// been measured stays when it is interrupted, and when a peer fails: that one is left out from then on.
func (r *report) measure(ctx context.Context, o *options, works []work, peers []*peer, stderr io.Writer) error {
	var names []*function
	for _, w := range works {
		if f := functionNamed(accurateName(w.f.name)); !slices.Contains(names, f) {
			names = append(names, f)
		}
	}
	progress := progressbar.NewOptions(len(names)+len(works), progressbar.OptionSetWriter(stderr),
		progressbar.OptionSetVisibility(isTerminal(stderr)), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetElapsedTime(true))
	defer progress.Finish()

	// leaveOut takes a peer away that failed, unless it is focal.
	leaveOut := func(err error) error {
		var failed *peerError
		if ctx.Err() != nil || !errors.As(err, &failed) || failed.peer.Focal || failed.peer.hidden {
			return err
		}
		r.Skipped = append(r.Skipped, err.Error())
		peers = slices.DeleteFunc(slices.Clone(peers), func(p *peer) bool { return p == failed.peer })
		return nil
	}
	for _, f := range names {
		progress.Describe(f.name + ": accuracy")
		c := newCheck(f)
		for _, p := range peers {
			if err := ctx.Err(); err != nil {
				return err
			}
			if p.hidden {
				continue
			}
			if err := leaveOut(r.check(c, p, o.sweep)); err != nil {
				return err
			}
		}
		progress.Add(1)
	}
	e := normalEffort
	if o.quick {
		e = quickEffort
	}
	for _, w := range works {
		progress.Describe(w.name())
		in := newInput(w.f, w.shape)
		for {
			timings, err := measure(ctx, peers, in, e)
			if err == nil {
				r.Timings = append(r.Timings, timings...)
				break
			}
			if err := leaveOut(err); err != nil {
				return err
			}
		}
		progress.Add(1)
	}
	return nil
}

// check adds the accuracy of a peer, and the curve of its errors.
func (r *report) check(c *check, p *peer, curves bool) error {
	a, ok, err := c.evaluate(p)
	if !ok || err != nil {
		return err
	}
	r.Accuracy = append(r.Accuracy, a)
	if !curves {
		return nil
	}
	curve, ok, err := newCurve(c.sample.f, p)
	if ok && err == nil {
		r.Curves = append(r.Curves, curve)
	}
	return err
}

func (r *report) writeFile(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := r.writeJSON(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
