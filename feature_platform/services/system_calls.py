"""System calls that a process which runs code of others gives up: what Landlock leaves open.

Landlock limits what may be read and written. It does not limit attributes of files (`chmod`),
other processes' limits and priorities, new processes, sockets or memory that is shared. A seccomp
filter does: a program in the kernel's BPF that sees the number and the arguments of each call,
https://www.kernel.org/doc/html/latest/userspace-api/seccomp_filter.html.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable
from itertools import chain
from typing import Final, NamedTuple

_SET_NO_NEW_PRIVILEGES, _SET_FILTER, _ALL_THREADS = 38, 1, 1
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06  # of BPF, on 32 bits
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16  # in what the filter sees
_THREAD: Final = 0x10000  # CLONE_THREAD
_SHARED_ANONYMOUS: Final = 0x21  # MAP_SHARED | MAP_ANONYMOUS
_X32: Final = 0x40000000  # the first call of a second table of x86-64
_READ_FILES: Final = 0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: Landlock limits these
_CAPABILITIES: Final = 0x20080522  # version 3 of the structure


class _Machine(NamedTuple):
    """A processor as the kernel sees it.

    Attributes:
        audit: Its number in the kernel's audit.
        column: The position of its numbers in `_REFUSED` and `_LIMITED`.
    """

    audit: int
    column: int


_MACHINES: Final = {"x86_64": _Machine(0xC000003E, 0), "aarch64": _Machine(0xC00000B7, 1)}
_REFUSED: Final[dict[str, list[tuple[int, int | None]]]] = {
    "attributes of files": [
        (90, None), (91, 52), (268, 53), (452, 452),  # chmod, fchmod, fchmodat, fchmodat2
        (92, None), (93, 55), (94, None), (260, 54),  # chown, fchown, lchown, fchownat
        (132, None), (235, None), (261, None), (280, 88),  # utime, utimes, futimesat, utimensat
        (188, 5), (189, 6), (190, 7), (463, 463),  # setxattr, lsetxattr, fsetxattr, setxattrat
        (197, 14), (198, 15), (199, 16), (466, 466),  # removexattr and its three siblings
        (469, 469),  # file_setattr
    ],
    "processes": [
        (57, None), (58, None), (112, 157), (109, 154),  # fork, vfork, setsid, setpgid
        (62, 129), (200, 130), (129, 138), (297, 240),  # kill, tkill, rt_sigqueueinfo, rt_tgsig...
        (434, 434), (424, 424),  # pidfd_open, pidfd_send_signal
        (141, 140), (251, 30), (272, 97), (308, 268),  # setpriority, ioprio_set, unshare, setns
    ],
    "shared memory": [(319, 279), (447, 447), (29, 194)],  # memfd_create, memfd_secret, shmget
    "sockets": [(41, 198)],  # socket; socketpair stays
    "keys": [(248, 217), (249, 218), (250, 219)],  # add_key, request_key, keyctl
    "other ways to all of these": [(425, 425)],  # io_uring_setup
}  # fmt: skip
_OF_THIS_PROCESS: Final = [
    (302, 261), (142, 118), (144, 119), (203, 122), (314, 274),
]  # fmt: skip
"""prlimit64, and sched_setparam, -scheduler, -affinity and -attr: only with process 0, oneself."""

_CLONE, _CLONE3, _MMAP = (56, 220), (435, 435), (9, 222)
_CAPSET, _SECCOMP = (126, 91), (317, 277)


def give_up() -> bool:
    """Give up system calls and privileges for good, in all threads of this process.

    What is refused raises `PermissionError` in Python.

    Returns:
        Whether this system can do it.
    """
    machine = _MACHINES.get(platform.machine())
    if machine is None or platform.system() != "Linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    head = struct.pack("Ii", _CAPABILITIES, 0)
    kept = struct.pack("IIIIII", _READ_FILES, _READ_FILES, 0, 0, 0, 0)
    if os.geteuid() == 0 and libc.syscall(ctypes.c_long(_CAPSET[machine.column]), head, kept):
        return False
    program = b"".join(_program(machine))
    content = ctypes.create_string_buffer(program)
    filtering = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(content))
    libc.prctl(_SET_NO_NEW_PRIVILEGES, *map(ctypes.c_ulong, (1, 0, 0, 0)))
    number = ctypes.c_long(_SECCOMP[machine.column])
    return bool(libc.syscall(number, _SET_FILTER, _ALL_THREADS, filtering) == 0)


def _program(machine: _Machine) -> Iterable[bytes]:
    """Yield the instructions of the filter."""
    at = machine.column
    yield _step(_LOAD, _ARCHITECTURE_AT)
    yield from _unless(_EQUAL, machine.audit, errno.EPERM)
    yield _step(_LOAD, _NUMBER_AT)
    if at == 0:
        yield from _when(_AT_LEAST, _X32, [_refuse(errno.EPERM)])
    for call in chain.from_iterable(_REFUSED.values()):
        number = call[at]
        if number is not None:
            yield from _when(_EQUAL, number, [_refuse(errno.EPERM)])
    for call in _OF_THIS_PROCESS:
        of_itself = [_argument(0), *_unless(_EQUAL, 0, errno.EPERM), _allow()]
        yield from _when(_EQUAL, call[at], of_itself)
    # libraries that get ENOSYS for clone3 start their threads with clone, whose flags are seen here
    yield from _when(_EQUAL, _CLONE3[at], [_refuse(errno.ENOSYS)])
    threads = [_argument(0), _step(_AND, _THREAD), *_unless(_EQUAL, _THREAD, errno.EPERM), _allow()]
    yield from _when(_EQUAL, _CLONE[at], threads)
    shared = [_argument(3), _step(_AND, _SHARED_ANONYMOUS)]
    shared += _when(_EQUAL, _SHARED_ANONYMOUS, [_refuse(errno.EPERM)])
    yield from _when(_EQUAL, _MMAP[at], [*shared, _allow()])
    yield _allow()


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


def _argument(position: int) -> bytes:
    """Load the lower half of an argument."""
    return _step(_LOAD, _ARGUMENTS_AT + 8 * position)


def _when(test: int, value: int, steps: list[bytes]) -> list[bytes]:
    """Do steps if a test is true, and go on after them if not."""
    return [_step(test, value, 0, len(steps)), *steps]


def _unless(test: int, value: int, error: int) -> list[bytes]:
    """Refuse the call if a test is false."""
    return [_step(test, value, 1, 0), _refuse(error)]


def _refuse(error: int) -> bytes:
    return _step(_RETURN, _ERROR | error)


def _allow() -> bytes:
    return _step(_RETURN, _ALLOW)
