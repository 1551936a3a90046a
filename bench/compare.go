package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"text/tabwriter"
)

// compare prints two reports side by side.
func compare(out io.Writer, args []string) error {
	flags := flag.NewFlagSet("bench compare", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "usage: go run -C bench . compare [flags] A.json B.json\n\n")
		flags.PrintDefaults()
	}
	filter := flags.String("filter", "", "only rows whose name matches this `regexp`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	pattern, err := regexp.Compile(*filter)
	if err != nil {
		return fmt.Errorf("-filter: %w", err)
	}
	if flags.NArg() != 2 {
		return fmt.Errorf("compare needs two files, not %d", flags.NArg())
	}
	var reports [2]*report
	for i, path := range flags.Args() {
		if reports[i], err = readReport(path); err != nil {
			return err
		}
		fmt.Fprintf(out, "%c: %s, %s, %s\n", 'A'+i, path, reports[i].Date.Format("2006-01-02"), &reports[i].Machine)
	}
	printComparison(out, reports[0], reports[1], pattern)
	return nil
}

// printComparison lists what both have timed, each peer's ns per element and their quotient, and marks what differs by
// more than the spread of both.
func printComparison(out io.Writer, a, b *report, pattern *regexp.Regexp) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nrow\tpeer\tA ns\tB ns\tB/A\t")
	rows := 0
	for i := range functions {
		others := map[string]*row{}
		for _, row := range b.rows(functions[i].name) {
			others[row.work] = row
		}
		for _, row := range a.rows(functions[i].name) {
			other := others[row.work]
			if other == nil || !pattern.MatchString(row.work) {
				continue
			}
			for _, p := range a.Peers {
				s, t := row.by[p.Name], other.by[p.Name]
				if s == nil || t == nil {
					continue
				}
				mark := ""
				switch {
				case t.Quarter > s.Three:
					mark = "slower"
				case t.Three < s.Quarter:
					mark = "faster"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.3f\t%s\n", row.work, p.Name, digits(s.Median), digits(t.Median),
					t.Median/s.Median, mark)
				rows++
			}
		}
	}
	w.Flush()
	if rows == 0 {
		fmt.Fprintln(os.Stderr, "bench: the two have nothing in common")
	}
}
