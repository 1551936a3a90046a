//go:build !purego

package focal

// supported is NEON: it is part of ARMv8-A.
func supported() []variant { return []variant{neon} }
