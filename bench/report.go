package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"reflect"
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
	r.printAccuracy(w)
	r.printTimings(w)
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

// accuracyOf is nil where it was not measured.
func (r *report) accuracyOf(function, peer string) *accuracy {
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
	return a != nil && (a.ULP > 100 || a.Wrong > 0 || a.SpecialWrong > 0 || a.Lost > 2)
}

// printTimings prints a table for each function: a row for each shape, a column for each peer that has the function.
func (r *report) printTimings(out io.Writer) {
	fmt.Fprint(out, "\nNanoseconds per element, the median of the rounds; \"spread\" is the widest distance of quartiles in the "+
		"row, \"set\"\nthe memory that a call touches, \"per cycle\" the elements that the quickest variant does in one. "+
		"! marks what is wrong:\nby more than 100 ULP, in special values, or by more than two of seven digits where p_t is near 1.\n")
	for i := range functions {
		f := functions[i].name
		rows := r.rows(f)
		if len(rows) == 0 {
			continue
		}
		var columns []string
		for _, p := range r.Peers {
			for _, row := range rows {
				if row.by[p.Name] != nil {
					columns = append(columns, p.Name)
					break
				}
			}
		}
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintf(w, "\n%s\tset\t%s\tspread\tper cycle\tto the best peer\t\n", f, strings.Join(columns, "\t"))
		for _, row := range rows {
			_, name, _ := strings.Cut(row.work, "/")
			ours, best := r.best(row)
			spread := 0.0
			for _, t := range row.by {
				spread = max(spread, t.spread())
			}
			fmt.Fprintf(w, "%s\t", name)
			for i, column := range columns {
				t := row.by[column]
				if i == 0 {
					for _, t := range row.by {
						fmt.Fprintf(w, "%s\t", bytesText(t.Bytes))
						break
					}
				}
				switch {
				case t == nil:
					fmt.Fprint(w, "\t")
				case r.accuracyOf(f, column).wrong():
					fmt.Fprintf(w, "%s!\t", digits(t.Median))
				default:
					fmt.Fprintf(w, "%s \t", digits(t.Median))
				}
			}
			fmt.Fprintf(w, "%.0f%%\t", 100*spread)
			if ours != nil {
				fmt.Fprint(w, digits(1/(ours.Median*r.Machine.GHz)))
			}
			fmt.Fprint(w, "\t")
			if best != nil && ours != nil {
				fmt.Fprintf(w, "%.3f %s", ours.Median/best.Median, best.Peer)
			}
			fmt.Fprintln(w, "\t")
		}
		w.Flush()
	}
}

// printAccuracy prints a table for each function: a row for each peer, one for all of focal's variants where they agree.
func (r *report) printAccuracy(out io.Writer) {
	if len(r.Accuracy) == 0 {
		return
	}
	fmt.Fprint(out, "\nWorst error in ULP on a sample of ordinary inputs; special values that are wrong; decimal digits lost "+
		"where p_t is near 1,\nof the 7.2 that there are.\n")
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i := range functions {
		f := functions[i].name
		head := true
		var last *accuracy // of focal
		for _, p := range r.Peers {
			a := r.accuracyOf(f, p.Name)
			if a == nil || p.Focal && a.same(last) {
				continue
			}
			last = a
			if head {
				fmt.Fprintf(w, "\n%s\tULP\tworst at\twrong specials\tdigits lost\n", f)
				head = false
			}
			name := p.Name
			if p.Focal {
				name = "focal"
			}
			if a.wrong() {
				name += " !"
			}
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\n", name, a.ulpText(), a.At, a.specialText(), a.lostText())
		}
	}
	w.Flush()
}

// same reports whether b says the same of another peer.
func (a *accuracy) same(b *accuracy) bool {
	if b == nil {
		return false
	}
	other := *b
	other.Peer = a.Peer
	return reflect.DeepEqual(*a, other)
}

func (a *accuracy) ulpText() string {
	text := digits(a.ULP)
	if a.ULP > 1e6 {
		text = "> 1e6"
	}
	if a.Wrong > 0 {
		text += fmt.Sprintf(", %d not numbers", a.Wrong)
	}
	return text
}

func (a *accuracy) specialText() string {
	switch {
	case a.Special == 0:
		return ""
	case a.SpecialWrong == 0:
		return fmt.Sprintf("0 of %d", a.Special)
	}
	return fmt.Sprintf("%d of %d: %s", a.SpecialWrong, a.Special, a.SpecialAt[0])
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
