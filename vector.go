package focal

import (
	"fmt"
	"unsafe"
)

// Exp sets dst[i] = e^x[i].
//
// len(dst) must equal len(x). dst may be x; it may not overlap x otherwise. Exp panics before it writes anything if
// that does not hold.
//
// Error: at most 1 ULP. Measured over all inputs: 0.6921 at -0x1.3f42c2p+06, and 0.8172 units of 2^-149 at
// -0x1.5e6dcp+06 where the result is subnormal.
//
// Special values, as in C99: e^±0 = 1, e^+Inf = +Inf, e^-Inf = +0, NaN gives NaN.
func Exp(dst, x []float32) {
	checkVector("Exp", dst, x)
	expKernel(dst, x)
}

// Log sets dst[i] to the natural logarithm of x[i].
//
// Lengths and aliasing as in [Exp].
//
// Error: at most 1 ULP. Measured over all inputs: 0.6839 at 0x1.105ef8p+00.
//
// Special values, as in C99: log ±0 = -Inf, log 1 = +0, log +Inf = +Inf, negative numbers and NaN give NaN.
func Log(dst, x []float32) {
	checkVector("Log", dst, x)
	logKernel(dst, x)
}

// Pow sets dst[i] = x[i]^y.
//
// Lengths and aliasing as in [Exp].
//
// Error: at most 1 ULP. The largest error known is 0.8987 at x = 0x1.0c104p+00, y = 0x1.e1700ap+10. Measured: 0.6016
// at x = 0x1.3d038p-42, y = 3, over all x for y in {0.5, 1, 1.5, 2, 2.5, 3, 5}; 0.8169, and 0.6280 units of 2^-149
// where the result is subnormal, over 10^9 random pairs; 0.8919 over 2^31 pairs where errors are largest.
//
// Special values are those of C99, Annex F: x^±0 = 1 and 1^y = 1 for every x and y, NaN too; a finite x < 0 gives NaN
// for a finite y that is no integer; ±0 and ±Inf keep their sign for odd integers y.
func Pow(dst, x []float32, y float32) {
	checkVector("Pow", dst, x)
	p := newPowParams(y)
	powKernel(dst, x, &p)
}

// Sigmoid sets dst[i] = 1 / (1 + e^-x[i]).
//
// Lengths and aliasing as in [Exp].
//
// Error: at most 2 ULP. Measured over all inputs: 1.5639 at -0x1.f98af2p+00, and 0.8172 units of 2^-149 at
// -0x1.5e6dcp+06 where the result is subnormal.
//
// Special values: +Inf gives 1, -Inf gives +0, NaN gives NaN.
func Sigmoid(dst, x []float32) {
	checkVector("Sigmoid", dst, x)
	sigmoidKernel(dst, x)
}

// Softmax sets each row of dst to the softmax of the same row of logits, e^z_j / sum_k e^z_k.
//
// logits is a row-major [rows, classes] matrix: len(logits) must be a multiple of classes, classes at least 1, and
// len(dst) must equal len(logits). dst may be logits; it may not overlap it otherwise. Softmax panics before it writes
// anything if that does not hold.
//
// Error: at most 4 ULP (measured: 3.9); 4 units of 2^-149 below 2^-126. A logit of -Inf is a masked class, its
// probability 0. A NaN, a +Inf or nothing but -Inf in a row makes that row NaN, and no other.
func Softmax(dst, logits []float32, classes int) {
	checkRows("Softmax", dst, logits, classes, len(logits))
	raceRead(logits)
	raceWrite(dst)
	softmaxKernel(dst, logits, classes)
}

// LogSoftmax sets each row of dst to the logarithm of the softmax of the same row of logits, z_j - log sum_k e^z_k.
//
// Shapes and aliasing as in [Softmax].
//
// Error: at most 4 ULP (measured: 3.3). Special values as in [Softmax]; a masked class gives -Inf.
func LogSoftmax(dst, logits []float32, classes int) {
	checkRows("LogSoftmax", dst, logits, classes, len(logits))
	raceRead(logits)
	raceWrite(dst)
	logSoftmaxKernel(dst, logits, classes)
}

// LogSumExp sets dst[i] = log sum_k e^z_k over row i of logits.
//
// Shapes as in [Softmax], but len(dst) must equal the number of rows, and dst may not overlap logits (with one class it
// may be logits).
//
// Error: at most 4 units of 2^-23 max(1, the largest logit's magnitude), since the result crosses zero (measured: 2.5), or 1
// ULP where that is more. A NaN in a row gives NaN; else a +Inf gives +Inf; a row of -Inf gives -Inf.
func LogSumExp(dst, logits []float32, classes int) {
	rows := 0
	if classes >= 1 {
		rows = len(logits) / classes
	}
	checkRows("LogSumExp", dst, logits, classes, rows)
	raceRead(logits)
	raceWrite(dst)
	logSumExpKernel(dst, logits, classes)
}

// checkVector panics unless dst and x have one length and are the same memory or none in common.
func checkVector(name string, dst, x []float32) {
	if len(dst) != len(x) {
		panic(fmt.Sprintf("focal: %s: len(dst) is %d, len(x) is %d", name, len(dst), len(x)))
	}
	if overlaps(dst, x) && &dst[0] != &x[0] {
		panic(fmt.Sprintf("focal: %s: dst overlaps x, %d elements each, but does not start where x does", name, len(x)))
	}
	raceRead(x)
	raceWrite(dst)
}

// checkRows panics unless logits has whole rows, dst has want elements, and they overlap only as the same slice.
func checkRows(name string, dst, logits []float32, classes, want int) {
	if classes < 1 {
		panic(fmt.Sprintf("focal: %s: classes is %d, must be at least 1", name, classes))
	}
	if len(logits)%classes != 0 {
		panic(fmt.Sprintf("focal: %s: len(logits) is %d, no multiple of %d classes", name, len(logits), classes))
	}
	if len(dst) != want {
		panic(fmt.Sprintf("focal: %s: len(dst) is %d, must be %d for %d logits of %d classes",
			name, len(dst), want, len(logits), classes))
	}
	if overlaps(dst, logits) && !same(dst, logits) {
		panic(fmt.Sprintf("focal: %s: dst (%d elements) overlaps logits (%d elements), but is not the same slice",
			name, len(dst), len(logits)))
	}
}

// words gives the same memory as bits: labels and floats take 4 bytes each.
func words[T float32 | int32](x []T) []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(x))), len(x))
}

// overlaps reports whether two slices have a byte in common.
func overlaps[A, B float32 | int32 | uint16](a []A, b []B) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	aStart, bStart := uintptr(unsafe.Pointer(&a[0])), uintptr(unsafe.Pointer(&b[0]))
	return aStart < bStart+uintptr(len(b))*unsafe.Sizeof(b[0]) && bStart < aStart+uintptr(len(a))*unsafe.Sizeof(a[0])
}

// same reports whether two slices are the same memory.
func same(a, b []float32) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}
