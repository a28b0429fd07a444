"""Limits of a process that runs code of others: files, memory, priority, and what remains.

Landlock, a part of Linux since 5.13, takes rights away from the process that asks for it, for good,
without privileges: https://docs.kernel.org/userspace-api/landlock.html.
"""

import ctypes
import os
import struct
import sys
import sysconfig
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from feature_platform.services.system_calls import give_up

MAX_BYTES: Final = 2 * 1024**3
_SYSTEM: Final = (
    "/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime", "/etc/timezone",
    "/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/proc/self", "/proc/cpuinfo",
    "/proc/meminfo", "/sys/devices/system", "/sys/fs/cgroup",
)  # fmt: skip
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_VERSION, _PATH_BENEATH, _NO_NEW_PRIVILEGES = 1, 1, 38
_EXECUTE, _WRITE, _READ, _LIST, _TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
_OF_FILES: Final = _EXECUTE | _WRITE | _READ | _TRUNCATE
_FILE_RIGHTS: Final = ((5, 16), (3, 15), (2, 14), (1, 13))
"""Version of Landlock → number of rights to files that it knows."""


def environment(scratch: str) -> dict[str, str]:
    """Return the environment variables of a confined process: none that could hold a secret."""
    kept = {"PATH", "LANG", "TZ", "LD_LIBRARY_PATH", "SYSTEMROOT"}
    plain = {n: v for n, v in os.environ.items() if n in kept or n.startswith("LC_")}
    modules = os.pathsep.join(filter(None, sys.path))
    return {**plain, "PYTHONPATH": modules, "HOME": scratch, "TMPDIR": scratch}


def confine(folder: Path | None, scratch: Path, hidden: Path) -> bool:
    """Limit this process for good.

    It reads the folder, Python's packages and the system's libraries, writes the scratch folder,
    has 2 GiB of memory and gives way to other processes. It starts no process, opens no socket,
    and changes neither attributes of files nor other processes.

    Args:
        folder: What its code may read; `None` for packages only.
        scratch: What it may write.
        hidden: A folder that is not read although packages may be imported from above it.

    Returns:
        Whether all of it is limited: this system may have no Landlock, or no seccomp.
    """
    with suppress(ImportError):  # Windows
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = MAX_BYTES if hard == resource.RLIM_INFINITY else min(MAX_BYTES, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        os.nice(10)
    version = landlock_version()
    if version:
        readable = [Path(path) for path in _SYSTEM] + _packages(hidden)
        _landlock(version, readable + ([folder] if folder else []), scratch)
    return give_up() and version > 0


def landlock_version() -> int:
    """Return the version of this system's Landlock; 0 if there is none."""
    if sys.platform != "linux":
        return 0
    return max(_call(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION), 0)


def _packages(hidden: Path) -> list[Path]:
    """Return the folders from which modules are imported."""
    paths = [sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), *sys.path]
    folders = dict.fromkeys(Path(path).resolve() for path in paths if path)
    ours = Path(__file__).parents[1]
    return [ours, *(folder for folder in folders if not hidden.is_relative_to(folder))]


def _landlock(version: int, readable: Iterable[Path], scratch: Path) -> None:
    count = next(count for since, count in _FILE_RIGHTS if version >= since)
    every = (1 << count) - 1
    network = 0b11 if version >= 4 else 0  # bind and connect  # noqa: PLR2004
    scoped = 0b11 if version >= 6 else 0  # abstract sockets and signals  # noqa: PLR2004
    size = 8 if not network else 16 if not scoped else 24
    content = struct.pack("QQQ", every, network, scoped)[:size]
    rules = _checked(_call(_CREATE_RULESET, content, ctypes.c_size_t(size), 0))
    for path in readable:
        _allow(rules, path, _EXECUTE | _READ | _LIST)
    _allow(rules, scratch, every & ~_EXECUTE)
    _allow(rules, Path("/dev/null"), _READ | _WRITE)
    _checked(_libc().prctl(_NO_NEW_PRIVILEGES, *map(ctypes.c_ulong, (1, 0, 0, 0))))
    _checked(_call(_RESTRICT_SELF, rules, 0))
    os.close(rules)


def _allow(rules: int, path: Path, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # it is not on this system
        return
    try:
        rights &= -1 if path.is_dir() else _OF_FILES
        content = struct.pack("=Qi", rights, handle)
        _checked(_call(_ADD_RULE, rules, _PATH_BENEATH, content, 0))
    finally:
        os.close(handle)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: object) -> int:
    return int(_libc().syscall(ctypes.c_long(number), *arguments))


def _checked(result: int) -> int:
    """Return the result of a system call.

    Raises:
        OSError: It failed.
    """
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
