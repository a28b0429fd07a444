"""One row of the reliability table."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Row:
    """What was tried, how often it went wrong, and if the test can fail at all.

    Attributes:
        name: What was tried.
        cases: How often.
        bad: How often it went wrong; 0 is the only good number.
        detail: What was seen.
        controls: Seeded bug → whether the same test notices it.
        control_detail: What was seen of them.
        seconds: How long it took, the controls included.
    """

    name: str
    cases: int
    bad: int
    detail: str
    controls: dict[str, bool]
    control_detail: str = ""
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        return self.bad == 0 and self.cases > 0 and all(self.controls.values())

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "good": self.is_good}


@dataclass
class Clock:
    seconds: float = field(default=0.0)


@contextmanager
def measured() -> Iterator[Clock]:
    clock, started = Clock(), time.monotonic()
    yield clock
    clock.seconds = time.monotonic() - started
