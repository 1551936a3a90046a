package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Where the README keeps what is made from results, and the pictures lie.
const (
	readmePath  = "../README.md"
	beginMark   = "<!-- bench:begin -->\n"
	endMark     = "<!-- bench:end -->\n"
	resultsDir  = "results"
	picturesDir = "pictures"
)

// render writes the README's part and the pictures.
func render(args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("render takes no arguments, not %q", args)
	}
	reports, err := readResults()
	if err != nil {
		return err
	}
	readme, err := os.ReadFile(readmePath)
	if err != nil {
		return err
	}
	readme, err = replaceMarked(readme, readmeText(reports))
	if err != nil {
		return err
	}
	if err := os.WriteFile(readmePath, readme, 0o644); err != nil {
		return err
	}
	files, err := reports[0].pictures()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(picturesDir, 0o755); err != nil {
		return err
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(picturesDir, name), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

var errNoResults = errors.New("no results: run go run -C bench . record")

// readResults reads the reports of all machines, the newest first.
func readResults() ([]*report, error) {
	paths, err := filepath.Glob(filepath.Join(resultsDir, "*.json"))
	if err != nil {
		return nil, err
	}
	var reports []*report
	for _, path := range paths {
		r, err := readReport(path)
		if err != nil {
			return nil, err
		}
		reports = append(reports, r)
	}
	if len(reports) == 0 {
		return nil, errNoResults
	}
	slices.SortStableFunc(reports, func(a, b *report) int { return b.Date.Compare(a.Date) })
	return reports, nil
}

// replaceMarked puts text between the marks.
func replaceMarked(readme []byte, text string) ([]byte, error) {
	before, rest, ok := bytes.Cut(readme, []byte(beginMark))
	_, after, ok2 := bytes.Cut(rest, []byte(endMark))
	if !ok || !ok2 {
		return nil, fmt.Errorf("%s has no lines %q and %q", readmePath, beginMark, endMark)
	}
	return slices.Concat(before, []byte(beginMark), []byte(text), []byte(endMark), after), nil
}

// readmeRows are those of the README's table: the name of the row, and in words what it is.
var readmeRows = []struct{ work, text string }{
	{"Exp/n=4096", "Exp, 4096 elements"},
	{"Log/n=4096", "Log"},
	{"Pow/n=4096", "Pow, y = 2.5"},
	{"Sigmoid/n=4096", "Sigmoid"},
	{"Softmax/rows=32/classes=1000", "Softmax, 32 x 1000"},
	{"LogSoftmax/rows=32/classes=1000", "LogSoftmax, 32 x 1000"},
	{"LogSumExp/rows=32/classes=1000", "LogSumExp, 32 x 1000"},
	{"SoftmaxLoss.Sum/rows=1/classes=80", "SoftmaxLoss.Sum, 1 x 80"},
	{"SoftmaxLoss.Sum/rows=10000/classes=5", "SoftmaxLoss.Sum, 10,000 x 5"},
	{"SoftmaxLoss.Sum/rows=1000/classes=80", "SoftmaxLoss.Sum, 1000 x 80"},
	{"SoftmaxLoss.Sum/rows=32/classes=1000", "SoftmaxLoss.Sum, 32 x 1000"},
	{"SoftmaxLoss.Sum/rows=1/classes=128256", "SoftmaxLoss.Sum, 1 x 128,256"},
	{"SoftmaxLoss.Grad/rows=1000/classes=80", "SoftmaxLoss.Grad, 1000 x 80"},
	{"OneVsRestLoss.Sum/rows=76725/classes=80", "OneVsRestLoss.Sum, 76,725 x 80"},
	{"OneVsRestLoss.Grad/rows=76725/classes=80", "OneVsRestLoss.Grad, 76,725 x 80"},
	{"SigmoidLoss.Sum/n=4096", "SigmoidLoss.Sum, 4096 elements"},
	{"SigmoidLoss.Grad/n=672000", "SigmoidLoss.Grad, 672,000 elements"},
}

// readmeText is the README's part: a table for each machine, and the pictures of the newest.
func readmeText(reports []*report) string {
	var b strings.Builder
	fmt.Fprintln(&b, "<!-- Made by `go run -C bench . render` from bench/results. -->")
	for _, r := range reports {
		fmt.Fprintf(&b, "\n**%s**, %s, %s, one thread (%s):\n\n", r.Machine.CPU, r.Machine.OS, r.Machine.Go,
			r.Date.Format("2 January 2006"))
		var variants []string
		for _, p := range r.Peers {
			if p.Focal {
				variants = append(variants, p.Name)
			}
		}
		fmt.Fprintf(&b, "| ns per element | %s | best other | our time, of its | our error | its |\n", strings.Join(variants, " | "))
		fmt.Fprintf(&b, "|---|%s---|--:|--:|--:|\n", strings.Repeat("--:|", len(variants)))
		for _, want := range readmeRows {
			function := functionOf(want.work)
			for _, row := range r.rows(function) {
				if row.work != want.work {
					continue
				}
				fmt.Fprintf(&b, "| %s |", want.text)
				for _, v := range variants {
					if t := row.by[v]; t != nil {
						fmt.Fprintf(&b, " %s |", digits(t.Median))
					} else {
						fmt.Fprint(&b, " |")
					}
				}
				ours, best := r.best(row)
				if ours == nil || best == nil {
					fmt.Fprintln(&b, " | | | |")
					continue
				}
				fmt.Fprintf(&b, " %s, %s | %.0f%% | %s | %s |\n", best.Peer, digits(best.Median), 100*ours.Median/best.Median,
					r.readmeError(function, ours.Peer), r.readmeError(function, best.Peer))
			}
		}
	}
	fmt.Fprintln(&b, "\nThe errors are the worst in ULP on a sample of ordinary inputs; **!** marks who also gives wrong special values, or\n"+
		"loses more than two of seven digits where p_t is near 1.")
	for _, picture := range []struct{ name, text string }{
		{"speed", "Time per element against the number of elements"},
		{"loss", "Time per logit against the number of classes"},
		{"error", "Error against the argument"},
	} {
		fmt.Fprintf(&b, `
<picture>
  <source media="(prefers-color-scheme: dark)" srcset="bench/%[1]s/%[2]s-dark.svg">
  <img alt="%[3]s" src="bench/%[1]s/%[2]s-light.svg">
</picture>
`, picturesDir, picture.name, picture.text)
	}
	return b.String()
}

// readmeError is the worst error of a function.
func (r *report) readmeError(function, peer string) string {
	a := r.accuracyOf(function, peer)
	if a == nil {
		return ""
	}
	mark := ""
	if a.wrong() {
		mark = " **!**"
	}
	return a.ulpText() + mark
}
