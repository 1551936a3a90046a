package focal

import (
	"os"
	"runtime/debug"
	"syscall"
	"testing"
	"unsafe"
)

// guarded returns a slice of n floats before which or behind which (at the end) no byte may be touched.
func guarded(t *testing.T, n int, end bool) []float32 {
	page := os.Getpagesize()
	size := (4*n + page - 1) / page * page
	mem, err := syscall.Mmap(-1, 0, size+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Munmap(mem) })
	for _, guard := range [][]byte{mem[:page], mem[page+size:]} {
		if err := syscall.Mprotect(guard, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	at := page
	if end {
		at += size - 4*n
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&mem[at])), n)
}

// TestGuard runs the elementwise kernels on slices that begin or end at a page that must not be touched.
func TestGuard(t *testing.T) {
	const longest = 300
	p := newPowParams(2.5)
	kernels := map[string]func(dst, x []float32){
		"exp": expKernel, "log": logKernel, "sigmoid": sigmoidKernel,
		"pow": func(dst, x []float32) { powKernel(dst, x, &p) },
	}
	for _, end := range []bool{false, true} {
		x, dst := guarded(t, longest, end), guarded(t, longest, end)
		cut := func(s []float32, n int) []float32 {
			if end {
				return s[longest-n:]
			}
			return s[:n]
		}
		r := random(4)
		forEachVariant(t, func(t *testing.T) {
			for _, fill := range []func(){func() { ordinaryValues(r, x) }, func() { mixture(r, x) }} {
				for name, kernel := range kernels {
					for n := range longest + 1 {
						fill()
						noFault(t, name, n, end, func() { kernel(cut(dst, n), cut(x, n)) })
						noFault(t, name, n, end, func() { kernel(cut(x, n), cut(x, n)) })
					}
				}
			}
		})
	}
}

// noFault stops the test if f touches a page that it must not.
func noFault(t *testing.T, name string, n int, end bool, f func()) {
	t.Helper()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if err := recover(); err != nil {
			t.Fatalf("%s, n = %d, at the end of its pages: %v: %v", name, n, end, err)
		}
	}()
	f()
}
