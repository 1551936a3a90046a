package focal

import "testing"

// forEachVariant runs f on the active variant.
func forEachVariant(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Run(Variant(), f)
}
