//go:build purego || !amd64

package focal

// supported is empty: there is no assembly.
func supported() []variant { return nil }

func expKernel(dst, x []float32) { expGeneric(dst, x) }
