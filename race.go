//go:build race

package focal

import (
	"runtime"
	"unsafe"
)

// The race detector does not see what assembly reads and writes: these tell it.

func raceRead[T float32 | int32 | uint16](s []T) {
	if len(s) > 0 {
		runtime.RaceReadRange(unsafe.Pointer(&s[0]), len(s)*int(unsafe.Sizeof(s[0])))
	}
}

func raceWrite[T float32 | int32 | uint16](s []T) {
	if len(s) > 0 {
		runtime.RaceWriteRange(unsafe.Pointer(&s[0]), len(s)*int(unsafe.Sizeof(s[0])))
	}
}
