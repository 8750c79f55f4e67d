;; A stand-in for WASI preview 1, for modules that Go builds with GOOS=wasip1.
;;
;; Go's runtime asks the operating system for a clock, random bytes, arguments and files before it runs any code of
;; ours. A plugin is hermetic: the same input gives the same output, whenever and wherever it runs. So everything is
;; answered here, inside the component, and the component imports no WASI at all:
;;
;;   clock         starts at 2026-01-01T00:00:00Z and advances by a microsecond each time it is asked
;;   random bytes  a fixed sequence (xorshift64): they order Go's maps and must never be used for secrets
;;   arguments, environment, files, sockets
;;                 there are none: the calls that ask for one answer EBADF
;;   writes        are dropped and reported as written: messages go through the import `log`
;;   exit          traps, which ends the call
;;
;; No function here may call an import of the component: Go reads the clock inside `cabi_realloc`, where a
;; component must not be left.
(module
  (import "env" "memory" (memory 0))

  ;; Nanoseconds that have passed.
  (global $elapsed (mut i64) (i64.const 0))
  ;; The state of the random sequence.
  (global $random (mut i64) (i64.const 0x9E3779B97F4A7C15))

  ;; clock_time_get(id, precision, *result): id 0 is the wall clock, everything else counts from one second.
  (func (export "clock_time_get") (param $id i32) (param i64) (param $result i32) (result i32)
    (global.set $elapsed (i64.add (global.get $elapsed) (i64.const 1000)))
    (i64.store (local.get $result)
      (i64.add (global.get $elapsed)
        (select (i64.const 1767225600000000000) (i64.const 1000000000) (i32.eqz (local.get $id)))))
    (i32.const 0))

  ;; random_get(*buffer, length)
  (func (export "random_get") (param $buffer i32) (param $length i32) (result i32)
    (local $end i32)
    (local.set $end (i32.add (local.get $buffer) (local.get $length)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $buffer) (local.get $end)))
        (global.set $random (i64.xor (global.get $random) (i64.shl (global.get $random) (i64.const 13))))
        (global.set $random (i64.xor (global.get $random) (i64.shr_u (global.get $random) (i64.const 7))))
        (global.set $random (i64.xor (global.get $random) (i64.shl (global.get $random) (i64.const 17))))
        (i64.store8 (local.get $buffer) (global.get $random))
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

  ;; No arguments and no environment: both counts and sizes are 0.
  (func $nothing (param $count i32) (param $size i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $size) (i32.const 0))
    (i32.const 0))
  (export "args_sizes_get" (func $nothing))
  (export "environ_sizes_get" (func $nothing))
  (func (export "args_get") (param i32 i32) (result i32) (i32.const 0))
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
