"""Seccomp (seccomp(2)): limits the system calls of a process."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Iterable
from struct import pack
from typing import Final

from pdns.confinement.kernel_calls import call

NUMBERS: Final = {  # name -> its number on x86-64 and on ARM64; -1: that has no such call
    "read": (0, 63),
    "write": (1, 64),
    "open": (2, -1),
    "openat": (257, 56),
    "openat2": (437, 437),
    "close": (3, 57),
    "stat": (4, -1),
    "fstat": (5, 80),
    "lstat": (6, -1),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "poll": (7, -1),
    "ppoll": (271, 73),
    "lseek": (8, 62),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "brk": (12, 214),
    "msync": (26, 227),
    "mincore": (27, 232),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "rt_sigpending": (127, 136),
    "rt_sigsuspend": (130, 133),
    "rt_sigtimedwait": (128, 137),
    "sigaltstack": (131, 132),
    "ioctl": (16, 29),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "readv": (19, 65),
    "writev": (20, 66),
    "preadv": (295, 69),
    "pwritev": (296, 70),
    "preadv2": (327, 286),
    "pwritev2": (328, 287),
    "access": (21, -1),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "pipe": (22, -1),
    "pipe2": (293, 59),
    "dup": (32, 23),
    "dup2": (33, -1),
    "dup3": (292, 24),
    "fcntl": (72, 25),
    "flock": (73, 32),
    "fsync": (74, 82),
    "fdatasync": (75, 83),
    "ftruncate": (77, 46),
    "fallocate": (285, 47),
    "getdents64": (217, 61),
    "getcwd": (79, 17),
    "rename": (82, -1),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "mkdir": (83, -1),
    "mkdirat": (258, 34),
    "rmdir": (84, -1),
    "unlink": (87, -1),
    "unlinkat": (263, 35),
    "readlink": (89, -1),
    "readlinkat": (267, 78),
    "fchmod": (91, 52),
    "umask": (95, 166),
    "getuid": (102, 174),
    "getgid": (104, 176),
    "geteuid": (107, 175),
    "getegid": (108, 177),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "gettid": (186, 178),
    "getpgrp": (111, -1),
    "getpgid": (121, 155),
    "getgroups": (115, 158),
    "getresuid": (118, 148),
    "getresgid": (120, 150),
    "capget": (125, 90),
    "getrlimit": (97, 163),
    "setrlimit": (160, 164),
    "prlimit64": (302, 261),
    "getrusage": (98, 165),
    "times": (100, 153),
    "sysinfo": (99, 179),
    "uname": (63, 160),
    "futex": (202, 98),
    "set_robust_list": (273, 99),
    "get_robust_list": (274, 100),
    "rseq": (334, 293),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120),
    "clone": (56, 220),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101),
    "gettimeofday": (96, 169),
    "time": (201, -1),
    "getrandom": (318, 278),
    "memfd_create": (319, 279),
    "copy_file_range": (326, 285),
    "sendfile": (40, 71),
    "fadvise64": (221, 223),
    "arch_prctl": (158, -1),
    "set_tid_address": (218, 96),
    "tgkill": (234, 131),
    "restart_syscall": (219, 128),
    "select": (23, -1),
    "pselect6": (270, 72),
    "membarrier": (324, 283),
    "getcpu": (309, 168),
    "getpriority": (140, 141),
    "setpriority": (141, 140),
    "utimensat": (280, 88),
    "setitimer": (38, 103),
    "getitimer": (36, 102),
    "alarm": (37, -1),
    "statfs": (137, 43),
    "fstatfs": (138, 44),
    "sync_file_range": (277, 84),
    "close_range": (436, 436),
    "prctl": (157, 167),
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, -1),
    "vfork": (58, -1),
    "clone3": (435, 435),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "setns": (308, 268),
    "unshare": (272, 97),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "acct": (163, 89),
    "iopl": (172, -1),
    "ioperm": (173, -1),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "fsconfig": (431, 431),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "quotactl": (179, 60),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    "modify_ldt": (154, -1),
    "personality": (135, 92),
    "lookup_dcookie": (212, 18),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "fanotify_init": (300, 262),
    "mknod": (133, -1),
    "mknodat": (259, 33),
    "kill": (62, 129),
    "tkill": (200, 130),
    "pidfd_send_signal": (424, 424),
    "pidfd_open": (434, 434),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "truncate": (76, 45),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "chown": (92, -1),
    "fchown": (93, 55),
    "lchown": (94, -1),
    "fchownat": (260, 54),
    "chmod": (90, -1),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "link": (86, -1),
    "linkat": (265, 37),
    "symlink": (88, -1),
    "symlinkat": (266, 36),
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
}
NEVER: Final = (  # not needed by pdns: each is a way out of confinement, or a part of the kernel with many vulnerabilities
    "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "process_madvise", "kcmp", "kexec_load", "kexec_file_load",
    "init_module", "finit_module", "delete_module", "bpf", "perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key",
    "mount", "umount2", "pivot_root", "chroot", "setns", "unshare", "swapon", "swapoff", "reboot", "acct", "iopl", "ioperm",
    "open_by_handle_at", "name_to_handle_at", "io_uring_setup", "io_uring_enter", "io_uring_register", "move_mount", "open_tree",
    "fsopen", "fsmount", "fsconfig", "fspick", "mount_setattr", "quotactl", "settimeofday", "clock_settime", "adjtimex",
    "clock_adjtime", "sethostname", "setdomainname", "syslog", "vhangup", "modify_ldt", "personality", "lookup_dcookie",
    "move_pages", "migrate_pages", "mbind", "set_mempolicy", "fanotify_init",
)  # fmt: skip
PROCESSES: Final = ("execve", "execveat", "fork", "vfork")  # and `clone` that starts no thread
SIGNALS: Final = ("kill", "tkill", "pidfd_send_signal", "rt_sigqueueinfo", "rt_tgsigqueueinfo")
ATTRIBUTES: Final = (  # on files: Landlock does not cover these calls
    "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat", "setxattr", "lsetxattr", "fsetxattr",
    "truncate", "utimensat",
)  # fmt: skip
NEW_SOCKETS: Final = ("socket", "connect", "bind")
PARSER: Final = tuple(NUMBERS)[: tuple(NUMBERS).index("execve")]  # calls for reading and writing files

_MACHINES: Final = {"x86_64": (0, 0xC000003E, 317), "aarch64": (1, 0xC00000B7, 277)}  # column, AUDIT_ARCH_*, seccomp itself
_SET_MODE_FILTER: Final = 1
_SPEC_ALLOW: Final = 1 << 2  # no processor mitigations that Linux before 5.16 switched on along with a filter
_LOAD: Final = 0x20
_EQUAL: Final = 0x15
_AT_LEAST: Final = 0x35
_ANY_BIT: Final = 0x45
_RETURN: Final = 0x06
_NUMBER_AT: Final = 0
_ARCHITECTURE_AT: Final = 4
_FIRST_ARGUMENT_AT: Final = 16
_X32: Final = 0x40000000  # the third set of numbers that an x86-64 kernel may take
_CLONE_THREAD: Final = 0x10000
_ALLOW: Final = 0x7FFF0000
_KILL: Final = 0x80000000
_ERRNO: Final = 0x00050000


def refuse(names: Iterable[str]) -> None:
    """Make this thread and its children get EPERM for the system calls `names`. Raises `OSError`."""
    refused = set(names)
    _install([*_refusals(refused, threads_only="fork" in refused), (_RETURN, 0, 0, _ALLOW)])


def allow(names: Iterable[str]) -> None:
    """The same for all but `names`: ENOSYS for those that a newer C library may try first, EPERM for those that only
    an attacker would use.
    """
    allowed = set(names)
    program = []
    for number in _numbers(allowed - {"clone"}):
        program += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    refused = set(NUMBERS) - allowed
    program += _refusals(refused, threads_only=True)
    (clone,) = _numbers({"clone"})
    _install([*program, (_EQUAL, 0, 1, clone), (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)])


def _refusals(names: set[str], *, threads_only: bool) -> list[tuple[int, int, int, int]]:
    """Goes on behind with what none of them are."""
    program = []
    for number in _numbers(names - {"clone3"}):
        program += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | errno.EPERM)]
    if threads_only:
        (clone,), (clone3,) = _numbers({"clone"}), _numbers({"clone3"})
        program += [
            (_EQUAL, 0, 1, clone3),  # a filter cannot see its flags; after ENOSYS the C library uses `clone`
            (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
            (_EQUAL, 0, 4, clone),
            (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
            (_ANY_BIT, 1, 0, _CLONE_THREAD),
            (_RETURN, 0, 0, _ERRNO | errno.EPERM),
            (_LOAD, 0, 0, _NUMBER_AT),
        ]
    return program


def _architecture() -> tuple[int, int, int]:
    machine = os.uname().machine
    if machine not in _MACHINES or sys.byteorder != "little" or sys.maxsize < 2**32:
        raise OSError(errno.EOPNOTSUPP, f"not for {machine}")
    return _MACHINES[machine]


def _numbers(names: Iterable[str]) -> list[int]:
    column = _architecture()[0]
    return sorted(NUMBERS[name][column] for name in names if NUMBERS[name][column] >= 0)


def _install(decisions: list[tuple[int, int, int, int]]) -> None:
    _, architecture, seccomp = _architecture()
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        *decisions,
    ]
    code = ctypes.create_string_buffer(b"".join(pack("=HBBI", *instruction) for instruction in program))
    description = ctypes.create_string_buffer(pack("@HP", len(program), ctypes.addressof(code)))
    call(seccomp, _SET_MODE_FILTER, _SPEC_ALLOW, description)
