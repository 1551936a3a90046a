package focal

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// readFile returns a text file of the repository.
func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// readme returns README.md with each paragraph on one line.
func readme(t *testing.T) string {
	t.Helper()
	return regexp.MustCompile(`(\S)\n(\S)`).ReplaceAllString(readFile(t, "README.md"), "$1 $2")
}

// documentation is the package's, as go doc gives it.
func documentation(t *testing.T) *doc.Package {
	t.Helper()
	names, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, n := range names {
		if strings.HasSuffix(n.Name(), ".go") && !strings.HasSuffix(n.Name(), "_test.go") {
			file, err := parser.ParseFile(fset, n.Name(), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
	}
	p, err := doc.NewFromFiles(fset, files, "github.com/gofocal/focal")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestReadmeProgram: the program in README.md is the package's example, which runs, and prints what README.md says.
func TestReadmeProgram(t *testing.T) {
	example := regexp.MustCompile(`(?s)\nfunc Example\(\) (\{\n.*?)\t// Output: (.*?)\n\}\n`).
		FindStringSubmatch(readFile(t, "example_test.go"))
	program := regexp.MustCompile("(?s)```go\n.*?\nfunc main\\(\\) (\\{\n.*?)\\}\n```").
		FindStringSubmatch(readFile(t, "README.md"))
	if example == nil || program == nil {
		t.Fatal("example or program not found")
	}
	if program[1] != example[1] {
		t.Errorf("README.md has\n%s\nthe example is\n%s", program[1], example[1])
	}
	if want := "It prints `" + example[2] + "`"; !strings.Contains(readme(t), want) {
		t.Errorf("README.md does not say: %s", want)
	}
}

// TestReadmeNames: the package exports what README.md names.
func TestReadmeNames(t *testing.T) {
	text := readFile(t, "README.md")
	exported := map[string]bool{}
	p := documentation(t)
	for _, f := range p.Funcs {
		exported[f.Name] = true
	}
	for _, v := range append(p.Consts, p.Vars...) {
		for _, name := range v.Names {
			exported[name] = true
		}
	}
	for _, typ := range p.Types {
		exported[typ.Name] = true
		for _, f := range typ.Funcs {
			exported[f.Name] = true
		}
	}
	names := regexp.MustCompile(`focal\.([A-Z]\w*)`).FindAllStringSubmatch(text, -1)
	if len(names) == 0 {
		t.Fatal("no names found")
	}
	for _, m := range names {
		if !exported[m[1]] {
			t.Errorf("README.md names %s, which the package does not export", m[0])
		}
	}
}

// readmeError returns the bound and the measured error that README.md's table of accuracy gives for a function.
func readmeError(t *testing.T, function string) (bound, measured float64) {
	t.Helper()
	row := regexp.MustCompile(`\n\| ` + regexp.QuoteMeta(function) + ` (?:\* )?\| (\S+) [^|]*\| (\S+) `)
	m := row.FindStringSubmatch(readFile(t, "README.md"))
	if m == nil {
		t.Fatalf("README.md has no row for %s", function)
	}
	var err1, err2 error
	bound, err1 = strconv.ParseFloat(m[1], 64)
	measured, err2 = strconv.ParseFloat(m[2], 64)
	if err1 != nil || err2 != nil {
		t.Fatalf("README.md has no numbers in the row for %s: %q", function, m)
	}
	return bound, measured
}

// TestReadmeAccuracy: README.md promises the bounds that the tests hold, and the documentation has the bounds and measured
// errors of README.md.
func TestReadmeAccuracy(t *testing.T) {
	docs := map[string]string{}
	p := documentation(t)
	for _, f := range p.Funcs {
		docs[f.Name] = f.Doc
	}
	for _, typ := range p.Types {
		docs[typ.Name] = typ.Doc
	}
	for _, c := range []struct {
		row, name string
		bound     float64
		pattern   string // of the documentation: %s stands for a number
	}{
		{"`Exp`", "Exp", bounds.exp, "at most %s ULP. Measured over all inputs: %s"},
		{"`Log`", "Log", bounds.log, "at most %s ULP. Measured over all inputs: %s"},
		{"`Pow`", "Pow", bounds.pow, "at most %s ULP. The largest error known is %s"},
		{"`Sigmoid`", "Sigmoid", bounds.sigmoid, "at most %s ULP. Measured over all inputs: %s"},
		{"`Softmax`", "Softmax", bounds.softmax, "at most %s ULP (measured: %s"},
		{"`LogSoftmax`", "LogSoftmax", bounds.logSoftmax, "at most %s ULP (measured: %s"},
		{"`LogSumExp`", "LogSumExp", bounds.logSumExp, "at most %s units of 2^-23 max(1, the largest logit's magnitude), since the result crosses zero (measured: %s"},
		{"`SoftmaxLoss`, loss", "SoftmaxLoss", bounds.loss, "at most %s (1 + gamma) ULP for a loss (measured: %s (1 + gamma))"},
		{"`SoftmaxLoss`, gradient", "SoftmaxLoss", bounds.grad, "%s (1 + gamma) ULP for a gradient (measured: %s (1 + gamma))"},
		{"`SigmoidLoss`, loss", "SigmoidLoss", bounds.loss, "y = 0 or 1: at most %s (1 + gamma) ULP for a loss (measured: %s (1 + gamma))"},
		{"`SigmoidLoss`, gradient", "SigmoidLoss", bounds.grad, "%s (1 + gamma) ULP for a gradient (measured: %s (1 + gamma))"},
		{"targets between 0 and 1, loss", "SigmoidLoss", bounds.lossSoft, "Between 0 and 1: at most %s (1 + gamma) ULP for a loss (measured: %s (1 + gamma))"},
		{"targets between 0 and 1, gradient", "SigmoidLoss", bounds.grad, "at most %s (1 + gamma) 2^-24 times the sum of the magnitudes of its terms (measured: %s (1 + gamma) 2^-24)"},
	} {
		bound, measured := readmeError(t, c.row)
		if bound != c.bound || !(measured <= bound) {
			t.Errorf("README.md says that %s is measured at %v, at most %v; tests hold %v", c.row, measured, bound, c.bound)
		}
		pattern := strings.ReplaceAll(regexp.QuoteMeta(c.pattern), "%s", `([0-9.]+)`)
		m := regexp.MustCompile(pattern).FindStringSubmatch(strings.Join(strings.Fields(docs[c.name]), " "))
		if m == nil {
			t.Errorf("the documentation of %s does not say %q", c.name, c.pattern)
			continue
		}
		inDoc, err := strconv.ParseFloat(m[2], 64)
		if err != nil || m[1] != strconv.FormatFloat(bound, 'g', -1, 64) || !(inDoc <= measured && inDoc > measured-0.1) {
			t.Errorf("README.md says that %s is measured at %v, at most %v; the documentation %q", c.row, measured, bound, m[0])
		}
	}
}

// TestReadmeFiles: the files that README.md links to, the targets of make and the tests that it names exist.
func TestReadmeFiles(t *testing.T) {
	text := readFile(t, "README.md")
	links := regexp.MustCompile(`\]\(([^):]+)\)`).FindAllStringSubmatch(text, -1)
	targets := regexp.MustCompile("`make (\\w+)`|    make (\\w+)").FindAllStringSubmatch(text, -1)
	tests := regexp.MustCompile(`go test -run '?([\w|\\]+)`).FindAllStringSubmatch(text, -1)
	if len(links) == 0 || len(targets) == 0 || len(tests) == 0 {
		t.Fatalf("found %d links, %d targets, %d tests", len(links), len(targets), len(tests))
	}
	for _, m := range links {
		if _, err := os.Stat(m[1]); err != nil {
			t.Errorf("README.md links to %v", err)
		}
	}
	makefile := readFile(t, "Makefile")
	for _, m := range targets {
		if !strings.Contains("\n"+makefile, "\n"+m[1]+m[2]+":") {
			t.Errorf("Makefile has no target %s, which README.md names", m[1]+m[2])
		}
	}
	sources := ""
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		sources += readFile(t, name)
	}
	for _, m := range tests {
		for _, name := range strings.Split(m[1], `\|`) {
			if !regexp.MustCompile(`\nfunc (Test|Example)\w*` + name).MatchString(sources) {
				t.Errorf("README.md runs the test %s, which does not exist", name)
			}
		}
	}
}
