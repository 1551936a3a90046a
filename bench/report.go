package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// digits prints a time with three significant digits.
func digits(ns float64) string {
	switch {
	case ns < 10:
		return fmt.Sprintf("%.3g", ns)
	default:
		return fmt.Sprintf("%.0f", ns)
	}
}

// printTimings prints a table for each function: a row for each shape, a column for each peer that has the function.
func printTimings(out io.Writer, peers []*peer, timings []timing) {
	hidden := map[string]bool{}
	for _, p := range peers {
		hidden[p.Name] = p.hidden
	}
	for i := range functions {
		f := functions[i].name
		var rows []string
		cells := map[string]map[string]timing{}
		has := map[string]bool{}
		for _, t := range timings {
			if functionOf(t.Work) != f || hidden[t.Peer] {
				continue
			}
			if cells[t.Work] == nil {
				cells[t.Work] = map[string]timing{}
				rows = append(rows, t.Work)
			}
			cells[t.Work][t.Peer] = t
			has[t.Peer] = true
		}
		if len(rows) == 0 {
			continue
		}
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintf(w, "\n%s\t", f)
		for _, p := range peers {
			if has[p.Name] {
				fmt.Fprintf(w, "%s\t", p.Name)
			}
		}
		fmt.Fprintln(w, "spread\tto the best peer\t")
		for _, row := range rows {
			_, name, _ := strings.Cut(row, "/")
			fmt.Fprintf(w, "%s\t", name)
			var ours, best *timing
			spread := 0.0
			for _, p := range peers {
				t, ok := cells[row][p.Name]
				switch {
				case ok:
					fmt.Fprintf(w, "%s\t", digits(t.Median))
					spread = max(spread, t.spread())
					switch {
					case p.Focal && (ours == nil || t.Median < ours.Median):
						ours = &t
					case !p.Focal && !p.hidden && (best == nil || t.Median < best.Median):
						best = &t
					}
				case has[p.Name]:
					fmt.Fprint(w, "\t")
				}
			}
			fmt.Fprintf(w, "%.0f%%\t", 100*spread)
			if best != nil && ours != nil {
				fmt.Fprintf(w, "%.3f %s", ours.Median/best.Median, best.Peer)
			}
			fmt.Fprintln(w, "\t")
		}
		w.Flush()
	}
}
