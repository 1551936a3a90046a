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
// Planes is a view by value, and costs nothing; assign it to a variable, as its methods have pointer receivers. They return
// a *[ConfigError] if inner is below 1, and a *[ShapeError] for logits that are not whole images. The row of a *[LabelError]
// is the index of the label. They allocate nothing, but for a row's worth of memory where there are more than 4096 classes.
// Planes and Strided replace each other.
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
	v, rows := layout{planes, inner}, len(logits)/classes
	for row := 0; row < rows; {
		at, n := v.vectors(row, rows, classes)
		if n > 0 {
			planeSoftmaxes(dst[at:], logits[at:], n, classes, inner)
		} else {
			n = v.rest(row, rows-row)
			v.gatheredSoftmax(dst, logits, row, n, classes)
		}
		row += n
	}
}

func (v layout) gatheredSoftmax(dst, logits []float32, row, rows, classes int) {
	var chunk [gatherChunk]float32
	buffer := chunk[:]
	if classes > gatherChunk {
		buffer = make([]float32, classes)
	}
	for end := row + rows; row < end; {
		n := min(len(buffer)/classes, end-row)
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

// viewBlock is block for rows that are not packed: whole vectors of pixels have kernels, others are gathered.
func (l *rowLoss) viewBlock(losses, grad, logits []float32, labels []int32, row int, scale gradScale) {
	for len(labels) > 0 {
		at, n := 0, 0
		if !l.background && scale.rows == nil && l.params.smooth == 0 {
			at, n = l.layout.vectors(row, row+len(labels), l.params.classes)
		}
		part := scale
		if n > 0 {
			var g []float32
			if grad != nil {
				g = grad[at:]
			}
			planeLosses(losses[:n], g, logits[at:], labels[:n], l.layout.size, &l.params, scale.all)
		} else {
			n = l.layout.rest(row, len(labels))
			if scale.rows != nil {
				part.rows, scale.rows = scale.rows[:n], scale.rows[n:]
			}
			l.gatheredBlock(losses[:n], grad, logits, labels[:n], row, part)
		}
		losses, labels, row = losses[n:], labels[n:], row+n
	}
}

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

// planeMost is the largest number of classes whose planes have kernels of their own, with a lane per pixel.
const planeMost = 128

// vectors is how many rows from row on are whole vectors of pixels of one image, of planes that kernels take, and where the
// first logit of the first one is.
func (v layout) vectors(row, end, classes int) (at, n int) {
	if v.kind != planes || active == generic || classes < 2 || classes > planeMost {
		return 0, 0
	}
	image, pixel := row/v.size, row%v.size
	n = min(end-row, v.size-pixel)
	return image*v.size*classes + pixel, n - n%vectorLanes[active]
}

// rest is how many of n rows to gather: in planes that have kernels, those up to the end of the image.
func (v layout) rest(row, n int) int {
	if v.kind != planes {
		return n
	}
	return min(n, v.size-row%v.size)
}

// planePixels is how many pixels are computed at once.
const planePixels = rowsAtOnce

// A planePass computes some pixels, whole vectors of them: e has a column of e_j for each class, and is the buffer of one
// of the two sizes that Go has to clear.
type planePass struct {
	classes, inner int
	e              []float32
	step           int                        // the distance in bytes between the columns of two groups
	lanes          [2 * lanes * lanes]float32 // of columns, each as two vectors of float64
	sums           rowSums
}

// sum is rowPass.sum.
func (b *planePass) sum(logits []float32, labels []int32) {
	c, slow := b.classes, 0
	b.step = 4 * vectorLanes[active] * ((c + 3) &^ 3)
	planeSumAsm(&b.sums.sum[0], &logits[0], &labels[0], len(labels), c, 4*b.inner, &b.e[0], b.step, &b.lanes[0], &slow)
	if slow > 0 {
		planeShiftedAsm(&b.sums.sum[0], &logits[0], &labels[0], len(labels), c, 4*b.inner, &b.e[0], b.step, &b.lanes[0])
	}
}

func (b *planePass) softmax(dst, logits []float32, n int) {
	for i := 0; i < n; i += planePixels {
		t := noLabels[:min(planePixels, n-i)]
		b.sum(logits[i:], t)
		b.sums.reciprocals(len(t))
		planeSoftmaxAsm(&dst[i], &b.sums.sum[0], &t[0], len(t), b.classes, 4*b.inner, &b.e[0], b.step)
	}
}

// losses writes the gradients too, unless grad is nil.
func (b *planePass) losses(losses, grad, logits []float32, labels []int32, p *lossParams, scale float32) {
	for i := 0; i < len(labels); i += planePixels {
		t := labels[i:min(i+planePixels, len(labels))]
		b.sum(logits[i:], t)
		p.weights(&b.sums, t)
		if grad == nil {
			rowLossAsm(&losses[i], &b.sums.sum[0], len(t), p)
		} else {
			rowGradAsm(&losses[i], &b.sums.sum[0], len(t), p, &scale)
			planeGradAsm(&grad[i], &b.sums.sum[0], &t[0], len(t), b.classes, 4*b.inner, &b.e[0], b.step)
		}
		for j, label := range t {
			if label == noLabel {
				losses[i+j] = 0
				for k := 0; grad != nil && k < b.classes; k++ {
					grad[i+j+k*b.inner] = 0
				}
			}
		}
	}
}

func planeSoftmaxes(dst, logits []float32, n, classes, inner int) {
	b := planePass{classes: classes, inner: inner}
	if classes <= narrowMost {
		var e [planePixels * narrowMost]float32
		b.e = e[:]
		b.softmax(dst, logits, n)
		return
	}
	var e [planePixels * planeMost]float32
	b.e = e[:]
	b.softmax(dst, logits, n)
}

func planeLosses(losses, grad, logits []float32, labels []int32, inner int, p *lossParams, scale float32) {
	if grad != nil && scale == 0 {
		planeLosses(losses, nil, logits, labels, inner, p, 0)
		for k := range p.classes {
			clear(grad[k*inner:][:len(labels)])
		}
		return
	}
	b := planePass{classes: p.classes, inner: inner}
	if p.classes <= narrowMost {
		var e [planePixels * narrowMost]float32
		b.e = e[:]
		b.losses(losses, grad, logits, labels, p, scale)
		return
	}
	var e [planePixels * planeMost]float32
	b.e = e[:]
	b.losses(losses, grad, logits, labels, p, scale)
}
