//go:build purego || !(amd64 || arm64)

package focal

// supported is empty: there is no assembly.
func supported() []variant { return nil }
