module github.com/gofocal/focal

go 1.25
