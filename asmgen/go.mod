module github.com/gofocal/focal/asmgen

go 1.25

require (
	github.com/gofocal/focal v0.0.0-00010101000000-000000000000
	github.com/mmcloughlin/avo v0.6.0
)

require golang.org/x/tools v0.40.0 // indirect; newer than avo asks for: that one does not build with current Go

replace github.com/gofocal/focal => ../
