"""The cage: what a process takes from itself, for good, before it looks at bytes that somebody else made.

Rules:

- Everywhere: address space, CPU seconds, size of a written file, open files; no core file.
- Linux with Landlock (5.13): it reads only what it is told, the interpreter's own libraries beside, and writes only
  what it is told. With newer kernels it reaches no TCP port, no abstract socket and no other process's signals either.
- Linux with libseccomp: only the system calls of `ALLOWED` are carried out. One of `FATAL`, which start a process, open
  a socket or take hold of another process, kills it; any other fails as if the kernel lacked it.
- `lacks()` names in sentences what the platform doesn't have; what it has and refuses is an OSError, so nothing runs
  half caged by accident.
- A process that has threads already would leave them outside: callers have one.

`python -P -m plora.node.workers.cage` prints what the platform lacks as a JSON list.

Not handled: timing and other side channels; what may be read of the file system's names (Landlock restricts opening).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import json
import os
import resource
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from plora.node.workers.limits import Limits

OPEN_FILES_MAX = 64

# The UAPI of Landlock, linux/landlock.h; system calls above 423 have one number on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION, _PATH_BENEATH = 1, 1
_READ_FILE, _READ_DIR, _WRITE_FILE, _TRUNCATE = 1 << 2, 1 << 3, 1 << 1, 1 << 14
_REMOVE_FILE, _MAKE_FILE = 1 << 5, 1 << 8
_OF_FILES = _READ_FILE | _WRITE_FILE | _TRUNCATE
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_NET_SINCE, _SCOPED_SINCE = 4, 6

_SET_NO_NEW_PRIVS, _SET_DEATH_SIGNAL, _GET_SECCOMP = 38, 1, 21

# libseccomp, seccomp.h
_LIBSECCOMP = "libseccomp.so.2"
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FATAL = _names(
    "fork vfork clone clone3 execve execveat socket socketpair connect bind listen accept accept4 "
    "ptrace process_vm_readv process_vm_writev process_madvise pidfd_open pidfd_getfd io_uring_setup bpf "
    "kill tkill unshare setns mount chroot pivot_root keyctl add_key userfaultfd perf_event_open"
)
ALLOWED = _names(
    "read readv pread64 preadv preadv2 write writev pwrite64 pwritev pwritev2 close close_range lseek _llseek "
    "open openat openat2 access faccessat faccessat2 stat stat64 lstat lstat64 fstat fstat64 fstatat64 newfstatat "
    "statx statfs fstatfs readlink readlinkat getcwd getdents getdents64 fcntl fcntl64 ioctl dup dup2 dup3 flock "
    "fsync fdatasync ftruncate ftruncate64 fallocate rename renameat renameat2 mkdir mkdirat unlink unlinkat rmdir "
    "chmod fchmod fchmodat umask utimensat fadvise64 sendfile copy_file_range "
    "mmap mmap2 munmap mprotect mremap madvise msync brk membarrier "
    "rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack sigreturn futex futex_time64 futex_waitv sched_yield "
    "sched_getaffinity getcpu set_robust_list get_robust_list rseq set_tid_address arch_prctl restart_syscall "
    "getpid getppid gettid getuid geteuid getgid getegid getrandom uname sysinfo getrusage getrlimit ugetrlimit times "
    "time gettimeofday clock_gettime clock_gettime64 clock_getres clock_getres_time64 clock_nanosleep "
    "clock_nanosleep_time64 nanosleep poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64 pipe pipe2 "
    "exit exit_group"
)


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


_libc = ctypes.CDLL(None, use_errno=True)


def close_cage(limits: Limits, read: Iterable[str], write: Iterable[str]) -> None:
    """Confine this process: it may read `read`, and write files right in the folders `write`. Raises OSError."""
    limit_resources(limits)
    if not sys.platform.startswith("linux"):
        return
    library = _libseccomp() if _has_seccomp() else None  # while it can still be read
    _checked(_libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    if landlock_version():
        _confine_files(read, write)
    if library is not None:
        _confine_calls(library)


@functools.cache
def lacks() -> tuple[str, ...]:
    """What this platform can't keep a worker from, in sentences; empty where the cage is whole. Changes nothing."""
    return lacking(landlock=landlock_version() > 0, seccomp=_has_seccomp(), library=_libseccomp() is not None)


def lacking(*, landlock: bool, seccomp: bool, library: bool) -> tuple[str, ...]:
    """The sentences for a system with or without Landlock, seccomp and libseccomp.

    >>> lacking(landlock=True, seccomp=True, library=False)
    ('workers are not kept from sockets and processes: install libseccomp2',)
    """
    calls = "workers are not kept from sockets and processes"
    missing = [] if landlock else ["workers are not kept from this user's files: that takes Linux 5.13 with Landlock"]
    if not seccomp:
        missing.append(f"{calls}: that takes Linux with seccomp")
    elif not library:
        missing.append(f"{calls}: install libseccomp2")
    return tuple(missing)


def end_with_parent() -> None:
    """Have the kernel kill this process when the one that started it ends, where it can."""
    if sys.platform.startswith("linux"):
        _libc.prctl(_SET_DEATH_SIGNAL, 9, 0, 0, 0)


def limit_resources(limits: Limits) -> None:
    """Lower the system's bounds for good; one that is lower already stays."""
    for kind, bound, grace in (
        (resource.RLIMIT_AS, limits.memory_bytes, 0),
        (resource.RLIMIT_CPU, limits.cpu_s, 1),  # SIGXCPU first, which says why; then SIGKILL
        (resource.RLIMIT_FSIZE, limits.file_bytes, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES_MAX, 0),
        (resource.RLIMIT_NPROC, 0, 0),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        top = sys.maxsize if hard == resource.RLIM_INFINITY else hard
        with contextlib.suppress(ValueError):  # macOS refuses to bound address space
            resource.setrlimit(kind, (min(bound, top), min(bound + grace, top)))


def landlock_version() -> int:
    """The version of Landlock's interface here; 0 where there is none."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_VERSION)))


def _confine_files(read: Iterable[str], write: Iterable[str]) -> None:
    version = landlock_version()
    handled = next(rights for since, rights in sorted(_FILE_RIGHTS.items(), reverse=True) if since <= version)
    rules = _Ruleset(handled, 3 if version >= _NET_SINCE else 0, 3 if version >= _SCOPED_SINCE else 0)
    ruleset = _checked(_libc.syscall(_CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(24), 0), "landlock")
    for path in (*sys.path, *read):
        _allow(ruleset, path, handled & (_READ_FILE | _READ_DIR))
    for path in write:
        _allow(ruleset, path, handled & (_OF_FILES | _READ_DIR | _REMOVE_FILE | _MAKE_FILE))
    _checked(_libc.syscall(_RESTRICT_SELF, ruleset, 0), "landlock")
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    """Nothing where there is no such path, or none for this user: whoever opens it will say so."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    beneath = _Beneath(rights if Path(path).is_dir() else rights & _OF_FILES, descriptor)
    _checked(_libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(beneath), 0), path)
    os.close(descriptor)


def _confine_calls(library: ctypes.CDLL) -> None:
    context = library.seccomp_init(_ERRNO | errno.ENOSYS)
    _add(library, context, _ALLOW, ALLOWED)
    _add(library, context, _KILL_PROCESS, FATAL)
    failed = library.seccomp_load(context)
    library.seccomp_release(context)
    if failed:
        raise OSError(-failed, os.strerror(-failed), "seccomp")


def _add(library: ctypes.CDLL, context: int, action: int, names: Sequence[str]) -> None:
    """Rules for the calls that this architecture has (the others resolve to negative numbers)."""
    for name in names:
        number = library.seccomp_syscall_resolve_name(name.encode())
        failed = library.seccomp_rule_add_array(context, action, number, 0, None) if number >= 0 else 0
        if failed:
            raise OSError(-failed, os.strerror(-failed), name)


def _libseccomp() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(_LIBSECCOMP)
    except OSError:
        return None
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = (ctypes.c_uint32,)
    library.seccomp_load.argtypes = library.seccomp_release.argtypes = (ctypes.c_void_p,)
    library.seccomp_rule_add_array.argtypes = (
        *(ctypes.c_void_p, ctypes.c_uint32),
        *(ctypes.c_int, ctypes.c_uint, ctypes.c_void_p),
    )
    return library


def _has_seccomp() -> bool:
    return sys.platform.startswith("linux") and int(_libc.prctl(_GET_SECCOMP, 0, 0, 0, 0)) >= 0


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return int(result)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(lacks()))
