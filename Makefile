# Every check of this repository. `make` or `make help` lists the targets; .ci/run runs those that a change must pass.

GO ?= go
FUZZTIME ?= 1m
# By default Go spends most of the time on making inputs that found something shorter.
FUZZFLAGS ?= -fuzzminimizetime 20x
MUTATIONS ?= 1
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
MODULES = $(patsubst %/go.mod,%,$(wildcard ./go.mod asmgen/go.mod bench/go.mod))

# The platforms whose code differs by build tag, or whose vet does.
TARGETS = linux/amd64 linux/arm64 linux/386 darwin/arm64 windows/arm64 windows/amd64 android/arm64 js/wasm

.PHONY: help test generate lint race variants memory cross emulate count fuzz exhaustive coef mutate bench results golden

help: ## list the targets
	@sed -n 's/^\([a-z]*\): .*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

test: ## the tests of all three modules, in under 3 minutes on 2 cores
	@set -e; for m in $(MODULES); do echo "$(GO) test -C $$m ./..."; $(GO) test -C $$m ./...; done

generate: ## write the generated files anew
	$(GO) run -C asmgen .

golden: ## write testdata/golden.json anew: a hash that changes is a result that changes for every user
	$(GO) test -run '^TestGolden$$' -count=1 -update .

lint: ## gofmt, vet for all targets, staticcheck
	@set -e; files=$$(gofmt -l .); [ -z "$$files" ] || { echo "not formatted: $$files"; exit 1; }
	@set -e; for t in $(TARGETS); do \
		echo "go vet for $$t"; GOOS=$${t%/*} GOARCH=$${t#*/} $(GO) vet ./...; done
	GOOS=ios GOARCH=arm64 CGO_ENABLED=1 $(GO) vet . # which cannot be without cgo, though nothing here uses it
	$(GO) vet -tags purego ./...
	$(GO) vet -tags exhaustive ./...
	@set -e; for m in $(MODULES); do \
		echo "go vet and staticcheck in $$m"; $(GO) vet -C $$m ./...; (cd $$m && $(GO) run $(STATICCHECK) -tags exhaustive ./...); done

race: ## the root module's tests under the race detector
	$(GO) test -race -short -count=1 .

variants: ## without each variant in turn, without assembly, and compiled for a CPU that fuses multiply and add
	FOCAL_REQUIRE= FOCAL_DISABLE=avx512 $(GO) test -short -count=1 .
	FOCAL_REQUIRE= FOCAL_DISABLE=all $(GO) test -short -count=1 .
	FOCAL_REQUIRE= $(GO) test -short -count=1 -tags purego .
	GOAMD64=v3 $(GO) test -short -count=1 .
	FOCAL_REQUIRE= GOAMD64=v3 $(GO) test -short -count=1 -tags purego .

memory: ## with the address sanitizer, and with checks of every unsafe pointer
	$(GO) test -asan -short -count=1 -run 'Guard|Golden|Example|Errors|Shapes|Overlap|Panics|Config|Concurrent|Fuzz' .
	$(GO) test -gcflags=all=-d=checkptr -short -count=1 .

cross: ## the golden results and the examples on other platforms, under qemu
	.ci/cross

emulate: ## which variants older and newer x86 CPUs choose, and their results, under emulators
	.ci/emulated

count: ## the instructions that kernels execute on several classes of values, by callgrind
	.ci/count

fuzz: ## each fuzz target for FUZZTIME (default 1m)
	@set -e; for f in $$($(GO) test -list '^Fuzz' . | grep '^Fuzz'); do \
		echo "$$f for $(FUZZTIME)"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $(FUZZFLAGS) .; done

exhaustive: ## all 2^32 inputs of exp, log and sigmoid, and of pow for seven exponents: half an hour on 2 cores
	$(GO) test -tags exhaustive -run Exhaustive -timeout 0 -count=1 -v .
	GOAMD64=v3 $(GO) test -tags exhaustive -run FMA32Hardware -timeout 0 -count=1 -v .

coef: ## make every constant again with Sollya, and compare
	internal/coef/check.sh

mutate: ## break MUTATIONS (default 1) instructions of each kernel, one at a time: which do the tests see?
	$(GO) run -C asmgen ./mutate -each $(MUTATIONS)

bench: ## compare with other packages and libraries: the main job
	$(GO) run -C bench .

results: ## keep this machine's benchmarks, and make the README's table and the pictures; wants all peers, and no other work
	$(GO) run -C bench . record
	$(GO) run -C bench . render
