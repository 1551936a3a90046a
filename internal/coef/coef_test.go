package coef

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"math/big"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/gofocal/focal/internal/bigfloat"
)

// values are the constants that Sollya makes.
var values = map[string][]float64{
	"Log2E": {Log2E}, "Ln2Hi": {Ln2Hi}, "Ln2Lo": {Ln2Lo},
	"ExpT": wide(ExpT[:]), "ExpPoly": wide(ExpPoly[:]),
	"RowPoly": wide(RowPoly[:]),
	"LogLH":   {LogLH}, "LogLL": {LogLL},
	"LogR": wide(LogR[:]), "LogTH": wide(LogTH[:]), "LogTL": wide(LogTL[:]),
	"LogPoly": wide(LogPoly[:]), "Log1pPoly": wide(Log1pPoly[:]), "Log1pUnit": wide(Log1pUnit[:]),
	"PowKh": {PowKh}, "PowKl": {PowKl},
	"PowR": wide(PowR[:]), "PowTH": wide(PowTH[:]), "PowTL": wide(PowTL[:]),
	"PowEH": wide(PowEH[:]), "PowEL": wide(PowEL[:]),
	"PowLog": wide(PowLog[:]), "PowExp": wide(PowExp[:]),
}

// chosen are the constants that are a choice, with what they have to be.
var chosen = map[string]bool{
	"ExpMin": ExpMin < -150*math.Ln2, "ExpMax": ExpMax > 128*math.Ln2,
	"ExpMagic": ExpMagic == 1.5*(1<<21)+1016/4,
	"LogOff":   LogOff == math.Float32bits(0.9375), "Log1pOff": Log1pOff == math.Float32bits(0.94921875),
	"PowOff": PowOff == PowZOff-64<<23, "PowZOff": PowZOff == math.Float32bits(0.9609375),
	"PowMagic": PowMagic == 1.5*(1<<20)+512/8,
	"Lanes":    Lanes&(Lanes-1) == 0, "RowBlock": RowBlock == 2*Lanes, "RowBias": RowBias == 64, "PlainMax": PlainMax < 87,
	"ShiftAt": ShiftAt*2 == ClampAt, "ClampAt": ClampAt*Log2E < 1<<22, "GapMax": GapMax < 126, "GradSplit": GradSplit == 0x1p-30,
	"ComplementMax": ComplementMax <= math.Ln2/2,
	"PowMaxY":       PowMaxY == 1<<32, "PowMinY": PowMinY*(1<<50) == 1,
}

func wide(x []float32) []float64 {
	w := make([]float64, len(x))
	for i, v := range x {
		w[i] = float64(v)
	}
	return w
}

// sollyaLines reads coef.txt.
func sollyaLines(t *testing.T) map[string][]float64 {
	t.Helper()
	f, err := os.Open("coef.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := map[string][]float64{}
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		for _, field := range fields[1:] {
			if strings.Contains(field, "0x") && !strings.Contains(field, "p") {
				field += "p0"
			}
			v, err := strconv.ParseFloat(field, 64)
			if err != nil {
				t.Fatalf("coef.txt: %s: %v", s.Text(), err)
			}
			lines[fields[0]] = append(lines[fields[0]], v)
		}
	}
	return lines
}

// declarations gives the comment of each constant of coef.go.
func declarations(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "coef.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	comments := map[string]string{}
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range g.Specs {
			v := spec.(*ast.ValueSpec)
			for _, name := range v.Names {
				comments[name.Name] = g.Doc.Text() + v.Doc.Text() + v.Comment.Text()
			}
		}
	}
	return comments
}

// TestSollya: every constant is what Sollya makes, to the bit, or a choice that keeps its condition.
func TestSollya(t *testing.T) {
	lines := sollyaLines(t)
	declared := declarations(t)
	for name := range declared {
		got, made := values[name]
		holds, choice := chosen[name]
		switch {
		case choice && !holds:
			t.Errorf("%s does not keep its condition", name)
		case made == choice:
			t.Errorf("%s must be either in values or in chosen", name)
		case made && len(got) != len(lines[name]):
			t.Errorf("%s has %d numbers, Sollya makes %d", name, len(got), len(lines[name]))
		case made:
			for i, want := range lines[name] {
				if math.Float64bits(got[i]) != math.Float64bits(want) || float64(float32(want)) != want {
					t.Errorf("%s[%d] = %x, Sollya makes %x", name, i, got[i], want)
				}
			}
		}
	}
	for name := range values {
		if _, ok := declared[name]; !ok {
			t.Errorf("%s is not declared in coef.go", name)
		}
	}
}

// prec is the precision in which the errors are measured.
const prec = 160

func exact(x float64) *big.Float { return new(big.Float).SetPrec(prec).SetFloat64(x) }

func ratio(x, y *big.Float) *big.Float { return new(big.Float).SetPrec(prec).Quo(x, y) }

func add(x, y *big.Float) *big.Float { return new(big.Float).SetPrec(prec).Add(x, y) }

func mul(x, y *big.Float) *big.Float { return new(big.Float).SetPrec(prec).Mul(x, y) }

func sub(x, y *big.Float) *big.Float { return new(big.Float).SetPrec(prec).Sub(x, y) }

func number(x *big.Float) float64 { f, _ := x.Float64(); return f }

// horner is x^first (c[0] + c[1] x + ...).
func horner(x *big.Float, first int, c []float32) *big.Float {
	h := exact(0)
	for i := len(c) - 1; i >= 0; i-- {
		h = add(mul(h, x), exact(float64(c[i])))
	}
	for range first {
		h = mul(h, x)
	}
	return h
}

// TestPolynomials measures the error of each polynomial on its interval, at 4096 steps and the ends: it is what Sollya has
// proved as a bound, reaches it, and is what the comment says. (Between two of these points an error of degree 8 moves by less than 2^-18 of itself.)
func TestPolynomials(t *testing.T) {
	lines, comments := sollyaLines(t), declarations(t)
	log1p := func(x *big.Float) *big.Float { return bigfloat.Log(add(exact(1), x)) }
	relative := func(got, want *big.Float) *big.Float { return sub(ratio(got, want), exact(1)) }
	const h8, h2, h16 = math.Ln2/8 + 0x1p-17, math.Ln2 / 2, 0x1p-4 + 0x1p-16
	for _, c := range []struct {
		name   string
		lo, hi float64
		err    func(x *big.Float) *big.Float
	}{
		{"ExpPoly", -h8, h8, func(x *big.Float) *big.Float { // e^x/s - 1
			return sub(horner(x, 0, ExpPoly[:]), sub(ratio(bigfloat.Exp(x), exact(float64(ExpT[0]))), exact(1)))
		}},
		{"RowPoly", -h2, h2, func(x *big.Float) *big.Float { return relative(horner(x, 0, RowPoly[:]), bigfloat.Exp(x)) }},
		{"LogPoly", -0.0859375, 0.125, func(x *big.Float) *big.Float {
			return relative(add(x, horner(x, 2, LogPoly[:])), log1p(x))
		}},
		{"Log1pPoly", -0.0728, 0.14844, func(x *big.Float) *big.Float {
			return relative(add(x, horner(x, 2, Log1pPoly[:])), log1p(x))
		}},
		{"Log1pUnit", 0x1p-30, 1, func(x *big.Float) *big.Float {
			return relative(add(x, horner(x, 2, Log1pUnit[:])), log1p(x))
		}},
		{"PowLog", -0.0596, 0.0665, func(x *big.Float) *big.Float {
			return relative(add(sub(x, mul(exact(0.5), mul(x, x))), horner(x, 3, PowLog[:])), log1p(x))
		}},
		{"PowExp", -h16, h16, func(x *big.Float) *big.Float { // 2^x - 1
			return sub(horner(x, 1, PowExp[:]), sub(bigfloat.Exp(mul(x, bigfloat.Ln2(prec))), exact(1)))
		}},
	} {
		const steps = 4096
		worst := 0.0
		for i := range steps + 1 {
			x := c.lo + (c.hi-c.lo)*float64(i)/steps
			if x != 0 {
				worst = math.Max(worst, math.Abs(number(c.err(exact(x)))))
			}
		}
		proved := lines[c.name+"Error"]
		if len(proved) != 1 {
			t.Errorf("%s: coef.txt has no error", c.name)
			continue
		}
		got := math.Log2(worst)
		t.Logf("%s: 2^%.3f", c.name, got)
		if !(got <= proved[0] && got >= proved[0]-0.01) {
			t.Errorf("%s: the error is 2^%.3f, Sollya's bound 2^%.3f", c.name, got, proved[0])
		}
		if said := fmt.Sprintf(": 2^%.2f", math.Ceil(got*100)/100); !strings.Contains(comments[c.name], said) {
			t.Errorf("%s: the comment should say %q", c.name, said)
		}
	}
}

// TestTables: a high and a low part are their value up to half a unit of the low part, and the high parts have so few
// bits that adding them to a multiple of the logarithm's integer part is exact.
func TestTables(t *testing.T) {
	check := func(name string, hi, lo float64, value *big.Float) {
		t.Helper()
		rest := number(sub(sub(value, exact(hi)), exact(lo)))
		unit := float64(math.Nextafter32(float32(math.Abs(lo)), 2)) - math.Abs(lo)
		if !(math.Abs(rest) <= unit/2) {
			t.Errorf("%s: %x + %x is off by %g, a unit of the low part is %g", name, hi, lo, rest, unit)
		}
	}
	ln2 := bigfloat.Ln2(prec)
	check("Ln2Hi + Ln2Lo", Ln2Hi, Ln2Lo, ln2)
	check("LogLH + LogLL", LogLH, LogLL, ln2)
	check("PowKh + PowKl", PowKh, PowKl, ratio(exact(1), ln2))
	check("Log2E", 0, Log2E, ratio(exact(1), ln2))
	multiple := func(name string, x, unit float64) {
		t.Helper()
		if x/unit != math.Trunc(x/unit) {
			t.Errorf("%s = %x is not a multiple of %x", name, x, unit)
		}
	}
	multiple("LogLH", LogLH, 0x1p-17)
	multiple("Ln2Hi", Ln2Hi, 0x1p-21)
	for j, r := range LogR {
		check("LogTH + LogTL", float64(LogTH[j]), float64(LogTL[j]), sub(exact(0), bigfloat.Log(exact(float64(r)))))
		multiple("LogTH", float64(LogTH[j]), 0x1p-17)
	}
	for j, r := range PowR {
		log2 := ratio(bigfloat.Log(exact(float64(r))), ln2)
		check("PowTH + PowTL", float64(PowTH[j])+64, float64(PowTL[j]), sub(exact(0), log2))
		multiple("PowTH", float64(PowTH[j]), 0x1p-16)
		power := bigfloat.Exp(mul(ln2, exact(float64(j)/8)))
		check("PowEH + PowEL", float64(PowEH[j]), float64(PowEL[j]), power)
	}
}

// misses is how far s 2^(j/4), j = 1..3, are from floats at most, relatively, and 1/s - 1, absolutely, in units of 2^-24.
func misses(s float32) float64 {
	worst := 0.0
	miss := func(v, size float64) { worst = math.Max(worst, math.Abs(float64(float32(v))-v)/size*0x1p24) }
	for _, power := range []float64{math.Exp2(0.25), math.Sqrt2, math.Exp2(0.75)} {
		miss(float64(s)*power, float64(s)*power)
	}
	miss(1/float64(s)-1, 1)
	return worst
}

// TestExpScale searches for the scale of ExpT: of all floats that are as near to 1, no other lies as well.
func TestExpScale(t *testing.T) {
	s := ExpT[0]
	if m := misses(s); !(m <= 0.015) {
		t.Errorf("the scale %x misses by %.4f", s, m)
	}
	for b := math.Float32bits(2 - s); b < math.Float32bits(s); b++ {
		if x := math.Float32frombits(b); x != 1 && misses(x) <= 0.015 {
			t.Errorf("%x is nearer to 1 than the scale %x, and misses by %.4f only", x, s, misses(x))
		}
	}
}
