// Command mutate breaks single instructions and constants of the generated assembly, one at a time, and reports which
// of them the tests see. Run it in the repository's root with
//
//	go run -C asmgen ./mutate -each 10
//	go run -C asmgen ./mutate -each 3 -arch arm64
//
// for so many mutations of each kernel. The second one needs qemu-aarch64, except on arm64.
//
// It works on a copy of the repository. Before a kernel is broken, the tests must pass with it as it is. A mutation that
// survives is printed with its line; some change nothing that a result shows (a bound that sends more blocks to a slow
// path with the same bits, say). One that uses up its time may loop for ever: it is counted apart.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// An arch is an architecture whose assembly is broken.
type arch struct {
	file     string
	swaps    []swap
	words    []wordSwap
	emulator string // runs a program
	steps    []step
}

// A step is tests that run after a mutation, with the seconds that they may compute: when they pass, they take a tenth of it
// or less.
type step struct {
	run     string
	short   bool
	seconds int
}

const (
	ownTest = "^TestIdentity$/^KERNEL$/^VARIANT$" // takes a moment, and sees most
	golden  = "Assembly|Required|Golden/^VARIANT$"
	others  = "Identity/./^VARIANT$|Guard/^VARIANT(#|$)|Views/^VARIANT$|GradRows/^VARIANT$|Special|NoCliffs/^VARIANT$"
)

// An emulator takes its time.
var arches = map[string]arch{
	"amd64": {
		file: "focal_amd64.s", swaps: amd64Swaps,
		steps: []step{{ownTest, true, 10}, {golden, false, 20}, {others, false, 60}},
	},
	"arm64": {
		file: "focal_arm64.s", swaps: arm64Swaps, words: arm64Words, emulator: "qemu-aarch64",
		steps: []step{{ownTest, true, 200}, {golden, false, 200}, {others, true, 1200}},
	},
}

// A kernel is a function of the assembly.
type kernel struct {
	fn         string // its name: the kernel's and the variant's
	start, end int    // its lines
}

// name is that of the kernel and variant that fn is for, as tests are called.
func (k kernel) name() (kernel, variant string) {
	for _, v := range []string{"AVX2", "AVX512", "NEON"} {
		if name, ok := strings.CutSuffix(k.fn, v); ok {
			return name, strings.ToLower(v)
		}
	}
	log.Fatalf("%s is for no variant", k.fn)
	return "", ""
}

// kernels splits assembly; the lines before the first one are data.
func kernels(lines []string) []kernel {
	var all []kernel
	for i, line := range lines {
		if rest, ok := strings.CutPrefix(line, "TEXT ·"); ok {
			fn, _, _ := strings.Cut(rest, "(")
			all = append(all, kernel{fn, i, len(lines)})
			if n := len(all); n > 1 {
				all[n-2].end = i
			}
		}
	}
	return all
}

type mutation struct {
	line int
	what string
	text string
}

// mutations are all that may be done to k, in an order that depends on the seed and the kernel's name alone.
func (a arch) mutations(lines []string, k kernel, seed uint64) []mutation {
	var all []mutation
	for i := k.start; i < k.end; i++ {
		line := lines[i]
		if !strings.HasPrefix(line, "\t") || strings.HasPrefix(line, "\t//") {
			continue
		}
		for what, text := range a.mutants(line) {
			if text != line {
				all = append(all, mutation{i, what, text})
			}
		}
	}
	slices.SortFunc(all, func(a, b mutation) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.what, b.what))
	})
	h := fnv.New64a()
	h.Write([]byte(k.fn))
	rand.New(rand.NewPCG(seed, h.Sum64())).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// The verdicts on a mutation.
const (
	caught   = "caught"
	timedOut = "timed out"
	survived = "SURVIVED"
	noBuild  = "no build"
)

// A tally counts verdicts.
type tally map[string]int

func (t tally) String() string {
	return fmt.Sprintf("%d caught, %d timed out, %d survived, %d did not build", t[caught], t[timedOut], t[survived], t[noBuild])
}

func main() {
	log.SetFlags(0)
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	each := flag.Int("each", 1, "number of mutations of each kernel, besides those that do not build")
	seed := flag.Uint64("seed", 1, "seed of their choice")
	only := flag.String("kernel", "", "only functions that begin so")
	goarch := flag.String("arch", "amd64", "the architecture whose assembly is broken")
	numbers := flag.String("lines", "", "all mutations of these lines (separated by commas), in place of some of each kernel")
	workers := flag.Int("workers", runtime.NumCPU(), "number of kernels that are worked on at a time")
	flag.Parse()
	a, ok := arches[*goarch]
	if !ok {
		return fmt.Errorf("no architecture %q", *goarch)
	}
	if *goarch == runtime.GOARCH {
		a.emulator = ""
	}
	root, err := filepath.Abs("..")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	text, err := os.ReadFile(filepath.Join(root, a.file))
	if err != nil {
		return err
	}
	lines := strings.Split(string(text), "\n")
	b, err := newBuilder(root, dir, *goarch, a.file, lines)
	if err != nil {
		return err
	}

	var todo []job
	for _, k := range kernels(lines) {
		if !strings.HasPrefix(k.fn, *only) {
			continue
		}
		j := job{k, a.mutations(lines, k, *seed), *each}
		if *numbers != "" {
			j.mutations = slices.DeleteFunc(j.mutations, func(m mutation) bool {
				return !slices.Contains(strings.Split(*numbers, ","), strconv.Itoa(m.line+1))
			})
			j.most = len(j.mutations)
		}
		if j.most > 0 {
			todo = append(todo, j)
		}
	}
	jobs := make(chan job)
	results := make(chan result)
	var wg sync.WaitGroup
	for i := range *workers {
		w := &worker{arch: a, builder: b, dir: filepath.Join(dir, fmt.Sprint("worker", i)), lines: lines}
		if err := os.CopyFS(w.dir, os.DirFS(root)); err != nil {
			return err
		}
		wg.Go(func() {
			for j := range jobs {
				results <- w.run(j)
			}
		})
	}
	go func() {
		for _, j := range todo {
			jobs <- j
		}
		close(jobs)
		wg.Wait()
		close(results)
	}()
	total, failed := tally{}, 0
	for r := range results {
		if r.err != nil {
			failed++
			fmt.Printf("%s was not broken: %v\n", r.fn, r.err)
			continue
		}
		fmt.Printf("%s: %v\n%s", r.fn, r.tally, r.report)
		for verdict, n := range r.tally {
			total[verdict] += n
		}
	}
	fmt.Printf("all: %v\n", total)
	if failed > 0 {
		return fmt.Errorf("%d kernels were not broken, see above", failed)
	}
	return nil
}

// A job is to break a kernel: by the first mutations that build, at most so many.
type job struct {
	kernel
	mutations []mutation
	most      int
}

// A result is what came of the mutations of one kernel.
type result struct {
	fn string
	tally
	report string // the mutations that were not caught
	err    error
}

// A worker breaks one kernel after the other, in a copy of the repository of its own.
type worker struct {
	arch
	*builder
	dir    string
	lines  []string
	passed bool // the tests, without a mutation
}

func (w *worker) run(j job) result {
	k, r := j.kernel, result{fn: j.fn, tally: tally{}}
	rest, err := w.without(w.dir, k, w.lines)
	if err == nil {
		err = w.unbroken(k, rest)
	}
	if err != nil {
		r.err = err
		return r
	}
	for _, m := range j.mutations {
		if r.tally[caught]+r.tally[timedOut]+r.tally[survived] == j.most {
			break
		}
		broken := slices.Clone(w.lines)
		broken[m.line] = m.text
		verdict, err := w.judge(k, rest, broken)
		if err != nil {
			r.err = err
			return r
		}
		r.tally[verdict]++
		if verdict == survived || verdict == timedOut {
			r.report += fmt.Sprintf("\t%s %s:%d: %s: %s\n", verdict, w.file, m.line+1, m.what, strings.Join(strings.Fields(w.lines[m.line]), " "))
		}
	}
	return r
}

// unbroken runs k's own test without a mutation, and with a worker's first kernel all tests: what fails then would count as
// caught.
func (w *worker) unbroken(k kernel, rest string) error {
	program, err := w.link(w.dir, rest, w.lines[k.start:k.end])
	if err != nil {
		return err
	}
	steps := w.steps
	if w.passed {
		steps = steps[:1]
	}
	for _, s := range steps {
		if verdict, output := w.test(program, k, s); verdict != survived {
			return fmt.Errorf("without a mutation the tests %s do not pass\n%s", s.run, output)
		}
	}
	w.passed = true
	return nil
}

// judge runs the tests after a mutation of k.
func (w *worker) judge(k kernel, rest string, lines []string) (verdict string, err error) {
	// Some tests read the text.
	if err := os.WriteFile(filepath.Join(w.dir, w.file), []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		return "", err
	}
	program, err := w.link(w.dir, rest, lines[k.start:k.end])
	if errors.Is(err, errAssembly) {
		return noBuild, nil
	}
	if err != nil {
		return "", err
	}
	for _, s := range w.steps {
		if verdict, _ := w.test(program, k, s); verdict != survived {
			return verdict, nil
		}
	}
	return survived, nil
}

// test runs the tests of a step, under a limit of computing time: if the process is stopped for a while, or the machine is
// busy, that must not count as caught.
func (w *worker) test(program string, k kernel, s step) (verdict string, output []byte) {
	name, variant := k.name()
	args := []string{"-c", `ulimit -t "$0"; exec "$@"`, strconv.Itoa(s.seconds)}
	if w.emulator != "" {
		args = append(args, w.emulator)
	}
	args = append(args, program, "-test.failfast", "-test.timeout=0", "-test.run="+strings.NewReplacer("KERNEL", name, "VARIANT", variant).Replace(s.run))
	if s.short {
		args = append(args, "-test.short")
	}
	c := exec.Command("sh", args...)
	c.Dir, c.Env = w.dir, append(os.Environ(), "FOCAL_REQUIRE="+variant)
	output, err := c.CombinedOutput()
	if err == nil {
		return survived, output
	}
	if status, ok := c.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
		return timedOut, output
	}
	return caught, output
}
