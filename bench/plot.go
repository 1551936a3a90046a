package main

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A theme is the colors of a picture: GitHub's, light and dark.
type theme struct {
	name                   string
	background, text, grid color.Color
	shade                  int // which of a style's colors
}

var themes = []theme{
	{"light", rgb(0xffffff), rgb(0x1f2328), rgb(0xdde1e6), 0},
	{"dark", rgb(0x0d1117), rgb(0xe6edf3), rgb(0x2a313c), 1},
}

func rgb(x uint32) color.Color {
	return color.NRGBA{uint8(x >> 16), uint8(x >> 8), uint8(x), 255}
}

// A style is how a peer is drawn: focal in thick lines of blue, a library in one hue, AVX2 in dashes.
type style struct {
	colors [2]color.Color
	width  vg.Length
	dashes []vg.Length
}

var (
	dashed = []vg.Length{vg.Points(4), vg.Points(2.5)}
	dotted = []vg.Length{vg.Points(1.2), vg.Points(2.2)}

	dashDot = []vg.Length{vg.Points(5), vg.Points(2), vg.Points(1.2), vg.Points(2)}
)

// styles are in the order of the legend; a peer that is not here is not drawn.
var styles = []struct {
	peer string
	style
}{
	{"focal avx512", style{[2]color.Color{rgb(0x0550ae), rgb(0x79c0ff)}, 2.4, nil}},
	{"focal avx2", style{[2]color.Color{rgb(0x0550ae), rgb(0x79c0ff)}, 2.4, dashed}},
	{"focal neon", style{[2]color.Color{rgb(0x0550ae), rgb(0x79c0ff)}, 2.4, nil}},
	{"focal generic", style{[2]color.Color{rgb(0x0550ae), rgb(0x79c0ff)}, 1.8, dotted}},
	{"libmvec avx512", style{[2]color.Color{rgb(0x2da44e), rgb(0x3fb950)}, 1.2, nil}},
	{"libmvec avx2", style{[2]color.Color{rgb(0x2da44e), rgb(0x3fb950)}, 1.2, dashed}},
	{"SLEEF u10 avx512", style{[2]color.Color{rgb(0x8250df), rgb(0xbc8cff)}, 1.2, nil}},
	{"SLEEF u10 avx2", style{[2]color.Color{rgb(0x8250df), rgb(0xbc8cff)}, 1.2, dashed}},
	{"C -Ofast", style{[2]color.Color{rgb(0x2da44e), rgb(0x3fb950)}, 1.2, dashDot}},
	{"ONNX Runtime", style{[2]color.Color{rgb(0xcf222e), rgb(0xff7b72)}, 1.2, nil}},
	{"PyTorch", style{[2]color.Color{rgb(0xd4700a), rgb(0xffa657)}, 1.2, nil}},
	{"vek", style{[2]color.Color{rgb(0x9a6700), rgb(0xd9b44a)}, 1.2, dashed}},
	{"tphakala/simd", style{[2]color.Color{rgb(0xbf3989), rgb(0xf778ba)}, 1.2, dashed}},
	{"Go math", style{[2]color.Color{rgb(0x57606a), rgb(0xa9b4c0)}, 1.2, nil}},
	{"math32", style{[2]color.Color{rgb(0x57606a), rgb(0xa9b4c0)}, 1.2, dotted}},
	{"spago", style{[2]color.Color{rgb(0x1b7c83), rgb(0x76e3ea)}, 1.2, dotted}},
}

// A panel is one of the plots of a picture.
type panel struct {
	title, x, y string
	xTicks      plot.Ticker
	linear      bool    // the x axis; the y axis is logarithmic
	least, most float64 // the y axis; most 0 is the power of ten above all lines
	lines       map[string]plotter.XYs
}

// pictures are those of a report by name, as "speed-light.svg".
func (r *report) pictures() (map[string][]byte, error) {
	files := map[string][]byte{}
	for name, panels := range map[string][]panel{
		"speed": r.speedPanels(), "loss": r.lossPanels(), "error": r.errorPanels(),
	} {
		for _, t := range themes {
			svg := vgsvg.NewWith(vgsvg.UseWH(pictureSize(panels)))
			drawPanels(draw.New(svg), t, panels)
			var b bytes.Buffer
			if _, err := svg.WriteTo(&b); err != nil {
				return nil, err
			}
			files[name+"-"+t.name+".svg"] = b.Bytes()

			w, h := pictureSize(panels)
			img := vgimg.NewWith(vgimg.UseWH(w, h), vgimg.UseDPI(120), vgimg.UseBackgroundColor(t.background))
			drawPanels(draw.New(img), t, panels)
			var png bytes.Buffer
			if _, err := (vgimg.PngCanvas{Canvas: img}).WriteTo(&png); err != nil {
				return nil, err
			}
			files[name+"-"+t.name+".png"] = png.Bytes()
		}
	}
	return files, nil
}

// speedPanels show the time per element against the number of elements.
func (r *report) speedPanels() []panel {
	var panels []panel
	for _, f := range []string{"Exp", "Log", "Pow", "Sigmoid"} {
		panels = append(panels, panel{
			title: f, x: "elements", y: "ns per element", xTicks: powerTicks{4, binaryLabel}, least: 0.1, most: 100,
			lines: r.lines(f, func(t *timing) (float64, bool) { return float64(t.N), powerOfTwo(t.N) }),
		})
	}
	return panels
}

// lossPanels show the time per logit against the number of classes.
func (r *report) lossPanels() []panel {
	var panels []panel
	for _, f := range []string{"SoftmaxLoss.Sum", "SoftmaxLoss.Grad"} {
		panels = append(panels, panel{
			title: f, x: "classes", y: "ns per logit", xTicks: powerTicks{2, binaryLabel}, least: 0.1, most: 100,
			lines: r.lines(f, func(t *timing) (float64, bool) {
				var rows, classes int
				_, shape, _ := strings.Cut(t.Work, "/")
				_, err := fmt.Sscanf(shape, "rows=%d/classes=%d", &rows, &classes)
				return float64(classes), err == nil && powerOfTwo(classes) && rows == sweepRows(classes)
			}),
		})
	}
	return panels
}

// powerOfTwo reports whether n is one, as those of the sweep are.
func powerOfTwo(n int) bool { return n > 0 && n&(n-1) == 0 }

func (r *report) lines(function string, x func(*timing) (float64, bool)) map[string]plotter.XYs {
	lines := map[string]plotter.XYs{}
	for i := range r.Timings {
		t := &r.Timings[i]
		if at, ok := x(t); ok && functionOf(t.Work) == function {
			lines[t.Peer] = append(lines[t.Peer], plotter.XY{X: at, Y: t.Median})
		}
	}
	for _, l := range lines {
		slices.SortStableFunc(l, func(a, b plotter.XY) int { return int(math.Copysign(1, a.X-b.X)) })
	}
	return lines
}

// What an error is drawn as that is off the scale: none, and one without bound.
const (
	leastError = 0.3
	mostError  = 1e7
)

// errorPanels show the worst error against the argument.
func (r *report) errorPanels() []panel {
	var panels []panel
	for _, f := range []string{"Exp", "Log", "Pow", "Sigmoid", "SoftmaxLoss.Each", "SigmoidLoss.Each"} {
		p := panel{
			title: f, x: "x", y: "error in ULP", linear: !curveRanges[f].powers, least: leastError,
			lines: map[string]plotter.XYs{},
		}
		switch f {
		case "Pow":
			p.title = fmt.Sprintf("Pow, y = %v", exponent)
		case "SoftmaxLoss.Each":
			p.title, p.x = "SoftmaxLoss", "the label's logit, less the other's"
		case "SigmoidLoss.Each":
			p.title = "SigmoidLoss, target 1"
		}
		p.xTicks = evenTicks(math.Ceil((curveRanges[f].hi-curveRanges[f].lo)/80) * 20)
		if !p.linear {
			p.xTicks = powerTicks{10, func(e int) string { return fmt.Sprintf("2^%d", e) }}
		}
		for _, c := range r.Curves {
			if c.Function != f || strings.HasPrefix(c.Peer, "focal") && c.Peer != "focal "+r.Machine.Variant {
				continue
			}
			var xys plotter.XYs
			for i, x := range c.X {
				y := min(max(float64(c.ULP[i]), leastError), mostError)
				if c.ULP[i] < 0 {
					y = mostError
				}
				xys = append(xys, plotter.XY{X: float64(x), Y: y})
			}
			p.lines[c.Peer] = xys
		}
		panels = append(panels, p)
	}
	return panels
}

// evenTicks are those at the multiples of a number.
type evenTicks float64

func (step evenTicks) Ticks(lo, hi float64) []plot.Tick {
	var ticks []plot.Tick
	for k := math.Ceil(lo / float64(step)); k*float64(step) <= hi; k++ {
		v := k*float64(step) + 0 // not -0
		ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprint(v)})
	}
	return ticks
}

// powerTicks are those of a logarithmic axis at every so many powers of two.
type powerTicks struct {
	step  int
	label func(exponent int) string
}

func (p powerTicks) Ticks(lo, hi float64) []plot.Tick {
	var ticks []plot.Tick
	first := int(math.Ceil(math.Log2(lo)/float64(p.step)-1e-9)) * p.step
	for e := first; float64(e) <= math.Log2(hi)+1e-9; e += p.step {
		ticks = append(ticks, plot.Tick{Value: math.Exp2(float64(e)), Label: p.label(e)})
	}
	return ticks
}

// binaryLabel writes 2^e as 16, 4 Ki, 1 Mi.
func binaryLabel(e int) string {
	switch {
	case e < 10:
		return fmt.Sprint(1 << e)
	case e < 20:
		return fmt.Sprintf("%d Ki", 1<<(e-10))
	}
	return fmt.Sprintf("%d Mi", 1<<(e-20))
}

// decadeTicks are those of the y axis: powers of ten with their value.
type decadeTicks struct{}

func (decadeTicks) Ticks(lo, hi float64) []plot.Tick {
	var ticks []plot.Tick
	for e := int(math.Floor(math.Log10(lo))); float64(e) <= math.Log10(hi)+1e-9; e++ {
		v := math.Pow10(e)
		if v < lo*(1-1e-9) {
			continue
		}
		label := fmt.Sprint(v)
		if e > 3 {
			label = fmt.Sprintf("10^%d", e)
		}
		ticks = append(ticks, plot.Tick{Value: v, Label: label})
	}
	return ticks
}

const (
	pictureWidth  = 9 * vg.Inch
	panelHeight   = 2.9 * vg.Inch
	legendColumns = 4
	legendRow     = 0.2 * vg.Inch
)

func drawn(panels []panel) []int {
	var list []int // of styles
	for i, s := range styles {
		for _, p := range panels {
			if len(p.lines[s.peer]) > 0 {
				list = append(list, i)
				break
			}
		}
	}
	return list
}

func pictureSize(panels []panel) (w, h vg.Length) {
	rows := (len(panels) + 1) / 2
	legend := (len(drawn(panels)) + legendColumns - 1) / legendColumns
	return pictureWidth, panelHeight*vg.Length(rows) + legendRow*vg.Length(legend+1)
}

// drawPanels draws the plots in two columns, and one legend below.
func drawPanels(c draw.Canvas, t theme, panels []panel) {
	c.SetColor(t.background)
	c.Fill(c.Rectangle.Path())

	list := drawn(panels)
	legendHeight := legendRow * vg.Length((len(list)+legendColumns-1)/legendColumns+1)
	top := c
	top.Min.Y += legendHeight
	rows := (len(panels) + 1) / 2
	plots := make([][]*plot.Plot, rows)
	for i, p := range panels {
		plots[i/2] = append(plots[i/2], p.plot(t))
	}
	tiles := draw.Tiles{
		Rows: rows, Cols: 2, PadX: vg.Points(14), PadY: vg.Points(16),
		PadTop: vg.Points(8), PadLeft: vg.Points(8), PadRight: vg.Points(12), PadBottom: vg.Points(4),
	}
	for i, row := range plot.Align(plots, tiles, top) {
		for j := range row {
			if j < len(plots[i]) {
				plots[i][j].Draw(row[j])
			}
		}
	}

	label := textStyle(t, 9.5)
	label.YAlign = draw.YCenter
	perColumn := (len(list) + legendColumns - 1) / legendColumns
	for k, i := range list {
		s := styles[i]
		x := c.Min.X + vg.Points(44) + (pictureWidth-vg.Points(52))/legendColumns*vg.Length(k/perColumn)
		y := c.Min.Y + legendHeight - legendRow*(vg.Length(k%perColumn)+0.7)
		c.StrokeLine2(s.line(t), x, y, x+vg.Points(26), y)
		c.FillText(label, vg.Point{X: x + vg.Points(32), Y: y}, s.peer)
	}
}

func (s style) line(t theme) draw.LineStyle {
	return draw.LineStyle{Color: s.colors[t.shade], Width: s.width, Dashes: s.dashes}
}

func textStyle(t theme, size float64) text.Style {
	return text.Style{
		Color: t.text, Font: font.From(font.Font{Typeface: "Liberation", Variant: "Sans"}, vg.Points(size)),
		Handler: plot.DefaultTextHandler,
	}
}

func (p *panel) plot(t theme) *plot.Plot {
	out := plot.New()
	out.BackgroundColor = t.background
	title := textStyle(t, 12)
	title.XAlign, title.YAlign = draw.XCenter, draw.YTop
	out.Title.Text, out.Title.TextStyle, out.Title.Padding = p.title, title, vg.Points(4)
	for _, a := range []*plot.Axis{&out.X, &out.Y} {
		rotation, xAlign, yAlign := a.Label.TextStyle.Rotation, a.Label.TextStyle.XAlign, a.Label.TextStyle.YAlign
		a.Label.TextStyle = textStyle(t, 10)
		a.Label.TextStyle.Rotation, a.Label.TextStyle.XAlign, a.Label.TextStyle.YAlign = rotation, xAlign, yAlign
		xAlign, yAlign = a.Tick.Label.XAlign, a.Tick.Label.YAlign
		a.Tick.Label = textStyle(t, 9)
		a.Tick.Label.XAlign, a.Tick.Label.YAlign = xAlign, yAlign
		a.LineStyle.Color, a.Tick.LineStyle.Color = t.grid, t.grid
	}
	out.X.Label.Text, out.Y.Label.Text = p.x, p.y
	out.Y.Scale, out.Y.Tick.Marker = plot.LogScale{}, decadeTicks{}
	out.X.Tick.Marker = p.xTicks
	if !p.linear {
		out.X.Scale = plot.LogScale{}
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = t.grid, t.grid
	grid.Vertical.Width, grid.Horizontal.Width = vg.Points(0.5), vg.Points(0.5)
	out.Add(grid)
	highest := 10.0
	for i := len(styles) - 1; i >= 0; i-- { // the first on top
		s := styles[i]
		if xys := p.lines[s.peer]; len(xys) > 0 {
			out.Add(&plotter.Line{XYs: xys, LineStyle: s.line(t)})
			_, _, _, high := plotter.XYRange(xys)
			highest = max(highest, high)
		}
	}
	if len(drawn([]panel{*p})) == 0 { // an axis needs a range
		out.X.Min, out.X.Max = 1, 10
	}
	out.Y.Min, out.Y.Max = p.least, p.most
	if p.most == 0 {
		out.Y.Max = math.Pow10(int(math.Ceil(math.Log10(highest))))
	}
	return out
}
