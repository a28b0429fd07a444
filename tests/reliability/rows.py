"""One row of the reliability table."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

_SHM = Path("/dev/shm")  # noqa: S108
MEMORY = _SHM if _SHM.is_dir() and os.access(_SHM, os.W_OK) else None
"""A RAM disk, where there is one."""


class Tried(NamedTuple):
    """How often something was exercised, and how often it must be for the row to say anything."""

    count: int
    least: int

    @property
    def is_enough(self) -> bool:
        return self.count >= self.least > 0


@dataclass
class Row:
    """What was tried, how often it went wrong, and if the test can fail at all.

    Attributes:
        name: What was tried.
        tried: What was exercised → how often; the first one is what the row counts. A row with
            less than its floor is no pass: nothing goes wrong where nothing is done.
        bad: How often it went wrong; 0 is the only good number.
        detail: What was seen.
        controls: Seeded bug → whether the same test notices it.
        control_detail: What was seen of them.
        seconds: How long it took, the controls included.
    """

    name: str
    tried: dict[str, Tried]
    bad: int
    detail: str
    controls: dict[str, bool]
    control_detail: str = ""
    seconds: float = 0.0

    @property
    def cases(self) -> int:
        return next(iter(self.tried.values()), Tried(0, 1)).count

    @property
    def short(self) -> list[str]:
        """What was exercised less than the row needs, in words."""
        if not self.tried:
            return ["nothing was tried"]
        return [
            f"only {tried.count:,} {name}, and at least {tried.least:,} are needed"
            for name, tried in self.tried.items()
            if not tried.is_enough
        ]

    @property
    def is_good(self) -> bool:
        noticed = bool(self.controls) and all(self.controls.values())
        return self.bad == 0 and not self.short and noticed

    def to_json(self) -> dict[str, Any]:
        tried = {name: tried._asdict() for name, tried in self.tried.items()}
        return {**asdict(self), "tried": tried, "cases": self.cases, "good": self.is_good}


@dataclass
class Clock:
    seconds: float = field(default=0.0)


@contextmanager
def measured() -> Iterator[Clock]:
    clock, started = Clock(), time.monotonic()
    yield clock
    clock.seconds = time.monotonic() - started
