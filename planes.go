package focal

import (
	"fmt"
	"math"
)

// Planes is the same loss on class planes: logits, and grad, are [outer, Classes, inner], labels and dst [outer, inner], as
// a segmentation or detection head puts them out, with inner the pixels of an image: torch's [B, C, H, W] with labels
// [B, H, W] has inner = H * W. Nothing is copied. Every pixel has the bits that the same numbers have with the classes
// last.
//
// Planes is a view by value, and costs nothing. Its methods return a *[ConfigError] if inner is below 1, and a *[ShapeError]
// for logits that are not whole images. The row of a *[LabelError] is the index of the label. They allocate nothing, but for
// a row's worth of memory where there are more than 4096 classes. Planes and Strided replace each other.
func (l *SoftmaxLoss) Planes(inner int) SoftmaxLoss {
	if l == nil {
		return SoftmaxLoss{}
	}
	return SoftmaxLoss{l.rows.with(layout{planes, inner})}
}

// Planes is the same loss on class planes: see [SoftmaxLoss.Planes].
func (l *OneVsRestLoss) Planes(inner int) OneVsRestLoss {
	if l == nil {
		return OneVsRestLoss{}
	}
	return OneVsRestLoss{l.rows.with(layout{planes, inner})}
}

// Strided is the same loss on padded rows: a row of logits, and of grad, begins every stride elements, and only its first
// Classes elements are read, or written. The padding of the last row may be missing.
//
// Strided is a view by value, and costs nothing. Its methods return a *[ConfigError] if stride is below Classes. They
// allocate nothing, but for a row's worth of memory where there are more than 4096 classes. Planes and Strided replace each
// other.
func (l *SoftmaxLoss) Strided(stride int) SoftmaxLoss {
	if l == nil {
		return SoftmaxLoss{}
	}
	return SoftmaxLoss{l.rows.with(layout{padded, stride})}
}

// Strided is the same loss on padded rows: see [SoftmaxLoss.Strided].
func (l *OneVsRestLoss) Strided(stride int) OneVsRestLoss {
	if l == nil {
		return OneVsRestLoss{}
	}
	return OneVsRestLoss{l.rows.with(layout{padded, stride})}
}

// SoftmaxPlanes is [Softmax] over class planes: logits and dst are [outer, classes, inner], and for each outer and inner index
// the classes' softmax is taken, with the bits that Softmax gives to the same numbers classes-last. It serves the
// distribution bins of a detection head, and attention maps.
//
// len(logits) must be a multiple of classes * inner, both at least 1, and len(dst) must equal len(logits). dst may be logits;
// it may not overlap it otherwise. SoftmaxPlanes panics before it writes anything if that does not hold. Error and special
// values as in Softmax. Above 4096 classes it allocates a row.
func SoftmaxPlanes(dst, logits []float32, classes, inner int) {
	checkRows("SoftmaxPlanes", dst, logits, classes, len(logits))
	if inner < 1 {
		panic(fmt.Sprintf("focal: SoftmaxPlanes: inner is %d, must be at least 1", inner))
	}
	if len(logits)/classes%inner != 0 {
		panic(fmt.Sprintf("focal: SoftmaxPlanes: len(logits) is %d, no multiple of %d classes times inner, %d", len(logits), classes, inner))
	}
	raceRead(logits)
	raceWrite(dst)
	var chunk [gatherChunk]float32
	buffer := chunk[:]
	if classes > gatherChunk {
		buffer = make([]float32, classes)
	}
	v, rows := layout{planes, inner}, len(logits)/classes
	for row := 0; row < rows; {
		n := min(len(buffer)/classes, rows-row)
		z := buffer[:n*classes]
		v.gather(z, logits, row, n, classes)
		softmaxKernel(z, z, classes)
		v.scatter(dst, z, row, n, classes)
		row += n
	}
}

// A layout is where the logits of a row are. The zero layout is a packed matrix.
type layout struct {
	kind layoutKind
	size int // planes: inner; padded: the stride
}

type layoutKind uint8

const (
	packed layoutKind = iota
	planes
	padded
)

func (l rowLoss) with(v layout) rowLoss {
	l.layout = v
	return l
}

// checkSize checks the layout itself.
func (v layout) checkSize(classes int) error {
	switch {
	case v.kind == planes && v.size < 1:
		return &ConfigError{"inner", v.size, "inner", "at least 1"}
	case v.kind == padded && v.size < classes:
		return &ConfigError{"stride", v.size, "stride", fmt.Sprintf("at least %d, the number of classes", classes)}
	}
	return nil
}

// check checks the layout, and that some logits have the places of rows. Products may be more than an int holds.
func (v layout) check(logits, rows, classes int) error {
	if err := v.checkSize(classes); err != nil {
		return err
	}
	switch v.kind {
	case planes:
		if images := logits / classes / v.size; logits%classes != 0 || logits/classes%v.size != 0 {
			return &ShapeError{"len(logits)", logits, images * v.size * classes}
		}
	case padded: // the last row may have any part of its padding
		whole, rest := logits/v.size, logits%v.size
		if rest >= classes {
			whole++
			rest = 0
		}
		if rest != 0 || whole != rows {
			want := math.MaxInt
			if rows <= math.MaxInt/v.size {
				want = rows * v.size
			}
			return &ShapeError{"len(logits)", logits, want}
		}
	}
	return nil
}

// read and write tell the race detector what is read or written of a matrix: no padding.
func (v layout) read(x []float32, rows, classes int) {
	if v.kind != padded {
		raceRead(x)
		return
	}
	for row := range rows {
		raceRead(x[row*v.size:][:classes])
	}
}

func (v layout) write(x []float32, rows, classes int) {
	if v.kind != padded {
		raceWrite(x)
		return
	}
	for row := range rows {
		raceWrite(x[row*v.size:][:classes])
	}
}

// gather copies n rows, from row on, to a packed matrix. scatter copies them back.
func (v layout) gather(dst, src []float32, row, n, classes int) {
	v.segments(row, n, classes, func(i, at, run int) {
		if v.kind == padded {
			copy(dst[i*classes:][:classes], src[at:])
			return
		}
		for c := range classes {
			d := dst[i*classes+c:]
			for j, x := range src[at+c*v.size:][:run] {
				d[j*classes] = x
			}
		}
	})
}

func (v layout) scatter(dst, src []float32, row, n, classes int) {
	v.segments(row, n, classes, func(i, at, run int) {
		if v.kind == padded {
			copy(dst[at:], src[i*classes:][:classes])
			return
		}
		for c := range classes {
			s := src[i*classes+c:]
			d := dst[at+c*v.size:][:run]
			for j := range d {
				d[j] = s[j*classes]
			}
		}
	})
}

// segments calls f for rows that lie side by side: i is the first one's number, counted from row, at the place of its first
// logit, run how many there are.
func (v layout) segments(row, n, classes int, f func(i, at, run int)) {
	if v.kind == padded {
		for i := range n {
			f(i, (row+i)*v.size, 1)
		}
		return
	}
	for i := 0; i < n; {
		image, pixel := (row+i)/v.size, (row+i)%v.size
		run := min(n-i, v.size-pixel)
		f(i, image*v.size*classes+pixel, run)
		i += run
	}
}

// gatherChunk is how many logits are gathered at once: 16 KB.
const gatherChunk = 4096

// gatheredBlock is block for rows that are not packed.
func (l *rowLoss) gatheredBlock(losses, grad, logits []float32, labels []int32, row int, scale gradScale) {
	var chunk [gatherChunk]float32
	c, buffer := l.params.classes, chunk[:]
	if c > gatherChunk {
		buffer = make([]float32, c)
	}
	for len(labels) > 0 {
		n := min(len(buffer)/c, len(labels))
		z, part := buffer[:n*c], scale
		if scale.rows != nil {
			part.rows, scale.rows = scale.rows[:n], scale.rows[n:]
		}
		l.layout.gather(z, logits, row, n, c)
		if grad == nil {
			l.packedBlock(losses[:n], nil, z, labels[:n], part)
		} else {
			l.packedBlock(losses[:n], z, z, labels[:n], part)
			l.layout.scatter(grad, z, row, n, c)
		}
		losses, labels, row = losses[n:], labels[n:], row+n
	}
}
