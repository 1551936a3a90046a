package main

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// testReport is a small report.
func testReport() *report {
	at := func(work, peer string, n, bytes int, ns float64) timing {
		return timing{Work: work, Peer: peer, N: n, Bytes: bytes, Median: ns, Min: ns * 0.9, Quarter: ns * 0.95,
			Three: ns * 1.05, Rounds: 15, Reps: 10}
	}
	return &report{
		Format: reportFormat, Date: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC),
		Machine: machine{CPU: "Example CPU", OS: "linux", Arch: "amd64", Cores: 2, GHz: 4, Go: "go1.26", Variant: "avx2"},
		Peers: []peerInfo{
			{Name: "focal avx2", Version: "avx2", ISA: "avx2", Focal: true}, {Name: "focal generic", Version: "generic", Focal: true},
			{Name: "Go math", Version: "go1.26"}, {Name: "vek", Version: "v0.4.3", ISA: "avx2"},
		},
		Skipped:  []string{"PyTorch: not found"},
		Warnings: []string{"the machine is noisy"},
		Timings: []timing{
			at("Exp/n=64", "focal avx2", 64, 512, 0.5), at("Exp/n=64", "Go math", 64, 512, 8),
			at("Exp/n=4096", "focal avx2", 4096, 32768, 0.25), at("Exp/n=4096", "focal generic", 4096, 32768, 12),
			at("Exp/n=4096", "Go math", 4096, 32768, 8), at("Exp/n=4096", "vek", 4096, 32768, 0.5),
			at("SigmoidLoss.Sum/n=4096", "focal avx2", 4096, 32772, 1.25),
		},
		Accuracy: []accuracy{
			{Function: "Exp", Peer: "focal avx2", ULP: 0.65, At: "x=1", Sample: 100, Special: 19},
			{Function: "Exp", Peer: "focal generic", ULP: 0.65, At: "x=1", Sample: 100, Special: 19},
			{Function: "Exp", Peer: "Go math", ULP: 0.5, At: "x=2", Sample: 100, Special: 19},
			{Function: "Exp", Peer: "vek", ULP: 0.97, At: "x=3", Sample: 100, Special: 19, SpecialWrong: 1,
				SpecialAt: []string{"x=+Inf: 3.4e38 instead of +Inf"}},
			{Function: "SigmoidLoss.Each", Peer: "focal avx2", ULP: 6.5, At: "x=1, target 0", Sample: 100, Special: 24,
				Lost: 0.5, Confident: 20},
		},
		Curves: []curve{{Function: "Exp", Peer: "focal avx2", X: []float32{-1, 0, 1}, ULP: []float32{0.5, 0, -1}}},
	}
}

func TestPrint(t *testing.T) {
	var b bytes.Buffer
	testReport().print(&b)
	const golden = "testdata/report.txt"
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the report is\n%s\nwant\n%s\n(UPDATE=1 go test -run TestPrint accepts it)", b.String(), want)
	}
}

func TestDigits(t *testing.T) {
	for _, c := range []struct {
		x    float64
		want string
	}{
		{0, "0"}, {0.0001234, "1.2e-04"}, {0.01234, "0.0123"}, {0.1669, "0.167"}, {0.5, "0.500"}, {1, "1.00"}, {9.994, "9.99"},
		{12.34, "12.3"}, {123.4, "123"}, {12345, "12345"}, {1234567, "1.2e+06"},
	} {
		if got := digits(c.x); got != c.want {
			t.Errorf("digits(%v) = %q, want %q", c.x, got, c.want)
		}
	}
}

func TestJSON(t *testing.T) {
	for name, r := range map[string]*report{
		"full":  testReport(),
		"empty": {Format: reportFormat, Partial: true},
	} {
		path := filepath.Join(t.TempDir(), "r.json")
		if err := r.writeFile(path); err != nil {
			t.Fatal(err)
		}
		got, err := readReport(path)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		// An empty list may come back as none.
		for _, r := range []*report{r, got} {
			r.Timings, r.Accuracy, r.Curves = append([]timing{}, r.Timings...), append([]accuracy{}, r.Accuracy...), append([]curve{}, r.Curves...)
		}
		if !reflect.DeepEqual(got, r) {
			t.Errorf("%s: read %+v, want %+v", name, got, r)
		}
	}
	path := filepath.Join(t.TempDir(), "r.json")
	if err := os.WriteFile(path, []byte(`{"format": 99}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readReport(path); err == nil || !strings.Contains(err.Error(), "format 99") {
		t.Errorf("error %v, want one about the format", err)
	}
}

func TestComparison(t *testing.T) {
	a, b := testReport(), testReport()
	for i := range b.Timings {
		s := &b.Timings[i]
		switch s.Peer {
		case "focal avx2": // twice as quick
			s.Median, s.Quarter, s.Three = s.Median/2, s.Quarter/2, s.Three/2
		case "vek": // slower, but within the spread
			s.Median, s.Quarter, s.Three = s.Median*1.02, s.Quarter*1.02, s.Three*1.02
		case "Go math":
			s.Median, s.Quarter, s.Three = s.Median*3, s.Quarter*3, s.Three*3
		}
	}
	var out bytes.Buffer
	printComparison(&out, a, b, regexp.MustCompile("^Exp/n=4096"))
	for _, want := range []string{
		`Exp/n=4096 +focal avx2 +0.250 +0.125 +0.500 +faster`,
		`Exp/n=4096 +Go math +8.00 +24.0 +3.000 +slower`,
		`Exp/n=4096 +vek +0.500 +0.510 +1.020 *\n`,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "n=64") {
		t.Errorf("the filter let n=64 through:\n%s", out.String())
	}
}

func TestWarnings(t *testing.T) {
	r := testReport()
	has := func(want string) bool {
		return strings.Contains(strings.Join(warnings(&r.Machine, r.Machine.GHz, r.Timings), "\n"), want)
	}
	if has("noisy") || has("governor") || has("GHz") {
		t.Error("warnings without a reason")
	}
	for i := range r.Timings {
		r.Timings[i].Three *= 2
	}
	if !has("noisy") {
		t.Error("no warning of wide quartiles")
	}
	r.Machine.Governor = "powersave"
	if !has("governor") {
		t.Error("no warning of the governor")
	}
	if w := warnings(&r.Machine, r.Machine.GHz*0.8, nil); !strings.Contains(strings.Join(w, "\n"), "GHz") {
		t.Error("no warning of a throttled clock")
	}
}

func TestReadmeText(t *testing.T) {
	got := readmeText([]*report{testReport()})
	for _, want := range []string{
		"**Example CPU**, linux, go1.26, one thread (4 March 2026)",
		"| ns per element | focal avx2 | focal generic | best other | our time, of its | our error | its |\n|---|--:|--:|---|--:|--:|--:|",
		"| Exp, 4096 elements | 0.250 | 12.0 | vek, 0.500 | 50% | 0.650 | 0.970 **!** |",
		"| SigmoidLoss.Sum, 4096 elements | 1.25 | | | | | |",
		"bench/pictures/speed-dark.svg",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestReplaceMarked(t *testing.T) {
	got, err := replaceMarked([]byte("a\n"+beginMark+"old\n"+endMark+"b\n"), "new\n")
	if want := "a\n" + beginMark + "new\n" + endMark + "b\n"; err != nil || string(got) != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	for _, bad := range []string{"", "a\n" + beginMark, endMark + beginMark} {
		if _, err := replaceMarked([]byte(bad), "new\n"); err == nil {
			t.Errorf("%q has no marks, but no error", bad)
		}
	}
}

func TestFileName(t *testing.T) {
	m := machine{CPU: "AMD EPYC(TM) 9R14 Processor (family 0x19, model 0x11)"}
	if got, want := m.fileName(), filepath.Join("results", "amd-epyc-9r14-0x19-0x11.json"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestPictures draws the small report, and the empty one of an interrupted run.
func TestPictures(t *testing.T) {
	for _, r := range []*report{testReport(), {}} {
		files, err := r.pictures()
		if err != nil {
			t.Fatal(err)
		}
		if len(files) != 12 {
			t.Errorf("%d files, want 12", len(files))
		}
		for name, b := range files {
			if !bytes.HasPrefix(b, []byte("\x89PNG")) && !bytes.Contains(b, []byte("</svg>")) {
				t.Errorf("%s is no picture", name)
			}
		}
	}
}

// TestRendered holds the README and the pictures against the results that are kept. The pictures' last digits depend on
// how a platform's compiler fuses products, so only one is held to them.
func TestRendered(t *testing.T) {
	reports, err := readResults()
	if errors.Is(err, errNoResults) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(readmePath)
	if err != nil {
		t.Fatal(err)
	}
	const remedy = "go run -C bench . render"
	want, err := replaceMarked(readme, readmeText(reports))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(readme, want) {
		t.Errorf("README.md does not agree with bench/results: run %s", remedy)
	}
	files, err := reports[0].pictures()
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range files {
		got, err := os.ReadFile(filepath.Join(picturesDir, name))
		if err != nil {
			t.Errorf("%v: run %s", err, remedy)
		} else if filepath.Ext(name) == ".svg" && runtime.GOARCH == "amd64" && !bytes.Equal(got, b) {
			t.Errorf("%s does not agree with bench/results: run %s", name, remedy)
		}
	}
	for _, r := range reports {
		if r.Partial || r.Quick {
			t.Errorf("the results of %s are of a quick or interrupted run", r.Machine.CPU)
		}
		for _, timing := range r.Timings {
			if !(timing.Median > 0) || math.IsInf(timing.Median, 0) {
				t.Errorf("%s: %+v", r.Machine.CPU, timing)
			}
		}
	}
}
