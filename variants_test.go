package focal

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestMain fails the run if a variant that FOCAL_REQUIRE names (separated by commas) cannot run here: a run that is
// meant to test it must not pass without it.
func TestMain(m *testing.M) {
	for _, name := range strings.Split(os.Getenv("FOCAL_REQUIRE"), ",") {
		name = strings.TrimSpace(name)
		if name != "" && !slices.ContainsFunc(available, func(v variant) bool { return v.String() == name }) {
			fmt.Fprintf(os.Stderr, "FOCAL_REQUIRE: variant %q is not available, only %v\n", name, available)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// use makes v the active variant until the test ends.
func use(t testing.TB, v variant) {
	old := active
	active = v
	t.Cleanup(func() { active = old })
}

// forEachVariant runs f on every available variant.
func forEachVariant(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	for _, v := range available {
		t.Run(v.String(), func(t *testing.T) {
			use(t, v)
			f(t)
		})
	}
}

func TestEnabled(t *testing.T) {
	all := []variant{avx512, avx2}
	for _, c := range []struct {
		disable string
		want    []variant
	}{
		{"", []variant{avx512, avx2, generic}},
		{"avx512", []variant{avx2, generic}},
		{"avx2", []variant{generic}},
		{"avx2,avx512", []variant{generic}},
		{" avx512 , sse9", []variant{avx2, generic}},
		{"neon", []variant{avx512, avx2, generic}},
		{"AVX2", []variant{avx512, avx2, generic}},
		{"all", []variant{generic}},
	} {
		if got := enabled(all, c.disable); !slices.Equal(got, c.want) {
			t.Errorf("enabled(%v, %q) = %v, want %v", all, c.disable, got, c.want)
		}
	}
	if got := enabled([]variant{neon}, "neon"); !slices.Equal(got, []variant{generic}) {
		t.Errorf("enabled([neon], neon) = %v", got)
	}
}

func TestVariant(t *testing.T) {
	forEachVariant(t, func(t *testing.T) {
		if got, want := Variant(), t.Name()[strings.LastIndex(t.Name(), "/")+1:]; got != want {
			t.Errorf("Variant() = %q, want %q", got, want)
		}
	})
}
