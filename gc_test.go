package focal

import (
	"runtime"
	"runtime/metrics"
	"slices"
	"testing"
	"time"
)

// TestPause holds that a garbage collection does not wait long for a kernel: an assembly call cannot be interrupted, so
// kernels come in chunks. Half of all stops of the world during Exp on 2^24 elements must take less than a tenth of one
// call on all of them; the longest is for the log, since a busy machine stops for other reasons too.
func TestPause(t *testing.T) {
	if testing.Short() || runtime.GOMAXPROCS(0) < 2 {
		t.Skip("needs time and a second processor")
	}
	x := make([]float32, 1<<24)
	forEachVariant(t, func(t *testing.T) {
		start := time.Now()
		Exp(x, x)
		call := time.Since(start)
		median, longest := pauses(func() { Exp(x, x) })
		t.Logf("Exp took %v; stops: median %v, longest %v", call, median, longest)
		if median > call/10 {
			t.Errorf("half of the stops took more than %v of a call of %v", median, call)
		}
	})
}

// pauses runs f again and again for half a second beside garbage collections; it returns the median and the longest
// time that they took to stop the world.
func pauses(f func()) (median, longest time.Duration) {
	read := func() *metrics.Float64Histogram {
		s := []metrics.Sample{{Name: "/sched/pauses/stopping/gc:seconds"}}
		metrics.Read(s)
		return s[0].Value.Float64Histogram()
	}
	before := slices.Clone(read().Counts)
	stop, done := make(chan bool), make(chan bool)
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				f()
			}
		}
	}()
	for start := time.Now(); time.Since(start) < 500*time.Millisecond; {
		runtime.GC()
	}
	close(stop)
	<-done
	after := read()
	total := uint64(0)
	for i := range before {
		after.Counts[i] -= before[i]
		total += after.Counts[i]
	}
	sum := uint64(0)
	for i, n := range after.Counts {
		if n == 0 {
			continue
		}
		longest = time.Duration(after.Buckets[i] * float64(time.Second))
		if sum < (total+1)/2 {
			median = longest
		}
		sum += n
	}
	return median, longest
}
