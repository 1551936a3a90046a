package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The vector machine: what a body may use. A body (exp.go, log.go, ...) is written once against it and emitted for
// every target; it names no register and no instruction set. Where targets differ in what they can do, a body asks for
// a property (see properties), never for a target.
//
// Every operation works on each lane by itself, on float32 or on the 32 bits of a lane as an integer, and gives the
// same bits on every target. Floating-point operations round to nearest even and keep subnormals. "NaN" as a result
// means any NaN: kernels make NaNs canonical (0x7fc00000) before they store them.
//
// Two costs that no target shows in its bits: a multiplication, FMA, division or square root with a subnormal operand
// or result takes 100 cycles on many x86 CPUs, while additions, minimum, maximum, comparisons and integer operations
// are free of that.

// A vec is a value in every lane. Only set changes one.
type vec struct {
	op    operand.Op // a register, or memory that an operand can name
	konst *constant  // what op is a constant of, if it is one that has not been loaded
}

// A mask is a truth value in every lane; with not, the opposite of what op says.
type mask struct {
	op  operand.Op
	not bool
}

// A gp is a general-purpose register: a pointer or a count.
type gp struct{ r reg.GPVirtual }

// A part is a number of leading lanes of a vector, for the ends of slices.
type part struct {
	op operand.Op
	n  gp
}

// properties says what a target can do beyond the machine's common operations.
type properties struct {
	lanes     int // float32 lanes in a vector
	registers int // of vectors
	// together is the number of vectors whose steps are worth interleaving; 0: none, as the CPU does that by itself.
	together int
	// scale: scalef, getexp and getmant exist.
	scale bool
	// table16: lookup takes tables of 16 entries.
	table16 bool
}

// machine is the machine as bodies and loops see it.
type machine interface {
	properties() properties

	// cold runs f, which emits code that rarely runs: its constants are not worth a register, and where registers are few,
	// those of other constants are free there. Where that code ends, reload loads them again.
	cold(f func())
	reload()

	// interleave emits what functions emit in turns, an instruction of each, so that a CPU finds work in one while it waits
	// for another; they must not jump.
	interleave(fs ...func())

	// comment names the next step in the generated assembly.
	comment(text string)

	// f32 and u32 are constants in every lane. They live in read-only memory or, where registers are left, in one that
	// is loaded before the loop.
	f32(v float32) vec
	u32(bits uint32) vec

	// set makes v's register hold a from here on: the only way to carry a value around a loop. v comes from variable.
	set(v, a vec)
	// variable is a new vector register that holds a and that set may change.
	variable(a vec) vec

	// add is a + b, sub a - b, mul a * b, div a / b, sqrt the square root of a; one rounding each.
	add(a, b vec) vec
	sub(a, b vec) vec
	mul(a, b vec) vec
	div(a, b vec) vec
	sqrt(a vec) vec
	// fma is a*b + c, fnma is c - a*b, fms is a*b - c; one rounding.
	fma(a, b, c vec) vec
	fnma(a, b, c vec) vec
	fms(a, b, c vec) vec
	// min is a < b ? a : b and max is a > b ? a : b: b where either is NaN or both are zeros of any sign.
	min(a, b vec) vec
	max(a, b vec) vec

	// iadd and isub are a + b and a - b modulo 2^32. umin is the smaller unsigned integer; smin and smax are signed.
	iadd(a, b vec) vec
	isub(a, b vec) vec
	umin(a, b vec) vec
	smin(a, b vec) vec
	smax(a, b vec) vec
	// and, or, xor are bitwise; andnot is b &^ a.
	and(a, b vec) vec
	or(a, b vec) vec
	xor(a, b vec) vec
	andnot(a, b vec) vec
	// shl and shr shift in zeros, sar shifts in the sign; n is in [1, 31].
	shl(a vec, n int) vec
	shr(a vec, n int) vec
	sar(a vec, n int) vec
	// float is the float32 nearest to the signed integer a.
	float(a vec) vec

	// lookup is t[a mod len(t)]: only the lowest bits of a count. t has 4, 8 or (with table16) 16 entries.
	lookup(t table, a vec) vec

	// lt is a < b, le is a <= b, eq is a == b: false where either is NaN. unordered is true where either is NaN.
	lt(a, b vec) mask
	le(a, b vec) mask
	eq(a, b vec) mask
	unordered(a, b vec) mask
	// igt is a > b for signed integers, ieq is a == b.
	igt(a, b vec) mask
	ieq(a, b vec) mask
	// both and either combine masks.
	both(a, b mask) mask
	either(a, b mask) mask
	// pick is a where k is true, else b. keep is a where k is true, else 0.
	pick(k mask, a, b vec) vec
	keep(k mask, a vec) vec
	// drop is +0 where k is true, else a.
	drop(k mask, a vec) vec
	// pickNegative is a where the sign bit of x is set, else b.
	pickNegative(x, a, b vec) vec

	// scalef is a * 2^floor(n), rounded once. a and the result must be normal numbers, or a NaN: anything else costs
	// 150 cycles. Property scale.
	scalef(a, n vec) vec
	// getexp is floor(log2 |a|) as a float32, subnormals included; -Inf for 0, +Inf for infinities, NaN for NaN.
	getexp(a vec) vec
	// getmant is |a| / 2^getexp(a), in [1, 2); 1 for 0 and infinities, NaN for NaN. It is NaN for a < 0 where that
	// spares the caller a test: a body must not use the value there.
	getmant(a vec) vec

	// param is an argument of the kernel: a pointer or an int. broadcast is the float32 at p + offset bytes in every
	// lane.
	param(name string) gp
	broadcast(p gp, offset int) vec
	// advanceParam adds bytes, or a register's value, to an argument where it stands on the stack, and so frees a register;
	// jumpIfParam jumps unless it is 0 now.
	advanceParam(name string, by int)
	advanceParamBy(name string, by gp)
	jumpIfParam(name, label string)
	// field is the 64-bit integer at p + offset bytes; offset is p moved by that.
	field(p gp, offset int) gp
	offset(p gp, by int) gp
	// aside runs f with the registers of the given values free where there are only 16: it keeps them on the stack.
	aside(values []vec, f func())
	// park is v on the stack where there are only 16, for a value that is wanted much later; else v. unpark forgets all that
	// is parked.
	park(v vec) vec
	unpark()
	// load is the vector at p + offset bytes, of any alignment. It is read wherever it is used, so nothing may be
	// stored there before its last use; hold reads a load (or a constant) once, here. store writes.
	load(p gp, offset int) vec
	hold(a vec) vec
	store(p gp, offset int, a vec)
	// prefetch asks for the memory at p + offset bytes, which may lie behind any slice: nothing is read.
	prefetch(p gp, offset int)
	// loadWords is the vector of 16-bit words at p + offset bytes, zeros above them; storeWords writes the lower 16 bits
	// of each lane, the upper ones being zero. loadFloat16 is the value of the IEEE 754 binary16 numbers there;
	// storeFloat16 writes those nearest to a, ties to even, subnormal ones too. NaN gives some quiet NaN, 0x7fc00000
	// gives 0x7e00.
	loadWords(p gp, offset int) vec
	storeWords(p gp, offset int, a vec)
	loadFloat16(p gp, offset int) vec
	storeFloat16(p gp, offset int, a vec)
	// part is the first min(n, lanes) lanes, 1 <= n < 256. loadPart reads these lanes only, and gives fill in the
	// others; storePart writes these lanes only. storePieces does too, for memory whose neighbours are read next: a load that
	// reaches into the whole width of a masked store waits until that is in the cache.
	part(n gp) part
	loadPart(k part, p gp, offset int, fill vec) vec
	// keepPart is a in these lanes, and +0 in the others.
	keepPart(k part, a vec) vec
	storePart(k part, p gp, offset int, a vec)
	storePieces(k part, p gp, offset int, a vec)

	// loadColumns reads width (2, 3 or 4) consecutive floats at each of p, p + stride, p + 2 stride, ... (bytes), a row for
	// each lane, and nothing else: vector k of the result has float k of each row. storeColumns writes them like that.
	loadColumns(p, stride gp, width int) []vec
	storeColumns(p, stride gp, columns []vec)

	// swapped is v with lane i and lane i^h exchanged; h is a power of two below the number of lanes.
	swapped(v vec, h int) vec
	// storeFirst writes lane 0.
	storeFirst(p gp, offset int, v vec)
	// loadInt32 is the 32-bit integer at p + offset bytes; copyWord copies 32 bits; indexed is p + 4 i.
	loadInt32(p gp, offset int) gp
	copyWord(to, from gp)
	indexed(p, i gp) gp
	// quadruple multiplies by 4, times by a power of two. sum is a + b, product a * b; broadcastCount is the low 32 bits of n
	// in every lane.
	quadruple(n gp)
	times(n gp, by int)
	sum(a, b gp) gp
	product(a, b gp) gp
	broadcastCount(n gp) vec
	// notNegative is the larger of n and 0. increment adds 1 to the 64-bit integer at p. jumpUnlessZero looks at the 32 bits
	// at p + offset. storeWord writes 32 bits.
	notNegative(n gp) gp
	increment(p gp)
	jumpUnlessZero(p gp, offset int, name string)
	storeWord(p gp, offset int, bits uint32)
	// atMost is the smaller of n, unsigned, and limit; excess is max(n - by, 0).
	atMost(n gp, limit int) gp
	excess(n gp, by int) gp
	// loadTable is the vector of a table's words from at on.
	loadTable(t table, at int) vec
	// wordBefore is the address of word at - n of a table.
	wordBefore(t table, at int, n gp) gp

	// laneSums are 16 lanes of float64, +0, columnSum those of one vector; laneSumsAdd adds the float32 lanes of a tile, or of
	// one vector. laneSumsFold adds the lanes as fold of focal_generic.go does, and writes a float64; laneSumsValue rounds that
	// sum to float32, in lane 0.
	laneSums() laneSums
	columnSum() laneSums
	laneSumsAdd(d laneSums, tile []vec)
	laneSumsFold(d laneSums, p gp)
	laneSumsValue(d laneSums) vec
	// columnFold folds 4, 8, 12 or 16 vectors at p, each of which is a virtual lane of as many folds as a vector has lanes, and
	// rounds the sums to float32. Lanes behind the last are left out of the tree. With wide they are float64: the registers of
	// a columnSum for each.
	columnFold(p gp, columns int, wide bool) vec

	// Control flow: a label stands before the next instruction; jumps take its name. advance adds bytes to a pointer
	// or count, copyOf is a new register with p's value, count one with the constant n. jumpIfLess compares signed.
	label(name string)
	jump(name string)
	jumpIfLess(n gp, limit int, name string)
	jumpIfAtLeast(n gp, limit int, name string)
	jumpIfAtMost(a, b gp, name string)
	jumpIfAny(k mask, name string)
	jumpIfBits(a vec, name string) // if any bit of any lane is set
	count(n int) gp
	setCount(n gp, v int)
	copyOf(p gp) gp
	setCopy(p, q gp)
	advance(p gp, by int)
	subtract(n, by gp)
	// ret returns to the caller, in the state that the platform asks for.
	ret()
}

// laneSums are the registers of 16 float64 lanes.
type laneSums []operand.Op

// A table is a small constant array in read-only memory.
type table struct {
	name    string
	entries []uint32
}
