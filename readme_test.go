package focal

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"regexp"
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
