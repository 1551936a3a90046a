package focal
import ("testing";"fmt")
func BenchmarkZZ(b *testing.B){
 for _, s := range [][2]int{{1000,32},{500,64},{250,128},{125,256},{62,512},{32,1000},{32,1024},{8,4000},{1,32000}} {
  r := newRNG(1); n:=s[0]*s[1]
  lg := make([]float32,n); lb := make([]int32,s[0]); for i:= range lg {lg[i]=float32(3*r.normal())}; for i := range lb {lb[i]=int32(r.below(s[1]))}
  out := make([]float32,n)
  l,_ := NewSoftmaxLoss(SoftmaxConfig{Classes:s[1],Gamma:2})
  for _, v := range available[:2] {
  b.Run(fmt.Sprintf("%dx%d/%v/sum",s[0],s[1],v),func(b *testing.B){ active=v; defer func(){active=available[0]}(); for b.Loop(){ l.Sum(lg,lb)}; b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n),"ns/elem")})
  b.Run(fmt.Sprintf("%dx%d/%v/lse",s[0],s[1],v),func(b *testing.B){ active=v; defer func(){active=available[0]}(); for b.Loop(){ LogSumExp(out[:s[0]],lg,s[1])}; b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n),"ns/elem")})
  b.Run(fmt.Sprintf("%dx%d/%v/softmax",s[0],s[1],v),func(b *testing.B){ active=v; defer func(){active=available[0]}(); for b.Loop(){ Softmax(out,lg,s[1])}; b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n),"ns/elem")})
  b.Run(fmt.Sprintf("%dx%d/%v/exp",s[0],s[1],v),func(b *testing.B){ active=v; defer func(){active=available[0]}(); for b.Loop(){ Exp(out,lg)}; b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n),"ns/elem")})
  }}
}
