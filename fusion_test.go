package focal

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// fusedSingle matches a line of the compiler's listing in which it fused float32 operations.
var fusedSingle = regexp.MustCompile(`\(.*\.go:\d+\)\s+FN?M(ADD|SUB)S\b`)

// TestNoFusion holds that the compiler fuses nothing in float32 where it may (here arm64): an x*y + z of which it rounds
// the product on one platform only gives other bits there. In float64 the products that are added are exact, and
// TestGolden runs on such platforms.
func TestNoFusion(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the package")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip(err)
	}
	build := exec.Command("go", "build", "-gcflags=-S", ".")
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	listing, err := build.CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, listing)
	}
	if !strings.Contains(string(listing), "FMADDD") {
		t.Error("the listing has no fused operation in float64 either: fma32 should")
	}
	for _, line := range strings.Split(string(listing), "\n") {
		if fusedSingle.MatchString(line) {
			t.Errorf("fused: wrap the product in float32(): %s", strings.TrimSpace(line))
		}
	}
}
