package focal

// powParams holds what Pow computes once per call from the exponent.
type powParams struct{ y float32 }

func newPowParams(y float32) powParams { return powParams{y: y} }

// Stubs, replaced by the specification.
func exp1(x float32) float32                    { return 0 } // e^x
func log1(x float32) float32                    { return 0 } // log x
func log1p1(v float32) float32                  { return 0 } // log(1+v), 0 <= v <= 0x1.8p126
func pow1(x float32, p *powParams) float32      { return 0 } // x^y
func sigmoid1(x float32) float32                { return 0 }
func fma32(x, y, z float32) float32             { return 0 }
func expGeneric(dst, x []float32)               {}
func logGeneric(dst, x []float32)               {}
func powGeneric(dst, x []float32, p *powParams) {}
func sigmoidGeneric(dst, x []float32)           {}
