package bigfloat

import (
	"math/big"
	"testing"
)

// parse reads decimal digits with 400 bits.
func parse(t *testing.T, s string) *big.Float {
	t.Helper()
	x, _, err := big.ParseFloat(s, 10, 400, big.ToNearestEven)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// near fails unless got is want up to 2^-bits, relatively.
func near(t *testing.T, name string, got, want *big.Float, bits int) {
	t.Helper()
	d := new(big.Float).SetPrec(400).Sub(got, want)
	if d.Sign() != 0 && d.MantExp(nil) > want.MantExp(nil)-bits {
		t.Errorf("%s = %.60g, want %.60g", name, got, want)
	}
}

func TestConstants(t *testing.T) {
	e := parse(t, "2.71828182845904523536028747135266249775724709369995957496696762772407663035354759457138217852516642742746639")
	ln2 := parse(t, "0.693147180559945309417232121458176568075500134360255254120680009493393621969694715605863326996418687542147932")
	ln10 := parse(t, "2.30258509299404568401799145468436420760110148862877297603332790096757260967735248023599720508959829834196778")
	one := new(big.Float).SetPrec(340).SetInt64(1)
	near(t, "Exp(1)", Exp(one), e, 335)
	near(t, "Ln2", Ln2(340), ln2, 335)
	near(t, "Log(10)", Log(new(big.Float).SetPrec(340).SetInt64(10)), ln10, 335)
	if Log(one).Sign() != 0 {
		t.Errorf("Log(1) = %g", Log(one))
	}
}

// TestInverse: Log undoes Exp, and e^(a+b) = e^a e^b, over the range of float32.
func TestInverse(t *testing.T) {
	for _, prec := range []uint{64, 128, 200, 1100} {
		for _, x := range []float64{-104, -87.5, -1, -0x1p-20, 0x1p-149, 0x1p-24, 0.3, 1, 17.25, 88.7, 128} {
			b := new(big.Float).SetPrec(prec).SetFloat64(x)
			wide := new(big.Float).SetPrec(prec + 180).SetFloat64(x)
			near(t, "Log(Exp(x))", Log(Exp(wide)), b, int(prec)-10)
			half := new(big.Float).SetPrec(prec).SetFloat64(x / 2)
			e := Exp(half)
			near(t, "Exp(x/2)^2", e.Mul(e, e), Exp(b), int(prec)-4)
		}
	}
}
