;; A stand-in for WASI preview 1, for modules that Go builds with GOOS=wasip1.
;;
;; Go's runtime asks the operating system for a clock, random bytes, arguments and files before it runs any code of
;; ours. A plugin is hermetic: the same input gives the same output, whenever and wherever it runs. So everything is
;; answered here, inside the component, and the component imports no WASI at all:
;;
;;   clock         starts at 2026-01-01T00:00:00Z and advances by a microsecond each time it is asked; `plumbline_set_time` sets it
;;   random bytes  a fixed sequence (xorshift64): they order Go's maps and must never be used for secrets. After `plumbline_seed`
;;                 they are those of ChaCha20 with that key, and as good as the seed is
;;   arguments     the name of the program alone, `plugin`
;;   environment, files, sockets
;;                 there are none: the calls that ask for one answer EBADF
;;   writes        are dropped and reported as written: messages go through the import `log`
;;   exit          traps, which ends the call
;;
;; No function here may call an import of the component: Go reads the clock inside `cabi_realloc`, where a
;; component must not be left. A guest that was granted randomness or the clock asks the host itself, and hands over the answer.
(module
  (import "env" "memory" (memory 0))

  ;; When the wall clock started, in nanoseconds since 1970.
  (global $start (mut i64) (i64.const 1767225600000000000))
  ;; Nanoseconds that have passed.
  (global $elapsed (mut i64) (i64.const 0))
  ;; The state of the random sequence.
  (global $random (mut i64) (i64.const 0x9E3779B97F4A7C15))
  ;; How often random bytes were asked for while there was no seed.
  (global $unseeded (mut i32) (i32.const 0))
  ;; Whether there is a seed, the seed, and how many blocks were made from it.
  (global $seeded (mut i32) (i32.const 0))
  (global $key0 (mut i64) (i64.const 0))
  (global $key1 (mut i64) (i64.const 0))
  (global $key2 (mut i64) (i64.const 0))
  (global $key3 (mut i64) (i64.const 0))
  (global $block (mut i64) (i64.const 0))

  ;; plumbline_seed(four words of a key, little end first)
  (func (export "plumbline_seed") (param i64 i64 i64 i64)
    (global.set $key0 (local.get 0))
    (global.set $key1 (local.get 1))
    (global.set $key2 (local.get 2))
    (global.set $key3 (local.get 3))
    (global.set $block (i64.const 0))
    (global.set $seeded (i32.const 1)))

  ;; plumbline_random_calls() -> how often random bytes were asked for while there was no seed
  (func (export "plumbline_random_calls") (result i32) (global.get $unseeded))

  ;; plumbline_set_time(nanoseconds since 1970)
  (func (export "plumbline_set_time") (param i64)
    (global.set $start (i64.sub (local.get 0) (global.get $elapsed))))

  ;; clock_time_get(id, precision, *result): id 0 is the wall clock, everything else counts from one second.
  (func (export "clock_time_get") (param $id i32) (param i64) (param $result i32) (result i32)
    (global.set $elapsed (i64.add (global.get $elapsed) (i64.const 1000)))
    (i64.store (local.get $result)
      (i64.add (global.get $elapsed)
        (select (global.get $start) (i64.const 1000000000) (i32.eqz (local.get $id)))))
    (i32.const 0))

  ;; The next eight random bytes without a seed, of which the caller takes the lowest one.
  (func $predictable (result i64)
    (global.set $random (i64.xor (global.get $random) (i64.shl (global.get $random) (i64.const 13))))
    (global.set $random (i64.xor (global.get $random) (i64.shr_u (global.get $random) (i64.const 7))))
    (global.set $random (i64.xor (global.get $random) (i64.shl (global.get $random) (i64.const 17))))
    (global.get $random))

  ;; A rotation of the four words of a vector to the left.
  (func $rotate (param $v v128) (param $by i32) (result v128)
    (v128.or
      (i32x4.shl (local.get $v) (local.get $by))
      (i32x4.shr_u (local.get $v) (i32.sub (i32.const 32) (local.get $by)))))

  ;; Four quarter rounds of ChaCha, side by side (RFC 8439, 2.1).
  (func $quarters (param $a v128) (param $b v128) (param $c v128) (param $d v128) (result v128 v128 v128 v128)
    (local.set $a (i32x4.add (local.get $a) (local.get $b)))
    (local.set $d (call $rotate (v128.xor (local.get $d) (local.get $a)) (i32.const 16)))
    (local.set $c (i32x4.add (local.get $c) (local.get $d)))
    (local.set $b (call $rotate (v128.xor (local.get $b) (local.get $c)) (i32.const 12)))
    (local.set $a (i32x4.add (local.get $a) (local.get $b)))
    (local.set $d (call $rotate (v128.xor (local.get $d) (local.get $a)) (i32.const 8)))
    (local.set $c (i32x4.add (local.get $c) (local.get $d)))
    (local.set $b (call $rotate (v128.xor (local.get $b) (local.get $c)) (i32.const 7)))
    (local.get $a) (local.get $b) (local.get $c) (local.get $d))

  ;; The first eight bytes of the next block of ChaCha20 with the seed as its key, a counter of 64 bits and a nonce of zeros. The rest
  ;; of the block is not used.
  (func $chacha (result i64)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128) (local $rounds i32)
    (local.set $a (v128.const i32x4 0x61707865 0x3320646e 0x79622d32 0x6b206574))
    (local.set $b (i64x2.replace_lane 1 (i64x2.splat (global.get $key0)) (global.get $key1)))
    (local.set $c (i64x2.replace_lane 1 (i64x2.splat (global.get $key2)) (global.get $key3)))
    (local.set $d (i64x2.replace_lane 1 (i64x2.splat (global.get $block)) (i64.const 0)))
    (global.set $block (i64.add (global.get $block) (i64.const 1)))
    (local.set $rounds (i32.const 10))
    (loop $next
      ;; The columns, and then the diagonals: the rows are turned until those are columns, and back.
      (call $quarters (local.get $a) (local.get $b) (local.get $c) (local.get $d))
      (local.set $d) (local.set $c) (local.set $b) (local.set $a)
      (local.set $b (i8x16.shuffle 4 5 6 7 8 9 10 11 12 13 14 15 0 1 2 3 (local.get $b) (local.get $b)))
      (local.set $c (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $c) (local.get $c)))
      (local.set $d (i8x16.shuffle 12 13 14 15 0 1 2 3 4 5 6 7 8 9 10 11 (local.get $d) (local.get $d)))
      (call $quarters (local.get $a) (local.get $b) (local.get $c) (local.get $d))
      (local.set $d) (local.set $c) (local.set $b) (local.set $a)
      (local.set $b (i8x16.shuffle 12 13 14 15 0 1 2 3 4 5 6 7 8 9 10 11 (local.get $b) (local.get $b)))
      (local.set $c (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $c) (local.get $c)))
      (local.set $d (i8x16.shuffle 4 5 6 7 8 9 10 11 12 13 14 15 0 1 2 3 (local.get $d) (local.get $d)))
      (local.set $rounds (i32.sub (local.get $rounds) (i32.const 1)))
      (br_if $next (local.get $rounds)))
    (i64x2.extract_lane 0
      (i32x4.add (local.get $a) (v128.const i32x4 0x61707865 0x3320646e 0x79622d32 0x6b206574))))

  ;; random_get(*buffer, length)
  (func (export "random_get") (param $buffer i32) (param $length i32) (result i32)
    (local $end i32) (local $bytes i64) (local $left i32)
    (local.set $end (i32.add (local.get $buffer) (local.get $length)))
    (if (i32.eqz (global.get $seeded))
      (then (global.set $unseeded (i32.add (global.get $unseeded) (i32.const 1)))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $buffer) (local.get $end)))
        (if (global.get $seeded)
          (then
            (if (i32.eqz (local.get $left))
              (then
                (local.set $bytes (call $chacha))
                (local.set $left (i32.const 8))))
            (i64.store8 (local.get $buffer) (local.get $bytes))
            (local.set $bytes (i64.shr_u (local.get $bytes) (i64.const 8)))
            (local.set $left (i32.sub (local.get $left) (i32.const 1))))
          (else (i64.store8 (local.get $buffer) (call $predictable))))
        (local.set $buffer (i32.add (local.get $buffer) (i32.const 1)))
        (br $next)))
    (i32.const 0))

  ;; fd_write(fd, *vectors, count, *written): reports the sum of the lengths.
  (func (export "fd_write") (param i32) (param $vector i32) (param $count i32) (param $result i32) (result i32)
    (local $written i32)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $count)))
        (local.set $written (i32.add (local.get $written) (i32.load offset=4 (local.get $vector))))
        (local.set $vector (i32.add (local.get $vector) (i32.const 8)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $next)))
    (i32.store (local.get $result) (local.get $written))
    (i32.const 0))

  ;; poll_oneoff(*subscriptions, *events, count, *ready): sleeping ends at once, a millisecond later.
  (func (export "poll_oneoff") (param i32 i32 i32) (param $ready i32) (result i32)
    (global.set $elapsed (i64.add (global.get $elapsed) (i64.const 1000000)))
    (i32.store (local.get $ready) (i32.const 0))
    (i32.const 0))

  ;; args_sizes_get(*count, *size): one argument of seven bytes, the zero at its end included.
  (func (export "args_sizes_get") (param $count i32) (param $size i32) (result i32)
    (i32.store (local.get $count) (i32.const 1))
    (i32.store (local.get $size) (i32.const 7))
    (i32.const 0))

  ;; args_get(*arguments, *buffer)
  (func (export "args_get") (param $arguments i32) (param $buffer i32) (result i32)
    (i32.store (local.get $arguments) (local.get $buffer))
    (i32.store (local.get $buffer) (i32.const 0x67756c70)) ;; plug
    (i32.store16 offset=4 (local.get $buffer) (i32.const 0x6e69)) ;; in
    (i32.store8 offset=6 (local.get $buffer) (i32.const 0))
    (i32.const 0))

  ;; No environment: count and size are 0.
  (func (export "environ_sizes_get") (param $count i32) (param $size i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $size) (i32.const 0))
    (i32.const 0))
  (func (export "environ_get") (param i32 i32) (result i32) (i32.const 0))

  (func (export "sched_yield") (result i32) (i32.const 0))
  (func (export "proc_exit") (param i32) (unreachable))

  ;; No files and no sockets: EBADF (8).
  (func (export "fd_close") (param i32) (result i32) (i32.const 8))
  (func (export "fd_fdstat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_fdstat_set_flags") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_filestat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_filestat_set_size") (param i32 i64) (result i32) (i32.const 8))
  (func (export "fd_filestat_set_times") (param i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_pread") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_prestat_dir_name") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_prestat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_pwrite") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_read") (param i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_readdir") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_seek") (param i32 i64 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_sync") (param i32) (result i32) (i32.const 8))
  (func (export "path_create_directory") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_filestat_get") (param i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_filestat_set_times") (param i32 i32 i32 i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "path_link") (param i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_open") (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32) (i32.const 8))
  (func (export "path_readlink") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_remove_directory") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_rename") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_symlink") (param i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_unlink_file") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "sock_accept") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "sock_shutdown") (param i32 i32) (result i32) (i32.const 8))
)
