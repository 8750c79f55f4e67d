//go:build wasip1

// Package adapter reaches what the stand-in for WASI has beside WASI's own functions: host/component/adapter/wasi.wat.
package adapter

import (
	"encoding/binary"
	"time"
)

//go:wasmimport wasi_snapshot_preview1 plumbline_seed
func plumblineSeed(a, b, c, d uint64)

//go:wasmimport wasi_snapshot_preview1 plumbline_set_time
func plumblineSetTime(nanoseconds int64)

//go:wasmimport wasi_snapshot_preview1 plumbline_random_calls
func plumblineRandomCalls() uint32

// Seed makes all random bytes that follow those of ChaCha20 with this key.
func Seed(seed [32]byte) {
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(seed[8*i:]) }
	plumblineSeed(word(0), word(1), word(2), word(3))
}

// SetTime sets the wall clock.
func SetTime(now time.Time) { plumblineSetTime(now.UnixNano()) }

// UnseededCalls is how often random bytes were asked for while there was no seed.
func UnseededCalls() uint32 { return plumblineRandomCalls() }
