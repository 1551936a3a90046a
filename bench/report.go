package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"text/tabwriter"
	"time"
)

// A report is the result of a run.
type report struct {
	Format   int        `json:"format"` // 1
	Date     time.Time  `json:"date"`
	Machine  machine    `json:"machine"`
	Quick    bool       `json:"quick,omitempty"`
	Partial  bool       `json:"partial,omitempty"` // interrupted
	Warnings []string   `json:"warnings,omitempty"`
	Skipped  []string   `json:"skipped,omitempty"` // peers, and why
	Peers    []peerInfo `json:"peers"`
	Timings  []timing   `json:"timings"`
	Accuracy []accuracy `json:"accuracy"`
	Curves   []curve    `json:"curves,omitempty"`
}

const reportFormat = 1

func readReport(path string) (*report, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &report{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if r.Format != reportFormat {
		return nil, fmt.Errorf("%s: format %d, not %d", path, r.Format, reportFormat)
	}
	return r, nil
}

// writeJSON writes the report with one line for each item of its lists, so that two of them can be compared by diff.
func (r *report) writeJSON(w io.Writer) error {
	head := *r
	head.Timings, head.Accuracy, head.Curves = nil, nil, nil
	b, err := json.MarshalIndent(head, "", " ")
	if err != nil {
		return err
	}
	text := string(b)
	for _, list := range []struct {
		name  string
		items []any
	}{{"timings", items(r.Timings)}, {"accuracy", items(r.Accuracy)}, {"curves", items(r.Curves)}} {
		var lines []string
		for _, item := range list.items {
			b, err := json.Marshal(item)
			if err != nil {
				return err
			}
			lines = append(lines, "\n  "+string(b))
		}
		filled := fmt.Sprintf(" %q: [%s\n ]", list.name, strings.Join(lines, ","))
		empty := fmt.Sprintf(" %q: null", list.name)
		if strings.Contains(text, empty) {
			text = strings.Replace(text, empty, filled, 1)
		} else if len(lines) > 0 {
			text = strings.TrimSuffix(text, "\n}") + ",\n" + filled + "\n}"
		}
	}
	_, err = io.WriteString(w, text+"\n")
	return err
}

func items[T any](list []T) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out
}

// print writes the whole report as text.
func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "%s\n", &r.Machine)
	var versions []string
	for _, p := range r.Peers {
		if !p.Focal {
			versions = append(versions, p.Name+" "+p.Version)
		}
	}
	fmt.Fprintf(w, "peers: %s\n", strings.Join(versions, ", "))
	for _, s := range r.Skipped {
		fmt.Fprintf(w, "skipped: %s\n", s)
	}
	r.printTables(w)
	for _, s := range r.Warnings {
		fmt.Fprintf(w, "\nwarning: %s\n", s)
	}
	if r.Partial {
		fmt.Fprintln(w, "\ninterrupted: the report is not complete")
	}
}

// digits prints a number with three significant digits.
func digits(x float64) string {
	switch {
	case x == 0:
		return "0"
	case x < 0.001 || x >= 1e6:
		return fmt.Sprintf("%.1e", x)
	case x < 100:
		return fmt.Sprintf("%.*f", max(0, 2-int(math.Floor(math.Log10(x)))), x)
	}
	return fmt.Sprintf("%.0f", x)
}

// bytes prints a size.
func bytesText(n int) string {
	switch {
	case n < 10<<10:
		return fmt.Sprintf("%d B", n)
	case n < 10<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// A row is the times of all peers on one input.
type row struct {
	work string
	by   map[string]*timing // by peer
}

// rows are the rows of a function, in the order of measuring.
func (r *report) rows(function string) []*row {
	var list []*row
	at := map[string]*row{}
	for i := range r.Timings {
		t := &r.Timings[i]
		if functionOf(t.Work) != function {
			continue
		}
		if at[t.Work] == nil {
			at[t.Work] = &row{t.Work, map[string]*timing{}}
			list = append(list, at[t.Work])
		}
		at[t.Work].by[t.Peer] = t
	}
	return list
}

// best are the quickest variant of focal and the quickest of the others, nil where there is none.
func (r *report) best(row *row) (ours, other *timing) {
	for _, p := range r.Peers {
		t := row.by[p.Name]
		switch {
		case t == nil:
		case p.Focal && (ours == nil || t.Median < ours.Median):
			ours = t
		case !p.Focal && (other == nil || t.Median < other.Median):
			other = t
		}
	}
	return ours, other
}

// accuracyOf is nil where it was not measured. That of a sum is that of what it adds, where errors of opposite signs have
// not met.
func (r *report) accuracyOf(function, peer string) *accuracy {
	function = accurateName(function)
	for i, a := range r.Accuracy {
		if a.Function == function && a.Peer == peer {
			return &r.Accuracy[i]
		}
	}
	return nil
}

// wrong reports whether a result should not be trusted: more than two of seven digits are lost, or special values are
// wrong.
func (a *accuracy) wrong() bool {
	return a.ULP > 100 || a.Wrong > 0 || a.SpecialWrong > 0 || a.Lost > 2
}

const (
	columnsPerTable = 7 // more would make the lines too long for a terminal
	longestName     = len("OneVsRestLoss.Grad")
)

// printTables prints for each function a row for each peer, with its accuracy and a column for each shape.
func (r *report) printTables(out io.Writer) {
	fmt.Fprint(out, `
Columns: the worst error in ULP on a sample of ordinary inputs; special values that
are wrong; of 7.2 digits, those lost where p_t is near 1; then for each shape the
nanoseconds per element, the median of the rounds. ! marks results that should not
be trusted: special values are wrong, more than 100 ULP, more than two digits lost.
Below: the memory that a call touches; the widest distance of quartiles; elements
that the quickest variant of focal does in a cycle; its time over the best other's.
`)
	for i := range functions {
		f := functions[i].name
		rows := r.rows(f)
		for len(rows) > 0 {
			n := min(columnsPerTable, len(rows))
			r.printTable(out, f, rows[:n])
			rows = rows[n:]
		}
		for _, p := range r.Peers {
			if a := r.accuracyOf(f, p.Name); a != nil && len(r.rows(f)) > 0 {
				if a.Wrong > 0 {
					fmt.Fprintf(out, "%s: %d of %d ordinary results are not even of the right kind\n", p.Name, a.Wrong, a.Sample)
				}
				if a.SpecialWrong > 0 {
					fmt.Fprintf(out, "%s: special values are wrong, as %s\n", p.Name, a.SpecialAt[0])
				}
			}
		}
	}
}

func (r *report) printTable(out io.Writer, f string, rows []*row) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(head string, cell func(row *row) string) {
		name, cells, _ := strings.Cut(head, "\t")
		fmt.Fprintf(w, "%-*s\t%s\t", longestName, name, cells) // to the left
		for _, row := range rows {
			fmt.Fprintf(w, "%s\t", cell(row))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w)
	line(f+"\tULP\tspecial\tlost", func(row *row) string { return row.shapeText() + " " })
	for _, p := range r.Peers {
		present := false
		for _, row := range rows {
			present = present || row.by[p.Name] != nil
		}
		if !present {
			continue
		}
		head, mark := p.Name+"\t\t\t", " "
		if a := r.accuracyOf(f, p.Name); a != nil {
			head = fmt.Sprintf("%s\t%s\t%s\t%s", p.Name, a.ulpText(), a.specialText(), a.lostText())
			if a.wrong() {
				mark = "!"
			}
		}
		line(head, func(row *row) string {
			if t := row.by[p.Name]; t != nil {
				return digits(t.Median) + mark
			}
			return ""
		})
	}
	line("set\t\t\t", func(row *row) string {
		for _, t := range row.by {
			return bytesText(t.Bytes)
		}
		return ""
	})
	line("spread\t\t\t", func(row *row) string {
		spread := 0.0
		for _, t := range row.by {
			spread = max(spread, t.spread())
		}
		return fmt.Sprintf("%.0f%%", 100*spread)
	})
	line("per cycle\t\t\t", func(row *row) string {
		if ours, _ := r.best(row); ours != nil {
			return digits(1/(ours.Median*r.Machine.GHz)) + " "
		}
		return ""
	})
	line("to the best other\t\t\t", func(row *row) string {
		if ours, other := r.best(row); ours != nil && other != nil {
			return fmt.Sprintf("%.2fx", ours.Median/other.Median)
		}
		return ""
	})
	w.Flush()
}

// shapeText is the row's shape, as 32x1000.
func (r *row) shapeText() string {
	_, shape, _ := strings.Cut(r.work, "/")
	return strings.NewReplacer("n=", "", "rows=", "", "/classes=", "x").Replace(shape)
}

func (a *accuracy) ulpText() string {
	if a.ULP > 1e6 {
		return "> 1e6"
	}
	return digits(a.ULP)
}

func (a *accuracy) specialText() string {
	if a.Special == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", a.SpecialWrong, a.Special)
}

func (a *accuracy) lostText() string {
	switch {
	case a.Confident == 0:
		return ""
	case a.Lost >= allDigits:
		return "all"
	}
	return fmt.Sprintf("%.1f", a.Lost)
}
