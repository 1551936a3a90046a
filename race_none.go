//go:build !race

package focal

func raceRead[T float32 | int32 | uint16](s []T) {}

func raceWrite[T float32 | int32 | uint16](s []T) {}
