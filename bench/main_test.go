package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestMain lets the tests start this program again, to serve a peer.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		if err := command(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestBadFlags(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-no-such-flag"}, "not defined"},
		{[]string{"-filter", "no such row"}, "matches no row"},
		{[]string{"-filter", "("}, "-filter"},
		{[]string{"-filter", "rows=200700", "-quick"}, "matches no row"},
		{[]string{"record", "-quick"}, "record runs all rows"},
		{[]string{"record", "-filter", "Exp"}, "record runs all rows"},
		{[]string{"frobnicate"}, `unknown command "frobnicate"`},
		{[]string{"compare"}, "two files"},
		{[]string{"compare", "a.json", "b.json"}, "a.json"},
		{[]string{"compare", "-filter", "(", "a.json", "b.json"}, "-filter"},
		{[]string{"render", "x"}, "no arguments"},
		{[]string{"-h"}, "help requested"},
	} {
		var err error
		switch c.args[0] {
		case "compare", "render":
			err = command(c.args)
		default:
			err = run(t.Context(), c.args, io.Discard, io.Discard)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want one with %q", c.args, err, c.want)
		}
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	run(t.Context(), []string{"-h"}, io.Discard, &out)
	for _, want := range []string{"compare A.json B.json", "record", "render", "-quick", "-onnx", "-json"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("-h does not explain %q", want)
		}
	}
}

// TestRun runs the whole program on one small row.
func TestRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	var out, errs bytes.Buffer
	if err := run(t.Context(), []string{"-quick", "-bars", "-filter", "^Exp/n=64$", "-json", path}, &out, &errs); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"focal loss 1.2966", "cross-entropy 2.0856", "focal generic", "Go math", "set", "512 B", "Targets"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report has no %q", want)
		}
	}
	if errs.Len() > 0 {
		t.Errorf("to a file, but printed progress: %q", errs.String())
	}
	r, err := readReport(path)
	if err != nil {
		t.Fatal(err)
	}
	if r.Partial || len(r.Timings) == 0 || len(r.Accuracy) == 0 || r.Peers[0].Name != "focal "+r.Machine.Variant {
		t.Errorf("read %+v", r)
	}
	for _, timing := range r.Timings {
		if !(timing.Min > 0 && timing.Min <= timing.Quarter && timing.Quarter <= timing.Median && timing.Median <= timing.Three) {
			t.Errorf("%+v", timing)
		}
	}
	// Every variant gives the same bits, so its accuracy is the same.
	for _, a := range r.Accuracy {
		first := r.Accuracy[0]
		first.Peer = a.Peer
		if strings.HasPrefix(a.Peer, "focal") && !reflect.DeepEqual(a, first) {
			t.Errorf("%+v, but %+v", a, first)
		}
	}
}

// TestInterrupted ends a run before its first row is done: the report is valid, and says that it is not complete.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	err := run(ctx, []string{"-quick", "-filter", "^Exp/n=64$", "-json", "-"}, &out, io.Discard)
	if !errors.Is(err, errInterrupted) {
		t.Errorf("error %v, want %v", err, errInterrupted)
	}
	var r report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v in %s", err, out.Bytes())
	}
	if !r.Partial || len(r.Timings) > 0 || len(r.Peers) == 0 {
		t.Errorf("read %+v", r)
	}
}

func TestWorks(t *testing.T) {
	seen := map[string]bool{}
	for _, w := range works() {
		if seen[w.name()] {
			t.Errorf("%s twice", w.name())
		}
		seen[w.name()] = true
	}
	for _, f := range functions {
		if !strings.Contains(fmt.Sprint(seen), f.name+"/") {
			t.Errorf("no row of %s", f.name)
		}
	}
	for _, r := range readmeRows {
		if !seen[r.work] {
			t.Errorf("the README wants %s, which is no row", r.work)
		}
	}
	for _, b := range bars {
		found := false
		for name := range seen {
			found = found || b.work.MatchString(name)
		}
		if !found {
			t.Errorf("the target %s matches no row", b.work)
		}
	}
}
